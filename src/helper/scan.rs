//! Files of a build by their names, from a tree in which anything may lie.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use regex::bytes::{RegexSet, RegexSetBuilder};

/// More files than anybody reads.
const MAX_FILES: usize = 10_000;
/// All of them together, in bytes, however much a build may write.
const MAX_BYTES: u64 = 4 << 30;
/// Deeper trees are traps.
const MAX_DEPTH: usize = 64;
/// Entries that are looked at; a tree may have more than can be gone through.
const MAX_ENTRIES: usize = 5_000_000;

struct Scan<W: Write> {
    names: RegexSet,
    archive: tar::Builder<W>,
    files: usize,
    bytes: u64,
    most_bytes: u64,
    entries: usize,
}

/// Writes the regular files whose names one of the expressions is found in as a tar archive.
pub(super) fn scan(
    root: &Path,
    regexes: &[String],
    most_bytes: u64,
    out: impl Write,
) -> io::Result<()> {
    let names =
        RegexSetBuilder::new(regexes).size_limit(4 << 20).build().map_err(io::Error::other)?;
    let archive = tar::Builder::new(out);
    let mut scan = Scan {
        names,
        archive,
        files: 0,
        bytes: 0,
        most_bytes: most_bytes.min(MAX_BYTES),
        entries: 0,
    };
    let top = open(root, directory_flags(), Mode::empty())?;
    scan.directory(top, Path::new(""), 0)?;
    scan.archive.into_inner()?.flush()
}

fn directory_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

impl<W: Write> Scan<W> {
    fn directory(&mut self, dir: OwnedFd, path: &Path, depth: usize) -> io::Result<()> {
        let mut listing = nix::dir::Dir::from_fd(dir.try_clone()?)?;
        let mut names: Vec<Vec<u8>> =
            listing.iter().flatten().map(|entry| entry.file_name().to_bytes().to_vec()).collect();
        names.sort();
        for name in names.iter().filter(|name| *name != b"." && *name != b"..") {
            self.entries += 1;
            if self.entries > MAX_ENTRIES || self.files >= MAX_FILES {
                return Ok(());
            }
            let below = path.join(std::ffi::OsStr::from_bytes(name));
            // Directories are found out by opening them; what cannot be opened is no concern.
            if depth < MAX_DEPTH
                && let Ok(inner) = openat(&dir, &name[..], directory_flags(), Mode::empty())
            {
                self.directory(inner, &below, depth + 1)?;
                continue;
            }
            if self.names.is_match(name) {
                self.file(&dir, name, below)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: &OwnedFd, name: &[u8], path: PathBuf) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let Ok(fd) = openat(dir, name, flags, Mode::empty()) else { return Ok(()) };
        let file = File::from(fd);
        let data = file.metadata()?;
        let sparse = data.blocks().saturating_mul(512) < data.len() / 16;
        // A file of several names is on the build's bill only once.
        let is_one = data.is_file() && data.nlink() == 1;
        if !is_one || sparse || self.bytes.saturating_add(data.len()) > self.most_bytes {
            return Ok(());
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len());
        header.set_mode(0o644);
        // As many bytes as the header says, whatever happens to the file meanwhile.
        let content = io::Read::take(io::Read::chain(file, io::repeat(0)), data.len());
        self.archive.append_data(&mut header, path, content)?;
        self.files += 1;
        self.bytes += data.len();
        Ok(())
    }
}
