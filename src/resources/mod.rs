//! What a build may use: classes of limits, and the numbers that follow from them on a host.
//! The policy is `policies/resources.toml`.

mod amount;
mod effective;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use amount::{Amount, AmountError};
pub use effective::{Effective, HostSize, Override, Setting, effective, host_memory_bytes};

use crate::profile::Permission;

/// Something that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Memory of all processes together, in bytes.
    Memory,
    /// Memory from which on they are slowed down, in bytes.
    MemoryHigh,
    /// Swap on top of memory, in bytes.
    Swap,
    /// Processor time per wall-clock time.
    Cpus,
    /// Share of the processors where builds compete; 100 is what everybody has.
    CpuWeight,
    /// Bytes that are read in a second from the disk of the builds.
    IoRead,
    /// Bytes that are written in a second to the disk of the builds.
    IoWrite,
    /// Processes and threads.
    Pids,
    /// Open files of each process.
    OpenFiles,
    /// What rpmbuild writes, in bytes on the disk.
    Disk,
    /// Files, directories and links that it makes.
    Inodes,
    /// Largest file, in bytes.
    FileSize,
    /// Bytes of each log that are kept.
    Log,
    /// Wall-clock time of one rpmbuild call, in seconds.
    Timeout,
    /// Longest time without output of one rpmbuild call, in seconds.
    Silence,
}

/// What numbers of a resource mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Processors.
    Processors,
    /// Things that are counted.
    Count,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 15] = [
        Resource::Memory,
        Resource::MemoryHigh,
        Resource::Swap,
        Resource::Cpus,
        Resource::CpuWeight,
        Resource::IoRead,
        Resource::IoWrite,
        Resource::Pids,
        Resource::OpenFiles,
        Resource::Disk,
        Resource::Inodes,
        Resource::FileSize,
        Resource::Log,
        Resource::Timeout,
        Resource::Silence,
    ];

    /// Its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::MemoryHigh => "memory_high",
            Resource::Swap => "swap",
            Resource::Cpus => "cpus",
            Resource::CpuWeight => "cpu_weight",
            Resource::IoRead => "io_read",
            Resource::IoWrite => "io_write",
            Resource::Pids => "pids",
            Resource::OpenFiles => "open_files",
            Resource::Disk => "disk",
            Resource::Inodes => "inodes",
            Resource::FileSize => "file_size",
            Resource::Log => "log",
            Resource::Timeout => "timeout",
            Resource::Silence => "silence",
        }
    }

    /// Whether a host has an amount of it, of which a limit can be a share.
    pub fn has_share(self) -> bool {
        use Resource::{Cpus, Disk, Inodes, Memory, MemoryHigh, Swap};
        matches!(self, Memory | MemoryHigh | Swap | Cpus | Disk | Inodes)
    }

    /// What its numbers mean.
    pub fn unit(self) -> Unit {
        match self {
            Resource::Memory
            | Resource::MemoryHigh
            | Resource::Swap
            | Resource::Disk
            | Resource::FileSize
            | Resource::Log => Unit::Bytes,
            Resource::IoRead | Resource::IoWrite => Unit::BytesPerSecond,
            Resource::Timeout | Resource::Silence => Unit::Seconds,
            Resource::Cpus => Unit::Processors,
            Resource::CpuWeight | Resource::Pids | Resource::Inodes | Resource::OpenFiles => {
                Unit::Count
            }
        }
    }
}

/// Limits of one kind of build.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// What the class is for.
    pub why: String,
    /// The class that has what this one does not say.
    pub like: Option<String>,
    /// Whether rpmbuild is tried once more, with half the jobs, when memory ran out.
    pub retry_after_oom: Option<bool>,
    /// What builds may do that is refused otherwise; without it, as in the class that this one is
    /// like.
    pub allow: Option<Vec<Permission>>,
    /// The limits.
    #[serde(default)]
    pub limits: BTreeMap<Resource, Amount>,
    /// Limits that count instead where the host has more than one build at a time.
    #[serde(default)]
    pub shared: BTreeMap<Resource, Amount>,
}

impl Class {
    /// What it says of a resource on a host for so many builds at a time.
    fn limit(&self, resource: Resource, slots: u32) -> Option<&Amount> {
        let shared = self.shared.get(&resource).filter(|_| slots > 1);
        shared.or_else(|| self.limits.get(&resource))
    }
}

/// Which packages get which class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageRule {
    /// Name of the source package; `*` stands for anything.
    pub pattern: String,
    /// The class.
    pub class: String,
}

/// All classes and rules.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Classes by name.
    #[serde(default, rename = "class")]
    pub classes: BTreeMap<String, Class>,
    /// Rules, the first that matches counts.
    #[serde(default, rename = "package")]
    pub packages: Vec<PackageRule>,
    /// What goes before all classes.
    #[serde(skip)]
    first: Option<Class>,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The text is not a policy.
    #[error("{place} is not valid")]
    Syntax {
        /// The file, or what stands for it.
        place: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// No such class.
    #[error("there is no class {name:?} of resources; there are {}", known.join(", "))]
    UnknownClass {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Classes that are like each other in a circle.
    #[error("the class {name:?} of resources is like itself")]
    Circle {
        /// One of them.
        name: String,
    },
    /// An amount of a class is no amount of that resource.
    #[error("class {class:?}: {resource} = {amount}")]
    Amount {
        /// The class.
        class: String,
        /// The resource.
        resource: &'static str,
        /// What was said.
        amount: String,
        /// Why it is none.
        source: AmountError,
    },
}

/// Where the host's own policy is.
pub const HOST_POLICY: &str = "/etc/albs-node/resources.toml";

impl Policy {
    /// The policy that is part of the program, with that of the host over it if the file exists.
    ///
    /// # Errors
    ///
    /// The host's file cannot be read or is not a policy.
    pub fn load(host: &Path) -> Result<Policy, ResourceError> {
        let built_in = include_str!("../../policies/resources.toml");
        let mut policy = Policy::parse("the built-in policy of resources", built_in)?;
        match std::fs::read_to_string(host) {
            Ok(text) => policy.put(Policy::parse(&host.display().to_string(), &text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ResourceError::Read { path: host.to_owned(), source }),
        }
        Ok(policy)
    }

    fn parse(place: &str, text: &str) -> Result<Policy, ResourceError> {
        toml::from_str(text).map_err(|source| ResourceError::Syntax {
            place: place.to_owned(),
            source: Box::new(source),
        })
    }

    /// Lays another policy over this one.
    fn put(&mut self, over: Policy) {
        self.classes.extend(over.classes);
        self.packages = [over.packages, std::mem::take(&mut self.packages)].concat();
    }

    /// Puts limits before those of all classes, as the build node's config does.
    pub fn put_first(&mut self, limits: BTreeMap<Resource, Amount>) {
        self.first = Some(Class {
            why: "the host's builds have these, whatever their class".to_owned(),
            like: None,
            retry_after_oom: None,
            allow: None,
            limits,
            shared: BTreeMap::new(),
        });
    }

    /// The class of a package, by the rules.
    pub fn class_of(&self, package: Option<&str>) -> (&str, &str) {
        let rule = package
            .and_then(|package| self.packages.iter().find(|rule| matches(&rule.pattern, package)));
        rule.map_or(("default", "*"), |rule| (rule.class.as_str(), rule.pattern.as_str()))
    }
}

/// Whether a name is one of a pattern, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests;
