//! Removing trees whose files belong to mapped ids, as the user to whom they do not belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::maintenance;
use super::sandboxes::Context;
use super::store::{self, LockKind, Store, StoreError};
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
    let present: Vec<PathBuf> = trees
        .iter()
        .filter(|tree| fs::symlink_metadata(dir.join(tree)).is_ok())
        .map(|tree| Path::new(PLACE).join(tree))
        .collect();
    if !present.is_empty() {
        let place = (dir.to_owned(), PathBuf::from(PLACE), false);
        maintenance::run_always(context, program, &Task::Remove { paths: present }, &[place])?;
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", dir.display()))
        }
        _ => Ok(()),
    }
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
    let dirs = [store.roots(), store.layers(), store.sessions(), store.caches()];
    let locks = dirs.map(|dir| dir.join(format!("{key}.lock")));
    let mut held = Vec::new();
    for path in &locks {
        match store::lock(path, LockKind::Exclusive, &mut store::do_not_wait)? {
            Some(lock) => held.push(lock),
            None => return Ok(Removed::InUse),
        }
    }
    // The record goes first: without it, what is left does not count as a root.
    for dir in [store.root(key), store.layers().join(key)] {
        let _ = fs::remove_file(dir.join("info.json"));
    }
    let parts = [
        (store.root(key), &super::roots::TREES[..]),
        (store.layers().join(key), &super::layers::TREES[..]),
        (store.sessions().join(key), &super::workspace::TREES[..]),
        (store.caches().join(key), &[][..]),
        (store.compiler_caches().join(key), &[][..]),
    ];
    for (dir, trees) in &parts {
        let trees = match trees.is_empty() {
            true => entries(dir),
            false => trees.iter().map(|tree| (*tree).to_owned()).collect(),
        };
        let trees: Vec<&str> = trees.iter().map(String::as_str).collect();
        if let Err(reason) = remove_trees(context, program, dir, &trees) {
            return Ok(Removed::Failed(reason));
        }
    }
    for path in &locks {
        let _ = fs::remove_file(path);
    }
    Ok(Removed::Gone)
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
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
        remove_trees(context, program, &place, &super::workspace::TREES)?;
        let _ = fs::remove_file(dir);
        // The last one takes the directory along.
        let _ = fs::remove_dir(&memory);
    } else {
        remove_trees(context, program, dir, &super::workspace::TREES)?;
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
