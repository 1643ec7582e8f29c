//! Version 2: one group in the delegated subtree. Source: the kernel's cgroup-v2 document.

use std::fs;
use std::path::{Path, PathBuf};

use super::directories::with_build;
use super::{
    CgroupError, CgroupFacts, CgroupPlan, Hierarchy, IfMissing, Version, Write, attempt, keyed,
    number, with_pid1,
};
use crate::error::PlanError;
use crate::outcome::{Pressure, Sample, Usage, UsageSource};
use crate::spec::{IoLimits, Limits};

/// Group into which we move ourselves, since a group with processes cannot give controllers to
/// its children.
const SUPERVISOR: &str = "albs-node-supervisor";
/// Controllers that are handed to the sandboxes where they exist.
const WANTED: [&str; 4] = ["memory", "pids", "cpu", "io"];
/// How often processes are moved before the group counts as somebody else's.
const MOVES: u32 = 20;
/// Period of the processor quota in µs; the kernel's default.
const PERIOD_US: u64 = 100_000;

pub(super) fn plan(
    plan: &mut CgroupPlan,
    limits: &Limits,
    own: &Hierarchy,
    facts: &CgroupFacts,
) -> Result<(), PlanError> {
    plan.version = Version::V2;
    plan.parents.push(own.own_directory());
    let has = |controller: &str| own.controllers.iter().any(|c| c == controller);
    let mut write = |file, value: String, if_missing| {
        plan.writes.push(Write { parent: 0, file, value, if_missing });
    };
    if let Some(limit) = limits.memory_bytes {
        write("memory.max", limit.value.to_string(), IfMissing::Fail);
        // One victim would leave a build that hangs or fails in odd ways.
        write("memory.oom.group", "1".to_owned(), IfMissing::Ignore);
    }
    if let Some(limit) = limits.memory_high_bytes {
        write("memory.high", limit.value.to_string(), IfMissing::Fail);
    }
    if let Some(limit) = limits.swap_bytes {
        let if_missing = IfMissing::for_swap(limit.required, facts);
        write("memory.swap.max", limit.value.to_string(), if_missing);
    }
    if let Some(limit) = limits.pids {
        write("pids.max", with_pid1(limit.value), IfMissing::Fail);
    }
    match limits.cpus {
        Some(limit) if has("cpu") => {
            write(
                "cpu.max",
                format!("{} {PERIOD_US}", quota_us(limit.value, PERIOD_US)),
                IfMissing::Fail,
            );
        }
        Some(limit) => {
            let reason = "the cpu controller is not delegated to this user";
            plan.give_up("cpu", limit.required, reason, super::controllers_hint())?
        }
        None => {}
    }
    match limits.cpu_weight {
        Some(limit) if has("cpu") => {
            let weight = limit.value.clamp(1, 10_000).to_string();
            plan.writes.push(Write {
                parent: 0,
                file: "cpu.weight",
                value: weight,
                if_missing: IfMissing::Fail,
            });
        }
        Some(limit) => plan.give_up(
            "cpu weight",
            limit.required,
            "the cpu controller is not delegated to this user",
            super::controllers_hint(),
        )?,
        None => {}
    }
    plan_io(plan, &limits.io, has("io"))
}

fn plan_io(
    plan: &mut CgroupPlan,
    limits: &IoLimits,
    has_controller: bool,
) -> Result<(), PlanError> {
    for (limit, name, key) in
        [(limits.read_bytes, "io read", "rbps"), (limits.write_bytes, "io write", "wbps")]
    {
        let Some(limit) = limit else { continue };
        let (Some(disk), true) = (&limits.disk, has_controller) else {
            let (reason, hint) = match has_controller {
                true => super::no_disk(),
                false => {
                    let reason = "the io controller is not delegated to this user";
                    (reason, super::controllers_hint())
                }
            };
            plan.give_up(name, limit.required, reason, hint)?;
            continue;
        };
        let value = format!("{disk} {key}={}", limit.value.max(1));
        let if_missing = IfMissing::of(limit.required, name);
        plan.writes.push(Write { parent: 0, file: "io.max", value, if_missing });
    }
    Ok(())
}

/// Gives the children of a group of ours all controllers that it has.
pub(super) fn hand_down(dir: &Path) -> Result<(), CgroupError> {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    let control = dir.join("cgroup.subtree_control");
    let wanted = missing(&available, "");
    if wanted.is_empty() {
        return Ok(());
    }
    attempt("enable controllers in", &control, fs::write(&control, wanted.join(" ")))
}

/// What to write to enable the controllers that are available and not enabled.
fn missing(available: &str, enabled: &str) -> Vec<String> {
    let listed = |text: &str, name: &str| text.split_whitespace().any(|c| c == name);
    WANTED
        .iter()
        .filter(|name| listed(available, name) && !listed(enabled, name))
        .map(|name| format!("+{name}"))
        .collect()
}

/// Quota per period; the kernel's minimum is 1 ms.
pub(super) fn quota_us(cpus: f64, period_us: u64) -> u64 {
    ((cpus * period_us as f64) as u64).max(1000)
}

/// Group under which sandboxes are made, given the one that a process of ours is in.
pub(super) fn base(own: &Path) -> PathBuf {
    match own.file_name() {
        Some(name) if name == SUPERVISOR => own.parent().unwrap_or(own).to_owned(),
        _ => own.to_owned(),
    }
}

/// Enables the controllers for children of the caller's group and gives the directory in which
/// to make them. Moves the calling process aside if it must be, and others if it may.
pub(super) fn prepare(own: &Path, may_move: bool) -> Result<PathBuf, CgroupError> {
    let base = base(own);
    let control = base.join("cgroup.subtree_control");
    let available = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    let enabled = fs::read_to_string(&control).unwrap_or_default();
    let missing = missing(&available, &enabled);
    if missing.is_empty() {
        return Ok(base);
    }
    // The root of the hierarchy may have processes and children; it has no cgroup.type file.
    if base.join("cgroup.type").exists() {
        let aside = base.join(SUPERVISOR);
        match fs::create_dir(&aside) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => attempt("make the control group", &aside, result)?,
        }
        // Others who start in the group at this moment may have got children meanwhile, which are
        // not among those that were moved.
        for _ in 0..MOVES {
            move_processes(&base, &aside, may_move)?;
            match fs::write(&control, missing.join(" ")) {
                Err(error) if may_move && error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                result => return attempt("enable controllers in", &control, result).map(|()| base),
            }
        }
    }
    attempt("enable controllers in", &control, fs::write(&control, missing.join(" ")))?;
    Ok(base)
}

/// Moves the processes of a delegated group into a group below it: this one, and those that were
/// started with it, such as the shell that called us.
fn move_processes(from: &Path, to: &Path, others_too: bool) -> Result<(), CgroupError> {
    let procs = to.join("cgroup.procs");
    let own = std::process::id().to_string();
    attempt("move this process to", &procs, fs::write(&procs, &own))?;
    if !others_too {
        return Ok(());
    }
    let others = fs::read_to_string(from.join("cgroup.procs")).unwrap_or_default();
    for pid in others.lines().filter(|pid| *pid != own) {
        // One that has just ended need not be moved; one that cannot be shows in the next step.
        let _ = fs::write(&procs, pid);
    }
    Ok(())
}

pub(super) fn read(dir: &Path, usage: &mut Usage) {
    usage.source = UsageSource::CgroupV2;
    if let (Some(user), Some(system)) =
        (keyed(&dir.join("cpu.stat"), "user_usec"), keyed(&dir.join("cpu.stat"), "system_usec"))
    {
        usage.cpu_user_us = user;
        usage.cpu_system_us = system;
    }
    usage.memory_peak_bytes = number(&dir.join("memory.peak")).or(usage.memory_peak_bytes);
    // `oom_kill` counts those of every killer, `oom` the times that a limit was the reason.
    let kills = keyed(&dir.join("memory.events"), "oom_kill").unwrap_or(0);
    // Of a build's group, those of its other stages do not count.
    let times = |dir: &Path, file| keyed(&dir.join(file), "oom");
    let hit = |dir: &Path| {
        let times = times(dir, "memory.events.local").or_else(|| times(dir, "memory.events"));
        times.is_none_or(|times| times > 0)
    };
    usage.killed(kills, with_build(dir).any(hit));
    usage.pids_peak = number(&dir.join("pids.peak"));
    usage.pids_refused = keyed(&dir.join("pids.events"), "max").unwrap_or(0);
    if let Ok(text) = fs::read_to_string(dir.join("io.stat")) {
        usage.io_read_bytes = Some(io_total(&text, "rbytes="));
        usage.io_write_bytes = Some(io_total(&text, "wbytes="));
        usage.io_read_ops = Some(io_total(&text, "rios="));
        usage.io_write_ops = Some(io_total(&text, "wios="));
    }
    let stalled = |name: &str| {
        let text = fs::read_to_string(dir.join(name)).ok()?;
        let some = text.lines().find(|line| line.starts_with("some "))?;
        some.rsplit_once("total=")?.1.parse::<u64>().ok()
    };
    if let Some(cpu_us) = stalled("cpu.pressure") {
        let (memory_us, io_us) = (stalled("memory.pressure"), stalled("io.pressure"));
        usage.pressure =
            Some(Pressure { cpu_us, memory_us: memory_us.unwrap_or(0), io_us: io_us.unwrap_or(0) });
    }
}

pub(super) fn sample(dir: &Path, sample: &mut Sample) {
    sample.cpu_us = keyed(&dir.join("cpu.stat"), "usage_usec").unwrap_or(0);
    sample.memory_bytes = number(&dir.join("memory.current")).unwrap_or(0);
    sample.pids = number(&dir.join("pids.current")).unwrap_or(0);
    if let Ok(text) = fs::read_to_string(dir.join("io.stat")) {
        sample.io_read_bytes = io_total(&text, "rbytes=");
        sample.io_write_bytes = io_total(&text, "wbytes=");
    }
}

/// Sum over the devices of io.stat: `8:0 rbytes=1 wbytes=2 …`.
fn io_total(text: &str, key: &str) -> u64 {
    text.split_whitespace()
        .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}
