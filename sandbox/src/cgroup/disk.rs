//! Which disk a directory is on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{major, minor};

/// The whole disk below a directory, as `MAJOR:MINOR`: control groups limit disks, not their
/// partitions (cgroup-v2, `io.max`). None if there is none, as on tmpfs, overlays and networks.
pub fn disk_below(directory: &Path) -> Option<String> {
    let device = fs::metadata(directory).ok()?.dev();
    let own = format!("{}:{}", major(device), minor(device));
    whole(Path::new("/sys/dev/block"), &own).or_else(|| {
        // btrfs gives each subvolume a device number of its own; the mount has the disk's name.
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let disk = fs::metadata(source(&mounts, &own)?).ok()?.rdev();
        whole(Path::new("/sys/dev/block"), &format!("{}:{}", major(disk), minor(disk)))
    })
}

/// The disk of a partition; a disk itself as it is.
fn whole(sysfs: &Path, number: &str) -> Option<String> {
    let entry = fs::canonicalize(sysfs.join(number)).ok()?;
    if !entry.join("partition").exists() {
        return Some(number.to_owned());
    }
    let disk = fs::read_to_string(entry.parent()?.join("dev")).ok()?;
    Some(disk.trim().to_owned())
}

/// What is mounted with a device number (proc_pid_mountinfo(5)).
fn source<'a>(mounts: &'a str, number: &str) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_it = before.split(' ').nth(2)? == number;
        after.split(' ').nth(1).filter(|source| is_it && source.starts_with("/dev/"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_of_their_disk() {
        let sysfs = tempfile::tempdir().unwrap();
        let disk = sysfs.path().join("devices/sda");
        fs::create_dir_all(disk.join("sda1")).unwrap();
        fs::write(disk.join("dev"), "8:0\n").unwrap();
        fs::write(disk.join("sda1/partition"), "1\n").unwrap();
        for (number, to) in [("8:0", "sda"), ("8:1", "sda/sda1")] {
            let target = sysfs.path().join("devices").join(to);
            std::os::unix::fs::symlink(target, sysfs.path().join(number)).unwrap();
        }
        assert_eq!(whole(sysfs.path(), "8:1").as_deref(), Some("8:0"));
        assert_eq!(whole(sysfs.path(), "8:0").as_deref(), Some("8:0"));
        assert_eq!(whole(sysfs.path(), "0:42"), None);
    }

    #[test]
    fn the_disk_of_a_subvolume() {
        let mounts = "25 1 0:30 /root / rw shared:1 - btrfs /dev/vda2 rw,subvol=/root\n\
                      26 1 0:31 / /tmp rw - tmpfs tmpfs rw\n";
        assert_eq!(source(mounts, "0:30"), Some("/dev/vda2"));
        assert_eq!(source(mounts, "0:31"), None);
    }
}
