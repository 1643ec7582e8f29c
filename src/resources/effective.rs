//! From classes, the host and the command line to numbers. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use sandbox::spec::{IoLimits, Limit, Limits};
use serde::Serialize;

use super::{Class, Policy, Resource, ResourceError, Unit};
use crate::buildroot::disk::Size;
use crate::profile::Permission;

/// What shares are shares of.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSize {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Swap in bytes; 0 if there is none.
    pub swap_bytes: u64,
    /// Processors.
    pub cpus: u32,
    /// Free space where builds write, in bytes; 0 if that is not known.
    pub disk_bytes: u64,
    /// Free inodes there.
    pub inodes: u64,
    /// Processes and threads that there can be.
    pub pids: u64,
    /// The disk where builds write, as `MAJOR:MINOR`, if it is one.
    pub disk: Option<String>,
    /// Builds that run at a time.
    pub slots: u32,
}

impl HostSize {
    /// This host's, for so many builds at a time that write to `place`.
    pub fn probe(slots: u32, place: &Path) -> HostSize {
        let disk = nix::sys::statvfs::statvfs(place).ok();
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        HostSize {
            memory_bytes: host_memory_bytes(),
            swap_bytes: meminfo("SwapTotal:"),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            disk_bytes: disk
                .map_or(0, |disk| disk.blocks_available().saturating_mul(disk.fragment_size())),
            inodes: disk.map_or(0, |disk| disk.files_available()),
            pids: most_pids(),
            disk: sandbox::cgroup::disk_below(place),
            slots,
        }
    }
}

/// How many processes and threads there can be: of numbers, of all on the host
/// (proc_sys_kernel(5), pid_max and threads-max), and of those in the group that we are in.
fn most_pids() -> u64 {
    let setting = |name: &str| {
        let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let known = [setting("pid_max"), setting("threads-max"), sandbox::cgroup::most_pids()];
    known.into_iter().flatten().min().unwrap_or(32_768)
}

/// The host's memory in bytes; 0 if it is not known.
pub fn host_memory_bytes() -> u64 {
    meminfo("MemTotal:")
}

/// A number of /proc/meminfo, in bytes.
fn meminfo(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

/// A number that the command line or the config gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Of what.
    pub resource: Resource,
    /// The number in the resource's unit; none lifts the limit.
    pub number: Option<f64>,
    /// Who says so, such as `--memory`.
    pub from: String,
}

/// One effective limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The number in the resource's unit; none is no limit.
    pub number: Option<f64>,
    /// Where it comes from.
    pub from: String,
    /// Whether a build must not start where it cannot be enforced.
    pub required: bool,
}

/// All limits of one build.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// Name of the class.
    pub class: String,
    /// Why it is that one.
    pub class_from: String,
    /// Whether rpmbuild is tried once more, with half the jobs, when memory ran out.
    pub retry_after_oom: bool,
    /// The disk whose reading and writing is limited, as `MAJOR:MINOR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What it may do that is refused otherwise.
    pub allowed: Vec<Permission>,
    /// The limits.
    pub settings: BTreeMap<Resource, Setting>,
}

/// The limits of a build.
///
/// # Errors
///
/// A class does not exist, or an amount of it means nothing.
pub fn effective(
    policy: &Policy,
    host: &HostSize,
    class: Option<&str>,
    package: Option<&str>,
    overrides: &[Override],
) -> Result<Effective, ResourceError> {
    let (class, class_from) = match (class, policy.class_of(package)) {
        (Some(class), _) => (class, "--class".to_owned()),
        (None, (class, pattern)) => (class, format!("the rule for packages {pattern}")),
    };
    let mut line = ancestry(policy, class)?;
    if let Some(first) = &policy.first {
        line.insert(0, ("albs_node.limits", first));
    }
    let retry = line.iter().find_map(|(_, class)| class.retry_after_oom);
    let allowed = line.iter().find_map(|(_, class)| class.allow.clone());
    let mut settings = BTreeMap::new();
    for resource in Resource::ALL {
        let setting = match overrides.iter().rev().find(|o| o.resource == resource) {
            Some(over) => Setting { number: over.number, from: over.from.clone(), required: true },
            None => {
                let memory = settings.get(&Resource::Memory);
                of_class(&line, resource, host, memory)?
            }
        };
        settings.insert(resource, setting);
    }
    // Memory that was asked for by hand is all that there is to be.
    if let Some(required) = settings.get(&Resource::Memory).map(|memory| memory.required)
        && let Some(swap) = settings.get_mut(&Resource::Swap)
        && !swap.required
        && required
    {
        *swap = Setting { number: Some(0.0), from: "--memory".to_owned(), required: false };
    }
    Ok(Effective {
        class: class.to_owned(),
        class_from,
        retry_after_oom: retry.unwrap_or(false),
        disk: host.disk.clone(),
        allowed: allowed.unwrap_or_default(),
        settings,
    })
}

/// A class and those that it is like, the nearest first.
fn ancestry<'a>(
    policy: &'a Policy,
    name: &str,
) -> Result<Vec<(&'a str, &'a Class)>, ResourceError> {
    let mut line: Vec<(&str, &Class)> = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next {
        let (known, class) =
            policy.classes.get_key_value(name).ok_or_else(|| ResourceError::UnknownClass {
                name: name.to_owned(),
                known: policy.classes.keys().cloned().collect(),
            })?;
        if line.iter().any(|(seen, _)| seen == known) {
            return Err(ResourceError::Circle { name: known.clone() });
        }
        line.push((known, class));
        next = class.like.as_deref();
    }
    Ok(line)
}

fn of_class(
    line: &[(&str, &Class)],
    resource: Resource,
    host: &HostSize,
    memory: Option<&Setting>,
) -> Result<Setting, ResourceError> {
    let slots = f64::from(host.slots.max(1));
    let whole = match resource {
        Resource::Memory => Some(host.memory_bytes as f64 / slots),
        Resource::Swap => Some(host.swap_bytes as f64 / slots),
        Resource::MemoryHigh => memory.and_then(|memory| memory.number),
        Resource::Cpus => Some(f64::from(host.cpus) / slots),
        // Some file systems make inodes as they are needed, and tell none.
        Resource::Disk => Some(host.disk_bytes).filter(|n| *n > 0).map(|n| n as f64 / slots),
        Resource::Inodes => Some(host.inodes).filter(|n| *n > 0).map(|n| n as f64 / slots),
        _ => None,
    };
    let found =
        line.iter().find_map(|(name, class)| Some((name, class.limit(resource, host.slots)?)));
    let Some((name, amount)) = found else {
        return Ok(Setting { number: None, from: "no class".to_owned(), required: false });
    };
    // A share of what is not limited, or not known, is no limit either.
    let shares = [Resource::MemoryHigh, Resource::Disk, Resource::Inodes];
    if shares.contains(&resource) && whole.is_none() && amount.0.trim().ends_with('%') {
        return Ok(Setting { number: None, from: format!("class {name}"), required: false });
    }
    let number = amount.number(resource.unit(), whole, Some(host.cpus)).map_err(|source| {
        ResourceError::Amount {
            class: (*name).to_owned(),
            resource: resource.name(),
            amount: amount.to_string(),
            source,
        }
    })?;
    // Half of all is for the host, whatever the class says.
    let number = match resource {
        Resource::Pids => number.map(|pids| pids.min(host.pids as f64 / 2.0 / slots)),
        _ => number,
    };
    let number = match resource.unit() {
        Unit::Processors => number,
        _ => number.map(f64::floor),
    };
    Ok(Setting { number, from: format!("class {name}: {amount}"), required: false })
}

impl Effective {
    /// The number of a resource, rounded down; none is no limit.
    pub fn number(&self, resource: Resource) -> Option<u64> {
        Some(self.settings.get(&resource)?.number? as u64)
    }

    /// The limit of a resource, rounded down; none if there is no limit.
    fn limit(&self, resource: Resource) -> Option<Limit<u64>> {
        let required = self.settings.get(&resource)?.required;
        Some(Limit { value: self.number(resource)?, required })
    }

    /// The part that control groups enforce.
    pub fn limits(&self) -> Limits {
        let limit = |resource| self.limit(resource);
        Limits {
            memory_bytes: limit(Resource::Memory),
            memory_high_bytes: limit(Resource::MemoryHigh),
            swap_bytes: limit(Resource::Swap),
            pids: limit(Resource::Pids),
            cpus: self.settings.get(&Resource::Cpus).and_then(|setting| {
                Some(Limit { value: setting.number?, required: setting.required })
            }),
            cpu_weight: limit(Resource::CpuWeight),
            io: IoLimits {
                disk: self.disk.clone(),
                read_bytes: limit(Resource::IoRead),
                write_bytes: limit(Resource::IoWrite),
            },
        }
    }

    /// The part that is for what a build writes, if there is one.
    pub fn disk(&self) -> Option<Size> {
        let (bytes, inodes) = (self.number(Resource::Disk), self.number(Resource::Inodes));
        (bytes.is_some() || inodes.is_some())
            .then(|| Size { bytes: bytes.unwrap_or(u64::MAX), inodes: inodes.unwrap_or(u64::MAX) })
    }

    /// The part that each process has for itself, by setrlimit(2) name.
    pub fn rlimits(&self) -> Vec<(&'static str, Limit<u64>)> {
        [(Resource::OpenFiles, "NOFILE"), (Resource::FileSize, "FSIZE")]
            .into_iter()
            .filter_map(|(resource, name)| Some((name, self.limit(resource)?)))
            .collect()
    }
}
