//! Carries out the mount operations of a plan, in pid 1 of the sandbox.
//!
//! Every path is a descriptor by the time it is mounted: host paths were opened with the caller's
//! rights before anything changed, paths inside are resolved below the new root. Mounting goes by
//! old calls, which every kernel since 4.18 has, through /proc/self/fd; where newer ones do several
//! steps at once, they are tried first.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::resolve::{self, Below, Target};
use super::{Attempt, Failure};
use crate::wire::{Child, Launch, Op};

/// Flags of everything that is made for a sandbox.
const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Terminals in a sandbox; all machine has `kernel.pty.max` of them, 4096 as a rule.
const TERMINALS: u32 = 256;

/// Opens the host paths of a plan as locations.
pub(super) fn open_sources(launch: &Launch) -> Result<Vec<OwnedFd>, Failure> {
    launch
        .sources
        .iter()
        .map(|path| {
            open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                .step(format!("open {}", path.display()))
        })
        .collect()
}

/// A root that is being put together.
pub(super) struct Builder<'a> {
    sources: &'a [OwnedFd],
    launch: &'a Launch,
    root: Option<OwnedFd>,
    /// Device and number of the root.
    root_id: (u64, u64),
}

impl<'a> Builder<'a> {
    /// Cuts the mount namespace off from the host's and starts.
    pub(super) fn new(launch: &'a Launch, sources: &'a [OwnedFd]) -> Result<Self, Failure> {
        let none = None::<&str>;
        // Private, not slave: what the host mounts later must not appear inside, where nothing
        // would make it read-only.
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)
            .step("part from the host's mounts")?;
        Ok(Builder { sources, launch, root: None, root_id: (0, 0) })
    }

    /// Carries out one operation.
    pub(super) fn apply(&mut self, op: &Op) -> nix::Result<()> {
        match op {
            Op::RootBind { source, read_only } => {
                self.bind(*source, &self.launch.stage)?;
                self.open_root()?;
                if *read_only { self.remount_tree(self.root()?) } else { Ok(()) }
            }
            Op::RootOverlay { layers, upper, work, volatile } => {
                let options = self.overlay_options(layers, upper, work, *volatile)?;
                overlay(&self.launch.stage, &options)?;
                self.open_root()
            }
            Op::RootTmpfs { size_bytes } => {
                let options = format!("mode=755,size={size_bytes}");
                tmpfs(&self.launch.stage, &options)?;
                self.open_root()
            }
            Op::Bind { source, at, read_only } => {
                let target = self.target_like(*source, at)?;
                self.bind(*source, &fd_path(&target))?;
                if *read_only {
                    self.remount_tree(self.open(at, Target::Existing)?.as_fd())
                } else {
                    Ok(())
                }
            }
            Op::Overlay { at, layers, upper, work, volatile } => {
                let target = self.mount_point(at, Target::Directory(0o755))?;
                overlay(&fd_path(&target), &self.overlay_options(layers, upper, work, *volatile)?)
            }
            Op::ReadOnly { at } => {
                let at_once = self.launch.calls.mount_setattr;
                let target = self.mount_point(at, Target::Existing)?;
                let path = fd_path(&target);
                mount(Some(&path), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
                remount_read_only(self.open(at, Target::Existing)?.as_fd(), at_once)
            }
            Op::Tmpfs { at, mode, size_bytes } => {
                let target = self.mount_point(at, Target::Directory(0o755))?;
                let mut options = format!("mode={mode:o}");
                if let Some(size) = size_bytes {
                    options += &format!(",size={size}");
                }
                tmpfs(&fd_path(&target), &options)
            }
            Op::Proc { at } => self.special("proc", at, SAFE | MsFlags::MS_NOEXEC, None),
            Op::Sysfs { at } => {
                self.special("sysfs", at, SAFE | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY, None)
            }
            Op::Empty { at } => empty_directory(&self.mount_point(at, Target::Directory(0o755))?),
            Op::Devpts { at, tty_gid } => {
                let group = tty_gid.map_or(String::new(), |gid| format!(",gid={gid}"));
                let options = format!("newinstance,ptmxmode=0666,mode=620,max={TERMINALS}{group}");
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
                self.special("devpts", at, flags, Some(&options))
            }
            Op::Mkdir { at, mode } => self.open(at, Target::Directory(*mode)).map(drop),
            Op::Write { at, content, mode } => self.write(at, content, *mode),
            Op::Symlink { at, target } => {
                let (dir, name) = resolve::parent(self.below()?, at)?;
                match nix::unistd::symlinkat(target, dir, name) {
                    Err(Errno::EEXIST) => Ok(()),
                    result => result,
                }
            }
            Op::Mask { at, null } => {
                let target = self.mount_point(at, Target::Existing)?;
                let stat = nix::sys::stat::fstat(&target)?;
                if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
                    empty_directory(&target)
                } else {
                    self.bind(*null, &fd_path(&target))
                }
            }
            // In the host's /proc, which shows what is of this process's namespace.
            Op::UserLimit { name, number } => {
                fs::write(Path::new("/proc/sys/user").join(name), number.to_string())
                    .map_err(to_errno)
            }
            Op::Hostname { name } => nix::unistd::sethostname(name),
            Op::Loopback => crate::sys::loopback_up(),
            Op::Close { prefix } => super::network::close(prefix),
        }
    }

    /// Makes the new root `/` and lets go of the host's.
    pub(super) fn enter(self) -> Result<(), Failure> {
        let root = self.root().step("enter the root: no step made one")?;
        nix::unistd::fchdir(root).step("enter the root")?;
        // Old and new root stacked at the same place: no directory for the old one is needed
        // (pivot_root(2), "pivot_root(".", ".")").
        nix::unistd::pivot_root(".", ".").step("pivot_root to the new root")?;
        umount2(".", MntFlags::MNT_DETACH).step("detach the host's root")?;
        nix::unistd::chdir("/").step("enter the root")
    }

    /// Opens a path inside as a location.
    fn open(&self, at: &Path, target: Target) -> nix::Result<OwnedFd> {
        self.below()?.open(at, target)
    }

    fn below(&self) -> nix::Result<Below<'_>> {
        Ok(Below { root: self.root()?, openat2: self.launch.calls.openat2 })
    }

    fn root(&self) -> nix::Result<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::EINVAL)
    }

    fn open_root(&mut self) -> nix::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(&self.launch.stage, flags, Mode::empty())?;
        let stat = nix::sys::stat::fstat(&root)?;
        (self.root, self.root_id) = (Some(root), (stat.st_dev, stat.st_ino));
        Ok(())
    }

    fn source(&self, index: usize) -> nix::Result<&OwnedFd> {
        self.sources.get(index).ok_or(Errno::EINVAL)
    }

    fn bind(&self, source: usize, target: &(impl nix::NixPath + ?Sized)) -> nix::Result<()> {
        let source = fd_path(self.source(source)?);
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(source.as_path()), target, None::<&str>, flags, None::<&str>)
    }

    /// The mount point for a bind mount: a directory for a directory, else a file.
    fn target_like(&self, source: usize, at: &Path) -> nix::Result<OwnedFd> {
        let stat = nix::sys::stat::fstat(self.source(source)?)?;
        let target = match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Target::Directory(0o755),
            _ => Target::File,
        };
        self.mount_point(at, target)
    }

    /// A place to mount at, which must not be the root itself: a link in a hostile root can lead
    /// there. The mount would lie over the root, where the sandbox does not see it, instead of
    /// hiding what it is meant to hide.
    fn mount_point(&self, at: &Path, target: Target) -> nix::Result<OwnedFd> {
        let fd = self.open(at, target)?;
        let here = nix::sys::stat::fstat(&fd)?;
        if (here.st_dev, here.st_ino) == self.root_id {
            return Err(Errno::EBUSY);
        }
        Ok(fd)
    }

    /// The options of an overlay, whose writable directories are made if they are missing.
    fn overlay_options(
        &self,
        layers: &[usize],
        upper: &Child,
        work: &Child,
        volatile: bool,
    ) -> nix::Result<String> {
        let path = |index: &usize| self.source(*index).map(|fd| fd_path(fd).display().to_string());
        // overlayfs lists the uppermost layer first.
        let lower = layers.iter().rev().map(path).collect::<nix::Result<Vec<_>>>()?;
        // The root has the mode of the layer's, as any directory that is copied up.
        let top = layers.last().ok_or(Errno::EINVAL)?;
        let mode = Mode::from_bits_truncate(nix::sys::stat::fstat(self.source(*top)?)?.st_mode);
        let child = |child: &Child, mode| {
            let directory = self.source(child.source)?;
            match nix::sys::stat::mkdirat(directory, &child.name, mode) {
                Ok(()) | Err(Errno::EEXIST) => Ok(fd_path(directory).join(&child.name)),
                Err(error) => Err(error),
            }
        };
        // Left by a mount of which a crash may have lost something (overlayfs document of the kernel,
        // "Volatile mount"). It is the caller's matter whether that counts.
        let mark = Path::new(&work.name).join("work/incompat/volatile");
        let directory = self.source(work.source)?;
        let _ = unlinkat(directory, &mark.join("dirty"), UnlinkatFlags::NoRemoveDir);
        let _ = unlinkat(directory, &mark, UnlinkatFlags::RemoveDir);
        let (upper, work) = (child(upper, mode)?, child(work, Mode::S_IRWXU)?);
        Ok(format!(
            "lowerdir={},upperdir={},workdir={},userxattr{}",
            lower.join(":"),
            upper.display(),
            work.display(),
            if volatile { ",volatile" } else { "" }
        ))
    }

    fn special(
        &self,
        fs_type: &str,
        at: &Path,
        flags: MsFlags,
        options: Option<&str>,
    ) -> nix::Result<()> {
        let target = self.mount_point(at, Target::Directory(0o755))?;
        mount(Some(fs_type), fd_path(&target).as_path(), Some(fs_type), flags, options)
    }

    /// Replaces a file, or what a link in its place points at is left alone and the link replaced.
    fn write(&self, at: &Path, content: &str, mode: u32) -> nix::Result<()> {
        let (dir, name) = resolve::parent(self.below()?, at)?;
        match unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let mut file = fs::File::from(openat(&dir, name, flags, Mode::from_bits_truncate(mode))?);
        file.write_all(content.as_bytes())
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// Makes a mount and all below it read-only.
    fn remount_tree(&self, top: BorrowedFd<'_>) -> nix::Result<()> {
        let at_once = self.launch.calls.mount_setattr;
        if at_once && crate::sys::make_read_only(top, true).is_ok() {
            return Ok(());
        }
        remount_read_only(top, at_once)?;
        let path = fs::read_link(fd_path(&top)).map_err(to_errno)?;
        for (id, below) in mounts_below(&path)? {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            match open(below.as_path(), flags, Mode::empty()) {
                Ok(fd) if mount_id(fd.as_fd())? == id => remount_read_only(fd.as_fd(), at_once)?,
                // The host's mounts at the place where the root is put together are hidden by it,
                // but still listed: what has their path now is something else.
                Ok(_) => {}
                // Hidden by another mount or by permissions, so it cannot be reached either.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn overlay(target: &Path, options: &str) -> nix::Result<()> {
    mount(Some("overlay"), target, Some("overlay"), SAFE, Some(options))
}

fn tmpfs(target: &(impl nix::NixPath + ?Sized), options: &str) -> nix::Result<()> {
    mount(Some("tmpfs"), target, Some("tmpfs"), SAFE, Some(options))
}

/// Covers a directory with an empty one that stays so.
fn empty_directory(target: &OwnedFd) -> nix::Result<()> {
    let options = Some("mode=555,size=4096,nr_inodes=2");
    let flags = SAFE | MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), &fd_path(target), Some("tmpfs"), flags, options)
}

/// Adds read-only to a mount and keeps its other flags: in a user namespace, dropping one that
/// the host had set is refused (mount_namespaces(7)).
fn remount_read_only(fd: BorrowedFd<'_>, at_once: bool) -> nix::Result<()> {
    if at_once && crate::sys::make_read_only(fd, false).is_ok() {
        return Ok(());
    }
    let have = fstatvfs(fd)?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    for (has, keep) in kept {
        if have.contains(has) {
            flags |= keep;
        }
    }
    mount(None::<&str>, fd_path(&fd).as_path(), None::<&str>, flags, None::<&str>)
}

/// Ids and mount points of the mounts below `top`, from /proc/self/mountinfo.
fn mounts_below(top: &Path) -> nix::Result<Vec<(String, PathBuf)>> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(to_errno)?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?.to_owned(), unescape(fields.nth(3)?)))
        })
        .filter(|(_, path)| path.starts_with(top) && path != top)
        .collect())
}

/// Id of the mount that a descriptor is on, as mountinfo has it.
fn mount_id(fd: BorrowedFd<'_>) -> nix::Result<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = fs::read_to_string(path).map_err(to_errno)?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id.map(|id| id.trim().to_owned()).ok_or(Errno::EINVAL)
}

/// Octal escapes of blanks and backslashes in mountinfo (proc_pid_mountinfo(5)).
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = text
            .get(at + 1..at + 4)
            .filter(|_| bytes[at] == b'\\')
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                result.push(byte);
                at += 4;
            }
            None => {
                result.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(result).into()
}

fn fd_path(fd: &impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()).into()
}

fn to_errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    #[test]
    fn mountinfo_escapes() {
        let path = |text| super::unescape(text).display().to_string();
        assert_eq!(path("/a\\040b\\134c"), "/a b\\c");
        assert_eq!(path("/plain\\"), "/plain\\");
        assert_eq!(path("/ä\\011"), "/ä\t");
    }
}
