//! Decisions to BPF.

use std::io::{Read, Seek};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};

use super::{Answer, Argument, Decision, Decisions, SeccompError, Value};

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

    /// For libseccomp: its own, and those of other programs that it runs.
    fn tokens(self) -> (ScmpArch, Vec<ScmpArch>) {
        match self {
            Architecture::X86_64 => (ScmpArch::X8664, vec![ScmpArch::X86, ScmpArch::X32]),
            Architecture::Aarch64 => (ScmpArch::Aarch64, vec![ScmpArch::Arm]),
            Architecture::Ppc64le => (ScmpArch::Ppc64Le, Vec::new()),
            Architecture::Other => (ScmpArch::native(), Vec::new()),
        }
    }
}

/// Whether neither an architecture nor the 32-bit programs that it runs have this call. None for
/// a name that libseccomp does not know at all.
pub fn lacks(architecture: Architecture, name: &str) -> Option<bool> {
    let (own, compat) = architecture.tokens();
    let number = |arch| ScmpSyscall::from_name_by_arch(name, arch).ok();
    // Calls that an architecture does not have are numbered below zero.
    let numbers = std::iter::once(own).chain(compat).map(number);
    numbers.collect::<Option<Vec<_>>>().map(|all| all.iter().all(|n| n.as_raw_syscall() < 0))
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
    let otherwise = decisions.otherwise.unwrap_or(Answer::Allow);
    let mut plain = Filter::new(decisions, architecture, otherwise)?;
    let mut conditional = Filter::new(decisions, architecture, Answer::Allow)?;
    for (name, decision) in &decisions.calls {
        let Some(call) = resolve(decisions, name, decision)? else { continue };
        if let Some(answer) = decision.answer.filter(|answer| *answer != otherwise) {
            plain.add(answer, call, &[])?;
        }
        for (answer, arguments) in &decision.refusals {
            conditional.add(*answer, call, arguments)?;
        }
    }
    [plain, conditional].into_iter().filter(|filter| filter.rules > 0).map(Filter::export).collect()
}

fn resolve(
    decisions: &Decisions,
    name: &str,
    decision: &Decision,
) -> Result<Option<ScmpSyscall>, SeccompError> {
    match ScmpSyscall::from_name(name) {
        Ok(call) => Ok(Some(call)),
        Err(_) if decision.newer => Ok(None),
        Err(_) => Err(unknown(decisions, "system call", name)),
    }
}

fn unknown(decisions: &Decisions, what: &'static str, name: &str) -> SeccompError {
    SeccompError::Name { policies: decisions.policies.clone(), what, name: name.to_owned() }
}

struct Filter<'a> {
    decisions: &'a Decisions,
    context: ScmpFilterContext,
    rules: usize,
}

impl Filter<'_> {
    fn new(
        decisions: &Decisions,
        architecture: Architecture,
        otherwise: Answer,
    ) -> Result<Filter<'_>, SeccompError> {
        let make = || {
            let mut context = ScmpFilterContext::new(otherwise.action())?;
            context.set_act_badarch(Answer::ENOSYS.action())?;
            let (own, compat) = architecture.tokens();
            if own != ScmpArch::native() {
                context.add_arch(own)?;
                context.remove_arch(ScmpArch::native())?;
            }
            for arch in compat {
                context.add_arch(arch)?;
            }
            // A search tree instead of one comparison for each call. Only a matter of speed, and
            // older libraries do not have it.
            let _ = context.set_ctl_optimize(2);
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
        match conditions.is_empty() {
            true => self.context.add_rule(answer.action(), call),
            false => self.context.add_rule_conditional(answer.action(), call, &conditions),
        }
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
