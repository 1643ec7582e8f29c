//! Mirrors of repositories, one for each address, that builds share. Whoever finds one in use does
//! without updating it, and borrows what it has: nothing is ever removed from one that is there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::commands::{self, BARE, MIRROR};
use super::reach::Reached;
use super::run::{Answer, Git};
use crate::buildroot::scratch::{self, Tools};
use crate::buildroot::store::{self, Lock, LockKind};
use crate::verdict::Failure;

/// How long a mirror that nobody uses is kept.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// A place for the mirror of one repository.
#[derive(Debug)]
pub struct Mirror {
    /// Its directory.
    pub dir: PathBuf,
    /// Whether it is this build that may write to it.
    lock: Option<Lock>,
}

impl Mirror {
    /// The mirror of a repository.
    ///
    /// # Errors
    ///
    /// Its directory cannot be made.
    pub fn open(cache: &Path, url: &str) -> std::io::Result<Mirror> {
        let dir = cache.join(&crate::checksum::of(url.as_bytes())[..40]);
        store::private_directory(cache)?;
        store::shared_directory(&dir)?;
        let lock_path = dir.with_extension("lock");
        let lock = store::lock(&lock_path, LockKind::Exclusive, &mut store::do_not_wait);
        let lock = lock.map_err(|error| error.source)?;
        // Its age is that of the last use.
        File::options().write(true).open(&lock_path)?.set_modified(SystemTime::now())?;
        Ok(Mirror { dir, lock })
    }

    /// Whether there is something in it.
    pub fn is_filled(&self) -> bool {
        self.dir.join(BARE).join("objects").is_dir()
    }

    /// Whether this build may write to it.
    pub fn is_own(&self) -> bool {
        self.lock.is_some()
    }

    /// Brings it up to date. It must be [`Mirror::is_own`], and be seen by `git` at
    /// [`commands::MIRROR`].
    ///
    /// # Errors
    ///
    /// The sandbox could not be used. How git ended is in the answer.
    pub fn update(&self, git: &Git<'_>, reached: &Reached) -> Result<Answer, Failure> {
        let place = place();
        if !self.is_filled() {
            scratch::make_tree(git.tools, git.stage, &self.dir, BARE)?;
            git.must("a mirror could not be made", commands::init_bare(&place))?;
        }
        git.remote(&commands::fetch_all(&place, &reached.remote.url), reached)
    }

    /// Removes what is in it, because it is of no use.
    pub fn clear(&self, tools: Tools<'_>) -> Result<(), String> {
        crate::buildroot::remove::remove_trees(tools.context, tools.program, &self.dir, &[BARE])?;
        store::shared_directory(&self.dir).map_err(|error| error.to_string())
    }
}

/// The repository of a mirror inside.
pub fn place() -> String {
    format!("{MIRROR}/{BARE}")
}

/// Removes mirrors that nobody has used for so long. Those in use stay; why others did is told.
pub fn prune(cache: &Path, tools: Tools<'_>, kept: Duration) -> Vec<String> {
    let Ok(entries) = fs::read_dir(cache) else { return Vec::new() };
    let now = SystemTime::now();
    let old = now.checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut problems = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        if path.extension().is_none_or(|end| end != "lock") || used.is_ok_and(|used| used > old) {
            continue;
        }
        let lock = store::lock(&path, LockKind::Exclusive, &mut store::do_not_wait);
        let Ok(Some(_lock)) = lock else { continue };
        let dir = path.with_extension("");
        let removed =
            crate::buildroot::remove::remove_trees(tools.context, tools.program, &dir, &[BARE]);
        match removed {
            Ok(()) => drop(fs::remove_file(&path)),
            Err(reason) => problems.push(format!("a mirror was not removed: {reason}")),
        }
    }
    problems
}
