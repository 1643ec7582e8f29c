//! Version 1: one group in each hierarchy that has a controller of interest.
//! Source: the kernel's documents in admin-guide/cgroup-v1.

use std::fs;
use std::path::Path;

use super::directories::with_build;
use super::{CgroupFacts, CgroupPlan, IfMissing, Version, Write, keyed, number, v2, with_pid1};
use crate::error::PlanError;
use crate::outcome::{Sample, Usage, UsageSource};
use crate::spec::{IoLimits, Limits};

/// Period of the processor quota in µs; the kernel's default.
const PERIOD_US: u64 = 100_000;

pub(super) fn plan(
    plan: &mut CgroupPlan,
    limits: &Limits,
    facts: &CgroupFacts,
) -> Result<(), PlanError> {
    for (_, hierarchy) in &facts.v1 {
        let dir = hierarchy.own_directory();
        // Controllers may be mounted together, as cpu and cpuacct often are.
        let known = plan.parents.contains(&dir);
        if hierarchy.writable && !known {
            plan.parents.push(dir);
            plan.version = Version::V1;
        }
    }
    let parent_of = |plan: &CgroupPlan, controller: &str| {
        let dir = facts.usable_v1(controller)?.own_directory();
        plan.parents.iter().position(|parent| *parent == dir)
    };
    let reason = if facts.v1.is_empty() && facts.v2.is_none() {
        "no control group hierarchy is mounted"
    } else {
        "no control group hierarchy that has its controller is writable for this user"
    };
    let hint = if facts.v1.is_empty() {
        super::delegation_hint()
    } else {
        "run as root: this host has control groups of version 1, which only root can divide"
            .to_owned()
    };
    if let Some(limit) = limits.memory_bytes {
        match parent_of(plan, "memory") {
            Some(parent) => {
                let value = limit.value.to_string();
                plan.write(parent, "memory.limit_in_bytes", value, IfMissing::Fail);
                // Memory and swap together; missing where the kernel does not count swap.
                if let Some(swap) = limits.swap_bytes {
                    let both = limit.value.saturating_add(swap.value).to_string();
                    let if_missing = IfMissing::for_swap(swap.required, facts);
                    plan.write(parent, "memory.memsw.limit_in_bytes", both, if_missing);
                }
            }
            None => plan.give_up("memory", limit.required, reason, hint.clone())?,
        }
    }
    if let (None, Some(swap)) = (limits.memory_bytes, limits.swap_bytes) {
        let reason = "version 1 limits swap only together with memory";
        plan.give_up("swap", swap.required, reason, hint.clone())?;
    }
    if let Some(limit) = limits.pids {
        match parent_of(plan, "pids") {
            Some(parent) => {
                plan.write(parent, "pids.max", with_pid1(limit.value), IfMissing::Fail);
            }
            None => plan.give_up("pids", limit.required, reason, hint.clone())?,
        }
    }
    if let Some(limit) = limits.cpus {
        match parent_of(plan, "cpu") {
            Some(parent) => {
                let quota = v2::quota_us(limit.value, PERIOD_US).to_string();
                plan.write(parent, "cpu.cfs_period_us", PERIOD_US.to_string(), IfMissing::Fail);
                plan.write(parent, "cpu.cfs_quota_us", quota, IfMissing::Fail);
            }
            None => plan.give_up("cpu", limit.required, reason, hint.clone())?,
        }
    }
    if let Some(limit) = limits.cpu_weight {
        match parent_of(plan, "cpu") {
            Some(parent) => {
                // 1024 is what everybody has.
                let shares = (limit.value.clamp(1, 10_000) * 1024 / 100).max(2).to_string();
                plan.write(parent, "cpu.shares", shares, IfMissing::Fail);
            }
            None => plan.give_up("cpu weight", limit.required, reason, hint.clone())?,
        }
    }
    if let Some(limit) = limits.memory_high_bytes {
        let reason = "version 1 of control groups has no such limit";
        plan.give_up("memory high", limit.required, reason, hint.clone())?;
    }
    plan_io(plan, &limits.io, parent_of(plan, "blkio"), (reason, hint))
}

/// Plans what limits reading and writing, in the group of `parent`. `otherwise`: why there is
/// none, and what helps.
fn plan_io(
    plan: &mut CgroupPlan,
    limits: &IoLimits,
    parent: Option<usize>,
    otherwise: (&str, String),
) -> Result<(), PlanError> {
    for (limit, name, file) in [
        (limits.read_bytes, "io read", "blkio.throttle.read_bps_device"),
        (limits.write_bytes, "io write", "blkio.throttle.write_bps_device"),
    ] {
        let Some(limit) = limit else { continue };
        match (parent, &limits.disk) {
            (Some(parent), Some(disk)) => {
                let value = format!("{disk} {}", limit.value.max(1));
                plan.write(parent, file, value, IfMissing::of(limit.required, name));
            }
            (None, _) => plan.give_up(name, limit.required, otherwise.0, otherwise.1.clone())?,
            (_, None) => {
                let (reason, hint) = super::no_disk();
                plan.give_up(name, limit.required, reason, hint)?;
            }
        }
    }
    if limits.write_bytes.is_some() && parent.is_some() && limits.disk.is_some() {
        // admin-guide/cgroup-v1/blkio-controller: only direct and synchronous writes.
        plan.unenforced.push("io write through the page cache".to_owned());
    }
    Ok(())
}

impl CgroupPlan {
    fn write(&mut self, parent: usize, file: &'static str, value: String, if_missing: IfMissing) {
        self.writes.push(Write { parent, file, value, if_missing });
    }
}

/// Reads what the hierarchy at `dir` counts. Files of absent controllers do not exist, so all
/// are tried.
pub(super) fn read(dir: &Path, usage: &mut Usage) {
    usage.source = UsageSource::CgroupV1;
    if let (Some(user), Some(system)) =
        (number(&dir.join("cpuacct.usage_user")), number(&dir.join("cpuacct.usage_sys")))
    {
        usage.cpu_user_us = user / 1000;
        usage.cpu_system_us = system / 1000;
    }
    if let Some(peak) = number(&dir.join("memory.max_usage_in_bytes")) {
        usage.memory_peak_bytes = Some(peak);
    }
    if let Some(kills) = keyed(&dir.join("memory.oom_control"), "oom_kill") {
        let of = |dir: &Path, name| number(&dir.join(format!("memory.{name}_in_bytes")));
        // How often a limit was hit (failcnt) is not counted by every kernel: with a limit on swap,
        // 6.18 does not. The last pages may be wanted at once.
        let hit = |dir: &Path, peak, limit| match (of(dir, peak), of(dir, limit)) {
            (Some(peak), Some(limit)) => peak >= limit - limit / 8,
            _ => false,
        };
        let any =
            |dir| hit(dir, "max_usage", "limit") || hit(dir, "memsw.max_usage", "memsw.limit");
        usage.killed(kills, with_build(dir).any(any));
    }
    if let Some(peak) = number(&dir.join("pids.peak")) {
        usage.pids_peak = Some(peak);
    }
    if let Some(refused) = keyed(&dir.join("pids.events"), "max") {
        usage.pids_refused = refused;
    }
    let bytes = blkio(dir, "io_service_bytes");
    usage.io_read_bytes = bytes.map(|(read, _)| read).or(usage.io_read_bytes);
    usage.io_write_bytes = bytes.map(|(_, written)| written).or(usage.io_write_bytes);
    let operations = blkio(dir, "io_serviced");
    usage.io_read_ops = operations.map(|(reads, _)| reads).or(usage.io_read_ops);
    usage.io_write_ops = operations.map(|(_, writes)| writes).or(usage.io_write_ops);
}

pub(super) fn sample(dir: &Path, sample: &mut Sample) {
    if let Some(nanoseconds) = number(&dir.join("cpuacct.usage")) {
        sample.cpu_us = nanoseconds / 1000;
    }
    if let Some(bytes) = number(&dir.join("memory.usage_in_bytes")) {
        sample.memory_bytes = bytes;
    }
    if let Some(pids) = number(&dir.join("pids.current")) {
        sample.pids = pids;
    }
    if let Some((read, written)) = blkio(dir, "io_service_bytes") {
        (sample.io_read_bytes, sample.io_write_bytes) = (read, written);
    }
}

/// What a blkio file counts of reading and writing, with groups below where the kernel can.
fn blkio(dir: &Path, what: &str) -> Option<(u64, u64)> {
    let text = ["_recursive", ""]
        .iter()
        .find_map(|end| fs::read_to_string(dir.join(format!("blkio.throttle.{what}{end}"))).ok())?;
    Some((io_total(&text, "Read"), io_total(&text, "Write")))
}

/// Sum over the devices of blkio files: `8:0 Read 4096`.
fn io_total(text: &str, operation: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            (words.next()? == operation).then(|| words.next()?.parse::<u64>().ok())?
        })
        .fold(0, u64::saturating_add)
}
