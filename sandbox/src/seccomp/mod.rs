//! Seccomp policies: TOML to BPF. The only user of libseccomp, which knows the numbers of calls.
//!
//! A policy lists rules; a rule names system calls, what they get, and why. A profile names
//! several policies, which apply together: what a later one says of a call replaces what earlier
//! ones said ([`merge`]). An unknown name is an error, never skipped. The policies under
//! `policies/seccomp` are compiled in; a directory of the host may replace them by file name.

mod bpf;
mod compile;
mod merge;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

pub use compile::{Architecture, compile, lacks};
pub use merge::{Decision, Decisions, merge};

/// A policy as written in its file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeccompPolicy {
    /// What the policy is for.
    pub description: String,
    /// What calls get that no rule of any policy names; without it, they go to the kernel.
    pub otherwise: Option<Answer>,
    /// Its rules.
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

/// What the caller of a system call gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Answer {
    /// "Function not implemented": programs fall back to older calls instead of giving up.
    #[default]
    ENOSYS,
    /// "Operation not permitted": for calls that every program expects to exist.
    EPERM,
    /// "Address family not supported", as of a kernel without it.
    EAFNOSUPPORT,
    /// Success, without effect.
    #[serde(rename = "success")]
    Success,
    /// What the kernel says.
    #[serde(rename = "allow")]
    Allow,
}

/// A condition on one argument: `argument & mask == value`, unless `is` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Position of the argument, from 0.
    pub index: u32,
    /// What it is to be, compared with `value`.
    #[serde(default)]
    pub is: Comparison,
    /// Bits that count.
    #[serde(default = "all_bits")]
    pub mask: u64,
    /// A number, or the name of a constant whose value differs between architectures.
    pub value: Value,
}

fn all_bits() -> u64 {
    u64::MAX
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The same in the bits that count.
    #[default]
    Equal,
    /// Not the same.
    Other,
    /// Greater, as a number without sign.
    Above,
}

/// The value of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// One of the constants in [`compile::constant`].
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
    /// A rule that no filter can express.
    #[error(
        "the seccomp policy {policy} allows {syscall} on conditions; only refusals may have them"
    )]
    Conditional {
        /// Name of the policy.
        policy: String,
        /// The call.
        syscall: String,
    },
    /// A name that libseccomp does not know.
    #[error("the seccomp policies {policies} name the unknown {what} {name:?}")]
    Name {
        /// Names of the policies.
        policies: String,
        /// `system call` or `constant`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Conditions on more arguments than a call has.
    #[error(
        "the seccomp policies {policies} have a condition for {syscall} on an argument that no call has"
    )]
    Arguments {
        /// Names of the policies.
        policies: String,
        /// The call.
        syscall: String,
    },
}

/// The policies that are part of the program, by name.
const BUILT_IN: [(&str, &str); 9] = [
    ("aio", include_str!("../../../policies/seccomp/aio.toml")),
    ("calls", include_str!("../../../policies/seccomp/calls.toml")),
    ("base", include_str!("../../../policies/seccomp/base.toml")),
    ("chroot", include_str!("../../../policies/seccomp/chroot.toml")),
    ("namespaces", include_str!("../../../policies/seccomp/namespaces.toml")),
    ("nosync", include_str!("../../../policies/seccomp/nosync.toml")),
    ("single-id", include_str!("../../../policies/seccomp/single-id.toml")),
    ("terminal", include_str!("../../../policies/seccomp/terminal.toml")),
    ("tools", include_str!("../../../policies/seccomp/tools.toml")),
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

/// Loads policies and merges them.
///
/// # Errors
///
/// As [`load`] and [`merge`].
pub fn decisions(names: &[String]) -> Result<Decisions, SeccompError> {
    let policies = names
        .iter()
        .map(|name| Ok((name.as_str(), load(name, None)?)))
        .collect::<Result<Vec<_>, SeccompError>>()?;
    merge(&policies)
}

/// A compiled filter.
pub type Filter = Arc<Vec<u64>>;

/// The filter of these policies for this machine. Compiled once in the life of the program,
/// which takes longer than everything else of starting a sandbox.
///
/// # Errors
///
/// As [`decisions`] and [`compile`].
pub fn filter(names: &[String]) -> Result<Filter, SeccompError> {
    static KNOWN: Mutex<Option<HashMap<Vec<String>, Filter>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(filter) = known.get(names) {
        return Ok(Arc::clone(filter));
    }
    let filter = Arc::new(compile(&decisions(names)?, Architecture::native())?);
    known.insert(names.to_owned(), Arc::clone(&filter));
    Ok(filter)
}

#[cfg(test)]
mod tests;
