//! Directories of control groups: their names, and their removal, also of those whose makers are
//! gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::facts::CgroupFacts;
use super::{CgroupError, attempt, v2};

/// Prefix of the directories that we make, so that left-overs can be told from others' groups.
pub const PREFIX: &str = "albs-node.";

/// Removes a control group directory, waiting for at most a second for its last processes.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    let mut delay = std::time::Duration::from_micros(200);
    for _ in 0..14 {
        match fs::remove_dir(dir) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                // Version 2 since Linux 5.14; elsewhere the end of pid 1 has killed them.
                let _ = fs::write(dir.join("cgroup.kill"), "1");
                std::thread::sleep(delay);
                delay = (delay * 2).min(std::time::Duration::from_millis(128));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    fs::remove_dir(dir)
}

/// Removes groups whose makers are gone: a maker that was killed, together with its
/// `sandbox-init`, could not do it. Groups that still have processes are left alone: a maker in
/// another pid namespace looks as if it were gone.
pub fn sweep(facts: &CgroupFacts) {
    let own = facts.usable_v2().map(|h| v2::base(&h.own_directory()));
    let parents = facts.v1.iter().map(|(_, h)| h.own_directory()).chain(own);
    for parent in parents {
        let Ok(entries) = fs::read_dir(&parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name
                .to_str()
                .and_then(maker)
                .is_some_and(|pid| !Path::new("/proc").join(pid).exists())
            {
                remove_tree(&entry.path());
            }
        }
    }
}

/// Removes a group and those in it, as far as they have no processes.
fn remove_tree(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(dir);
}

/// The subtree that a group is in, if it is in one.
pub(crate) fn subtree_of(group: &Path) -> Option<&Path> {
    group.parent().filter(|dir| dir.file_name().and_then(|n| n.to_str()).and_then(maker).is_some())
}

/// Makes a group with a name that is unique on the host and tells whose it is:
/// `albs-node.PID.COUNT.NAME`.
pub(super) fn make_group(parent: &Path, name: &str) -> Result<PathBuf, CgroupError> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("{PREFIX}{}.{count}.{name}", std::process::id()));
        match fs::create_dir(&dir) {
            // Left by an earlier process that had the same number, as is usual in containers.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return attempt("make the control group", &dir, result).map(|()| dir),
        }
    }
}

/// A group, and that of the build around it, if it has one.
pub(super) fn with_build(dir: &Path) -> impl Iterator<Item = &Path> {
    let is_ours = |dir: &&Path| {
        let name = dir.file_name().and_then(std::ffi::OsStr::to_str);
        name.is_some_and(|name| maker(name).is_some())
    };
    std::iter::once(dir).chain(dir.parent().filter(is_ours))
}

/// The process id in a name of [`make_group`].
pub(super) fn maker(name: &str) -> Option<&str> {
    let pid = name.strip_prefix(PREFIX)?.split('.').next()?;
    pid.bytes().all(|b| b.is_ascii_digit()).then_some(pid)
}
