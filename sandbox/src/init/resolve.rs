//! Paths inside the new root, resolved so that no symbolic link leads out of it.
//!
//! The root may have been written by a build. openat2(2) with RESOLVE_IN_ROOT does it in one call;
//! where the kernel does not have it, as that of AlmaLinux 8, names are walked one by one.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};

/// As many as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Flags to open something as a location only.
const LOCATION: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// What the last name of a path must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Whatever is there.
    Existing,
    /// A directory, made with this mode if missing.
    Directory(u32),
    /// Something that is not a directory; an empty file if missing.
    File,
}

/// A root below which paths are resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Below<'a> {
    pub(super) root: BorrowedFd<'a>,
    /// Whether the kernel can be asked for openat2(2).
    pub(super) openat2: bool,
}

impl Below<'_> {
    /// Opens `path` as a location (O_PATH), making what is missing on the way.
    ///
    /// Following a link that a hostile root contains ends inside the root: `..` at the root stays
    /// at the root, and absolute targets start from it.
    pub(super) fn open(&self, path: &Path, target: Target) -> nix::Result<OwnedFd> {
        let at_once = self.openat2.then(|| at_once(self.root, path, target)).flatten();
        at_once.unwrap_or_else(|| walk(self.root, path, target))
    }
}

/// As [`Below::open`], by few calls. None if that does not go: the kernel lacks them, or more is missing
/// than the last name, or there is an error that the walk gives as well.
fn at_once(root: BorrowedFd<'_>, path: &Path, target: Target) -> Option<nix::Result<OwnedFd>> {
    let beneath = |path: &Path, flags: OFlag| {
        let how = OpenHow::new().flags(LOCATION | flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        openat2(root, path, how)
    };
    let kind = match target {
        Target::Directory(_) => OFlag::O_DIRECTORY,
        Target::Existing | Target::File => OFlag::empty(),
    };
    match (beneath(path, kind), target) {
        (Ok(fd), Target::File) if kind_of_open(&fd).ok()? == SFlag::S_IFDIR => {
            Some(Err(Errno::EISDIR))
        }
        (Err(Errno::ENOENT), Target::Existing) => Some(Err(Errno::ENOENT)),
        (Err(Errno::ENOENT), _) => {
            let (dir, name) =
                (beneath(path.parent()?, OFlag::O_DIRECTORY).ok()?, path.file_name()?);
            make(dir.as_fd(), name, target).ok()?;
            Some(openat(&dir, name, LOCATION | OFlag::O_NOFOLLOW, Mode::empty()))
        }
        (result, _) => result.ok().map(Ok),
    }
}

/// As [`Below::open`], by calls that every kernel has.
fn walk(root: BorrowedFd<'_>, path: &Path, target: Target) -> nix::Result<OwnedFd> {
    let mut names: VecDeque<OsString> = names(path);
    // Directories from the root down to where the walk is.
    let mut walk: Vec<OwnedFd> = vec![reopen(root)?];
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            if walk.len() > 1 {
                walk.pop();
            }
            continue;
        }
        let here = walk[walk.len() - 1].as_fd();
        let last = names.is_empty();
        let kind = match kind_of(here, &name) {
            Err(Errno::ENOENT) => {
                make(here, &name, if last { target } else { Target::Directory(0o755) })?;
                kind_of(here, &name)?
            }
            kind => kind?,
        };
        if kind == SFlag::S_IFLNK {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP);
            }
            let link = readlinkat(here, name.as_os_str())?;
            let link = Path::new(&link);
            if link.is_absolute() {
                walk.truncate(1);
            }
            for name in self::names(link).into_iter().rev() {
                names.push_front(name);
            }
            continue;
        }
        let flags = LOCATION | OFlag::O_NOFOLLOW;
        let fd = openat(here, name.as_os_str(), flags, Mode::empty())?;
        if last {
            return match (target, kind) {
                (Target::Directory(_), SFlag::S_IFDIR) => Ok(fd),
                (Target::Directory(_), _) => Err(Errno::ENOTDIR),
                (Target::File, SFlag::S_IFDIR) => Err(Errno::EISDIR),
                _ => Ok(fd),
            };
        }
        if kind != SFlag::S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        walk.push(fd);
    }
    // The path ended at a directory on the way: "/", or a link with "..".
    walk.pop().ok_or(Errno::EINVAL)
}

/// Opens the directory of `path` and gives its last name, which is not followed.
pub(super) fn parent<'a>(below: Below<'_>, path: &'a Path) -> nix::Result<(OwnedFd, &'a OsStr)> {
    let name = path.file_name().ok_or(Errno::EINVAL)?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    Ok((below.open(dir, Target::Directory(0o755))?, name))
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn reopen(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    openat(fd, ".", LOCATION | OFlag::O_DIRECTORY, Mode::empty())
}

fn kind_of(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<SFlag> {
    let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT)
}

fn kind_of_open(fd: &OwnedFd) -> nix::Result<SFlag> {
    Ok(SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT)
}

fn make(dir: BorrowedFd<'_>, name: &OsStr, target: Target) -> nix::Result<()> {
    match target {
        Target::Existing => Err(Errno::ENOENT),
        Target::Directory(mode) => mkdirat(dir, name, Mode::from_bits_truncate(mode)),
        Target::File => openat(
            dir,
            name,
            OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::from_bits_truncate(0o644),
        )
        .map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        (dir, fd)
    }

    fn path_of(fd: &OwnedFd) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
    }

    fn open(root: BorrowedFd<'_>, path: &Path, target: Target) -> nix::Result<OwnedFd> {
        Below { root, openat2: true }.open(path, target)
    }

    /// Both ways must do the same.
    fn both(fd: &OwnedFd, path: &str, target: Target) -> nix::Result<std::path::PathBuf> {
        let path = Path::new(path);
        let walked = walk(fd.as_fd(), path, target).map(|f| path_of(&f));
        assert_eq!(open(fd.as_fd(), path, target).map(|f| path_of(&f)), walked);
        walked
    }

    #[test]
    fn links_stay_inside() {
        let (dir, fd) = root();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("usr/lib")).unwrap();
        symlink("/usr/lib", base.join("lib")).unwrap();
        symlink("../../../../etc", base.join("usr/out")).unwrap();
        symlink("/", base.join("self")).unwrap();
        let at = |path: &str, target| both(&fd, path, target);
        assert_eq!(at("/lib", Target::Existing), Ok(base.join("usr/lib")));
        assert_eq!(at("/usr/out/passwd", Target::File), Ok(base.join("etc/passwd")));
        assert_eq!(at("/self/self/usr", Target::Existing), Ok(base.join("usr")));
        assert_eq!(at("/self", Target::Existing), Ok(base.clone()));
        assert_eq!(at("/../..", Target::Existing), Ok(base.clone()));
    }

    #[test]
    fn missing_names_are_made_and_wrong_kinds_refused() {
        for way in [open, walk] {
            let (dir, fd) = root();
            let at = |path: &str, target| way(fd.as_fd(), Path::new(path), target).map(drop);
            assert_eq!(at("/a/b/c", Target::Directory(0o700)), Ok(()));
            assert_eq!(at("/a/b/d", Target::Directory(0o700)), Ok(()));
            assert!(dir.path().join("a/b/c").is_dir() && dir.path().join("a/b/d").is_dir());
            assert_eq!(at("/a/b/file", Target::File), Ok(()));
            assert!(dir.path().join("a/b/file").is_file());
            assert_eq!(at("/a/b/file", Target::Directory(0o755)), Err(Errno::ENOTDIR));
            assert_eq!(at("/a/b/c", Target::File), Err(Errno::EISDIR));
            assert_eq!(at("/a/b/file/d", Target::File), Err(Errno::ENOTDIR));
            assert_eq!(at("/nothing", Target::Existing), Err(Errno::ENOENT));
        }
    }

    #[test]
    fn what_a_dangling_link_names_is_made_inside() {
        for way in [open, walk] {
            let (dir, fd) = root();
            symlink("/far/away", dir.path().join("link")).unwrap();
            let made = way(fd.as_fd(), Path::new("/link"), Target::File).map(|f| path_of(&f));
            assert_eq!(made, Ok(dir.path().canonicalize().unwrap().join("far/away")));
        }
    }

    #[test]
    fn circles_end() {
        let (dir, fd) = root();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert_eq!(both(&fd, "/a", Target::Existing), Err(Errno::ELOOP));
    }
}
