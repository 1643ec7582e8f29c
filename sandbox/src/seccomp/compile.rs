//! Decisions to BPF.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};

use super::bpf::program;
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

impl Answer {
    fn action(self) -> ScmpAction {
        match self {
            Answer::ENOSYS => ScmpAction::Errno(libc::ENOSYS),
            Answer::EPERM => ScmpAction::Errno(libc::EPERM),
            Answer::Success => ScmpAction::Errno(0),
            Answer::Allow => ScmpAction::Allow,
        }
    }
}

/// Compiles decisions to at most two filters, to be installed in this order: the kernel follows
/// the stricter of them, and of two refusals the one that was installed last. The first has what
/// is decided without conditions, the second the refusals with conditions. One u64 is one `struct
/// sock_filter` in the byte order of this machine.
///
/// # Errors
///
/// A name is unknown, or libseccomp refuses.
pub fn compile(
    decisions: &Decisions,
    architecture: Architecture,
) -> Result<Vec<Vec<u64>>, SeccompError> {
    let tables = architecture.tables();
    let mut filters = vec![plain(decisions, &tables)?];
    let mut conditional = Filter::new(decisions, &tables)?;
    for (name, decision) in decisions.calls.iter().filter(|(_, d)| !d.refusals.is_empty()) {
        let call = ScmpSyscall::from_name(name);
        let call = call.map_err(|_| unknown(decisions, "system call", name))?;
        for (answer, arguments) in &decision.refusals {
            conditional.add(*answer, call, arguments)?;
        }
    }
    if conditional.rules > 0 {
        filters.push(conditional.export()?);
    }
    Ok(filters)
}

/// The filter without conditions. libseccomp takes twenty times as long for it as everything else
/// of starting a sandbox together, and compares twenty numbers where seven will do.
fn plain(decisions: &Decisions, tables: &[(ScmpArch, u32)]) -> Result<Vec<u64>, SeccompError> {
    let otherwise = decisions.otherwise.unwrap_or(Answer::Allow);
    let mut lists = Vec::new();
    for (arch, token) in tables {
        let table = Table::new(*arch);
        let mut numbers = BTreeMap::new();
        for (name, decision) in &decisions.calls {
            match table.number(name) {
                Some(Some(number)) => {
                    numbers.extend(decision.answer.map(|answer| (number, answer)));
                }
                Some(None) => {}
                None if decision.newer => {}
                None => return Err(unknown(decisions, "system call", name)),
            }
        }
        lists.push((*token, ranges(&numbers, otherwise)));
    }
    Ok(program(&lists))
}

/// Where another answer begins: the first is that of number 0.
fn ranges(numbers: &BTreeMap<u32, Answer>, otherwise: Answer) -> Vec<(u32, Answer)> {
    let mut starts = BTreeMap::from([(0, otherwise)]);
    for (number, answer) in numbers {
        starts.insert(*number, *answer);
        starts.entry(number + 1).or_insert(otherwise);
    }
    // Numbers of the x32 interface of x86_64, whose calls nobody has looked at. Other
    // architectures have none as high.
    starts.insert(X32, Answer::ENOSYS);
    let mut out: Vec<(u32, Answer)> = Vec::new();
    for (start, answer) in starts {
        if out.last().is_none_or(|(_, last)| *last != answer) {
            out.push((start, answer));
        }
    }
    out
}

/// `__X32_SYSCALL_BIT` of asm/unistd.h.
const X32: u32 = 0x4000_0000;

fn unknown(decisions: &Decisions, what: &'static str, name: &str) -> SeccompError {
    SeccompError::Name { policies: decisions.policies.clone(), what, name: name.to_owned() }
}

struct Filter<'a> {
    decisions: &'a Decisions,
    context: ScmpFilterContext,
    rules: usize,
}

impl Filter<'_> {
    fn new<'a>(
        decisions: &'a Decisions,
        tables: &[(ScmpArch, u32)],
    ) -> Result<Filter<'a>, SeccompError> {
        let make = || {
            let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
            // The other filter has refused what is of no known architecture.
            context.set_act_badarch(ScmpAction::Allow)?;
            for (arch, _) in tables.iter().filter(|(arch, _)| *arch != ScmpArch::native()) {
                context.add_arch(*arch)?;
            }
            if tables.iter().all(|(arch, _)| *arch != ScmpArch::native()) {
                context.remove_arch(ScmpArch::native())?;
            }
            Ok(context)
        };
        let context = make().map_err(|source| library(decisions, source))?;
        Ok(Filter { decisions, context, rules: 0 })
    }

    fn add(
        &mut self,
        answer: Answer,
        call: ScmpSyscall,
        arguments: &[Argument],
    ) -> Result<(), SeccompError> {
        let conditions = arguments
            .iter()
            .map(|argument| condition(self.decisions, argument))
            .collect::<Result<Vec<_>, _>>()?;
        self.rules += 1;
        self.context
            .add_rule_conditional(answer.action(), call, &conditions)
            .map(drop)
            .map_err(|source| library(self.decisions, source))
    }

    fn export(self) -> Result<Vec<u64>, SeccompError> {
        let failed =
            |source| SeccompError::Export { policies: self.decisions.policies.clone(), source };
        let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
        let memfd =
            nix::sys::memfd::memfd_create(c"seccomp", flags).map_err(|e| failed(e.into()))?;
        let mut file = std::fs::File::from(memfd);
        self.context.export_bpf(&file).map_err(|source| library(self.decisions, source))?;
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
        let (instructions, _) = bytes.as_chunks::<8>();
        Ok(instructions.iter().map(|instruction| u64::from_ne_bytes(*instruction)).collect())
    }
}

fn library(decisions: &Decisions, source: libseccomp::error::SeccompError) -> SeccompError {
    SeccompError::Library { policies: decisions.policies.clone(), source }
}

fn condition(decisions: &Decisions, argument: &Argument) -> Result<ScmpArgCompare, SeccompError> {
    let value = match &argument.value {
        Value::Number(number) => *number,
        Value::Name(name) => constant(name).ok_or_else(|| unknown(decisions, "constant", name))?,
    };
    let compare = ScmpCompareOp::MaskedEqual(argument.mask);
    Ok(ScmpArgCompare::new(argument.index, compare, value & argument.mask))
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
