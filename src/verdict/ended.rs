//! How a command ended, where that alone says why it failed. Pure.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use sandbox::spec::Limits;
use sandbox::{Exit, Outcome, StartFailure};

use super::patterns::DISK_FULL_HINT;
use super::{Class, Failure, Hit, Stage, status};
use crate::resources::Resource;

/// What helps a host that has run out of memory.
const HOST_MEMORY_HINT: &str = "the limits of builds and what else runs there are more than the \
    host has: lower memory in resources.toml, or build fewer at a time";

/// How any command failed, as far as that does not depend on what it was; none if it ended by
/// itself, with whatever status.
pub fn classify_command(
    stage: Stage,
    what: &str,
    outcome: &Outcome,
    limits: &Limits,
) -> Option<Failure> {
    classify_in(stage, what, None, outcome, limits)
}

/// As [`classify_command`], of code of the package in a tree that it has changed, in a section of its
/// spec if one is known. What only such code can have done is told as the package's.
pub fn classify_package(
    stage: Stage,
    what: &str,
    section: Option<&str>,
    outcome: &Outcome,
    limits: &Limits,
) -> Option<Failure> {
    let failure = classify_in(stage, what, section, outcome, limits)?;
    let message = match &outcome.exit {
        Exit::CouldNotStart(start) if is_in_the_way(start) => format!(
            "the sandbox for {what} could not start: the build has changed or removed what \
             that needs"
        ),
        // SIGKILL may have come from the host: from its kernel for memory, or from an operator.
        Exit::Signaled(signal)
            if failure.class == Class::Infrastructure
                && *signal != Signal::SIGKILL as i32
                && outcome.usage.host_oom_kills == 0 =>
        {
            format!("{what} was killed by signal {signal}")
        }
        _ => return Some(failure),
    };
    let (class, status) = (Class::Package, exit_of(stage));
    Some(Failure { class, status, retryable: false, hint: None, message, ..failure })
}

fn classify_in(
    stage: Stage,
    what: &str,
    section: Option<&str>,
    outcome: &Outcome,
    limits: &Limits,
) -> Option<Failure> {
    let place = section.map_or_else(String::new, |section| format!(" in {section}"));
    let failure = |class, status, message: String| Failure {
        stage,
        class,
        section: None,
        message,
        evidence: Vec::new(),
        hint: None,
        status,
        limit: None,
        retryable: false,
        source: None,
    };
    let hit = |name, value, used| Some(Hit { name, value, used });
    match &outcome.exit {
        Exit::TimedOut => {
            let mut text = format!(
                "{what} was killed at the time limit, after {:.0} s{place}",
                outcome.seconds
            );
            // It may have waited for processes that it could not start.
            if let (1.., Some(limit)) = (outcome.usage.pids_refused, limits.pids) {
                text += &format!(", at its limit of {} processes", limit.value);
            }
            Some(Failure {
                limit: hit(Resource::Timeout, None, Some(outcome.seconds as u64)),
                ..failure(Class::Timeout, status::TIMEOUT, text)
            })
        }
        Exit::Silent => Some(Failure {
            hint: Some("find out what it waits for, or raise the limit: --silence".to_owned()),
            limit: hit(Resource::Silence, None, None),
            ..failure(
                Class::Timeout,
                status::TIMEOUT,
                format!("{what} was killed for its silence, after {:.0} s{place}", outcome.seconds),
            )
        }),
        Exit::Cancelled => {
            Some(failure(Class::Cancelled, status::INTERRUPTED, format!("{what} was interrupted")))
        }
        Exit::CouldNotStart(start) if is_full(start) => Some(Failure {
            source: Some(Box::new(start.clone())),
            hint: Some(DISK_FULL_HINT.to_owned()),
            ..failure(
                Class::Resource,
                status::ROOT,
                format!("the sandbox for {what} could not start: the disk is full"),
            )
        }),
        Exit::CouldNotStart(start) => Some(Failure {
            source: Some(Box::new(start.clone())),
            hint: start.hint.clone(),
            ..failure(
                Class::Infrastructure,
                status::ISOLATION,
                format!("the sandbox for {what} could not start"),
            )
        }),
        Exit::OomKilled => Some(memory(stage, what, &place, outcome, limits)),
        Exit::Exited(0) => None,
        Exit::Exited(_) | Exit::Signaled(_) if outcome.usage.oom_kills > 0 => {
            Some(memory(stage, what, &place, outcome, limits))
        }
        // None of its own limits was the reason, so it may well do another time.
        Exit::Exited(_) | Exit::Signaled(_) if outcome.usage.host_oom_kills > 0 => Some(Failure {
            hint: Some(HOST_MEMORY_HINT.to_owned()),
            retryable: true,
            ..failure(
                Class::Infrastructure,
                exit_of(stage),
                format!("the host ran out of memory, and killed processes of {what}{place}"),
            )
        }),
        Exit::Exited(_) | Exit::Signaled(_) if outcome.usage.pids_refused > 0 => Some(Failure {
            hint: limits
                .pids
                .map(|limit| raise(stage, "pids", limit.value.saturating_mul(2).to_string())),
            limit: hit(
                Resource::Pids,
                limits.pids.map(|limit| limit.value),
                outcome.usage.pids_peak,
            ),
            ..failure(
                Class::Resource,
                exit_of(stage),
                format!(
                    "{what} reached the limit of {} processes{place}",
                    limits.pids.map_or(0, |limit| limit.value)
                ),
            )
        }),
        Exit::Exited(_) => None,
        Exit::Signaled(signal) => Some(Failure {
            retryable: true,
            ..failure(
                Class::Infrastructure,
                exit_of(stage),
                format!("{what} was killed by signal {signal}"),
            )
        }),
    }
}

/// Whether something that a build can make kept the sandbox from starting: another kind of file where
/// one is written, a home that nobody may enter.
fn is_in_the_way(start: &StartFailure) -> bool {
    let errno = Errno::from_raw(start.errno);
    let is_step = |name: &str| start.step.starts_with(name);
    let of_files = [Errno::EISDIR, Errno::ENOTDIR, Errno::ENOTEMPTY, Errno::ELOOP];
    let of_paths = [Errno::EACCES, Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP];
    is_step("file ") && of_files.contains(&errno)
        || is_step("chdir to ") && of_paths.contains(&errno)
}

/// Whether a disk is full. Too many namespaces have the same number (clone(2)).
fn is_full(start: &StartFailure) -> bool {
    let is_full = [Errno::ENOSPC, Errno::EDQUOT].contains(&Errno::from_raw(start.errno));
    is_full && !start.step.starts_with("clone a process")
}

fn memory(stage: Stage, what: &str, place: &str, outcome: &Outcome, limits: &Limits) -> Failure {
    let limit = limits.memory_bytes.map_or(0, |limit| limit.value);
    let mib = |bytes: u64| bytes >> 20;
    let mut message = match limit {
        0 => format!("{what} ran out of memory{place}"),
        limit => format!("{what} hit the memory limit of {} MiB{place}", mib(limit)),
    };
    if let Some(largest) = &outcome.largest {
        message +=
            &format!(", with {} as the largest process ({} MiB)", largest.name, mib(largest.bytes));
    }
    if let Some(peak) = outcome.usage.memory_peak_bytes {
        message += &format!("; peak {} MiB", mib(peak));
    }
    Failure {
        stage,
        class: Class::Resource,
        section: None,
        message,
        evidence: Vec::new(),
        hint: (limit > 0).then(|| raise(stage, "memory", format!("{}M", mib(limit) * 2))),
        status: exit_of(stage),
        limit: Some(Hit {
            name: Resource::Memory,
            value: limits.memory_bytes.map(|limit| limit.value),
            used: outcome.usage.memory_peak_bytes,
        }),
        retryable: false,
        source: None,
    }
}

/// What raises a limit. Sources are got before a package has a class, and by the node.
fn raise(stage: Stage, limit: &str, amount: String) -> String {
    match stage {
        Stage::Fetch => format!(
            "raise {limit} to {amount} in albs_node.limits, or of class.default in resources.toml"
        ),
        _ => format!("try --{limit} {amount}"),
    }
}

pub(super) fn exit_of(stage: Stage) -> u8 {
    match stage {
        Stage::Fetch => status::SOURCE_PACKAGE,
        Stage::Bootstrap | Stage::Install => status::PACKAGE_MANAGER,
        Stage::Srpm | Stage::Rpmbuild => status::BUILD,
        Stage::Collect => status::ROOT,
    }
}
