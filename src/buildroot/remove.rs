//! Removing trees whose files belong to mapped ids, as the user to whom they do not belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::maintenance;
use super::sandboxes::Context;
use super::store::{self, Lock, LockKind, Store, StoreError, attempt};
use crate::helper::Task;

/// Where the directory is seen by the helper.
const PLACE: &str = "/run/albs-node/removed";

/// Removes the named trees below `dir`, then `dir` with what this user put there.
///
/// # Errors
///
/// What could not be removed and why, for people.
pub fn remove_trees(
    context: &Context,
    program: &Path,
    dir: &Path,
    trees: &[&str],
) -> Result<(), String> {
    remove_within(context, program, dir, trees)?;
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Removes the named trees below `dir`, which stays.
///
/// # Errors
///
/// What could not be removed and why, for people.
pub fn remove_within(
    context: &Context,
    program: &Path,
    dir: &Path,
    trees: &[impl AsRef<Path>],
) -> Result<(), String> {
    let present: Vec<PathBuf> = trees
        .iter()
        .filter(|tree| fs::symlink_metadata(dir.join(tree)).is_ok())
        .map(|tree| Path::new(PLACE).join(tree))
        .collect();
    if present.is_empty() {
        return Ok(());
    }
    let place = (dir.to_owned(), PathBuf::from(PLACE), false);
    maintenance::run_always(context, program, &Task::Remove { paths: present }, &[place])
}

/// What became of a removal.
#[derive(Debug, PartialEq, Eq)]
pub enum Removed {
    /// Nothing of it is left.
    Gone,
    /// Somebody uses it.
    InUse,
    /// It could not be removed; the text is for people.
    Failed(String),
}

/// What the store has under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A root.
    Root,
    /// Build dependencies over a root.
    Layer,
    /// What shells and kept builds have left over a root.
    Session,
    /// Downloaded packages and metadata.
    Packages,
    /// The cache of compilers.
    Compilers,
}

impl Part {
    /// All there are.
    pub const ALL: [Part; 5] =
        [Part::Root, Part::Layer, Part::Session, Part::Packages, Part::Compilers];

    fn directory(self, store: &Store) -> PathBuf {
        match self {
            Part::Root => store.roots(),
            Part::Layer => store.layers(),
            Part::Session => store.sessions(),
            Part::Packages => store.caches(),
            Part::Compilers => store.compiler_caches(),
        }
    }

    fn is_cache(self) -> bool {
        matches!(self, Part::Packages | Part::Compilers)
    }
}

/// Removes a root, its lasting layer and its caches; or a layer, by its key.
///
/// # Errors
///
/// A lock cannot be opened.
pub fn remove_root(
    context: &Context,
    program: &Path,
    store: &Store,
    key: &str,
) -> Result<Removed, StoreError> {
    remove_parts(context, program, store, key, &Part::ALL)
}

/// Removes some of what the store has under a key.
///
/// # Errors
///
/// A lock cannot be opened.
pub fn remove_parts(
    context: &Context,
    program: &Path,
    store: &Store,
    key: &str,
    parts: &[Part],
) -> Result<Removed, StoreError> {
    // Compilers lock what they use themselves.
    let locked = parts.iter().filter(|part| **part != Part::Compilers);
    let locks: Vec<PathBuf> =
        locked.map(|part| part.directory(store).join(format!("{key}.lock"))).collect();
    let mut held = Vec::new();
    for path in &locks {
        match store::lock(path, LockKind::Exclusive, &mut store::do_not_wait)? {
            Some(lock) => held.push(lock),
            None => return Ok(Removed::InUse),
        }
    }
    let mut aside = Vec::new();
    for part in parts {
        let dir = part.directory(store).join(key);
        if part.is_cache() {
            if let Err(reason) = remove_cache(context, program, &dir) {
                return Ok(Removed::Failed(reason));
            }
            continue;
        }
        // The record goes first: without it, what is left does not count as a root.
        let _ = fs::remove_file(dir.join("info.json"));
        if dir.exists() {
            aside.push(set_aside(store, &dir)?);
        }
    }
    for path in &locks {
        let _ = fs::remove_file(path);
    }
    // From here on, whoever wants the key makes it anew and does not wait.
    drop(held);
    for (dir, _lock) in &aside {
        if let Err(reason) = remove_workspace(context, program, dir) {
            return Ok(Removed::Failed(reason));
        }
    }
    Ok(Removed::Gone)
}

/// Whether the store has any of these under a key.
pub fn has_parts(store: &Store, key: &str, parts: &[Part]) -> bool {
    parts.iter().any(|part| part.directory(store).join(key).exists())
}

/// Moves something to where builds are, as one that has ended: if this process is killed, it is
/// swept as those are.
fn set_aside(store: &Store, dir: &Path) -> Result<(PathBuf, Lock), StoreError> {
    let place = store.builds().join(workspace_name());
    let path = place.with_extension("lock");
    loop {
        // Nobody else knows the name.
        if let Some(lock) = store::lock(&path, LockKind::Exclusive, &mut store::do_not_wait)? {
            attempt("set aside", dir, fs::rename(dir, &place))?;
            return Ok((place, lock));
        }
    }
}

/// A name among running builds that nothing else has.
pub(super) fn workspace_name() -> String {
    format!("{}-{}", std::process::id(), jiff::Timestamp::now().as_nanosecond())
}

/// All trees that may be where builds are.
fn trees() -> Vec<&'static str> {
    let roots = super::roots::TREES.into_iter().chain(super::layers::TREES);
    roots.chain(super::workspace::TREES).collect()
}

/// Removes a cache, in which there is whatever builds and package managers have put there.
fn remove_cache(context: &Context, program: &Path, dir: &Path) -> Result<(), String> {
    if dir.exists() {
        let place = (dir.to_owned(), PathBuf::from(PLACE), false);
        let task = Task::Empty { directory: PLACE.into() };
        maintenance::run_always(context, program, &task, &[place])?;
    }
    remove_trees(context, program, dir, &[])
}

/// Removes a workspace and its lock, which the caller holds.
pub(super) fn remove_workspace(
    context: &Context,
    program: &Path,
    dir: &Path,
) -> Result<(), String> {
    // One in memory is a link; what it leads to goes before it.
    if let (Ok(place), Some(memory)) = (fs::read_link(dir), store::memory_directory())
        && place.starts_with(&memory)
    {
        remove_trees(context, program, &place, &trees())?;
        let _ = fs::remove_file(dir);
        // The last one takes the directory along.
        let _ = fs::remove_dir(&memory);
    } else {
        remove_trees(context, program, dir, &trees())?;
    }
    let _ = fs::remove_file(dir.with_extension("lock"));
    Ok(())
}

/// Removes what killed builds have left: their locks are free. A lock alone is what a build leaves
/// that was killed before it made its workspace.
pub fn sweep(context: &Context, program: &Path, store: &Store) {
    let Ok(entries) = fs::read_dir(store.builds()) else { return };
    let dirs: BTreeSet<PathBuf> =
        entries.flatten().map(|entry| entry.path().with_extension("")).collect();
    for dir in dirs {
        let lock_path = dir.with_extension("lock");
        let lock = store::lock(&lock_path, LockKind::Exclusive, &mut store::do_not_wait);
        let Ok(Some(_lock)) = lock else { continue };
        // What cannot be removed now is tried again at the next start.
        let _ = remove_workspace(context, program, &dir);
    }
}
