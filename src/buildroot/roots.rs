//! The buildroot of a config as its repositories are now: one that is there, one that is there
//! with the updates since then laid over it, or a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Size;
use super::image::{self, Origin};
use super::record::{self, INFO};
use super::route::{self, Route};
use super::store::{self, Lock, LockKind, StoreError, attempt};
use super::{Env, bootstrap, integrity, update};
use crate::run::StageRun;
use crate::verdict::{Failure, Stage, status};

/// How often a root is begun while its repositories change.
const ROUNDS: u32 = 3;

/// A buildroot that exists and stays as long as this value lives.
#[derive(Debug)]
pub struct Root {
    /// Name of its directory in the store.
    pub key: String,
    /// Its trees, the lowest first: what was installed, and updates over it.
    pub trees: Vec<PathBuf>,
    /// What is known of it.
    pub info: RootInfo,
    /// Whether it was there before, perhaps without the latest updates.
    pub reused: bool,
    #[expect(dead_code, reason = "held, not used")]
    locks: Vec<Lock>,
}

/// What is recorded of a complete buildroot. Its existence says that the root is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootInfo {
    /// Name of the config.
    pub config: String,
    /// Key of the root that this one is an update of.
    pub parent: Option<String>,
    /// How many updates lie over each other.
    pub updates: usize,
    /// rpm's database in the root, as the root's own rpm has it.
    pub dbpath: String,
    /// How much it has, without what it is an update of.
    pub size: Size,
    /// Number of packages.
    pub packages: usize,
    /// What is installed, as [`super::packages::installed`] lists it.
    pub installed: Vec<String>,
    /// When it was made, as seconds since 1970.
    pub created: i64,
    /// When the lowest of its trees was made, as seconds since 1970.
    pub begun: i64,
    /// Versions of the tools that made it and that it has.
    pub tools: BTreeMap<String, String>,
    /// The image that it started from.
    pub image: Option<Origin>,
}

/// Name of the tree of a root that is no update.
pub(super) const TREE: &str = "root";
/// Name of the tree of an update.
pub(super) const UPDATE: &str = "upper";
/// All trees that may be there.
pub(super) const TREES: [&str; 4] = [TREE, UPDATE, "work", image::TOOLS];

impl RootInfo {
    /// Name of its own tree.
    pub(super) fn tree(&self) -> &'static str {
        if self.parent.is_some() { UPDATE } else { TREE }
    }
}

/// Gives the buildroot of the config as its repositories are now. Waits while another process
/// makes or removes it.
///
/// # Errors
///
/// The package manager failed, or the store cannot be used.
pub fn ensure(env: &Env<'_>, stage: &StageRun<'_>) -> Result<Root, Failure> {
    for _ in 0..ROUNDS {
        let root = match route::to(env, stage)? {
            Route::Use { key, may_make } => obtain(env, stage, &key, None, may_make)?,
            Route::Update { from, to } => obtain(env, stage, &to, Some(&from), true)?,
            Route::Make(key) => obtain(env, stage, &key, None, true)?,
        };
        if let Some(root) = root {
            return Ok(root);
        }
    }
    let message = "the repositories change faster than a buildroot can be made";
    let hint = "try again when whoever changes them is done".to_owned();
    Err(Failure::infrastructure(stage.stage, status::ROOT, message, None).with_hint(Some(hint)))
}

/// The root of a key, which is made if it is missing and may be made. None if it is not there, or
/// if the repositories have changed while it was made.
fn obtain(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    key: &str,
    from: Option<&str>,
    may_make: bool,
) -> Result<Option<Root>, Failure> {
    let dir = env.store.root(key);
    let lock_path = lock_path(env, key);
    let mut reused = true;
    let mut may_be_old = true;
    loop {
        let lock = take(stage, &lock_path, LockKind::Shared, "buildroot")?;
        if let Some(info) = read_info(&dir) {
            if may_be_old && route::is_old(env, &info) {
                may_be_old = false;
                drop(lock);
                // As long as others use it, it is good enough for one more.
                let alone = store::lock(&lock_path, LockKind::Exclusive, &mut store::do_not_wait)
                    .map_err(|error| store_failure(stage.stage, error))?;
                if alone.is_some() && read_info(&dir).is_some_and(|info| route::is_old(env, &info))
                {
                    stage.note("the buildroot is made anew, as root_cache of the config wants it");
                    forget(stage, &dir)?;
                    discard(env, &dir);
                    reused = false;
                }
                continue;
            }
            if let Some(root) = open(env, stage, key, info, lock)? {
                return Ok(Some(Root { reused, ..root }));
            }
            let _alone = take(stage, &lock_path, LockKind::Exclusive, "buildroot")?;
            integrity::evict(env, stage, &dir, &TREES)?;
            reused = false;
            continue;
        }
        drop(lock);
        if !may_make {
            return Ok(None);
        }
        let _alone = take(stage, &lock_path, LockKind::Exclusive, "buildroot")?;
        if read_info(&dir).is_some() {
            continue;
        }
        discard(env, &dir);
        may_be_old = false;
        let is_updated = match from {
            Some(from) => update::update(env, stage, from, key)?,
            None => false,
        };
        if !is_updated {
            reused = false;
            bootstrap::make(env, stage, &dir)?;
        }
        // What was installed may be of another revision than the key says.
        if !env.is_bootstrap
            && let Some(now) = route::revision(env, stage)?
            && route::key(env, Some(&now)) != key
        {
            stage.note("the repositories have changed while the buildroot was made");
            forget(stage, &dir)?;
            discard(env, &dir);
            return Ok(None);
        }
    }
}

/// Opens a root that is there, with what it is an update of. None if that is not intact.
fn open(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    key: &str,
    info: RootInfo,
    lock: Lock,
) -> Result<Option<Root>, Failure> {
    let mut locks = vec![lock];
    let mut trees = Vec::new();
    let mut next = Some((key.to_owned(), info.clone()));
    while let Some((key, info)) = next {
        let dir = env.store.root(&key);
        if !integrity::is_usable(env, stage, &dir, info.tree())? {
            // The root itself is removed by the caller; one below it here.
            if locks.len() > 1 {
                locks.pop();
                let _alone = take(stage, &lock_path(env, &key), LockKind::Exclusive, "buildroot")?;
                integrity::evict(env, stage, &dir, &TREES)?;
            }
            return unusable(env, stage, &trees, &dir);
        }
        trees.insert(0, dir.join(info.tree()));
        let Some(parent) = info.parent else { break };
        let path = lock_path(env, &parent);
        locks.push(take(stage, &path, LockKind::Shared, "buildroot")?);
        let Some(info) = read_info(&env.store.root(&parent)) else {
            return unusable(env, stage, &trees, &dir);
        };
        next = Some((parent, info));
    }
    Ok(Some(Root { key: key.to_owned(), trees, info, reused: true, locks }))
}

/// What lies over something that is not intact is of no use either.
fn unusable(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    trees: &[PathBuf],
    below: &Path,
) -> Result<Option<Root>, Failure> {
    let over = trees.iter().filter_map(|tree| tree.parent());
    for dir in over.chain([below]).filter(|dir| dir.starts_with(env.store.roots())) {
        integrity::unmark(dir).map_err(|error| store_failure(stage.stage, error))?;
    }
    Ok(None)
}

/// The root that something that lasts lies over, whatever its repositories hold by now.
///
/// # Errors
///
/// The store cannot be used.
pub fn existing(env: &Env<'_>, stage: &StageRun<'_>, key: &str) -> Result<Option<Root>, Failure> {
    let lock = take(stage, &lock_path(env, key), LockKind::Shared, "buildroot")?;
    match read_info(&env.store.root(key)) {
        Some(info) => open(env, stage, key, info, lock),
        None => Ok(None),
    }
}

/// The lock of a root.
pub(super) fn lock_path(env: &Env<'_>, key: &str) -> PathBuf {
    store::lock_of(&env.store.root(key))
}

pub(super) fn read_info(dir: &Path) -> Option<RootInfo> {
    record::read(&dir.join(INFO))
}

/// First what says that it is complete: removing may stop half-way.
fn forget(stage: &StageRun<'_>, dir: &Path) -> Result<(), Failure> {
    let info = dir.join(INFO);
    attempt("forget the buildroot", &info, fs::remove_file(&info))
        .map_err(|error| store_failure(stage.stage, error))
}

pub(super) fn discard(env: &Env<'_>, dir: &Path) {
    if dir.exists() {
        let _ = super::remove::remove_trees(&env.context, &env.program, dir, &TREES);
    }
}

/// Takes a lock, waiting for whoever holds it until the build is cancelled. `what` it is on is
/// told then.
pub(crate) fn take(
    stage: &StageRun<'_>,
    path: &Path,
    kind: LockKind,
    what: &str,
) -> Result<Lock, Failure> {
    let mut told = false;
    let mut wait = || {
        if !told {
            stage.note(&format!("waiting for another process that uses the {what}"));
            told = true;
        }
        !stage.is_cancelled()
    };
    match store::lock(path, kind, &mut wait).map_err(|error| store_failure(stage.stage, error))? {
        Some(lock) => Ok(lock),
        None => Err(stage.interrupted()),
    }
}

pub(crate) fn store_failure(stage: Stage, error: StoreError) -> Failure {
    let hint = error.hint();
    let class = match error.source.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ENOSPC as i32 => crate::verdict::Class::Resource,
        _ => crate::verdict::Class::Infrastructure,
    };
    let message = "the store cannot be used";
    Failure {
        class,
        ..Failure::infrastructure(stage, status::ROOT, message, Some(Box::new(error)))
    }
    .with_hint(hint)
}
