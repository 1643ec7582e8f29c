//! Seccomp policies: TOML to BPF. The only user of libseccomp.
//!
//! A policy lists rules; a rule names system calls, what they get instead of the kernel, and why.
//! An unknown name is an error, never skipped. The policies under `policies/seccomp` are compiled
//! in; a directory of the host may replace them by file name.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use serde::Deserialize;

/// A policy as written in its file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeccompPolicy {
    /// What the policy is for.
    pub description: String,
    /// Its rules. System calls that no rule names go to the kernel.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// System calls that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Why the rule exists.
    pub why: String,
    /// Names of the system calls, as libseccomp knows them.
    pub syscalls: Vec<String>,
    /// Names that older versions of libseccomp do not know; used where they are known.
    #[serde(default)]
    pub newer: Vec<String>,
    /// The answer.
    #[serde(default)]
    pub answer: Answer,
    /// Conditions on the arguments, all of which must hold.
    #[serde(default)]
    pub args: Vec<Argument>,
}

/// What the caller of a system call gets instead of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Answer {
    /// "Function not implemented": programs fall back to older calls instead of giving up.
    #[default]
    ENOSYS,
    /// "Operation not permitted": for calls that every program expects to exist.
    EPERM,
    /// Success, without effect.
    #[serde(rename = "success")]
    Success,
}

impl Answer {
    fn action(self) -> ScmpAction {
        ScmpAction::Errno(match self {
            Answer::ENOSYS => libc::ENOSYS,
            Answer::EPERM => libc::EPERM,
            Answer::Success => 0,
        })
    }
}

/// A condition on one argument: `argument & mask == value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Position of the argument, from 0.
    pub index: u32,
    /// Bits that count.
    pub mask: u64,
    /// A number, or the name of a constant whose value differs between architectures.
    pub value: Value,
}

/// The value of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// One of the constants in [`constant`].
    Name(String),
}

/// A policy that cannot be read or compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// No such policy.
    #[error("there is no seccomp policy {name:?}; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A file of the host cannot be read.
    #[error("cannot read the seccomp policy {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The text is not a policy.
    #[error("the seccomp policy {name} is not valid")]
    Syntax {
        /// Name of the policy.
        name: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A name that libseccomp does not know.
    #[error("the seccomp policy {policy} names the unknown {what} {name:?}")]
    Name {
        /// Name of the policy.
        policy: String,
        /// `system call` or `constant`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// libseccomp refused.
    #[error("libseccomp refuses the policy {policy}")]
    Library {
        /// Name of the policy.
        policy: String,
        /// Why.
        source: libseccomp::error::SeccompError,
    },
    /// The compiled filter could not be read back.
    #[error("cannot read back the compiled seccomp policy {policy}")]
    Export {
        /// Name of the policy.
        policy: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// The policies that are part of the program, by name.
const BUILT_IN: [(&str, &str); 3] = [
    ("base", include_str!("../../policies/seccomp/base.toml")),
    ("terminal", include_str!("../../policies/seccomp/terminal.toml")),
    ("single-id", include_str!("../../policies/seccomp/single-id.toml")),
];

/// Names of the policies that are part of the program.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Loads a policy: `NAME.toml` of `directory` if that exists, else the one compiled in.
///
/// # Errors
///
/// There is no such policy, or it is not valid.
pub fn load(name: &str, directory: Option<&Path>) -> Result<SeccompPolicy, SeccompError> {
    let path = directory.map(|dir| dir.join(format!("{name}.toml"))).filter(|path| path.exists());
    let text = match path {
        Some(path) => {
            std::fs::read_to_string(&path).map_err(|source| SeccompError::Read { path, source })?
        }
        None => BUILT_IN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| SeccompError::Unknown {
                name: name.to_owned(),
                known: built_in().map(str::to_owned).collect(),
            })?,
    };
    toml::from_str(&text)
        .map_err(|source| SeccompError::Syntax { name: name.to_owned(), source: Box::new(source) })
}

/// Compiles a policy for the architecture of this machine and for those whose programs it also
/// runs. One u64 is one `struct sock_filter` in the byte order of this machine.
///
/// # Errors
///
/// A name is unknown, or libseccomp refuses.
pub fn compile(name: &str, policy: &SeccompPolicy) -> Result<Vec<u64>, SeccompError> {
    let library = |source| SeccompError::Library { policy: name.to_owned(), source };
    let mut filter = ScmpFilterContext::new(ScmpAction::Allow).map_err(library)?;
    filter.set_act_badarch(Answer::ENOSYS.action()).map_err(library)?;
    for arch in compat_architectures() {
        filter.add_arch(arch).map_err(library)?;
    }
    for rule in &policy.rules {
        let conditions = rule
            .args
            .iter()
            .map(|argument| condition(name, argument))
            .collect::<Result<Vec<_>, _>>()?;
        let mut add = |syscall: ScmpSyscall| {
            if conditions.is_empty() {
                filter.add_rule(rule.answer.action(), syscall)
            } else {
                filter.add_rule_conditional(rule.answer.action(), syscall, &conditions)
            }
            .map(|_| ())
            .map_err(library)
        };
        for syscall in &rule.syscalls {
            let number = ScmpSyscall::from_name(syscall).map_err(|_| SeccompError::Name {
                policy: name.to_owned(),
                what: "system call",
                name: syscall.clone(),
            })?;
            add(number)?;
        }
        for syscall in &rule.newer {
            if let Ok(number) = ScmpSyscall::from_name(syscall) {
                add(number)?;
            }
        }
    }
    export(name, &filter)
}

/// Architectures of programs that this machine runs besides its own.
fn compat_architectures() -> Vec<ScmpArch> {
    match ScmpArch::native() {
        ScmpArch::X8664 => vec![ScmpArch::X86, ScmpArch::X32],
        ScmpArch::Aarch64 => vec![ScmpArch::Arm],
        ScmpArch::S390X => vec![ScmpArch::S390],
        _ => Vec::new(),
    }
}

fn condition(policy: &str, argument: &Argument) -> Result<ScmpArgCompare, SeccompError> {
    let value = match &argument.value {
        Value::Number(number) => *number,
        Value::Name(name) => constant(name).ok_or_else(|| SeccompError::Name {
            policy: policy.to_owned(),
            what: "constant",
            name: name.clone(),
        })?,
    };
    let compare = ScmpCompareOp::MaskedEqual(argument.mask);
    Ok(ScmpArgCompare::new(argument.index, compare, value & argument.mask))
}

/// Constants that policies may name, because their values differ between architectures.
fn constant(name: &str) -> Option<u64> {
    match name {
        "TIOCSTI" => Some(libc::TIOCSTI),
        // From the kernel's asm-generic/ioctls.h and asm-powerpc/ioctls.h, which agree.
        "TIOCLINUX" => Some(0x541C),
        _ => None,
    }
}

fn export(name: &str, filter: &ScmpFilterContext) -> Result<Vec<u64>, SeccompError> {
    let failed = |source| SeccompError::Export { policy: name.to_owned(), source };
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let memfd = nix::sys::memfd::memfd_create(c"seccomp", flags).map_err(|e| failed(e.into()))?;
    let mut file = std::fs::File::from(memfd);
    filter
        .export_bpf(&file)
        .map_err(|source| SeccompError::Library { policy: name.to_owned(), source })?;
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
    let (instructions, _) = bytes.as_chunks::<8>();
    Ok(instructions.iter().map(|instruction| u64::from_ne_bytes(*instruction)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_policy_compiles() {
        for name in built_in() {
            let filter = compile(name, &load(name, None).unwrap()).unwrap();
            assert!(!filter.is_empty() && filter.len() < 4096, "{name}: {}", filter.len());
        }
    }

    #[test]
    fn unknown_names_are_errors() {
        let policy = |text: &str| toml::from_str::<SeccompPolicy>(text);
        let unknown = policy(
            "description = 'x'\n[[rule]]\nwhy = 'y'\nsyscalls = ['opne']\nanswer = 'EPERM'\n",
        );
        let error = compile("x", &unknown.unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the seccomp policy x names the unknown system call "opne""#
        );
        assert!(policy("description = 'x'\n[[rule]]\nsyscalls = []\n").is_err(), "no why");
        assert!(load("nosuch", None).is_err());
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
}
