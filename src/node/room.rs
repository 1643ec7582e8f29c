//! Room on the disk, while no task is taken for want of it: what earlier builds have left there goes,
//! which else happens after a build only.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::tell::{Level, tell};
use crate::config::Own;

/// The time from the beginning of an attempt to the next: what is in use now may not be then.
const INTERVAL: Duration = Duration::from_secs(30);

/// Makes room, now and then.
#[derive(Debug, Default)]
pub(super) struct Room {
    begun: Option<Instant>,
    runs: Arc<AtomicBool>,
}

impl Room {
    /// Starts what makes room, unless it runs or has begun a moment ago. Nobody waits for it.
    pub(super) fn make(&mut self, program: &Path, own: &Own) {
        let is_early = self.begun.is_some_and(|begun| begun.elapsed() < INTERVAL);
        if is_early || self.runs.swap(true, Ordering::Relaxed) {
            return;
        }
        self.begun = Some(Instant::now());
        let mut command = super::apart(program);
        command.args(arguments(own));
        let runs = self.runs.clone();
        let started = std::thread::Builder::new().name("room".to_owned()).spawn(move || {
            run(&mut command);
            runs.store(false, Ordering::Relaxed);
        });
        if let Err(error) = started {
            self.runs.store(false, Ordering::Relaxed);
            tell(Level::Warning, format_args!("no room can be made: {error}"));
        }
    }
}

/// `albs-node buildroot gc`.
fn arguments(own: &Own) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["buildroot".into(), "gc".into()];
    let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
    option("--store", own.store.clone().into());
    option("--source-cache", own.source_cache.clone().into());
    option("--git-cache", own.git_cache.clone().into());
    option("--min-free", own.free_disk.to_string().into());
    option("--min-free-inodes", own.free_inodes.to_string().into());
    arguments
}

/// Waits for its end, and tells what has gone.
fn run(command: &mut Command) {
    match command.output() {
        Ok(output) => {
            let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            for line in lines(&output.stdout).lines().filter(|line| line.starts_with("removed ")) {
                tell(Level::Info, line);
            }
            for line in lines(&output.stderr).lines() {
                tell(Level::Warning, format_args!("making room: {line}"));
            }
        }
        Err(error) => tell(Level::Warning, format_args!("no room can be made: {error}")),
    }
}
