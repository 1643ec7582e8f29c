//! The directory that holds buildroots, running builds and package caches.
//!
//! ```text
//! STORE/               0700: nobody else gets in
//!   roots/KEY/root     a buildroot, owned by mapped ids
//!   roots/KEY/info.json
//!   roots/KEY.lock     shared by users of the root, exclusive for whoever makes or removes it
//!   layers/, wants/   build dependencies over roots; see the module `layers`
//!   sessions/KEY/      what `install` and `shell` have changed, over that root
//!   builds/ID/         one running build; its lock is held while it runs
//!   cache/KEY/         package cache of that root
//!   ccache/KEY/        compiler cache of builds in that root
//!   revisions/         what repositories were found to hold, one small file each
//!   images/            OCI images that roots start from; images.lock is held while they change
//! ```
//!
//! Directories in which mapped ids must make files are 0777: the user's own id does not exist in
//! a sandbox, so its root is "others" to them. The 0700 above keeps everybody else out.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// A store that exists.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    /// Where caches are, if not below `path`.
    caches: Option<PathBuf>,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct StoreError {
    /// What was attempted.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

impl StoreError {
    /// What an operator can do.
    pub fn hint(&self) -> Option<String> {
        match self.source.raw_os_error().map(nix::errno::Errno::from_raw) {
            Some(nix::errno::Errno::ENOSPC) => {
                Some("the file system is full; remove buildroots with: albs-node clean".to_owned())
            }
            Some(nix::errno::Errno::EACCES | nix::errno::Errno::EROFS) => {
                Some("choose another place with --store DIR, or basedir of the config".to_owned())
            }
            _ => None,
        }
    }
}

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// How long a lock is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// With others.
    Shared,
    /// Alone.
    Exclusive,
}

impl Store {
    /// Opens the store at `path`, with caches in another place if one is given, making what is
    /// missing.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is not ours.
    pub fn open(path: &Path, caches: Option<&Path>) -> Result<Store, StoreError> {
        let open = |path: &Path| {
            attempt("make the store", path, private_directory(path))?;
            attempt("use the store", path, check_owner(path))?;
            attempt("open the store", path, path.canonicalize())
        };
        let store = Store { path: open(path)?, caches: caches.map(open).transpose()? };
        for dir in [
            store.roots(),
            store.layers(),
            store.wants(),
            store.sessions(),
            store.builds(),
            store.caches(),
            store.compiler_caches(),
            store.images(),
        ] {
            attempt("make the store directory", &dir, private_directory(&dir))?;
        }
        Ok(store)
    }

    /// The store at `path`, which may not exist: to look at.
    pub fn at(path: PathBuf, caches: Option<PathBuf>) -> Store {
        Store { path, caches }
    }

    /// The place of a user's store or caches in a directory that users share.
    pub fn place_in(directory: &Path, uid: u32) -> PathBuf {
        directory.join(if uid == 0 { "albs-node".to_owned() } else { format!("albs-node-{uid}") })
    }

    /// The default place: `/var/lib/albs-node-root` for root, else below the user's cache
    /// directory. `/var/lib/albs-node` is the node's, whose user is another.
    pub fn default_path(uid: u32, cache_home: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
        if uid == 0 {
            return "/var/lib/albs-node-root".into();
        }
        let cache = cache_home
            .filter(|path| path.is_absolute())
            .or_else(|| home.map(|home| home.join(".cache")))
            .unwrap_or_else(|| format!("/var/tmp/albs-node-{uid}").into());
        cache.join("albs-node")
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Directory of all roots.
    pub fn roots(&self) -> PathBuf {
        self.path.join("roots")
    }

    /// Directory of build dependencies over roots.
    pub fn layers(&self) -> PathBuf {
        self.path.join("layers")
    }

    /// Directory of what requirements have come to.
    pub fn wants(&self) -> PathBuf {
        self.path.join("wants")
    }

    /// Directory of lasting layers over roots.
    pub fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// Directory of running builds.
    pub fn builds(&self) -> PathBuf {
        self.path.join("builds")
    }

    /// Directory of package caches.
    pub fn caches(&self) -> PathBuf {
        self.caches.as_ref().unwrap_or(&self.path).join("cache")
    }

    /// Directory of the caches of compilers.
    pub fn compiler_caches(&self) -> PathBuf {
        self.caches.as_ref().unwrap_or(&self.path).join("ccache")
    }

    /// Directory of OCI images.
    pub fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// Directory of what repositories were found to hold.
    pub fn revisions(&self) -> PathBuf {
        self.path.join("revisions")
    }

    /// The compiler cache of a root, made if missing, writable for mapped ids.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn compiler_cache(&self, key: &str) -> Result<PathBuf, StoreError> {
        let path = self.compiler_caches().join(key);
        attempt("make the compiler cache", &path, shared_directory(&path))?;
        Ok(path)
    }

    /// The content of a file that [`Store::write`] has written.
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    /// Writes a file that all sandboxes can read, unless it is there with this content; gives its
    /// path.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        if fs::read_to_string(&path).is_ok_and(|known| known == content) {
            return Ok(path);
        }
        let aside = self.path.join(format!("{name}.{}", std::process::id()));
        let written = fs::write(&aside, content)
            .and_then(|()| fs::set_permissions(&aside, fs::Permissions::from_mode(0o644)))
            .and_then(|()| fs::rename(&aside, &path));
        attempt("write", &path, written)?;
        Ok(path)
    }

    /// Directory of one root.
    pub fn root(&self, key: &str) -> PathBuf {
        self.roots().join(key)
    }

    /// Package cache of a root, made if missing, writable for mapped ids.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn cache(&self, key: &str) -> Result<PathBuf, StoreError> {
        let path = self.caches().join(key);
        attempt("make the package cache", &path, shared_directory(&path))?;
        Ok(path)
    }
}

/// The directory of this user in memory, if the host has such a place.
pub(super) fn memory_directory() -> Option<PathBuf> {
    let place = Path::new("/dev/shm");
    let is_tmpfs = nix::sys::statfs::statfs(place)
        .is_ok_and(|data| data.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC);
    is_tmpfs.then(|| place.join(format!("albs-node-{}", nix::unistd::geteuid())))
}

/// Makes a directory that only its owner can enter.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A directory of somebody else, in a place that everybody can write to, is a trap.
pub(super) fn check_owner(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Err(io::Error::other("it is a symbolic link; name the directory itself"));
    }
    if !metadata.is_dir() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other("it is not a directory that belongs to this user"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes a directory in which mapped ids can make files.
pub(crate) fn shared_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    // Also when it was there: whoever made it may have been killed before this, and the umask
    // does not apply here.
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// Takes a lock on a file, which is made if missing. While somebody else holds it, `wait` is
/// called ten times a second; when it says no, nothing is given.
///
/// # Errors
///
/// The lock file cannot be made or locked.
pub fn lock(
    path: &Path,
    kind: LockKind,
    wait: &mut dyn FnMut() -> bool,
) -> Result<Option<Lock>, StoreError> {
    let argument = match kind {
        LockKind::Shared => FlockArg::LockSharedNonblock,
        LockKind::Exclusive => FlockArg::LockExclusiveNonblock,
    };
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        match Flock::lock(attempt("open the lock", path, file)?, argument) {
            // Whoever held it may have removed the file; then the lock is on nothing.
            Ok(held) if same_file(&held, path) => {
                // When it was last used, for whoever makes room.
                let _ = held.set_modified(std::time::SystemTime::now());
                return Ok(Some(Lock(held)));
            }
            Ok(_) => {}
            // Asking again instead of waiting in the kernel, so that a signal can end it.
            Err((_, nix::errno::Errno::EWOULDBLOCK)) if wait() => {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return attempt("lock", path, Err(error.into())),
        }
    }
}

/// The lock of something in the store, which lies beside it. Names have dots of their own.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// For locks that are not waited for.
pub fn do_not_wait() -> bool {
    false
}

fn same_file(held: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (held.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}

pub(super) fn attempt<T>(
    action: &'static str,
    path: &Path,
    result: io::Result<T>,
) -> Result<T, StoreError> {
    result.map_err(|source| StoreError { action, path: path.to_owned(), source })
}

/// A failure whose cause is known as text only.
pub(super) fn other(action: &'static str, path: &Path, reason: String) -> StoreError {
    StoreError { action, path: path.to_owned(), source: io::Error::other(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_exclude_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let take = |kind| lock(&path, kind, &mut do_not_wait).unwrap();
        let one = take(LockKind::Shared);
        assert!(one.is_some());
        assert!(take(LockKind::Shared).is_some());
        assert!(take(LockKind::Exclusive).is_none());
        let mut asked = 0;
        let mut once = || {
            asked += 1;
            asked < 2
        };
        assert!(lock(&path, LockKind::Exclusive, &mut once).unwrap().is_none());
        assert_eq!(asked, 2);
        drop(one);
        assert!(take(LockKind::Exclusive).is_some());
    }

    #[test]
    fn a_store_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("a/b"), None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(store.path()), 0o700);
        assert_eq!(mode(&store.roots()), 0o700);
        assert_eq!(mode(&store.cache("x").unwrap()), 0o777);
    }

    #[test]
    fn default_places() {
        let path = |uid, cache: Option<&str>, home: Option<&str>| {
            Store::default_path(uid, cache.map(Into::into), home.map(Into::into))
        };
        assert_eq!(path(0, Some("/c"), Some("/h")), Path::new("/var/lib/albs-node-root"));
        assert_eq!(path(5, Some("/c"), Some("/h")), Path::new("/c/albs-node"));
        assert_eq!(path(5, Some("rel"), Some("/h")), Path::new("/h/.cache/albs-node"));
        assert_eq!(path(5, None, None), Path::new("/var/tmp/albs-node-5/albs-node"));
    }
}
