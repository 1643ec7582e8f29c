//! Writing the id maps of a sandbox.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Attempt, Failure};
use crate::ids::{IdMapping, IdRange, MapWriter};

/// Writes the id maps of a process in a new user namespace.
pub(super) fn write(ids: &IdMapping, pid: Pid) -> Result<(), Failure> {
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/{pid}/{name}"), &text).step(format!("write {name}"))
    };
    match &ids.writer {
        MapWriter::Helpers { newuidmap, newgidmap } => {
            // Both at once: each is a program to be started.
            let uids = Helper::start(newuidmap, pid, &ids.uids)?;
            let gids = Helper::start(newgidmap, pid, &ids.gids)?;
            uids.finish().and(gids.finish())
        }
        MapWriter::Direct => {
            write("uid_map", map_text(&ids.uids))?;
            write("gid_map", map_text(&ids.gids))
        }
        MapWriter::SingleId => {
            // Without privilege, groups can be mapped only if they cannot be dropped.
            write("setgroups", "deny".to_owned())?;
            write("uid_map", map_text(&ids.uids))?;
            write("gid_map", map_text(&ids.gids))
        }
    }
}

fn map_text(ranges: &[IdRange]) -> String {
    ranges
        .iter()
        .map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count))
        .collect()
}

/// newuidmap or newgidmap, running.
struct Helper {
    step: String,
    child: Child,
}

impl Helper {
    fn start(program: &Path, pid: Pid, ranges: &[IdRange]) -> Result<Helper, Failure> {
        let step = format!("run {}", program.display());
        let mut command = Command::new(program);
        command.arg(pid.to_string());
        for range in ranges {
            let numbers = [range.inside, range.outside, range.count];
            command.args(numbers.map(|number| number.to_string()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().step(step.as_str())?;
        Ok(Helper { step, child })
    }

    fn finish(self) -> Result<(), Failure> {
        let output = self.child.wait_with_output().step(self.step.as_str())?;
        if output.status.success() {
            return Ok(());
        }
        let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure { step: self.step, errno: Errno::EPERM, detail: Some(detail) })
    }
}
