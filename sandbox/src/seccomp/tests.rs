use libseccomp::{ScmpArch, ScmpSyscall};

use super::*;

/// What profiles use together, besides what plans add for terminals and single ids.
const TOGETHER: [&[&str]; 5] = [
    &["calls", "base"],
    &["calls", "base", "chroot", "tools", "nosync"],
    &["calls", "base", "namespaces", "aio"],
    &["calls", "base", "terminal", "single-id"],
    &["base"],
];

fn decided(names: &[&str]) -> Decisions {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    decisions(&names).unwrap()
}

/// What filters of the kernel do: classic BPF over `struct seccomp_data`, as far as libseccomp
/// writes it (linux/filter.h, bpf_common.h). Gives the return value.
fn run(filter: &[u64], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0u32; 16];
    (data[0], data[1]) = (number, arch);
    for (index, argument) in arguments.into_iter().enumerate() {
        let halves = [argument as u32, (argument >> 32) as u32];
        let halves = if cfg!(target_endian = "big") { [halves[1], halves[0]] } else { halves };
        data[4 + index * 2..][..2].copy_from_slice(&halves);
    }
    let (mut at, mut value) = (0, 0u32);
    loop {
        let bytes = filter[at].to_ne_bytes();
        let code = u16::from_ne_bytes([bytes[0], bytes[1]]);
        let (if_true, if_false) = (usize::from(bytes[2]), usize::from(bytes[3]));
        let operand = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        at += 1;
        let mut jump = |holds: bool| at += if holds { if_true } else { if_false };
        match code {
            0x20 => value = data[operand as usize / 4],
            0x54 => value &= operand,
            0x05 => at += operand as usize,
            0x15 => jump(value == operand),
            0x25 => jump(value > operand),
            0x35 => jump(value >= operand),
            0x45 => jump(value & operand != 0),
            0x06 => return operand,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

/// What the kernel makes of the result of a filter.
fn answer(filter: &[u64], arch: u32, number: u32, arguments: [u64; 6]) -> Answer {
    let result = run(filter, arch, number, arguments);
    match (result & 0xffff_0000, (result & 0xffff) as i32) {
        (0x7fff_0000, _) => Answer::Allow,
        (0x0005_0000, 0) => Answer::Success,
        (0x0005_0000, libc::EPERM) => Answer::EPERM,
        (0x0005_0000, libc::EAFNOSUPPORT) => Answer::EAFNOSUPPORT,
        (0x0005_0000, libc::ENOSYS) => Answer::ENOSYS,
        _ => panic!("unknown result {result:#x}"),
    }
}

/// Audit names of architectures (linux/audit.h).
fn tokens(architecture: Architecture) -> Vec<(ScmpArch, u32)> {
    match architecture {
        Architecture::X86_64 => {
            vec![(ScmpArch::X8664, 0xc000_003e), (ScmpArch::X86, 0x4000_0003)]
        }
        Architecture::Aarch64 => {
            vec![(ScmpArch::Aarch64, 0xc000_00b7), (ScmpArch::Arm, 0x4000_0028)]
        }
        _ => vec![(ScmpArch::Ppc64Le, 0xc000_0015)],
    }
}

#[test]
fn every_decision_on_every_architecture() {
    for names in TOGETHER {
        let decisions = decided(names);
        for architecture in Architecture::NAMED {
            let filter = compile(&decisions, architecture).unwrap();
            assert!(filter.len() < 4096);
            for (token, arch) in tokens(architecture) {
                check_calls(&decisions, &filter, token, arch);
            }
            // Programs of another architecture have other numbers, which nobody has looked at.
            assert_eq!(answer(&filter, 0x1234_5678, 0, [0; 6]), Answer::ENOSYS);
            for (_, arch) in tokens(architecture) {
                assert_eq!(answer(&filter, arch, 0x4000_0000, [0; 6]), Answer::ENOSYS);
                assert_eq!(answer(&filter, arch, u32::MAX, [0; 6]), Answer::ENOSYS);
                let unknown = decisions.otherwise.unwrap_or(Answer::Allow);
                assert_eq!(answer(&filter, arch, 0x3fff_ffff, [0; 6]), unknown);
            }
        }
    }
}

fn check_calls(decisions: &Decisions, filter: &[u64], token: ScmpArch, arch: u32) {
    for number in 0..1000 {
        let Ok(name) = ScmpSyscall::from(number).get_name_by_arch(token) else { continue };
        let promised = decisions.answer(&name).unwrap_or(Answer::Allow);
        let seen = answer(filter, arch, number as u32, [u64::MAX; 6]);
        let decision = decisions.calls.get(&name);
        if decision.is_none_or(|decision| decision.refusals.is_empty()) {
            assert_eq!(seen, promised, "{}: {name} of {token:?}", decisions.policies);
        }
        let Some(decision) = decision else { continue };
        for (refusal, conditions) in &decision.refusals {
            let mut arguments = [0; 6];
            for condition in conditions {
                let value = match &condition.value {
                    Value::Number(number) => *number,
                    Value::Name(name) => compile::constant(name).unwrap(),
                };
                let is_met = if condition.is == Comparison::Equal { value } else { value + 1 };
                arguments[condition.index as usize] = is_met;
            }
            let seen = answer(filter, arch, number as u32, arguments);
            assert_eq!(seen, *refusal, "{}: {name}{arguments:?}", decisions.policies);
        }
    }
}

/// Names that an architecture lacks are known, so that a typing error that happens to be the name
/// of some other machine's call does not pass for a rule.
#[test]
fn calls_that_architectures_lack_are_listed() {
    #[derive(serde::Deserialize)]
    struct Lists {
        lacks: HashMap<String, Vec<String>>,
    }
    let text = include_str!("../../../policies/arch/syscalls.toml");
    let mut listed = toml::from_str::<Lists>(text).unwrap().lacks;
    let all: Vec<&str> = built_in().collect();
    let decisions = decided(&all);
    for architecture in Architecture::NAMED {
        let known = decisions.calls.iter().filter(|(_, decision)| !decision.newer);
        let lacking: Vec<String> = known
            .filter(|(name, _)| {
                lacks(architecture, name).unwrap_or_else(|| panic!("{name} is unknown"))
            })
            .map(|(name, _)| name.clone())
            .collect();
        let listed = listed.remove(architecture.name()).unwrap_or_default();
        assert_eq!(listed, lacking, "policies/arch/syscalls.toml, {}", architecture.name());
    }
}

/// One decision of base.toml that its rules give only together.
#[test]
fn sockets_that_there_are() {
    let decisions = decided(&["calls", "base"]);
    for architecture in Architecture::NAMED {
        let filter = compile(&decisions, architecture).unwrap();
        let (token, arch) = tokens(architecture)[0];
        // By number: asked for the name, libseccomp may give that of `socketcall`.
        let name = |call: &i32| ScmpSyscall::from(*call).get_name_by_arch(token);
        let call =
            (0..1000).find(|call| name(call).is_ok_and(|name| name == "socket")).unwrap() as u32;
        let open: Vec<u64> = (0..100)
            .chain([(1 << 32) + 40, u64::MAX])
            .filter(|family| answer(&filter, arch, call, [*family; 6]) == Answer::Allow)
            .collect();
        assert_eq!(open, [1, 2, 10, 16], "{architecture:?}");
        if architecture == Architecture::X86_64 {
            // `socketcall` of 32-bit programs, whose arguments lie in memory.
            let seen = answer(&filter, tokens(architecture)[1].1, 102, [1, 1 << 20, 0, 0, 0, 0]);
            assert_eq!(seen, Answer::Allow);
        }
    }
}

#[test]
fn later_policies_replace_what_earlier_ones_say() {
    assert_eq!(decided(&["calls", "base"]).answer("chroot"), Some(Answer::EPERM));
    assert_eq!(decided(&["calls", "base", "chroot"]).answer("chroot"), None);
    assert_eq!(decided(&["base"]).answer("read"), None);
    assert_eq!(decided(&["calls"]).answer("a_call_of_tomorrow"), Some(Answer::ENOSYS));
    assert_eq!(decided(&["calls", "base"]).calls["unshare"].refusals.len(), 1);
    assert_eq!(decided(&["calls", "base", "namespaces"]).calls["unshare"].refusals, []);
}

#[test]
fn what_is_not_a_policy_is_an_error() {
    let policy = |text: &str| toml::from_str::<SeccompPolicy>(text);
    let merged = |text: &str| merge(&[("x", policy(text).unwrap())]);
    let unknown = merged("description = 'x'\n[[rule]]\nwhy = 'y'\nsyscalls = ['opne']\n").unwrap();
    let error = compile(&unknown, Architecture::native()).unwrap_err();
    assert_eq!(error.to_string(), r#"the seccomp policies x name the unknown system call "opne""#);
    let conditional = "description = 'x'\n[[rule]]\nwhy = 'y'\nsyscalls = ['socket']\n\
                       answer = 'allow'\nargs = [{ index = 0, mask = 1, value = 1 }]\n";
    assert_eq!(
        merged(conditional).unwrap_err().to_string(),
        "the seccomp policy x allows socket on conditions; only refusals may have them"
    );
    let beyond = "description = 'x'\n[[rule]]\nwhy = 'y'\nsyscalls = ['socket']\n\
                  args = [{ index = 6, value = 1 }]\n";
    assert!(compile(&merged(beyond).unwrap(), Architecture::native()).is_err());
    assert!(policy("description = 'x'\n[[rule]]\nsyscalls = []\n").is_err(), "no why");
    assert!(load("nosuch", None).is_err());
}

#[test]
fn a_filter_is_compiled_once() {
    let names = ["calls".to_owned(), "base".to_owned()];
    assert!(Arc::ptr_eq(&filter(&names).unwrap(), &filter(&names).unwrap()));
}

#[test]
fn a_policy_of_the_host_replaces_the_built_in_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("base.toml"),
        "description = 'mine'\n[[rule]]\nwhy = 'y'\nsyscalls = ['bpf']\n",
    )
    .unwrap();
    assert_eq!(load("base", Some(dir.path())).unwrap().description, "mine");
    assert_ne!(load("base", None).unwrap().description, "mine");
}
