//! How much there is in a tree that may be hostile, and changes meanwhile.

use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::context;
use crate::buildroot::disk::Size;

/// How many directories below each other are looked into; the rest counts as much as is allowed,
/// which ends a build that hides something there.
const DEPTH: usize = 1000;

/// Bytes on the disk and inodes of everything below `directory`, without following links; no more
/// is counted once they exceed `enough`. What goes away meanwhile is not counted.
pub(super) fn measure(directory: &Path, enough: &Size) -> io::Result<Size> {
    let top = open(directory, flags(), Mode::empty());
    let top = context("open", directory, top.map_err(Into::into))?;
    let mut size = Size::default();
    let mut linked = HashSet::new();
    // Relative to open directories, since paths may be longer than the kernel takes.
    let mut way = vec![(top, None::<Vec<CString>>)];
    while let Some((dir, names)) = way.last_mut() {
        let names = match names {
            Some(names) => names,
            names => names.insert(look(dir, &mut size, &mut linked, enough)),
        };
        if size.exceeds(enough) {
            break;
        }
        let Some(name) = names.pop() else {
            way.pop();
            continue;
        };
        match openat(dir.as_fd(), name.as_c_str(), flags(), Mode::empty()) {
            Ok(inner) if way.len() < DEPTH => way.push((inner, None)),
            Ok(_) | Err(Errno::EMFILE | Errno::ENFILE) => return Ok(Size::MAX),
            Err(_) => {}
        }
    }
    Ok(size)
}

fn flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// Counts what is in a directory; gives the directories in it.
fn look(dir: &OwnedFd, size: &mut Size, linked: &mut HashSet<u64>, enough: &Size) -> Vec<CString> {
    let mut inner = Vec::new();
    let mut listing = match Dir::openat(dir.as_fd(), ".", flags(), Mode::empty()) {
        Ok(listing) => listing,
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
            *size = Size::MAX;
            return inner;
        }
        // Whoever may not look into it has put nothing there either.
        Err(_) => return inner,
    };
    for entry in listing.iter().flatten() {
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let Ok(stat) = fstatat(dir.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        let is_directory = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
        if is_directory {
            inner.push(name.to_owned());
        } else if stat.st_nlink > 1 && !linked.insert(stat.st_ino) {
            continue;
        }
        // A unit of st_blocks is 512 bytes whatever the file system has (stat(2)).
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        size.bytes = size.bytes.saturating_add(blocks.saturating_mul(512));
        size.inodes = size.inodes.saturating_add(1);
        if size.exceeds(enough) {
            break;
        }
    }
    inner
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn links_count_once_and_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(dir.path().join("d/file"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let size = measure(dir.path(), &Size::MAX).unwrap();
        assert_eq!(size.inodes, 3);
        assert!((100_000..200_000).contains(&size.bytes), "{size:?}");
        let enough = Size { bytes: u64::MAX, inodes: 1 };
        assert_eq!(measure(dir.path(), &enough).unwrap().inodes, 2);
    }

    #[test]
    fn deep_trees_hide_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut open = open(dir.path(), flags(), Mode::empty()).unwrap();
        let name = "d".repeat(200);
        for _ in 0..100 {
            nix::sys::stat::mkdirat(open.as_fd(), name.as_str(), Mode::S_IRWXU).unwrap();
            open = openat(open.as_fd(), name.as_str(), flags(), Mode::empty()).unwrap();
        }
        assert_eq!(measure(dir.path(), &Size::MAX).unwrap().inodes, 100);
    }
}
