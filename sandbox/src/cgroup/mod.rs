//! Control groups: one group per sandbox, made under the caller's own group or in a [`Subtree`] of
//! it that several sandboxes share.
//!
//! Planning is pure ([`plan`]); [`Cgroup::create`] makes the directories and writes the limits.
//! Version 2 is used where the caller's group is delegated and has the memory and pids
//! controllers, else the version 1 hierarchies that the caller may write to.

mod directories;
mod disk;
mod facts;
mod obtain;
mod subtree;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use directories::make_group;
pub use directories::{PREFIX, sweep};
pub(crate) use directories::{remove_dir, subtree_of};
pub use disk::disk_below;
pub use facts::{CgroupFacts, Hierarchy};
pub use obtain::{Obtained, obtain};
pub use subtree::Subtree;

use crate::error::PlanError;
use crate::outcome::{Enforcement, Largest, Rusage, Sample, Usage};
use crate::spec::Limits;

/// Which groups to make and what to write into them.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupPlan {
    version: Version,
    /// Directories of the caller's groups, below which groups are made.
    parents: Vec<PathBuf>,
    /// Values to write: directory index, file, value, whether it may fail.
    writes: Vec<Write>,
    /// Limits that were asked for as optional and cannot be enforced here.
    unenforced: Vec<String>,
    name: String,
    /// Whether other processes may be moved out of the way (version 2): for a limit, not for a
    /// bill.
    may_move: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    None,
    V1,
    V2,
}

/// One value for one control file.
#[derive(Debug, Clone, PartialEq)]
struct Write {
    parent: usize,
    file: &'static str,
    value: String,
    /// What a missing file means.
    if_missing: IfMissing,
}

/// What it means that a control file does not exist, or that it cannot limit this disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    /// The limit cannot be enforced, and must be.
    Fail,
    /// The limit of that name is not enforced.
    Report(&'static str),
    /// Nothing: it is an extra of newer kernels, or there is nothing to limit.
    Ignore,
}

impl IfMissing {
    /// For a limit that is required or not.
    fn of(required: bool, limit: &'static str) -> IfMissing {
        if required { IfMissing::Fail } else { IfMissing::Report(limit) }
    }

    /// For the swap limit, whose file exists only where the kernel counts swap.
    fn for_swap(required: bool, facts: &CgroupFacts) -> IfMissing {
        match facts.swap {
            false => IfMissing::Ignore,
            true => IfMissing::of(required, "swap"),
        }
    }
}

/// A control group could not be made, limited, read or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct CgroupError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl CgroupError {
    pub(crate) fn hint(&self) -> Option<String> {
        (self.source.raw_os_error() == Some(libc::EBUSY)).then(delegation_hint)
    }
}

/// The most processes and threads that this process's control group and all around it may have;
/// none if nothing says so.
pub fn most_pids() -> Option<u64> {
    CgroupFacts::probe_at(Path::new("/")).most_pids()
}

/// How to get a control group that may be divided.
fn delegation_hint() -> String {
    let user = if nix::unistd::geteuid().is_root() { "" } else { "--user " };
    format!(
        "start in a delegated control group: systemd-run {user}--scope -p Delegate=yes albs-node …"
    )
}

/// How to get controllers that systemd does not give to users by itself.
fn controllers_hint() -> String {
    "let systemd delegate it: systemctl set-property user@$(id -u).service Delegate='cpu memory \
     pids io', and log in anew"
        .to_owned()
}

/// Why the speed of a disk cannot be limited, and what helps.
fn no_disk() -> (&'static str, String) {
    let hint = "use a store on a disk of its own, not on tmpfs or a network".to_owned();
    ("the disk of the builds is not known", hint)
}

/// Plans the group of a sandbox. Without usable hierarchies the plan is empty, and a required
/// limit is an error.
///
/// # Errors
///
/// [`PlanError::Limit`]: a required limit cannot be enforced here.
pub fn plan(name: &str, limits: &Limits, facts: &CgroupFacts) -> Result<CgroupPlan, PlanError> {
    let mut plan =
        CgroupPlan { name: name.to_owned(), may_move: limits.any(), ..CgroupPlan::none() };
    if let Some(own) = facts.usable_v2() {
        v2::plan(&mut plan, limits, own, facts)?;
    } else {
        v1::plan(&mut plan, limits, facts)?;
    }
    Ok(plan)
}

impl CgroupPlan {
    /// No group at all.
    pub fn none() -> CgroupPlan {
        CgroupPlan {
            version: Version::None,
            parents: Vec::new(),
            writes: Vec::new(),
            unenforced: Vec::new(),
            name: String::new(),
            may_move: false,
        }
    }

    /// What is known of the enforcement before the group exists.
    pub fn enforcement(&self) -> Enforcement {
        if self.version == Version::None {
            Enforcement::Off("no control group hierarchy is writable for this user".to_owned())
        } else if self.unenforced.is_empty() {
            Enforcement::Full
        } else {
            Enforcement::Partial(format!("not enforced here: {}", self.unenforced.join(", ")))
        }
    }

    /// Whether a limit on memory, if there is one, will hold.
    pub(crate) fn limits_memory(&self) -> bool {
        self.version != Version::None && !self.unenforced.iter().any(|limit| limit == "memory")
    }

    /// Notes a limit that no controller can enforce.
    fn give_up(
        &mut self,
        limit: &'static str,
        required: bool,
        reason: &str,
        hint: String,
    ) -> Result<(), PlanError> {
        if required {
            return Err(PlanError::Limit { limit, reason: reason.to_owned(), hint });
        }
        self.unenforced.push(limit.to_owned());
        Ok(())
    }
}

/// The control groups of one running sandbox. Removed by [`Cgroup::remove`] or when dropped.
#[derive(Debug)]
pub struct Cgroup {
    version: Version,
    /// Directories.
    groups: Vec<PathBuf>,
    /// Limits that are not enforced: as planned, and those whose control files do not exist.
    unenforced: Vec<String>,
}

impl Cgroup {
    /// Makes the groups of the plan and writes its limits.
    ///
    /// # Errors
    ///
    /// A directory or file of the hierarchy cannot be written.
    pub fn create(plan: &CgroupPlan) -> Result<Cgroup, CgroupError> {
        let unenforced = match plan.version {
            // That there is none says it all.
            Version::None => Vec::new(),
            _ => plan.unenforced.clone(),
        };
        let mut cgroup = Cgroup { version: plan.version, groups: Vec::new(), unenforced };
        for parent in &plan.parents {
            let parent = match plan.version {
                Version::V2 => v2::prepare(parent, plan.may_move)?,
                _ => parent.clone(),
            };
            cgroup.groups.push(make_group(&parent, &plan.name)?);
        }
        for write in &plan.writes {
            let path = cgroup.groups[write.parent].join(write.file);
            let result = fs::write(&path, &write.value);
            let missing = result.as_ref().is_err_and(|error| is_missing(error, &path));
            match write.if_missing {
                IfMissing::Report(limit) if missing => cgroup.unenforced.push(limit.to_owned()),
                IfMissing::Ignore if missing => {}
                _ => attempt("write the control group file", &path, result)?,
            }
        }
        Ok(cgroup)
    }

    /// Optional limits that turned out not to be enforceable.
    pub fn unenforced(&self) -> &[String] {
        &self.unenforced
    }

    /// The files through which a process joins the groups.
    pub fn procs_files(&self) -> Vec<PathBuf> {
        self.groups.iter().map(|dir| dir.join("cgroup.procs")).collect()
    }

    /// The directories of the groups.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.groups.clone()
    }

    /// The group of version 2.
    pub fn unified(&self) -> Option<PathBuf> {
        self.groups.first().filter(|_| self.version == Version::V2).cloned()
    }

    /// What the processes of the groups used; numbers that no group tells come from `rusage`.
    pub fn usage(&self, rusage: &Rusage) -> Usage {
        let mut usage = Usage {
            cpu_user_us: rusage.user_us,
            cpu_system_us: rusage.system_us,
            memory_peak_bytes: (rusage.max_rss_bytes > 0).then_some(rusage.max_rss_bytes),
            ..Usage::default()
        };
        match self.version {
            Version::None => {}
            Version::V1 => self.groups.iter().for_each(|dir| v1::read(dir, &mut usage)),
            Version::V2 => self.groups.iter().for_each(|dir| v2::read(dir, &mut usage)),
        }
        usage
    }

    /// What the processes of the groups use at this moment; none if nobody counts.
    pub fn sample(&self, seconds: f64) -> Option<Sample> {
        let mut sample = Sample { seconds, ..Sample::default() };
        match self.version {
            Version::None => return None,
            Version::V1 => self.groups.iter().for_each(|dir| v1::sample(dir, &mut sample)),
            Version::V2 => self.groups.iter().for_each(|dir| v2::sample(dir, &mut sample)),
        }
        Some(sample)
    }

    /// Bytes of memory that the groups use; none if nobody counts.
    pub fn memory_bytes(&self) -> Option<u64> {
        let name = match self.version {
            Version::None => return None,
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        self.groups.iter().find_map(|dir| number(&dir.join(name)))
    }

    /// The process of the groups with the most resident memory.
    pub fn largest(&self) -> Option<Largest> {
        let procs = fs::read_to_string(self.groups.first()?.join("cgroup.procs")).ok()?;
        let resident = |pid: &str| {
            let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            Some((statm.split_whitespace().nth(1)?.parse::<u64>().ok()?, pid.to_owned()))
        };
        let (pages, pid) = procs.lines().filter_map(resident).max()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let name = name.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Some(Largest { name, bytes: pages.saturating_mul(crate::host::page_size()) })
    }

    /// Removes the groups. The last processes may still be on their way out, so a busy group is
    /// tried again for a second.
    ///
    /// # Errors
    ///
    /// A group still has processes after that time.
    pub fn remove(mut self) -> Result<(), CgroupError> {
        self.remove_groups()
    }

    fn remove_groups(&mut self) -> Result<(), CgroupError> {
        let mut result = Ok(());
        for dir in self.groups.drain(..) {
            if let Err(error) = attempt("remove the control group", &dir, remove_dir(&dir)) {
                result = Err(error);
            }
        }
        result
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group that could not be removed is swept at a later start.
        let _ = self.remove_groups();
    }
}

/// Whether a control file is not there, or said that it has no such limit of that disk. Asked to make
/// it, the kernel refuses a file that is not there with EACCES or EPERM.
fn is_missing(error: &io::Error, path: &Path) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EOPNOTSUPP)) || !path.exists()
}

/// A limit on processes, for the control file: pid 1 of the sandbox is ours and comes on top.
fn with_pid1(pids: u64) -> String {
    pids.saturating_add(1).to_string()
}

fn attempt(action: &'static str, path: &Path, result: io::Result<()>) -> Result<(), CgroupError> {
    result.map_err(|source| CgroupError { action, path: path.to_owned(), source })
}

/// A control file that holds one number.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value of `key` in a control file of `key value` lines.
fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
