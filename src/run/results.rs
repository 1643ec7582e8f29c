//! The result directory: files appear in it under their names, whatever lies there already.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An open result directory.
///
/// It may belong to somebody else than the user who builds, so nothing in it is trusted: files
/// are made anew beside their name and renamed, never opened, and the directory is opened once.
#[derive(Debug)]
pub struct ResultDir {
    path: PathBuf,
    open: File,
}

impl ResultDir {
    /// Opens the directory at `path`, made if missing.
    ///
    /// # Errors
    ///
    /// It cannot be made, or is not a directory.
    pub fn open(path: &Path) -> io::Result<ResultDir> {
        fs::create_dir_all(path)?;
        let path = path.canonicalize()?;
        let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_NOFOLLOW;
        let open = File::options().read(true).custom_flags(flags.bits()).open(&path)?;
        Ok(ResultDir { path, open })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty file of that name, in place of whatever has it.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let pending = self.pending()?;
        pending.publish(name)
    }

    /// Writes a whole file, in place of whatever has its name.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut pending = self.pending()?;
        pending.file().write_all(content)?;
        pending.publish(name).map(drop)
    }

    /// A new file that has no name yet.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn pending(&self) -> io::Result<Pending> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let aside = self.inside(&format!(".albs-node.{}.{count}", std::process::id()));
            // Exclusive: neither an existing file nor a link is followed.
            let file = File::options().write(true).create_new(true).mode(0o644).open(&aside);
            match file {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => {
                    let file = file?;
                    // The package manager reads them as another user, whatever the umask says.
                    file.set_permissions(fs::Permissions::from_mode(0o644))?;
                    let directory = self.inside("");
                    return Ok(Pending { file: Some(file), aside, directory });
                }
            }
        }
    }

    /// Opens a file of that name for reading, if there is one that belongs to whoever builds.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is a link, or somebody else's.
    pub fn read(&self, name: &str) -> io::Result<Option<File>> {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags.bits()).open(self.inside(name));
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::other(format!("{name} was replaced by somebody else")));
        }
        Ok(Some(file))
    }

    /// A new directory that has no name yet, for this user only until it gets one.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn pending_directory(&self) -> io::Result<PendingDirectory> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".albs-node.{}.{count}.d", std::process::id());
            match fs::DirBuilder::new().mode(0o700).create(self.inside(&name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_NOFOLLOW;
            let open =
                File::options().read(true).custom_flags(flags.bits()).open(self.inside(&name))?;
            // Whoever owns the result directory may have put another in its place.
            let metadata = open.metadata()?;
            let ours = metadata.uid() == nix::unistd::geteuid().as_raw();
            if !ours || metadata.mode() & 0o077 != 0 {
                return Err(io::Error::other("a new directory was replaced by somebody else"));
            }
            return Ok(PendingDirectory { open: Some(open), aside: self.inside(&name) });
        }
    }

    /// Gives a new directory its name, in place of whatever has it.
    ///
    /// # Errors
    ///
    /// What has the name cannot be removed.
    pub fn publish_directory(&self, mut pending: PendingDirectory, name: &str) -> io::Result<()> {
        let place = self.inside(name);
        match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Links are removed, and those below are not followed.
            known => match known?.is_dir() {
                true => fs::remove_dir_all(&place)?,
                false => fs::remove_file(&place)?,
            },
        }
        if let Some(open) = pending.open.take() {
            open.set_permissions(fs::Permissions::from_mode(0o755))?;
        }
        fs::rename(&pending.aside, place)
    }

    /// Removes a file, if there is one of that name.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.inside(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// The path of a name through the open directory, wherever that has been moved since.
    fn inside(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.open.as_raw_fd()).into()
    }
}

/// A directory in the result directory that is not complete. Removed if it never gets its name.
#[derive(Debug)]
pub struct PendingDirectory {
    open: Option<File>,
    aside: PathBuf,
}

impl PendingDirectory {
    /// A path to it, through the open directory.
    pub fn path(&self) -> PathBuf {
        let open = self.open.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        format!("/proc/self/fd/{open}").into()
    }
}

impl Drop for PendingDirectory {
    fn drop(&mut self) {
        if self.open.is_some() {
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

/// A file of the result directory that is not complete. Removed if it never gets its name.
#[derive(Debug)]
pub struct Pending {
    file: Option<File>,
    aside: PathBuf,
    directory: PathBuf,
}

impl Pending {
    /// The file, for writing.
    pub fn file(&mut self) -> &mut File {
        // Taken by `publish` only, which takes self.
        self.file.as_mut().unwrap_or_else(|| unreachable!("the file is there until published"))
    }

    /// Gives the file its name, in place of whatever has it.
    ///
    /// # Errors
    ///
    /// The name is taken by a directory.
    pub fn publish(mut self, name: &str) -> io::Result<File> {
        fs::rename(&self.aside, self.directory.join(name))?;
        self.file.take().ok_or_else(|| io::Error::other("published twice"))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.aside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let results = ResultDir::open(&dir.path().join("r")).unwrap();
        std::os::unix::fs::symlink(&victim, results.path().join("build.log")).unwrap();
        results.write("build.log", b"log").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(fs::read_to_string(results.path().join("build.log")).unwrap(), "log");
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let results = ResultDir::open(dir.path()).unwrap();
        results.pending().unwrap().file().write_all(b"x").unwrap();
        results.create("a").unwrap();
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1);
        results.remove("a").unwrap();
        results.remove("a").unwrap();
    }
}
