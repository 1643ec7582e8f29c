//! Decisions to BPF.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use libseccomp::{ScmpArch, ScmpSyscall};

use super::bpf::{Condition, Leaf, MOST_ARGUMENTS, program};
use super::{Answer, Argument, Decisions, SeccompError, Value};

/// Architectures that filters are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// x86_64, with the 32-bit programs that it runs.
    X86_64,
    /// aarch64, with 32-bit ARM.
    Aarch64,
    /// POWER, little endian.
    Ppc64le,
    /// Whatever libseccomp says this machine is.
    Other,
}

impl Architecture {
    /// All that have a name.
    pub const NAMED: [Architecture; 3] =
        [Architecture::X86_64, Architecture::Aarch64, Architecture::Ppc64le];

    /// This machine's.
    pub fn native() -> Architecture {
        match ScmpArch::native() {
            ScmpArch::X8664 => Architecture::X86_64,
            ScmpArch::Aarch64 => Architecture::Aarch64,
            ScmpArch::Ppc64Le => Architecture::Ppc64le,
            _ => Architecture::Other,
        }
    }

    /// Its name in RPM and in `uname -m`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Aarch64 => "aarch64",
            Architecture::Ppc64le => "ppc64le",
            Architecture::Other => "other",
        }
    }

    /// Its own table of calls, and those of other programs that it runs, each with the number that
    /// the kernel calls it by (linux/audit.h).
    fn tables(self) -> Vec<(ScmpArch, u32)> {
        match self {
            Architecture::X86_64 => {
                vec![(ScmpArch::X8664, 0xc000_003e), (ScmpArch::X86, 0x4000_0003)]
            }
            Architecture::Aarch64 => {
                vec![(ScmpArch::Aarch64, 0xc000_00b7), (ScmpArch::Arm, 0x4000_0028)]
            }
            Architecture::Ppc64le => vec![(ScmpArch::Ppc64Le, 0xc000_0015)],
            Architecture::Other => match ScmpArch::native() {
                ScmpArch::S390X => vec![(ScmpArch::S390X, 0x8000_0016)],
                ScmpArch::Riscv64 => vec![(ScmpArch::Riscv64, 0xc000_00f3)],
                // Without a table, every call is refused.
                _ => Vec::new(),
            },
        }
    }
}

/// Whether neither an architecture nor the 32-bit programs that it runs have this call. None for
/// a name that libseccomp does not know at all.
pub fn lacks(architecture: Architecture, name: &str) -> Option<bool> {
    let numbers = architecture.tables().into_iter().map(|(arch, _)| Table::new(arch).number(name));
    numbers.collect::<Option<Vec<_>>>().map(|all| all.iter().all(Option::is_none))
}

/// The calls of an architecture.
struct Table {
    arch: ScmpArch,
    /// By name, worked out when first needed: libseccomp is slow to tell names of numbers.
    by_name: OnceCell<HashMap<String, u32>>,
}

/// Names of parts of `socketcall` and `ipc`; what an architecture lacks comes far below
/// (seccomp-syscalls.h).
const PARTS: std::ops::Range<i32> = -300..0;

impl Table {
    fn new(arch: ScmpArch) -> Table {
        Table { arch, by_name: OnceCell::new() }
    }

    /// The number of a call; the inner none is that of an architecture without it, the outer one
    /// that of a name that libseccomp does not know at all.
    fn number(&self, name: &str) -> Option<Option<u32>> {
        let call = ScmpSyscall::from_name_by_arch(name, self.arch).ok()?.as_raw_syscall();
        if PARTS.contains(&call) {
            return Some(self.by_name().get(name).copied());
        }
        // Calls that an architecture does not have are numbered below zero.
        Some(u32::try_from(call).ok())
    }

    /// Where there is `socketcall` or `ipc`, libseccomp takes the names of their parts for these,
    /// although they have numbers of their own as well.
    fn by_name(&self) -> &HashMap<String, u32> {
        self.by_name.get_or_init(|| {
            // Higher than any so far; those that come later are asked for by name.
            let names = (0..600).filter_map(|number: u32| {
                let call = ScmpSyscall::from(i32::try_from(number).ok()?);
                Some((call.get_name_by_arch(self.arch).ok()?, number))
            });
            names.collect()
        })
    }
}

/// Compiles decisions to a filter; one u64 is one `struct sock_filter` in the byte order of this
/// machine.
///
/// libseccomp's own compiler is not used: it takes twenty times as long as everything else of
/// starting a sandbox together, compares twenty numbers where seven will do, and refuses all of
/// `socketcall` where a rule speaks of an argument of `socket`, so that 32-bit programs have no
/// sockets at all.
///
/// # Errors
///
/// A name is unknown, or a condition is of an argument that no call has.
pub fn compile(
    decisions: &Decisions,
    architecture: Architecture,
) -> Result<Vec<u64>, SeccompError> {
    let otherwise = decisions.otherwise.unwrap_or(Answer::Allow);
    let mut lists = Vec::new();
    for (arch, token) in architecture.tables() {
        let table = Table::new(arch);
        let mut leaves = BTreeMap::new();
        for (name, decision) in &decisions.calls {
            match table.number(name) {
                Some(Some(number)) => {
                    let answer = decision.answer.unwrap_or(otherwise);
                    leaves.insert(number, Leaf { answer, refusals: refusals(decisions, name)? });
                }
                Some(None) => {}
                None if decision.newer => {}
                None => return Err(unknown(decisions, "system call", name)),
            }
        }
        lists.push((token, ranges(leaves, otherwise)));
    }
    Ok(program(&lists))
}

/// The refusals of a call, the last one said first.
fn refusals(
    decisions: &Decisions,
    name: &str,
) -> Result<Vec<(Answer, Vec<Condition>)>, SeccompError> {
    let of = |arguments: &[Argument]| {
        let conditions: Vec<Condition> = arguments
            .iter()
            .map(|argument| condition(decisions, argument))
            .collect::<Result<_, _>>()?;
        let is_possible = |condition: &Condition| (condition.index as usize) < MOST_ARGUMENTS;
        if conditions.len() > MOST_ARGUMENTS || !conditions.iter().all(is_possible) {
            let (policies, syscall) = (decisions.policies.clone(), name.to_owned());
            return Err(SeccompError::Arguments { policies, syscall });
        }
        Ok(conditions)
    };
    let all = decisions.calls[name].refusals.iter().rev();
    all.map(|(answer, arguments)| Ok((*answer, of(arguments)?))).collect()
}

/// Where another leaf begins: the first is that of number 0.
fn ranges(leaves: BTreeMap<u32, Leaf>, otherwise: Answer) -> Vec<(u32, Leaf)> {
    let always = |answer| Leaf { answer, refusals: Vec::new() };
    let mut starts = BTreeMap::from([(0, always(otherwise))]);
    for (number, leaf) in leaves {
        starts.insert(number, leaf);
        starts.entry(number + 1).or_insert(always(otherwise));
    }
    // Numbers of the x32 interface of x86_64, whose calls nobody has looked at. Other
    // architectures have none as high.
    starts.insert(X32, always(Answer::ENOSYS));
    let mut out: Vec<(u32, Leaf)> = Vec::new();
    for (start, leaf) in starts {
        if out.last().is_none_or(|(_, last)| *last != leaf) {
            out.push((start, leaf));
        }
    }
    out
}

/// `__X32_SYSCALL_BIT` of asm/unistd.h.
const X32: u32 = 0x4000_0000;

fn unknown(decisions: &Decisions, what: &'static str, name: &str) -> SeccompError {
    SeccompError::Name { policies: decisions.policies.clone(), what, name: name.to_owned() }
}

fn condition(decisions: &Decisions, argument: &Argument) -> Result<Condition, SeccompError> {
    let Argument { index, is, mask, value } = argument;
    let value = match value {
        Value::Number(number) => *number,
        Value::Name(name) => constant(name).ok_or_else(|| unknown(decisions, "constant", name))?,
    };
    Ok(Condition { index: *index, is: *is, mask: *mask, value })
}

/// Constants that policies may name, because their values differ between architectures.
pub(super) fn constant(name: &str) -> Option<u64> {
    match name {
        "TIOCSTI" => Some(libc::TIOCSTI),
        // From the kernel's asm-generic/ioctls.h and asm-powerpc/ioctls.h, which agree.
        "TIOCLINUX" => Some(0x541C),
        _ => None,
    }
}
