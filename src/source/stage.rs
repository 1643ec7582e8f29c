//! Copying inputs to where a sandbox can read them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Source;
use crate::checksum;

/// An input that cannot be copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct StageError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Deeper trees of sources are not sources.
const MAX_DEPTH: usize = 32;

/// Copies a source into `directory`: `NAME.src.rpm`, or `SPECS/NAME.spec` and `SOURCES/…`.
///
/// Symbolic links are copied as links, so that none leads a reader of this host's files anywhere;
/// what is neither file, directory nor link is left out, and `.git` without `with_history`.
///
/// # Errors
///
/// Something cannot be read or written.
pub fn stage(source: &Source, directory: &Path, with_history: bool) -> Result<(), StageError> {
    match source {
        Source::Srpm(path) => copy_file(path, &directory.join("source.src.rpm")),
        Source::Spec { spec, sources } => {
            let specs = directory.join("SPECS");
            let name = spec.file_name().unwrap_or_default();
            make_directory(&specs)?;
            copy_file(spec, &specs.join(name))?;
            copy_tree(sources, &directory.join("SOURCES"), with_history, 0)
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
    with_history: bool,
    depth: usize,
) -> Result<(), StageError> {
    if depth > MAX_DEPTH {
        let deep = io::Error::other("the directories are nested too deeply");
        return Err(StageError { action: "copy", path: from.to_owned(), source: deep });
    }
    make_directory(to)?;
    for entry in attempt("read", from, fs::read_dir(from))? {
        let entry = attempt("read", from, entry)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = attempt("look at", &path, entry.file_type())?;
        if kind.is_dir() {
            if with_history || entry.file_name() != ".git" {
                copy_tree(&path, &target, with_history, depth + 1)?;
            }
        } else if kind.is_symlink() {
            let link = attempt("read", &path, fs::read_link(&path))?;
            attempt("copy", &path, std::os::unix::fs::symlink(link, &target))?;
        } else if kind.is_file() {
            copy_file(&path, &target)?;
        }
    }
    Ok(())
}

/// Copies a regular file, readable for everybody. The name is opened once and never followed if
/// it has become a link in the meantime, nor waited for if it has become a FIFO.
fn copy_file(from: &Path, to: &Path) -> Result<(), StageError> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let mut input =
        attempt("open", from, File::options().read(true).custom_flags(flags).open(from))?;
    let metadata = attempt("look at", from, input.metadata())?;
    if !metadata.is_file() {
        let source = io::Error::other("it is not a regular file");
        return Err(StageError { action: "copy", path: from.to_owned(), source });
    }
    let mut output =
        attempt("write", to, File::options().write(true).create_new(true).mode(0o644).open(to))?;
    attempt("copy", from, io::copy(&mut input, &mut output))?;
    // What is a program stays one: source packages have the modes of their sources.
    let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
    attempt("open", to, output.set_permissions(fs::Permissions::from_mode(mode)))
}

fn attempt<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, StageError> {
    result.map_err(|source| StageError { action, path: path.to_owned(), source })
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
        stage(&source, to.path(), false).unwrap();
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
        assert!(copy_file(&fifo, &dir.path().join("y")).is_err());
    }
}
