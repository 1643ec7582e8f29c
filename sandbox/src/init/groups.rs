//! Joining control groups.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};

use nix::unistd::Pid;

use super::{Attempt, Failure};
use crate::wire::Launch;

/// The groups that pid 1 joins by itself: those of version 1, where a thread that moves itself
/// does not wait for all processors, as who moves a process does for milliseconds
/// (cgroup_procs_write_start of kernel/cgroup/cgroup.c since Linux 5.5). Opened with the caller's
/// rights.
pub(super) fn open(launch: &Launch) -> Result<Vec<File>, Failure> {
    if launch.born_in.is_some() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for procs in &launch.cgroup_procs {
        let tasks = procs.with_file_name("tasks");
        match File::options().write(true).open(&tasks) {
            Ok(file) => files.push(file),
            // Version 2 has no such file.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            result => {
                result.step(format!("join {}", tasks.display()))?;
            }
        }
    }
    Ok(files)
}

/// Moves this process, which must have one thread.
pub(super) fn enter(files: Vec<File>, launch: &Launch) -> Result<(), Failure> {
    files.into_iter().zip(&launch.cgroup_procs).try_for_each(|(mut file, procs)| {
        file.write_all(b"0").step(format!("join {}", procs.with_file_name("tasks").display()))
    })
}

/// Moves another process.
pub(super) fn join(launch: &Launch, pid: Pid) -> Result<(), Failure> {
    launch.cgroup_procs.iter().try_for_each(|file| {
        fs::write(file, pid.to_string()).step(format!("join {}", file.display()))
    })
}
