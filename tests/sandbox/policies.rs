//! Every rule of the seccomp policies, carried out by a program that the filter holds for.

use libseccomp::{ScmpArch, ScmpSyscall};
use sandbox::seccomp::{Answer, Rule, Value, load};

use crate::harness::{Mode, Run, root_or_skip, with};

/// The calls of a rule that exist on an architecture, as the probe takes them: number and, where
/// the rule has conditions, arguments that meet them.
fn calls(rule: &Rule, arch: ScmpArch) -> Vec<(String, String)> {
    let mut arguments = [0; 6];
    for condition in &rule.args {
        arguments[condition.index as usize] = match &condition.value {
            Value::Number(number) => *number,
            Value::Name(name) => match name.as_str() {
                "TIOCSTI" => 0x5412,
                "TIOCLINUX" => 0x541C,
                _ => panic!("unknown constant {name}"),
            },
        };
    }
    let arguments: String = match rule.args.is_empty() {
        true => String::new(),
        false => arguments.iter().map(|argument| format!(":{argument}")).collect(),
    };
    rule.syscalls
        .iter()
        .chain(&rule.newer)
        .filter_map(|name| {
            let number = ScmpSyscall::from_name_by_arch(name, arch).ok()?.as_raw_syscall();
            // libseccomp numbers what an architecture lacks below zero.
            (number >= 0).then(|| (name.clone(), format!("{number}{arguments}")))
        })
        .collect()
}

fn promised(rule: &Rule) -> &'static str {
    match rule.answer {
        Answer::ENOSYS => "ENOSYS",
        Answer::EPERM => "EPERM",
        Answer::Success => "ok",
    }
}

/// Carries out every rule of a policy.
fn execute(mode: Mode, policy: &str, arch: ScmpArch, prefix: &str) {
    let policy = load(policy, None).expect("a policy");
    let all: Vec<(String, String, &str)> = policy
        .rules
        .iter()
        .flat_map(|rule| {
            calls(rule, arch)
                .into_iter()
                .map(|(name, call)| (name, format!("{prefix}{call}"), promised(rule)))
        })
        .collect();
    assert!(!all.is_empty());
    let words: Vec<&str> =
        ["syscalls"].into_iter().chain(all.iter().map(|(_, call, _)| call.as_str())).collect();
    let seen = Run::new(mode).probe(&words);
    let wrong: Vec<String> = all
        .iter()
        .filter(|(_, call, promised)| seen[call] != *promised)
        .map(|(name, call, promised)| format!("{name}: {} instead of {promised}", seen[call]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_of_base() {
    with(Mode::Root, |mode| execute(mode, "base", ScmpArch::native(), ""));
    with(Mode::Single, |mode| execute(mode, "base", ScmpArch::native(), ""));
}

#[test]
fn every_rule_of_terminal() {
    with(Mode::Subids, |mode| execute(mode, "terminal", ScmpArch::native(), ""));
}

#[test]
fn every_rule_of_single_id() {
    with(Mode::Single, |mode| execute(mode, "single-id", ScmpArch::native(), ""));
}

/// On a 64-bit kernel, programs can make the calls of 32-bit ones, whose numbers are others.
#[test]
#[cfg(target_arch = "x86_64")]
fn every_rule_for_32_bit_programs() {
    if !root_or_skip() {
        return;
    }
    // getpid: without it, the kernel was built without the emulation.
    if Run::new(Mode::Root).probe(&["syscalls", "i386:20"])["i386:20"] != "ok" {
        eprintln!("not tested: this kernel does not run 32-bit programs");
        return;
    }
    execute(Mode::Root, "base", ScmpArch::X86, "i386:");
    execute(Mode::Single, "single-id", ScmpArch::X86, "i386:");
}

/// What does not meet the conditions of a rule goes to the kernel.
#[test]
fn conditions_are_narrow() {
    with(Mode::Single, |mode| {
        let seen = Run::new(mode).probe(&[
            "try",
            "mknod-fifo",
            "mknod-character",
            "terminal-size",
            "tiocsti",
        ]);
        assert_eq!(seen["mknod-fifo"], "ok");
        assert_eq!(seen["terminal-size"], "ENOTTY");
        // A FIFO was made, a device was not.
        let done = Run::new(mode)
            .shell("mkfifo /tmp/fifo && mknod /tmp/null c 1 3 && test -p /tmp/fifo && ls /tmp");
        assert_eq!(done.text(), "fifo", "{done:?}");
    });
}
