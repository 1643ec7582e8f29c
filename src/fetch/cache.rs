//! Sources by their checksums, which builds share. What is in there was verified when it came, and
//! belongs to this user alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::sums::{Sum, SumKind};
use crate::buildroot::disk::{self, Size};
use crate::buildroot::store;

/// Bytes that are kept; what was not used for the longest time goes first.
const MOST: u64 = 50 << 30;
/// Percent of what is free that a single one may have.
const MOST_OF_FREE: u64 = 10;

/// The cache.
#[derive(Debug, Clone)]
pub struct SourceCache {
    path: PathBuf,
}

impl SourceCache {
    /// The cache in a directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn open(path: &Path) -> io::Result<SourceCache> {
        store::private_directory(path)?;
        Ok(SourceCache { path: path.to_owned() })
    }

    fn place(&self, sum: &Sum) -> PathBuf {
        self.path.join(format!("{}-{}", sum.kind.name(), sum.hex))
    }

    /// Bytes of a source, if it is there.
    pub fn size(&self, sum: &Sum) -> Option<u64> {
        Some(fs::metadata(self.place(sum)).ok()?.len())
    }

    /// Gives a source that is there a name. Says whether it is.
    ///
    /// # Errors
    ///
    /// It cannot be copied; the name is nobody's then.
    pub fn give(&self, sum: &Sum, name: &Path) -> io::Result<bool> {
        let place = self.place(sum);
        let Ok(mut file) = File::open(&place) else { return Ok(false) };
        let mut copy = File::options().write(true).create_new(true).open(name)?;
        let copied = sum.copy(&mut file, &mut copy);
        if !matches!(copied, Ok((_, None))) {
            fs::remove_file(name)?;
        }
        // A disk that has changed what it holds would be noticed.
        if let (_, Some(_)) = copied? {
            fs::remove_file(&place)?;
            return Ok(false);
        }
        // Those that are used stay. It may have gone just now, which is no matter.
        let _ = File::options().write(true).open(&place).map(|f| f.set_modified(SystemTime::now()));
        Ok(true)
    }

    /// Keeps a source whose checksum was verified, unless it would take much of what is free.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    pub fn keep(&self, sum: &Sum, file: &Path) -> io::Result<()> {
        // Another like it may be on its way to where sources are.
        if fs::metadata(file)?.len() > disk::part_of_free(&self.path, MOST_OF_FREE).bytes {
            return Ok(());
        }
        let place = self.place(sum);
        let aside = self.path.join(format!(".{}.{}", std::process::id(), fastrand::u64(..)));
        let kept = fs::copy(file, &aside).and_then(|_| fs::rename(&aside, &place));
        if kept.is_err() {
            let _ = fs::remove_file(&aside);
        }
        kept?;
        self.prune(MOST)
    }

    /// Removes what was not used for the longest time until no more than this is left.
    fn prune(&self, most: u64) -> io::Result<()> {
        let total = list(&self.path)?.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        make_room(&self.path, Size { bytes: total.saturating_sub(most), inodes: 0 })
    }
}

/// Whether a file of a cache is a source, or half of one: what else is in a directory is not ours to
/// remove.
fn is_source(name: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (name.split_once('-'), name.strip_prefix('.').and_then(|name| name.split_once('.'))) {
        (Some((kind, hex)), _) => SumKind::ALL.iter().any(|k| k.name() == kind) && digits(hex),
        (_, Some((pid, random))) => digits(pid) && digits(random),
        _ => false,
    }
}

/// What is in a cache: when it was used, how large it is, where; what was not used for the longest
/// time first.
fn list(cache: &Path) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        // Others remove, too.
        let Ok(metadata) = entry.metadata() else { continue };
        if !entry.file_name().to_str().is_some_and(is_source) {
            continue;
        }
        files.push((metadata.modified()?, metadata.len(), entry.path()));
    }
    files.sort();
    Ok(files)
}

/// Removes from a cache what was not used for the longest time, until so much is gone. One that is
/// not there has nothing.
///
/// # Errors
///
/// It cannot be read.
pub fn make_room(cache: &Path, missing: Size) -> io::Result<()> {
    let mut gone = Size::default();
    if !missing.exceeds(&gone) || !cache.exists() {
        return Ok(());
    }
    for (_, bytes, path) in list(cache)? {
        if !missing.exceeds(&gone) {
            break;
        }
        let _ = fs::remove_file(path);
        gone = gone.and(&Size { bytes, inodes: 1 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_given_and_what_is_broken_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = SourceCache::open(&dir.path().join("cache")).unwrap();
        let sum = Sum::parse("900150983cd24fb0d6963f7d28e17f72").unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        assert!(!cache.give(&sum, &to).unwrap());
        fs::write(&from, "abc").unwrap();
        cache.keep(&sum, &from).unwrap();
        assert!(cache.give(&sum, &to).unwrap());
        assert_eq!(fs::read_to_string(&to).unwrap(), "abc");
        fs::remove_file(&to).unwrap();
        fs::write(cache.place(&sum), "abd").unwrap();
        assert!(!cache.give(&sum, &to).unwrap() && !to.exists() && !cache.place(&sum).exists());
    }

    #[test]
    fn what_cannot_be_given_leaves_nothing_and_what_is_large_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = SourceCache::open(&dir.path().join("cache")).unwrap();
        let sum = Sum::parse("900150983cd24fb0d6963f7d28e17f72").unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        // It has no bytes, as a file on a broken disk.
        fs::create_dir(cache.place(&sum)).unwrap();
        assert!(cache.give(&sum, &to).is_err() && !to.exists());
        fs::remove_dir(cache.place(&sum)).unwrap();
        let large = disk::part_of_free(dir.path(), 2 * MOST_OF_FREE).bytes;
        File::create(&from).unwrap().set_len(large).unwrap();
        cache.keep(&sum, &from).unwrap();
        assert_eq!(cache.size(&sum), None);
    }

    #[test]
    fn the_oldest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = SourceCache::open(dir.path()).unwrap();
        let names = ["md5-a", "sha256-b", ".123.456", "notes", "etc-b", ".bashrc"];
        for (name, age) in names.into_iter().zip([10, 30, 20, 40, 50, 60]) {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            let then = SystemTime::now() - std::time::Duration::from_secs(age);
            file.set_modified(then).unwrap();
        }
        let left = || names.map(|name| dir.path().join(name).exists());
        cache.prune(250).unwrap();
        assert_eq!(left(), [true, false, true, true, true, true]);
        make_room(dir.path(), Size::default()).unwrap();
        assert_eq!(left(), [true, false, true, true, true, true]);
        make_room(dir.path(), Size { bytes: 1, inodes: 1 }).unwrap();
        assert_eq!(left(), [true, false, false, true, true, true]);
        make_room(dir.path(), Size { bytes: 0, inodes: 9 }).unwrap();
        assert_eq!(left(), [false, false, false, true, true, true]);
        make_room(&dir.path().join("none"), Size::MAX).unwrap();
    }
}
