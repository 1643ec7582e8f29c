//! Which control group hierarchies the caller can use.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Version 1 controllers that are used here.
const V1_CONTROLLERS: [&str; 5] = ["memory", "pids", "cpu", "cpuacct", "blkio"];

/// Mounted hierarchies and the caller's place in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CgroupFacts {
    /// The version 2 hierarchy, if one is mounted.
    pub v2: Option<Hierarchy>,
    /// Version 1 hierarchies by controller.
    pub v1: Vec<(String, Hierarchy)>,
    /// Whether the host has swap at all.
    pub swap: bool,
}

/// One hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's group, relative to the mount.
    pub own: PathBuf,
    /// Whether the caller may make groups there.
    pub writable: bool,
    /// Version 2: controllers that groups made there can have.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// Directory of the caller's group.
    pub fn own_directory(&self) -> PathBuf {
        self.mount.join(self.own.strip_prefix("/").unwrap_or(&self.own))
    }
}

impl CgroupFacts {
    pub(crate) fn probe_at(root: &Path) -> CgroupFacts {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let own = text("proc/self/cgroup");
        let mut facts = CgroupFacts { swap: has_swap(&text("proc/meminfo")), ..Default::default() };
        for line in text("proc/self/mountinfo").lines() {
            let Some(mount) = MountLine::parse(line) else { continue };
            match mount.fs_type {
                "cgroup2" if facts.v2.is_none() => {
                    if let Some(path) = own_group(&own, "") {
                        let mut hierarchy = hierarchy(root, &mount, &path);
                        let own = hierarchy.own_directory();
                        hierarchy.controllers = controllers(&own);
                        hierarchy.writable &= delegated(root, &own);
                        facts.v2 = Some(hierarchy);
                    }
                }
                "cgroup" => {
                    for controller in mount.super_options.split(',') {
                        let known = V1_CONTROLLERS.contains(&controller)
                            && !facts.v1.iter().any(|(c, _)| c == controller);
                        if let Some(path) = own_group(&own, controller).filter(|_| known) {
                            let entry = (controller.to_owned(), hierarchy(root, &mount, &path));
                            facts.v1.push(entry);
                        }
                    }
                }
                _ => {}
            }
        }
        facts
    }

    /// The version 2 hierarchy, if it is delegated to the caller with the controllers that a
    /// build needs. On a hybrid host, where version 1 has them, it is not.
    pub(crate) fn usable_v2(&self) -> Option<&Hierarchy> {
        self.v2.as_ref().filter(|h| {
            h.writable && ["memory", "pids"].iter().all(|c| h.controllers.iter().any(|x| x == c))
        })
    }

    /// As [`super::most_pids`], of these groups.
    pub(super) fn most_pids(&self) -> Option<u64> {
        let of_v1 = self.v1.iter().find(|(controller, _)| controller == "pids");
        let hierarchy = of_v1.map(|(_, hierarchy)| hierarchy).or(self.v2.as_ref())?;
        let own = hierarchy.own_directory();
        let groups = own.ancestors().take_while(|dir| dir.starts_with(&hierarchy.mount));
        groups.filter_map(|dir| super::number(&dir.join("pids.max"))).min()
    }

    /// The version 1 hierarchy of a controller, if the caller may make groups in it.
    pub(crate) fn usable_v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|(c, h)| c == controller && h.writable).map(|(_, h)| h)
    }
}

fn hierarchy(root: &Path, mount: &MountLine<'_>, own: &str) -> Hierarchy {
    // In a container the mount shows a part of the hierarchy, of which the own group's path is
    // relative to the whole.
    let own = own.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or(own);
    let mut hierarchy = Hierarchy {
        mount: root.join(mount.mount_point.trim_start_matches('/')),
        own: own.into(),
        writable: false,
        controllers: Vec::new(),
    };
    if !hierarchy.own_directory().is_dir() {
        hierarchy.own = "/".into();
    }
    let dir = hierarchy.own_directory();
    let access = nix::unistd::AccessFlags::W_OK;
    hierarchy.writable = nix::unistd::access(&dir, access).is_ok()
        && nix::unistd::access(&dir.join("cgroup.procs"), access).is_ok();
    hierarchy
}

/// `SwapTotal:       0 kB` of /proc/meminfo is a host without swap.
fn has_swap(meminfo: &str) -> bool {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("SwapTotal:"))
        .is_some_and(|total| total.split_whitespace().next() != Some("0"))
}

/// Whether a group may be divided by us. For an ordinary user, being able to write to it says so;
/// root can write everywhere, but systemd gives away only the groups that it marks
/// (systemd's document on control group delegation).
fn delegated(root: &Path, own: &Path) -> bool {
    let has_mark = |dir: &Path| {
        ["trusted.delegate", "user.delegate"].iter().any(|name| crate::sys::has_xattr(dir, name))
    };
    !nix::unistd::geteuid().is_root()
        || !root.join("run/systemd/system").exists()
        || has_mark(own)
        || has_mark(&super::v2::base(own))
}

/// Controllers that children of the group at `dir` can have. A group in which we already moved
/// ourselves aside is one level up.
fn controllers(dir: &Path) -> Vec<String> {
    fs::read_to_string(super::v2::base(dir).join("cgroup.controllers"))
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The caller's group from /proc/self/cgroup: `id:controllers:path`, no controllers for version 2.
fn own_group(text: &str, controller: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        let path = fields.next()?;
        controllers.split(',').any(|c| c == controller).then(|| path.to_owned())
    })
}

/// The fields of /proc/PID/mountinfo that matter here (proc_pid_mountinfo(5)).
struct MountLine<'a> {
    root: &'a str,
    mount_point: &'a str,
    fs_type: &'a str,
    super_options: &'a str,
}

impl<'a> MountLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let mut after = after.split(' ');
        Some(MountLine {
            root: before.next()?,
            mount_point: before.next()?,
            fs_type: after.next()?,
            super_options: after.nth(1)?,
        })
    }
}
