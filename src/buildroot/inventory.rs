//! What the store holds, and what of it is to go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Serialize;

use super::disk::Size;
use super::layers::{self, Known, LayerInfo};
use super::record::{self, INFO};
use super::roots::{self, RootInfo};
use super::store::{self, LockKind, Store};
use super::workspace::LAYER;

/// What a tree of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Build dependencies over a root.
    Dependencies,
    /// What the set-up command of a config installs.
    Root,
}

/// A complete tree of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Name of its directory.
    pub key: String,
    /// Name of the config.
    pub config: String,
    /// Key of the root that it lies on, if it is a layer.
    pub on: Option<String>,
    /// Bytes that it adds to what it lies on, and files.
    pub size: Size,
    /// When it was made, as seconds since 1970.
    pub created: u64,
    /// When it was last used, as seconds since 1970.
    pub used: u64,
    /// Processes that use it, as numbers of this pid namespace.
    pub users: Vec<u32>,
    /// Whether a shell or a failed build has left something over it.
    pub has_session: bool,
}

/// Lists everything that is complete, layers before the roots that they lie on.
pub fn list(store: &Store) -> Vec<Entry> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let used_layers: BTreeSet<String> = names(&store.sessions())
        .into_iter()
        .filter_map(|name| record::read(&store.sessions().join(name).join(LAYER)))
        .collect();
    let mut entries = Vec::new();
    for key in names(&store.layers()) {
        let dir = store.layers().join(&key);
        let Some(info) = record::read::<LayerInfo>(&dir.join(INFO)) else { continue };
        let (used, users) = use_of(&store::lock_of(&dir), &locks);
        entries.push(Entry {
            kind: Kind::Dependencies,
            has_session: used_layers.contains(&key),
            key,
            config: info.config,
            on: Some(info.root),
            size: info.size,
            created: u64::try_from(info.created).unwrap_or(0),
            used,
            users,
        });
    }
    for key in names(&store.roots()) {
        let dir = store.root(&key);
        let Some(info) = record::read::<RootInfo>(&dir.join(INFO)) else { continue };
        let (used, users) = use_of(&store::lock_of(&dir), &locks);
        entries.push(Entry {
            kind: Kind::Root,
            on: info.parent,
            has_session: store.sessions().join(&key).exists(),
            key,
            config: info.config,
            size: info.size,
            created: u64::try_from(info.created).unwrap_or(0),
            used,
            users,
        });
    }
    entries
}

/// The directory of an entry, and its tree.
pub fn place(store: &Store, entry: &Entry) -> (PathBuf, PathBuf) {
    let (dir, tree) = match entry.kind {
        Kind::Dependencies => (store.layers().join(&entry.key), layers::TREE),
        Kind::Root => {
            (store.root(&entry.key), if entry.on.is_some() { roots::UPDATE } else { roots::TREE })
        }
    };
    let tree = dir.join(tree);
    (dir, tree)
}

/// The names of the directories in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> =
        directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// When a lock was last taken, and who holds it.
fn use_of(lock: &Path, locks: &str) -> (u64, Vec<u32>) {
    let Ok(metadata) = fs::metadata(lock) else { return (0, Vec::new()) };
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let used = modified.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    (used, holders(locks, &metadata))
}

/// Who holds flock(2) locks on a file, from the text of /proc/locks (proc_locks(5)).
fn holders(locks: &str, file: &Metadata) -> Vec<u32> {
    let (device, inode) = (file.dev(), file.ino());
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let name = format!("{major:02x}:{minor:02x}:{inode}");
    let mut holders: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Those that wait have an arrow in the second place.
            let [_, "FLOCK", _, _, pid, place, ..] = words.as_slice() else { return None };
            (*place == name).then(|| pid.parse().ok())?
        })
        .collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

/// How much the store may hold, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of all trees together.
    pub bytes: Option<u64>,
    /// What is to be free on the store's file system.
    pub free: Size,
    /// Seconds since a tree was last used.
    pub age: Option<u64>,
}

impl Allowance {
    /// What is to become free where so much is: where less is than there is to be, half as much
    /// more than that, so that it does not lack at once again; nothing otherwise.
    pub fn wanted(&self, free: Size) -> Size {
        let more =
            |least: u64, free| if free < least { least.saturating_add(least / 2) } else { 0 };
        Size {
            bytes: more(self.free.bytes, free.bytes),
            inodes: more(self.free.inodes, free.inodes),
        }
    }
}

/// A tree that is to go, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// What it is.
    pub kind: Kind,
    /// Name of its directory.
    pub key: String,
    /// Bytes that this makes free.
    pub bytes: u64,
    /// Why, for people.
    pub why: &'static str,
}

/// Decides what is to go: what was not used for too long, then what was not used for the longest
/// time until the rest fits and `allowed.free` is free, where `free` is so far. What is in use stays,
/// and what lies below something that stays.
pub fn removals(entries: &[Entry], allowed: Allowance, free: Size, now: u64) -> Vec<Removal> {
    let mut carried: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *carried.entry(entry.on.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let mut total: u64 = entries.iter().map(|entry| entry.size.bytes).sum();
    let Size { bytes: missing, mut inodes } = allowed.free.less(&free);
    let most = total.saturating_sub(missing).min(allowed.bytes.unwrap_or(u64::MAX));
    // Whoever uses a layer uses its root as well, so that layers come before their roots.
    let mut oldest_first: Vec<&Entry> = entries.iter().collect();
    oldest_first.sort_by_key(|entry| (entry.used, entry.kind));
    let mut removals = Vec::new();
    for entry in oldest_first {
        let carries = entry.kind == Kind::Root
            && carried.get(entry.key.as_str()).is_some_and(|count| *count > 0);
        if !entry.users.is_empty() || entry.has_session || carries {
            continue;
        }
        let is_old = allowed.age.is_some_and(|age| now.saturating_sub(entry.used) > age);
        let why = match (is_old, total > most || inodes > 0) {
            (true, _) => "not used for too long",
            (false, true) => "to make room",
            (false, false) => break,
        };
        total = total.saturating_sub(entry.size.bytes);
        inodes = inodes.saturating_sub(entry.size.inodes);
        if let Some(count) = entry.on.as_deref().and_then(|on| carried.get_mut(on)) {
            *count -= 1;
        }
        removals.push(Removal {
            kind: entry.kind,
            key: entry.key.clone(),
            bytes: entry.size.bytes,
            why,
        });
    }
    removals
}

/// Keys of roots with something lasting over them, of those that begin with `line`.
pub fn sessions_of(store: &Store, line: &str) -> Vec<String> {
    let mut keys = names(&store.sessions());
    keys.retain(|key| key.rsplit_once('-').is_some_and(|(begin, _)| begin == line));
    keys
}

/// Whether there are roots of which `line` is what they have in common.
pub fn has_root(store: &Store, line: &str) -> bool {
    names(&store.roots())
        .iter()
        .any(|key| key.rsplit_once('-').is_some_and(|(begin, _)| begin == line))
}

/// Names of package and compiler caches that no root belongs to any more.
pub fn caches_without_roots(store: &Store) -> Vec<String> {
    let mut lines = [names(&store.caches()), names(&store.compiler_caches())].concat();
    lines.sort();
    lines.dedup();
    lines.retain(|line| !has_root(store, line));
    lines
}

/// Removes what is known of wants whose layer is gone; they would be found out again anyhow.
pub fn forget_wants(store: &Store) {
    for entry in fs::read_dir(store.wants()).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let want = name.split_once(".settled-").map_or(name.as_str(), |(want, _)| want);
        let want = path.with_file_name(want.trim_end_matches(".lock"));
        let is_there = record::read::<Known>(&want)
            .is_some_and(|known| store.layers().join(known.layer).join(INFO).exists());
        if is_there {
            continue;
        }
        // Somebody finds it out at this moment, or writes it down.
        let lock = store::lock_of(&want);
        if let Ok(Some(_held)) = store::lock(&lock, LockKind::Exclusive, &mut store::do_not_wait) {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(&lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, key: &str, on: Option<&str>, megabytes: u64, used: u64) -> Entry {
        Entry {
            kind,
            key: key.to_owned(),
            config: "c".to_owned(),
            on: on.map(str::to_owned),
            size: Size { bytes: megabytes << 20, inodes: 1 },
            created: 0,
            used,
            users: Vec::new(),
            has_session: false,
        }
    }

    fn keys(entries: &[Entry], bytes: Option<u64>, age: Option<u64>) -> Vec<String> {
        of(entries, Allowance { bytes: bytes.map(|bytes| bytes << 20), free: Size::default(), age })
    }

    /// What goes where 100 MiB and 10 inodes are free.
    fn of(entries: &[Entry], allowed: Allowance) -> Vec<String> {
        let removals = removals(entries, allowed, Size { bytes: 100 << 20, inodes: 10 }, 1000);
        removals.into_iter().map(|removal| removal.key).collect()
    }

    fn store() -> Vec<Entry> {
        vec![
            entry(Kind::Dependencies, "l1", Some("r1"), 10, 100),
            entry(Kind::Dependencies, "l2", Some("r1"), 20, 900),
            entry(Kind::Root, "r1", None, 400, 900),
            entry(Kind::Root, "r2", None, 500, 500),
        ]
    }

    #[test]
    fn what_is_old_goes_first() {
        assert_eq!(keys(&store(), None, None), Vec::<String>::new());
        assert_eq!(keys(&store(), None, Some(600)), ["l1"]);
        assert_eq!(keys(&store(), None, Some(450)), ["l1", "r2"]);
        assert_eq!(keys(&store(), None, Some(50)), ["l1", "r2", "l2", "r1"]);
    }

    #[test]
    fn room_is_made() {
        assert_eq!(keys(&store(), Some(930), None), Vec::<String>::new());
        assert_eq!(keys(&store(), Some(925), None), ["l1"]);
        assert_eq!(keys(&store(), Some(500), None), ["l1", "r2"]);
        assert_eq!(keys(&store(), Some(0), None), ["l1", "r2", "l2", "r1"]);
    }

    #[test]
    fn room_is_made_for_a_while() {
        let free = Size { bytes: 100, inodes: 10 };
        let wanted = |bytes, inodes| {
            Allowance { free: Size { bytes, inodes }, ..Allowance::default() }.wanted(free)
        };
        assert_eq!(wanted(100, 10), Size::default());
        assert_eq!(wanted(102, 10), Size { bytes: 153, inodes: 0 });
        assert_eq!(wanted(0, 12), Size { bytes: 0, inodes: 18 });
        assert_eq!(wanted(u64::MAX, 0).bytes, u64::MAX);
    }

    #[test]
    fn enough_becomes_free() {
        let keys = |free: u64, inodes, bytes: Option<u64>| {
            let free = Size { bytes: free << 20, inodes };
            of(&store(), Allowance { bytes: bytes.map(|bytes| bytes << 20), free, age: None })
        };
        assert_eq!(keys(100, 10, None), Vec::<String>::new());
        assert_eq!(keys(110, 0, None), ["l1"]);
        assert_eq!(keys(111, 0, None), ["l1", "r2"]);
        assert_eq!(keys(0, 12, None), ["l1", "r2"]);
        // Whichever wants most.
        assert_eq!(keys(110, 0, Some(500)), ["l1", "r2"]);
        assert_eq!(keys(611, 12, Some(925)), ["l1", "r2", "l2"]);
        assert_eq!(keys(9999, 0, None), ["l1", "r2", "l2", "r1"]);
    }

    #[test]
    fn what_is_used_stays() {
        let mut entries = store();
        entries[1].users.push(7);
        // Its root is below it.
        assert_eq!(keys(&entries, Some(0), None), ["l1", "r2"]);
        entries[3].has_session = true;
        assert_eq!(keys(&entries, Some(0), None), ["l1"]);
    }

    #[test]
    fn holders_of_a_lock() {
        let file = tempfile::tempfile().unwrap();
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap();
        let locks = fs::read_to_string("/proc/locks").unwrap();
        assert_eq!(holders(&locks, &lock.metadata().unwrap()), [std::process::id()]);
        drop(lock);
    }
}
