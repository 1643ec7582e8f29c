//! Packages of a build, from a tree in which anything may lie: links, devices, FIFOs, files of
//! any name and size.
//!
//! Only regular files whose names are those of packages are taken. The archive ends with a
//! manifest that lists what was left; an archive without it is incomplete.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use serde::{Deserialize, Serialize};

use super::context;

/// Name of the manifest in the archive. No package can have it.
pub const MANIFEST: &str = "manifest.json";
/// More packages than any source package has; the kernel's has about a hundred.
const MAX_FILES: usize = 4096;
/// How many names are listed of what was left.
const MAX_REJECTED: usize = 100;
/// Directories below the ones that are named, since `%_rpmfilename` may put packages into one
/// for each architecture.
const DEPTH: usize = 1;

/// What the archive holds and what was left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Names of the files in the archive.
    pub taken: Vec<String>,
    /// Names that were left, with the reason.
    pub rejected: Vec<(String, String)>,
    /// Why the rest could not be read, if so.
    pub error: Option<String>,
    #[serde(skip)]
    bytes: u64,
    #[serde(skip)]
    most_bytes: u64,
}

impl Manifest {
    fn reject(&mut self, name: &str, reason: &str) {
        if self.rejected.len() < MAX_REJECTED {
            self.rejected.push((name.to_owned(), reason.to_owned()));
        }
    }
}

pub(super) fn collect(
    root: &Path,
    directories: &[String],
    most_bytes: u64,
    out: impl Write,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    let mut manifest = Manifest { most_bytes, ..Manifest::default() };
    for directory in directories {
        match open_below(root, directory) {
            Ok(dir) => {
                if let Err(error) = take_directory(dir, DEPTH, &mut archive, &mut manifest) {
                    manifest.error = Some(error.to_string());
                    break;
                }
            }
            Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => manifest.reject(directory, error.desc()),
        }
    }
    let text = serde_json::to_vec(&manifest)?;
    append(&mut archive, MANIFEST, text.len() as u64, text.as_slice())?;
    archive.into_inner()?.flush()
}

/// Opens a directory below `root` without following any link on the way.
fn open_below(root: &Path, directory: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut dir = open(root, flags, Mode::empty())?;
    for name in directory.split('/').filter(|name| !name.is_empty()) {
        if name == ".." {
            return Err(nix::errno::Errno::EINVAL);
        }
        dir = openat(&dir, name, flags, Mode::empty())?;
    }
    Ok(dir)
}

fn take_directory<W: Write>(
    dir: OwnedFd,
    depth: usize,
    archive: &mut tar::Builder<W>,
    manifest: &mut Manifest,
) -> io::Result<()> {
    let mut listing = nix::dir::Dir::from_fd(dir.try_clone()?)?;
    let mut names: Vec<Vec<u8>> =
        listing.iter().flatten().map(|entry| entry.file_name().to_bytes().to_vec()).collect();
    names.sort();
    for bytes in names.iter().filter(|name| *name != b"." && *name != b"..") {
        let shown = String::from_utf8_lossy(bytes).escape_default().to_string();
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = match openat(&dir, &bytes[..], flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(error) => {
                manifest.reject(&shown, error.desc());
                continue;
            }
        };
        let mut file = File::from(fd);
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            if depth == 0 {
                manifest.reject(&shown, "a directory");
            } else {
                take_directory(file.into(), depth - 1, archive, manifest)?;
            }
            continue;
        }
        match package_name(bytes) {
            _ if !metadata.is_file() => manifest.reject(&shown, "not a regular file"),
            None => manifest.reject(&shown, "not the name of a package"),
            Some(_) if manifest.taken.len() >= MAX_FILES => {
                return Err(io::Error::other(format!("more than {MAX_FILES} packages")));
            }
            Some(name) if manifest.taken.iter().any(|taken| taken == name) => {
                manifest.reject(&shown, "a second package of that name");
            }
            // It would be taken once for each name, and is on the build's bill only once.
            Some(_) if metadata.nlink() > 1 => manifest.reject(&shown, "a file with several names"),
            Some(_) if is_sparse(&file, &metadata) => manifest.reject(&shown, "a sparse file"),
            Some(_) if !is_package(&mut file)? => manifest.reject(&shown, "not a package"),
            Some(name) => {
                manifest.bytes = manifest.bytes.saturating_add(metadata.len());
                let most = manifest.most_bytes;
                if manifest.bytes > most {
                    let more = format!("more than {most} bytes of packages");
                    return Err(io::Error::other(more));
                }
                append(archive, name, metadata.len(), file)?;
                manifest.taken.push(name.to_owned());
            }
        }
    }
    Ok(())
}

/// Far less on the disk than its size says, and with a hole: packages are compressed, so that is a
/// trap. Some file systems (ZFS) say only later how much there is of what was just written.
pub(super) fn is_sparse(file: &File, metadata: &std::fs::Metadata) -> bool {
    const ENOUGH: u64 = 1 << 20;
    let size = metadata.len();
    let is_short = size > ENOUGH && metadata.blocks().saturating_mul(512 * 16) < size;
    // The end of a file counts as a hole; an error is one as well.
    let hole = || lseek(file, 0, Whence::SeekHole).ok().and_then(|at| u64::try_from(at).ok());
    is_short && hole().is_none_or(|at| at < size)
}

/// Whether the file starts as every package does (rpm's lead).
fn is_package(file: &mut File) -> io::Result<bool> {
    let mut magic = [0; 4];
    let read = file.read_exact(&mut magic);
    file.rewind()?;
    Ok(read.is_ok() && magic == [0xed, 0xab, 0xee, 0xdb])
}

/// The name, if it is one that rpmbuild gives to packages.
pub fn package_name(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-~^".contains(&b));
    let ok = plain && name.len() <= 255 && name.ends_with(".rpm") && !name.starts_with(['.', '-']);
    ok.then_some(name)
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    size: u64,
    content: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    context("add to the archive", Path::new(name), archive.append_data(&mut header, name, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    const LEAD: [u8; 8] = [0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0];

    fn archive_of(root: &Path) -> (Vec<String>, Manifest) {
        let mut bytes = Vec::new();
        collect(root, &["RPMS".to_owned(), "none".to_owned()], 100, &mut bytes).unwrap();
        let mut names = Vec::new();
        let mut manifest = Manifest::default();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            if name == MANIFEST {
                manifest = serde_json::from_reader(&mut entry).unwrap();
            }
            names.push(name);
        }
        (names, manifest)
    }

    #[test]
    fn only_packages_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let rpms = dir.path().join("RPMS");
        fs::create_dir_all(rpms.join("noarch/deeper")).unwrap();
        fs::write(rpms.join("a-1-1.x86_64.rpm"), LEAD).unwrap();
        fs::write(rpms.join("noarch/b-1-1.noarch.rpm"), LEAD).unwrap();
        fs::write(rpms.join("notes.txt"), "").unwrap();
        fs::write(rpms.join("fake-1-1.x86_64.rpm"), "text").unwrap();
        File::create(rpms.join("hole-1-1.x86_64.rpm")).unwrap().set_len(1 << 40).unwrap();
        fs::write(rpms.join("evil\n.rpm"), "").unwrap();
        fs::write(rpms.join("one-1-1.x86_64.rpm"), LEAD).unwrap();
        fs::hard_link(rpms.join("one-1-1.x86_64.rpm"), rpms.join("two-1-1.x86_64.rpm")).unwrap();
        symlink("/etc/passwd", rpms.join("link-1-1.x86_64.rpm")).unwrap();
        nix::unistd::mkfifo(&rpms.join("fifo-1-1.x86_64.rpm"), Mode::S_IRWXU).unwrap();
        let (names, manifest) = archive_of(dir.path());
        assert_eq!(names, ["a-1-1.x86_64.rpm", "b-1-1.noarch.rpm", MANIFEST]);
        let rejected: Vec<_> = manifest.rejected.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            rejected,
            [
                "evil\\n.rpm",
                "fake-1-1.x86_64.rpm",
                "fifo-1-1.x86_64.rpm",
                "hole-1-1.x86_64.rpm",
                "link-1-1.x86_64.rpm",
                "deeper",
                "notes.txt",
                "one-1-1.x86_64.rpm",
                "two-1-1.x86_64.rpm"
            ]
        );
    }

    #[test]
    fn who_renames_meanwhile_gains_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let [root, outside] = ["root", "outside"].map(|name| dir.path().join(name));
        let rpms = root.join("RPMS");
        fs::create_dir_all(rpms.join("good")).unwrap();
        fs::create_dir(&outside).unwrap();
        let secret = [&LEAD[..], b"secret"].concat();
        fs::write(outside.join("a-1-1.noarch.rpm"), &secret).unwrap();
        let [place, swapped] = ["a-1-1.noarch.rpm", "noarch"].map(|name| rpms.join(name));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // What is collected is a package, then a link to one of the host; so is where.
                    fs::write(root.join("new"), LEAD).unwrap();
                    fs::rename(root.join("new"), &place).unwrap();
                    fs::rename(rpms.join("good"), &swapped).unwrap();
                    symlink(outside.join("a-1-1.noarch.rpm"), root.join("link")).unwrap();
                    fs::rename(root.join("link"), &place).unwrap();
                    fs::rename(&swapped, rpms.join("good")).unwrap();
                    symlink(&outside, &swapped).unwrap();
                    fs::remove_file(&swapped).unwrap();
                }
            });
            let (mut taken, mut rejected) = (0, 0);
            let begun = Instant::now();
            while (taken < 20 || rejected < 20) && begun.elapsed().as_secs() < 60 {
                let mut bytes = Vec::new();
                collect(&root, &["RPMS".to_owned()], 100, &mut bytes).unwrap();
                let leaked = bytes.windows(6).any(|window| window == b"secret");
                if leaked {
                    over.store(true, Ordering::Relaxed);
                }
                assert!(!leaked);
                match bytes.windows(4).any(|window| window == &LEAD[..4]) {
                    true => taken += 1,
                    false => rejected += 1,
                }
            }
            over.store(true, Ordering::Relaxed);
            assert!(taken >= 20 && rejected >= 20, "{taken} taken, {rejected} rejected");
        });
    }

    #[test]
    fn no_more_is_taken_than_a_build_may_write() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("RPMS")).unwrap();
        for name in ["a", "b"] {
            let package = [&LEAD[..], &[0; 60]].concat();
            fs::write(dir.path().join(format!("RPMS/{name}-1-1.noarch.rpm")), package).unwrap();
        }
        let (names, manifest) = archive_of(dir.path());
        assert_eq!(names, ["a-1-1.noarch.rpm", MANIFEST]);
        assert_eq!(manifest.error.as_deref(), Some("more than 100 bytes of packages"));
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("a-1-1.x86_64.rpm"), "secret").unwrap();
        symlink(other.path(), dir.path().join("RPMS")).unwrap();
        let (names, manifest) = archive_of(dir.path());
        assert_eq!(names, [MANIFEST]);
        assert_eq!(manifest.rejected.len(), 1);
    }
}
