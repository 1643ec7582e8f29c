//! What a new package cache begins with: the packages that other configs have downloaded from the
//! same addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::store::{self, Lock, LockKind};
use super::{Env, maintenance, revisions};
use crate::helper::Task;
use crate::run::StageRun;
use crate::verdict::Failure;

/// Where the helper sees the new cache, and the others by their numbers.
const TO: &str = "/run/albs-node/cache";
const FROM: &str = "/run/albs-node/caches";

/// Fills the package cache of a root if there is none. The caller holds its lock. Without what
/// cannot be had here, packages are downloaded as ever.
///
/// # Errors
///
/// The store cannot be used, or the build was cancelled.
pub(super) fn fill(env: &Env<'_>, stage: &StageRun<'_>) -> Result<(), Failure> {
    let own = env.store.caches().join(&env.key);
    if env.options.plugins.package_cache_days.is_none() || own.exists() {
        return Ok(());
    }
    let others = others(env);
    let made = env.store.cache(&env.key);
    made.map_err(|error| super::roots::store_failure(stage.stage, error))?;
    if others.is_empty() {
        return Ok(());
    }
    let places: Vec<PathBuf> =
        (0..others.len()).map(|number| Path::new(FROM).join(number.to_string())).collect();
    let sources = others.iter().zip(&places);
    let mut trees: Vec<_> =
        sources.map(|((path, _lock), place)| (path.clone(), place.clone(), true)).collect();
    trees.push((own, TO.into(), false));
    let repositories = revisions::enabled(env.options).into_iter().map(|one| one.id).collect();
    let task = Task::SharePackages { from: places, to: TO.into(), repositories };
    let shared = maintenance::run(env, stage, &task, &trees);
    maintenance::or_note(stage, "packages of other configs are not used", shared).map(drop)
}

/// The caches of other roots that nobody uses now, what was used last first.
fn others(env: &Env<'_>) -> Vec<(PathBuf, Lock)> {
    let entries = fs::read_dir(env.store.caches()).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut paths: Vec<(SystemTime, PathBuf)> = directories
        .map(|entry| entry.path())
        .map(|path| {
            let used = fs::metadata(store::lock_of(&path)).and_then(|data| data.modified());
            (used.unwrap_or(UNIX_EPOCH), path)
        })
        .collect();
    paths.sort();
    let take = |path: PathBuf| {
        let lock = store::lock_of(&path);
        let held = store::lock(&lock, LockKind::Exclusive, &mut store::do_not_wait);
        held.ok().flatten().map(|lock| (path, lock))
    };
    paths.into_iter().rev().filter_map(|(_, path)| take(path)).collect()
}
