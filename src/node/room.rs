//! Room on the disk of the store, while no task is taken for want of it: what earlier builds have
//! left there goes, since no build comes after which it would.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::tell::{Level, tell};
use crate::config::Own;

/// The time between two attempts.
const INTERVAL: Duration = Duration::from_secs(600);

/// Makes room, now and then.
#[derive(Debug, Default)]
pub(super) struct Room {
    begun: Option<Instant>,
    running: Option<Child>,
}

impl Room {
    /// Room is wanted, or not. Starts what makes it, unless that runs or has run a moment ago.
    pub(super) fn is_wanted(&mut self, wanted: bool, program: &Path, own: &Own) {
        self.look();
        if !wanted {
            self.begun = None;
            return;
        }
        let is_early = self.begun.is_some_and(|begun| begun.elapsed() < INTERVAL);
        if self.running.is_some() || is_early {
            return;
        }
        self.begun = Some(Instant::now());
        tell(Level::Info, "what earlier builds have left goes, as far as room is needed");
        match start(program, own) {
            Ok(child) => self.running = Some(child),
            Err(error) => tell(Level::Warning, format_args!("no room can be made: {error}")),
        }
    }

    /// Tells how it ended, if it did.
    fn look(&mut self) {
        let Some(child) = &mut self.running else { return };
        match child.try_wait() {
            Ok(None) => return,
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => tell(Level::Warning, format_args!("making room failed: {status}")),
            Err(error) => tell(Level::Warning, format_args!("making room failed: {error}")),
        }
        self.running = None;
    }
}

/// `albs-node buildroot gc`, in a process group of its own: what ends the node from a terminal is
/// not meant for it. What it complains of is told where the node tells.
fn start(program: &Path, own: &Own) -> io::Result<Child> {
    Command::new(program)
        .args(arguments(own))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("CREDENTIALS_DIRECTORY")
        .process_group(0)
        .spawn()
}

/// Twice what a task needs, so that it is not wanting at once again.
fn arguments(own: &Own) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["buildroot", "gc", "--store"].map(Into::into).into();
    arguments.push(own.store.clone().into());
    arguments.extend(["--min-free".into(), own.free_disk.saturating_mul(2).to_string().into()]);
    let inodes = own.free_inodes.saturating_mul(2).to_string();
    arguments.extend(["--min-free-inodes".into(), inodes.into()]);
    arguments.extend(["--git-cache".into(), own.git_cache.clone().into()]);
    arguments
}
