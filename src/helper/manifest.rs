//! What is in a tree, as text: a line for each file, in the order of paths. Two trees are the same
//! if their manifests are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::unistd::Whence;

use super::context;

/// Threads that read files; more do not help where the files are in memory.
const THREADS: usize = 4;
/// How the last line begins, which tells the bytes on the disk and the number of files.
pub const TOTAL: &str = "total ";
/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;

/// Writes the manifest of the tree below `root`.
///
/// A line is: path, kind, mode, owner and group, size, time of change in nanoseconds, checksum of
/// the content or what a link says or the device, extended attributes. The checksum is CRC-32: it
/// is to find what a broken disk or a lost write has done, not what an attacker has.
pub(super) fn manifest(root: &Path, out: &mut dyn Write) -> io::Result<()> {
    let mut found = Vec::new();
    collect(root, Path::new(""), &mut found)?;
    let sums = sums(root, &found)?;
    for ((path, metadata), sum) in found.iter().zip(sums) {
        line(root, path, metadata, sum, out)?;
    }
    let bytes: u64 = found.iter().map(|(_, metadata)| on_disk(metadata)).sum();
    writeln!(out, "{TOTAL}{bytes} {}", found.len())?;
    out.flush()
}

/// What a file takes on a disk with blocks of the usual size. The kernel's own number changes when
/// it gets to writing.
fn on_disk(metadata: &Metadata) -> u64 {
    const BLOCK: u64 = 4096;
    match metadata.is_dir() {
        true => BLOCK,
        false => metadata.size().div_ceil(BLOCK) * BLOCK,
    }
}

/// Finds everything below a directory, in the order of names.
fn collect(root: &Path, below: &Path, found: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
    let directory = root.join(below);
    let mut entries: BTreeMap<OsString, Metadata> = BTreeMap::new();
    for entry in context("read", &directory, fs::read_dir(&directory))? {
        let entry = entry?;
        entries.insert(entry.file_name(), entry.metadata()?);
    }
    for (name, metadata) in entries {
        let path = below.join(name);
        let is_directory = metadata.is_dir();
        found.push((path.clone(), metadata));
        if is_directory {
            collect(root, &path, found)?;
        }
    }
    Ok(())
}

/// The checksums of the contents of regular files; 0 for everything else.
fn sums(root: &Path, found: &[(PathBuf, Metadata)]) -> io::Result<Vec<u32>> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let work = || -> io::Result<Vec<(usize, u32)>> {
        let mut buffer = vec![0; BUFFER];
        let mut sums = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, metadata)) = found.get(index) else { return Ok(sums) };
            if metadata.is_file() {
                sums.push((index, sum(&root.join(path), &mut buffer)?));
            }
        }
    };
    let mut all = vec![0; found.len()];
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in running {
            let sums = thread.join().map_err(|_| io::Error::other("a reading thread died"))??;
            sums.into_iter().for_each(|(index, sum)| all[index] = sum);
        }
        Ok(all)
    })
}

fn sum(path: &Path, buffer: &mut [u8]) -> io::Result<u32> {
    let file = context("open", path, File::open(path))?;
    let mut sum = crc32fast::Hasher::new();
    let (mut at, end) = (0, context("look at", path, file.metadata())?.len());
    while at < end {
        // A hole may be of any size, and is not read.
        let data = find(&file, at, Whence::SeekData, end);
        zeros(&mut sum, data - at);
        at = data;
        let hole = find(&file, at, Whence::SeekHole, end);
        while at < hole {
            let most = buffer.len().min(usize::try_from(hole - at).unwrap_or(usize::MAX));
            match context("read", path, file.read_at(&mut buffer[..most], at))? {
                0 => return Ok(sum.finalize()),
                count => {
                    sum.update(&buffer[..count]);
                    at += count as u64;
                }
            }
        }
    }
    Ok(sum.finalize())
}

/// Where the next data or the next hole is, from `at` on. Where a file system does not tell, all is
/// data.
fn find(file: &File, at: u64, what: Whence, end: u64) -> u64 {
    let otherwise = if matches!(what, Whence::SeekData) { at } else { end };
    let from = i64::try_from(at).unwrap_or(i64::MAX);
    match nix::unistd::lseek(file, from, what) {
        Ok(found) => found.unsigned_abs().clamp(at, end),
        // No more data.
        Err(Errno::ENXIO) => end,
        Err(_) => otherwise,
    }
}

/// Adds so many zeros to a checksum, in steps that double.
fn zeros(sum: &mut crc32fast::Hasher, mut count: u64) {
    let mut some = crc32fast::Hasher::new();
    some.update(&[0]);
    while count > 0 {
        if count & 1 == 1 {
            sum.combine(&some);
        }
        count >>= 1;
        if count > 0 {
            some.combine(&some.clone());
        }
    }
}

fn line(
    root: &Path,
    path: &Path,
    metadata: &Metadata,
    sum: u32,
    out: &mut dyn Write,
) -> io::Result<()> {
    let kind = metadata.file_type();
    let full = root.join(path);
    let (letter, what) = if kind.is_file() {
        ('f', format!("{sum:08x}"))
    } else if kind.is_dir() {
        ('d', String::new())
    } else if kind.is_symlink() {
        ('l', format!("{:?}", context("read", &full, fs::read_link(&full))?))
    } else if kind.is_char_device() || kind.is_block_device() {
        ('n', format!("{:x}", metadata.rdev()))
    } else {
        ('o', String::new())
    };
    // Sizes of directories are the file system's own matter.
    let size = if kind.is_dir() { 0 } else { metadata.size() };
    write!(
        out,
        "{path:?} {letter} {:o} {} {} {size} {}.{:09} {what}",
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )?;
    let names = context("read the attributes of", &full, xattr::list(&full))?;
    let mut names: Vec<OsString> = names.collect();
    names.sort();
    for name in names {
        let value = context("read the attributes of", &full, xattr::get(&full, &name))?;
        write!(out, " {name:?}={:?}", value.unwrap_or_default().escape_ascii().to_string())?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn of(root: &Path) -> String {
        let mut text = Vec::new();
        manifest(root, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn holes_count_as_zeros_and_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (sparse, full) = (dir.path().join("sparse"), dir.path().join("full"));
        let mut content = vec![0; 3 << 20];
        content[1 << 20..][..5].copy_from_slice(b"data!");
        fs::write(&full, &content).unwrap();
        let file = File::create(&sparse).unwrap();
        file.write_all_at(b"data!", 1 << 20).unwrap();
        file.set_len(3 << 20).unwrap();
        let mut buffer = vec![0; 4096];
        let expected = crc32fast::hash(&content);
        assert_eq!(sum(&full, &mut buffer).unwrap(), expected);
        assert_eq!(sum(&sparse, &mut buffer).unwrap(), expected);
        // This would take hours.
        file.set_len(4 << 40).unwrap();
        sum(&sparse, &mut buffer).unwrap();
    }

    #[test]
    fn everything_shows() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "abc").unwrap();
        symlink("d/f", root.join("l")).unwrap();
        let before = of(root);
        assert!(before.contains("\"d/f\" f ") && before.contains(" 352441c2"), "{before}");
        assert!(before.contains("\"l\" l 777 ") && before.contains(" \"d/f\"\n"), "{before}");
        let changed = |change: &dyn Fn()| {
            let known = of(root);
            change();
            assert_ne!(known, of(root));
        };
        let time = fs::metadata(root.join("d/f")).unwrap().modified().unwrap();
        changed(&|| {
            fs::write(root.join("d/f"), "abd").unwrap();
            File::options().write(true).open(root.join("d/f")).unwrap().set_modified(time).unwrap();
        });
        changed(&|| {
            fs::set_permissions(root.join("d/f"), fs::Permissions::from_mode(0o4755)).unwrap();
        });
        changed(&|| fs::remove_file(root.join("l")).unwrap());
    }
}
