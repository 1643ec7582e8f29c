//! Copying inputs to where a sandbox can read them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Source;
use crate::buildroot::disk::Size;
use crate::checksum;
use crate::run::StageRun;
use crate::verdict::{Class, Failure, status};

/// An input that cannot be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// Something cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is more than may be written.
    #[error("the sources have more than {most} {what}, all that they may have of what was free")]
    TooLarge {
        /// So many may be written.
        most: u64,
        /// What is counted.
        what: &'static str,
    },
    /// The build was cancelled.
    #[error("it was cancelled")]
    Cancelled,
}

impl StageError {
    /// The failure that it is of a stage in which something was attempted.
    pub fn failure(self, stage: &StageRun<'_>, message: &str) -> Failure {
        let class = match &self {
            StageError::Cancelled => return stage.interrupted(),
            StageError::TooLarge { .. } => Class::Resource,
            StageError::Io { .. } => Class::Infrastructure,
        };
        let code = status::SOURCE_PACKAGE;
        let failure = Failure::infrastructure(stage.stage, code, message, Some(self.into()));
        Failure { class, ..failure }
    }
}

/// Deeper trees of sources are not sources.
pub(crate) const MAX_DEPTH: usize = 32;

/// Bytes that are copied before somebody may end it.
const PIECE: u64 = 256 << 20;

/// What copying may do. Files count with their lengths: their holes are written out.
pub struct Copying<'a> {
    with_history: bool,
    most: Size,
    left: Size,
    piece: u64,
    go_on: &'a dyn Fn() -> bool,
}

impl<'a> Copying<'a> {
    /// `with_history`: whether `.git` is copied; `most`: what may be written; `go_on`: whether the
    /// build is not cancelled.
    pub fn new(with_history: bool, most: Size, go_on: &'a dyn Fn() -> bool) -> Copying<'a> {
        Copying { with_history, most, left: most, piece: PIECE, go_on }
    }

    /// Takes one file, directory or link of so many bytes from what may be written.
    fn take(&mut self, bytes: u64) -> Result<(), StageError> {
        let beyond = |most, what| StageError::TooLarge { most, what };
        let (most, left) = (self.most, &mut self.left);
        left.inodes = left.inodes.checked_sub(1).ok_or_else(|| beyond(most.inodes, "files"))?;
        left.bytes = left.bytes.checked_sub(bytes).ok_or_else(|| beyond(most.bytes, "bytes"))?;
        self.ask()
    }

    fn ask(&self) -> Result<(), StageError> {
        if (self.go_on)() { Ok(()) } else { Err(StageError::Cancelled) }
    }
}

/// Copies a source into `directory`: `NAME.src.rpm`, or `SPECS/NAME.spec` and `SOURCES/…`.
///
/// Symbolic links are copied as links, so that none leads a reader of this host's files anywhere;
/// what is neither file, directory nor link is left out, as is `.git` where it is not wanted.
///
/// # Errors
///
/// See [`StageError`].
pub fn stage(
    source: &Source,
    directory: &Path,
    copying: &mut Copying<'_>,
) -> Result<(), StageError> {
    match source {
        Source::Srpm(path) => copy_file(path, &directory.join("source.src.rpm"), copying),
        Source::Spec { spec, sources } => {
            let specs = directory.join("SPECS");
            let name = spec.file_name().unwrap_or_default();
            make_directory(&specs)?;
            copy_file(spec, &specs.join(name), copying)?;
            copy_tree(sources, &directory.join("SOURCES"), copying, 0)
        }
    }
}

/// Makes a directory that everybody can read, whatever the umask says.
fn make_directory(path: &Path) -> Result<(), StageError> {
    attempt("make", path, fs::create_dir_all(path))?;
    attempt("open", path, fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
}

/// Checksum of a copied source: of all names, kinds and contents below `directory`.
///
/// # Errors
///
/// Something cannot be read.
pub fn digest(directory: &Path) -> Result<String, StageError> {
    let mut lines = String::new();
    list(directory, Path::new(""), &mut lines)?;
    Ok(checksum::of(lines.as_bytes()))
}

/// Adds a line for everything below a directory, in the order of names.
fn list(directory: &Path, below: &Path, lines: &mut String) -> Result<(), StageError> {
    let entries = attempt("read", directory, fs::read_dir(directory))?;
    let mut entries = attempt("read", directory, entries.collect::<io::Result<Vec<_>>>())?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let kind = attempt("look at", &path, entry.file_type())?;
        let what = if kind.is_dir() {
            list(&path, &name, lines)?;
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("{:?}", attempt("read", &path, fs::read_link(&path))?)
        } else {
            let mut file = attempt("open", &path, File::open(&path))?;
            attempt("read", &path, checksum::copy(&mut file, &mut io::sink()))?.1
        };
        // Quoted, so that no name can look like two lines.
        lines.push_str(&format!("{name:?} {what}\n"));
    }
    Ok(())
}

pub(crate) fn copy_tree(
    from: &Path,
    to: &Path,
    copying: &mut Copying<'_>,
    depth: usize,
) -> Result<(), StageError> {
    if depth > MAX_DEPTH {
        let deep = io::Error::other("the directories are nested too deeply");
        return attempt("copy", from, Err(deep));
    }
    copying.take(0)?;
    make_directory(to)?;
    for entry in attempt("read", from, fs::read_dir(from))? {
        let entry = attempt("read", from, entry)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = attempt("look at", &path, entry.file_type())?;
        if kind.is_dir() {
            if copying.with_history || entry.file_name() != ".git" {
                copy_tree(&path, &target, copying, depth + 1)?;
            }
        } else if kind.is_symlink() {
            let link = attempt("read", &path, fs::read_link(&path))?;
            copying.take(0)?;
            attempt("copy", &path, std::os::unix::fs::symlink(link, &target))?;
        } else if kind.is_file() {
            copy_file(&path, &target, copying)?;
        }
    }
    Ok(())
}

/// Copies a regular file, readable for everybody. The name is opened once and never followed if
/// it has become a link in the meantime, nor waited for if it has become a FIFO.
fn copy_file(from: &Path, to: &Path, copying: &mut Copying<'_>) -> Result<(), StageError> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let mut input =
        attempt("open", from, File::options().read(true).custom_flags(flags).open(from))?;
    let metadata = attempt("look at", from, input.metadata())?;
    if !metadata.is_file() {
        return attempt("copy", from, Err(io::Error::other("it is not a regular file")));
    }
    copying.take(metadata.len())?;
    let mut output =
        attempt("write", to, File::options().write(true).create_new(true).mode(0o644).open(to))?;
    let piece = copying.piece;
    while attempt("copy", from, io::copy(&mut (&mut input).take(piece), &mut output))? == piece {
        copying.ask()?;
    }
    // What is a program stays one: source packages have the modes of their sources.
    let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
    attempt("open", to, output.set_permissions(fs::Permissions::from_mode(mode)))
}

fn attempt<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, StageError> {
    result.map_err(|source| StageError::Io { action, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed_and_oddities_left_out() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        let base = from.path();
        fs::create_dir_all(base.join(".git")).unwrap();
        fs::create_dir_all(base.join("sub")).unwrap();
        fs::write(base.join("x.spec"), "").unwrap();
        fs::write(base.join("sub/a"), "a").unwrap();
        fs::set_permissions(base.join("sub/a"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", base.join("leak")).unwrap();
        nix::unistd::mkfifo(&base.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let source = Source::Spec { spec: base.join("x.spec"), sources: base.to_owned() };
        stage(&source, to.path(), &mut Copying::new(false, Size::MAX, &|| true)).unwrap();
        let sources = to.path().join("SOURCES");
        let mode = fs::metadata(sources.join("sub/a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert!(fs::symlink_metadata(sources.join("leak")).unwrap().is_symlink());
        assert!(!sources.join("fifo").exists() && !sources.join(".git").exists());
        assert!(to.path().join("SPECS/x.spec").exists());
    }

    #[test]
    fn a_fifo_instead_of_a_spec_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("x.spec");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let copying = &mut Copying::new(false, Size::MAX, &|| true);
        assert!(copy_file(&fifo, &dir.path().join("y"), copying).is_err());
    }

    #[test]
    fn holes_count_and_whoever_cancels_is_heard() {
        const PIECE: u64 = 4096;
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        File::create(from.join("holes")).unwrap().set_len(PIECE + 1).unwrap();
        let copy = |name: &str, bytes, inodes, go_on: &dyn Fn() -> bool| {
            let copying = Copying::new(true, Size { bytes, inodes }, go_on);
            let mut copying = Copying { piece: PIECE, ..copying };
            copy_tree(&from, &dir.path().join(name), &mut copying, 0)
        };
        let beyond = |error: StageError| match error {
            StageError::TooLarge { most, what } => (most, what),
            other => panic!("{other}"),
        };
        assert_eq!(beyond(copy("a", PIECE, 9, &|| true).unwrap_err()), (PIECE, "bytes"));
        assert!(!dir.path().join("a/holes").exists());
        assert_eq!(beyond(copy("b", u64::MAX, 1, &|| true).unwrap_err()), (1, "files"));
        copy("c", PIECE + 1, 2, &|| true).unwrap();
        // For the directory, for the file, and no more after its first piece.
        let left = std::cell::Cell::new(2);
        let twice = || left.replace(left.get() - 1) > 0;
        assert!(matches!(copy("d", u64::MAX, 9, &twice), Err(StageError::Cancelled)));
        assert_eq!(fs::metadata(dir.path().join("d/holes")).unwrap().len(), PIECE);
    }
}
