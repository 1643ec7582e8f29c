//! Removing what somebody hostile may have made: trees of any depth, with any number of files.
//!
//! The standard library holds every directory on the way down open, so that a tree deeper than the
//! limit on descriptors could never be removed. Here, what is too deep is moved to the top first.

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::context;

/// How many directories below the top are open at once.
const DEPTH: usize = 64;
/// Bytes of a path that is looked at for its age, with room for one more name before PATH_MAX.
const LONGEST_PATH: usize = 3800;
/// How many names are held at once.
const BATCH: usize = 4096;

/// Removes whatever is at `path`; nothing there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    context("remove", path, remove_tree(path))
}

/// As [`remove`], for trees of this user; the error is the cause alone.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    remove_at(path).map_err(Into::into)
}

/// Removes everything in a directory.
pub(super) fn empty(path: &Path) -> io::Result<()> {
    let clear = || {
        let top = open(path, directory(), Mode::empty())?;
        Removal { top: top.as_fd(), moved: 0 }.clear(top.as_fd(), 0)
    };
    context("empty", path, clear().map_err(io::Error::from))
}

fn remove_at(path: &Path) -> nix::Result<()> {
    match unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(error) => return Err(error),
    }
    let top = open(path, directory(), Mode::empty())?;
    Removal { top: top.as_fd(), moved: 0 }.clear(top.as_fd(), 0)?;
    unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir)
}

fn directory() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    moved: u64,
}

impl Removal<'_> {
    /// Removes everything in a directory, or moves it to the top.
    fn clear(&mut self, dir: BorrowedFd<'_>, depth: usize) -> nix::Result<()> {
        loop {
            // Moving adds names to the top, and removing may hide some from a listing.
            let names = names(dir)?;
            if names.is_empty() {
                return Ok(());
            }
            names.iter().try_for_each(|name| self.remove(dir, name, depth))?;
        }
    }

    fn remove(&mut self, dir: BorrowedFd<'_>, name: &CStr, depth: usize) -> nix::Result<()> {
        match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => {}
            // Compilers tidy up a cache of theirs as well.
            Err(Errno::ENOENT) => return Ok(()),
            result => return result,
        }
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            result => return result,
        }
        if depth >= DEPTH {
            return self.move_to_top(dir, name);
        }
        // Whoever uses a cache meanwhile may remove it, or put something there: what is left is
        // listed again.
        let inner = match openat(dir, name, directory(), Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(()),
            inner => inner?,
        };
        self.clear(inner.as_fd(), depth + 1)?;
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(()),
            result => result,
        }
    }

    fn move_to_top(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
        loop {
            self.moved += 1;
            let free = format!("moved-{}", self.moved);
            match renameat(dir, name, self.top, free.as_str()) {
                // The tree has such a name already.
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
                result => return result,
            }
        }
    }
}

/// Some of the names in a directory; none if it is empty.
fn names(dir: BorrowedFd<'_>) -> nix::Result<Vec<CString>> {
    let mut listing = Dir::openat(dir, ".", directory(), Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let name = entry?.file_name().to_owned();
        if ![c".", c".."].contains(&name.as_c_str()) {
            names.push(name);
            if names.len() == BATCH {
                break;
            }
        }
    }
    Ok(names)
}

/// Removes regular files below a directory that have not changed for so many seconds, or not before
/// tomorrow: whoever wrote them has set that. What is deeper than caches are, or has longer names,
/// stays.
pub(super) fn remove_old(directory: &Path, seconds: u64) -> io::Result<()> {
    let now = SystemTime::now();
    let tomorrow = now + Duration::from_secs(24 * 60 * 60);
    match now.checked_sub(Duration::from_secs(seconds)) {
        Some(before) => remove_outside(directory, &(before..tomorrow), DEPTH),
        None => Ok(()),
    }
}

fn remove_outside(directory: &Path, times: &Range<SystemTime>, depth: usize) -> io::Result<()> {
    for entry in context("read", directory, fs::read_dir(directory))? {
        let entry = context("read", directory, entry)?;
        let path = entry.path();
        if path.as_os_str().len() > LONGEST_PATH {
            continue;
        }
        let data = context("look at", &path, fs::symlink_metadata(&path))?;
        if data.is_dir() {
            if depth > 0 {
                remove_outside(&path, times, depth - 1)?;
            }
        } else if data.is_file() && data.modified().is_ok_and(|changed| !times.contains(&changed)) {
            context("remove", &path, fs::remove_file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn deep_wide_and_misleading_trees() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut place = open(&tree, directory(), Mode::empty()).unwrap();
        for level in 0..1500 {
            nix::sys::stat::mkdirat(&place, "deep", Mode::S_IRWXU).unwrap();
            place = openat(&place, "deep", directory(), Mode::empty()).unwrap();
            if level % 100 == 0 {
                nix::unistd::symlinkat(&outside, &place, "link").unwrap();
            }
        }
        for number in 0..BATCH + 10 {
            fs::write(tree.join(format!("file-{number}")), "").unwrap();
        }
        // Names that are wanted for what is moved.
        fs::create_dir_all(tree.join("moved-1/inner")).unwrap();
        fs::write(tree.join("moved-2"), "").unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove(&tree).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        remove(&link).unwrap();
        assert!(outside.join("kept").exists() && fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn a_cache_of_any_names_becomes_empty() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let odd = std::ffi::OsStr::from_bytes(b"not-\xff-text");
        fs::create_dir_all(cache.join(odd).join(odd)).unwrap();
        (0..600).for_each(|n| fs::write(cache.join(format!("{n:0250}")), "").unwrap());
        empty(&cache).unwrap();
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
        assert!(empty(&dir.path().join("nothing")).is_err());
    }

    #[test]
    fn paths_that_are_too_long_are_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = open(dir.path(), directory(), Mode::empty()).unwrap();
        let name = "n".repeat(250);
        for _ in 0..17 {
            nix::sys::stat::mkdirat(&place, name.as_str(), Mode::S_IRWXU).unwrap();
            place = openat(&place, name.as_str(), directory(), Mode::empty()).unwrap();
        }
        fs::write(dir.path().join("new"), "").unwrap();
        remove_old(dir.path(), 60 * 60).unwrap();
        assert!(dir.path().join("new").exists());
    }

    #[test]
    fn old_files_and_those_of_another_day_go() {
        let dir = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let now = SystemTime::now();
        for (name, time) in [("old", now - day * 2), ("new", now), ("odd", now + day * 2)] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        remove_old(dir.path(), 60 * 60).unwrap();
        let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["new"]);
    }
}
