//! Mirrors of repositories, one for each address, that builds share. Whoever finds one in use does
//! without updating it, and borrows what it has: nothing is ever removed from one that is in use, but
//! what git has left unfinished.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::commands::{self, BARE, MIRROR};
use super::reach::Reached;
use super::run::{Answer, Git};
use crate::buildroot::disk;
use crate::buildroot::scratch::{self, Tools};
use crate::buildroot::store::{self, Lock, LockKind};
use crate::verdict::Failure;

/// How long a mirror that nobody uses is kept.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Mirrors go where no more than this is free, in percent of the file system and in bytes.
const LEAST_FREE: (u64, u64) = (20, 50 << 30);
/// How long one is not touched because of that: who borrows of it holds no lock.
const IN_USE: Duration = Duration::from_secs(6 * 3600);
/// The name of a mirror that is being removed.
const GOING: &str = "going";
/// How the names begin of what git has not finished.
const UNFINISHED: &str = "tmp_";
/// Most of them that are removed at once; their names are an argument of the helper.
const MOST_UNFINISHED: usize = 150;

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
        } else {
            // Whoever was here before may have been killed.
            git.tidy();
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

/// Whether this is the lock of a mirror: what else is in a directory is not ours to remove.
fn is_lock(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".lock"));
    name.is_some_and(|name| name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What git has left unfinished in a mirror, below its directory. What cannot be read has nothing.
pub fn unfinished(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for below in ["objects", "objects/pack"] {
        let below = Path::new(BARE).join(below);
        let Ok(entries) = fs::read_dir(dir.join(&below)) else { continue };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let halves = names.filter(|name| name.starts_with(UNFINISHED) && name.len() < 100);
        found.extend(halves.map(|name| below.join(name)));
    }
    found.truncate(MOST_UNFINISHED);
    found
}

/// Whether mirrors are in the way.
pub fn is_short(cache: &Path) -> bool {
    disk::percent_free(cache) < LEAST_FREE.0 && disk::free(cache).bytes < LEAST_FREE.1
}

/// Whether a mirror goes that was used so long ago.
fn goes(unused: Duration, kept: Duration, is_short: &dyn Fn() -> bool) -> bool {
    unused >= kept || unused >= IN_USE && is_short()
}

/// Removes mirrors that nobody has used for so long, and as long as they are in the way, those that
/// nobody has used for the longest time. Those in use stay; why others did is told.
pub fn prune(
    cache: &Path,
    tools: Tools<'_>,
    kept: Duration,
    is_short: &dyn Fn() -> bool,
) -> Vec<String> {
    let Ok(entries) = fs::read_dir(cache) else { return Vec::new() };
    let used = |entry: &fs::DirEntry| entry.metadata().and_then(|metadata| metadata.modified());
    let mut mirrors: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .map(|entry| (used(&entry).unwrap_or(SystemTime::UNIX_EPOCH), entry.path()))
        .filter(|(_, path)| is_lock(path))
        .collect();
    mirrors.sort();
    let mut problems = Vec::new();
    for (used, path) in mirrors {
        if !goes(used.elapsed().unwrap_or_default(), kept, is_short) {
            break;
        }
        let lock = store::lock(&path, LockKind::Exclusive, &mut store::do_not_wait);
        let Ok(Some(_lock)) = lock else { continue };
        let dir = path.with_extension("");
        // Whoever opens it from now on finds none.
        let _ = fs::rename(dir.join(BARE), dir.join(GOING));
        let trees = [BARE, GOING];
        match crate::buildroot::remove::remove_trees(tools.context, tools.program, &dir, &trees) {
            Ok(()) => drop(fs::remove_file(&path)),
            Err(reason) => problems.push(format!("a mirror was not removed: {reason}")),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_go_when_they_are_old_or_in_the_way() {
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        let (much, little) = (|| false, || true);
        assert!(goes(KEPT, KEPT, &much) && goes(Duration::ZERO, Duration::ZERO, &much));
        assert!(!goes(day, KEPT, &much) && goes(day, KEPT, &little));
        // A borrower may still read.
        assert!(!goes(hour, KEPT, &little));
    }

    #[test]
    fn what_is_no_mirror_stays() {
        let name = crate::checksum::of(b"a")[..40].to_owned();
        assert!(is_lock(Path::new(&format!("/git/{name}.lock"))));
        for other in ["git.lock", &name, &format!("{name}0.lock"), ".lock"] {
            assert!(!is_lock(&Path::new("/git").join(other)), "{other}");
        }
    }

    #[test]
    fn what_git_has_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(unfinished(dir.path()), [] as [PathBuf; 0]);
        let objects = dir.path().join(BARE).join("objects");
        fs::create_dir_all(objects.join("pack")).unwrap();
        for name in ["tmp_obj_a", "pack/tmp_pack_b", "pack/pack-c.pack", "info"] {
            fs::write(objects.join(name), "").unwrap();
        }
        let below = |name: &str| Path::new(BARE).join("objects").join(name);
        assert_eq!(unfinished(dir.path()), [below("tmp_obj_a"), below("pack/tmp_pack_b")]);
    }
}
