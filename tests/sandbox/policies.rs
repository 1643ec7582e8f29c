//! Every refusal of the seccomp policies, carried out by a program that the filter holds for. What
//! is allowed is a matter of the unit tests, which run the filters themselves.

use libseccomp::{ScmpArch, ScmpSyscall};
use sandbox::seccomp::{Answer, Argument, Comparison, Decisions, Value, decisions};

use crate::harness::{Mode, Run, with};

/// What `sandbox run` puts together.
const POLICIES: [&str; 3] = ["calls", "base", "terminal"];

fn decided(mode: Mode) -> Decisions {
    let single = (mode == Mode::Single).then_some("single-id");
    let names: Vec<String> = POLICIES.into_iter().chain(single).map(str::to_owned).collect();
    decisions(&names).expect("policies")
}

/// A call as the probe takes it: number and, where there are conditions, arguments that meet them.
fn call(number: i32, conditions: &[Argument]) -> String {
    let mut arguments = [0; 6];
    for condition in conditions {
        let value = match &condition.value {
            Value::Number(number) => *number,
            Value::Name(name) => match name.as_str() {
                "TIOCSTI" => 0x5412,
                "TIOCLINUX" => 0x541C,
                _ => panic!("unknown constant {name}"),
            },
        };
        let is_met = if condition.is == Comparison::Equal { value } else { value + 1 };
        arguments[condition.index as usize] = is_met;
    }
    let arguments: String = match conditions.is_empty() {
        true => String::new(),
        false => arguments.iter().map(|argument| format!(":{argument}")).collect(),
    };
    format!("{number}{arguments}")
}

/// Carries out everything that is refused to programs of an architecture.
fn execute(mode: Mode, arch: ScmpArch, prefix: &str) {
    let decisions = decided(mode);
    let promised = |answer| match answer {
        Answer::ENOSYS => "ENOSYS",
        Answer::EPERM => "EPERM",
        Answer::EAFNOSUPPORT => "EAFNOSUPPORT",
        Answer::Success => "ok",
        Answer::Allow => unreachable!("it is no refusal"),
    };
    let mut all = Vec::new();
    for number in 0..1000 {
        let Ok(name) = ScmpSyscall::from(number).get_name_by_arch(arch) else { continue };
        let mut add = |conditions: &[Argument], answer| {
            let call = format!("{prefix}{}", call(number, conditions));
            all.push((name.clone(), call, promised(answer)));
        };
        if let Some(answer) = decisions.answer(&name) {
            add(&[], answer);
        }
        for (answer, conditions) in decisions.calls.get(&name).iter().flat_map(|d| &d.refusals) {
            add(conditions, *answer);
        }
    }
    assert!(all.len() > 50);
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
fn every_refusal() {
    for mode in [Mode::Root, Mode::Subids, Mode::Single] {
        with(mode, |mode| execute(mode, ScmpArch::native(), ""));
    }
}

/// On a 64-bit kernel, programs can make the calls of 32-bit ones, whose numbers are others.
#[test]
#[cfg(target_arch = "x86_64")]
fn every_refusal_for_32_bit_programs() {
    let mode = crate::harness::own();
    // getpid: without it, the kernel was built without the emulation.
    if Run::new(mode).probe(&["syscalls", "i386:20"])["i386:20"] != "ok" {
        eprintln!("not tested: this kernel does not run 32-bit programs");
        return;
    }
    execute(mode, ScmpArch::X86, "i386:");
    if mode == Mode::Root {
        execute(Mode::Single, ScmpArch::X86, "i386:");
    }
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
