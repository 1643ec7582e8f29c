//! Whether one more build fits: decided before a task is asked for, since whoever has asked has
//! taken it. Pure; [`HostRoom::probe`] looks.

use std::path::Path;

use crate::config::Own;

/// What is free.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostRoom {
    /// Places where builds write, with free bytes and inodes; file systems that have no inodes to
    /// count say `None`.
    pub disks: Vec<(String, u64, Option<u64>)>,
    /// Bytes of memory that can be had without swapping; 0 if that is not known.
    pub memory: u64,
    /// Processes that want to run, of the last minute.
    pub load: f64,
    /// Processors.
    pub cpus: u32,
}

/// What one more build needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Needs {
    /// Bytes of memory; 0 if nothing is known.
    pub memory: u64,
    /// Bytes of disk.
    pub disk: u64,
    /// Inodes.
    pub inodes: u64,
    /// Load per processor from which on nothing is taken.
    pub max_load: f64,
}

impl Needs {
    /// What the config says. Memory is what a default build may use at most a quarter of: that many
    /// bytes must be there for it to begin at all.
    pub fn new(own: &Own, memory_limit: Option<u64>) -> Needs {
        Needs {
            memory: memory_limit.unwrap_or(0) / 4,
            disk: own.free_disk,
            inodes: own.free_inodes,
            max_load: own.max_load,
        }
    }
}

/// Why no task is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For people.
    pub why: String,
    /// Whether it is that a disk has too few bytes or inodes left.
    pub is_disk: bool,
}

impl Refusal {
    /// A reason that has nothing to do with disks.
    pub fn other(why: String) -> Refusal {
        Refusal { why, is_disk: false }
    }
}

/// Why no task is taken; nothing if one can be.
pub fn refusal(room: &HostRoom, needs: &Needs) -> Option<Refusal> {
    let disk = |why| Some(Refusal { why, is_disk: true });
    for (place, bytes, inodes) in &room.disks {
        if *bytes < needs.disk {
            let [free, wanted] = [*bytes, needs.disk].map(crate::run::bill::size);
            return disk(format!("{place} has {free} free, and free_disk is {wanted}"));
        }
        if let Some(inodes) = inodes.filter(|inodes| *inodes < needs.inodes) {
            let wanted = needs.inodes;
            return disk(format!("{place} has {inodes} inodes free, and free_inodes is {wanted}"));
        }
    }
    if room.memory > 0 && room.memory < needs.memory {
        let [free, wanted] = [room.memory, needs.memory].map(crate::run::bill::size);
        let why = format!("{free} of memory are free, and a build begins with {wanted}");
        return Some(Refusal::other(why));
    }
    let most = needs.max_load * f64::from(room.cpus.max(1));
    if room.load > most {
        return Some(Refusal::other(format!(
            "the load is {:.1}, and max_load is {} for each of {} processors",
            room.load, needs.max_load, room.cpus
        )));
    }
    None
}

impl HostRoom {
    /// Looks at this host.
    pub fn probe(places: &[&Path]) -> HostRoom {
        let disk = |place: &&Path| {
            // What does not exist yet will be made below what does.
            let place = place.ancestors().find(|path| path.exists())?;
            let found = nix::sys::statvfs::statvfs(place).ok()?;
            let bytes = found.blocks_available().saturating_mul(found.fragment_size());
            let inodes = (found.files() > 0).then(|| found.files_available());
            Some((place.display().to_string(), bytes, inodes))
        };
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let loadavg = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        HostRoom {
            disks: places.iter().filter_map(disk).collect(),
            memory: available(&meminfo),
            load: loadavg.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        }
    }
}

/// `MemAvailable` in bytes (proc_meminfo(5)).
fn available(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs { memory: 1 << 30, disk: 10 << 30, inodes: 1000, max_load: 4.0 };

    fn room() -> HostRoom {
        HostRoom {
            disks: vec![("/srv".into(), 20 << 30, Some(5000)), ("/btrfs".into(), 20 << 30, None)],
            memory: 2 << 30,
            load: 7.9,
            cpus: 2,
        }
    }

    #[test]
    fn enough_is_enough() {
        assert_eq!(refusal(&room(), &NEEDS), None);
        let unknown = HostRoom { memory: 0, ..room() };
        assert_eq!(refusal(&unknown, &NEEDS), None);
    }

    #[test]
    fn what_is_missing_is_told() {
        let told = |change: fn(&mut HostRoom)| {
            let mut room = room();
            change(&mut room);
            let refusal = refusal(&room, &NEEDS).unwrap();
            assert_eq!(refusal.is_disk, refusal.why.starts_with("/srv"));
            refusal.why
        };
        assert_eq!(
            told(|room| room.disks[0].1 = 1 << 30),
            "/srv has 1024 MiB free, and free_disk is 10.0 GiB"
        );
        assert_eq!(
            told(|room| room.disks[0].2 = Some(7)),
            "/srv has 7 inodes free, and free_inodes is 1000"
        );
        assert_eq!(
            told(|room| room.memory = 1 << 29),
            "512 MiB of memory are free, and a build begins with 1024 MiB"
        );
        assert_eq!(
            told(|room| room.load = 8.1),
            "the load is 8.1, and max_load is 4 for each of 2 processors"
        );
    }

    #[test]
    fn this_host_has_something() {
        let room = HostRoom::probe(&[Path::new("/tmp/not/there/yet")]);
        assert!(room.memory > 0 && room.disks[0].1 > 0 && room.cpus > 0);
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), 2 << 20);
    }
}
