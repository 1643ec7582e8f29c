//! How much there is in a tree that may be hostile, and changes meanwhile.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::buildroot::disk::Size;

/// Bytes on the disk and inodes of everything below `directory`, without following links. What
/// goes away meanwhile, or cannot be read, is not counted.
pub(super) fn measure(directory: &Path) -> io::Result<Size> {
    let mut size = Size::default();
    let mut linked = HashSet::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(entries) = fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.nlink() > 1 && !metadata.is_dir() && !linked.insert(metadata.ino()) {
                continue;
            }
            // A unit of st_blocks is 512 bytes whatever the file system has (stat(2)).
            size.bytes = size.bytes.saturating_add(metadata.blocks().saturating_mul(512));
            size.inodes += 1;
            if metadata.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_once_and_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(dir.path().join("d/file"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let size = measure(dir.path()).unwrap();
        assert_eq!(size.inodes, 3);
        assert!((100_000..200_000).contains(&size.bytes), "{size:?}");
    }
}
