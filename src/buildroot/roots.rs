//! The buildroot of a config as its repositories are now: one that is there, one that is there
//! with the updates since then laid over it, or a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Size;
use super::image::{self, Origin};
use super::key::REVISION_LENGTH;
use super::record::{self, INFO};
use super::revisions::{self, RevisionError};
use super::store::{self, Lock, LockKind, StoreError, attempt};
use super::{Env, bootstrap, integrity, update};
use crate::run::StageRun;
use crate::verdict::{Failure, Stage, status};

/// Updates that may lie over each other before a root is made anew.
const MAX_UPDATES: usize = 20;
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

/// Where a root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// It is there.
    Use(String),
    /// The root `from` with updates.
    Update {
        /// What is updated.
        from: String,
        /// What that gives.
        to: String,
    },
    /// It has to be made.
    Make(String),
}

/// A root that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    key: String,
    created: i64,
    updates: usize,
    is_old: bool,
}

/// Decides where the root with the key `wanted` comes from. `may_update`: whether roots of other
/// revisions can be updated to it; `is_frozen`: whether any revision will do.
fn route(wanted: &str, candidates: &[Candidate], is_frozen: bool, may_update: bool) -> Route {
    let newest = candidates.iter().filter(|one| !one.is_old).max_by_key(|one| one.created);
    let is_there = candidates.iter().any(|one| one.key == wanted);
    match newest {
        _ if is_there && !is_frozen => Route::Use(wanted.to_owned()),
        Some(newest) if is_frozen => Route::Use(newest.key.clone()),
        Some(newest) if may_update && newest.updates < MAX_UPDATES => {
            Route::Update { from: newest.key.clone(), to: wanted.to_owned() }
        }
        _ => Route::Make(wanted.to_owned()),
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
        let revision = revision(env, stage)?;
        // Without a revision, whatever is there will do. A root that is there for its package
        // manager only need not be new.
        let is_frozen = revision.is_none() || env.is_bootstrap || !env.options.update_before_build;
        let wanted = key(env, revision.as_deref());
        let route = route(&wanted, &candidates(env), is_frozen, may_update(env));
        let root = match &route {
            Route::Use(key) => obtain(env, stage, key, None, *key == wanted)?,
            Route::Update { from, to } => obtain(env, stage, to, Some(from), true)?,
            Route::Make(key) => obtain(env, stage, key, None, true)?,
        };
        if let Some(root) = root {
            return Ok(root);
        }
    }
    let message = "the repositories change faster than a buildroot can be made";
    let hint = "try again when whoever changes them is done".to_owned();
    Err(Failure::infrastructure(stage.stage, status::ROOT, message, None).with_hint(Some(hint)))
}

/// The key of a root: what the config decides, and what the repositories hold.
fn key(env: &Env<'_>, revision: Option<&str>) -> String {
    format!("{}-{}", env.key, &revision.unwrap_or("00000000")[..REVISION_LENGTH])
}

/// The key that the root has as the repositories are, and whether it is there.
pub fn explain(
    store: &super::store::Store,
    line: &str,
    revisions: &revisions::Revisions,
) -> (String, bool) {
    let key = format!("{line}-{}", &revisions.digest()[..REVISION_LENGTH]);
    let is_there = store.root(&key).join(INFO).exists();
    (key, is_there)
}

/// As [`explain`], as far as it is known without asking a server; else the beginning of the key.
pub fn planned(env: &Env<'_>) -> (String, bool) {
    match revisions::of(env.options, env.store, true, &|| false) {
        Ok(revisions) => explain(env.store, &env.key, &revisions),
        Err(_) => (env.key.clone(), false),
    }
}

/// What the repositories hold; none where that cannot be found out: then the package manager
/// tells, if it is needed at all.
pub(super) fn revision(env: &Env<'_>, stage: &StageRun<'_>) -> Result<Option<String>, Failure> {
    match revisions::of(env.options, env.store, false, &|| stage.is_cancelled()) {
        Ok(revisions) => Ok(Some(revisions.digest())),
        Err(RevisionError::Cancelled) => Err(stage.interrupted()),
        Err(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            stage.note(&format!("{error}{cause}"));
            Ok(None)
        }
    }
}

/// Whether updates can lie over roots: not where there are no overlays, and not with a package
/// manager that cannot say what would be installed.
fn may_update(env: &Env<'_>) -> bool {
    super::workspace::overlays_work(env) && update::can_compare(env)
}

/// The roots of the config that are there.
fn candidates(env: &Env<'_>) -> Vec<Candidate> {
    let entries = fs::read_dir(env.store.roots()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.rsplit_once('-').is_some_and(|(line, _)| line == env.key))
        .filter_map(|key| {
            let info = read_info(&env.store.root(&key))?;
            let is_old = is_old(env, &info);
            Some(Candidate { key, created: info.created, updates: info.updates, is_old })
        })
        .collect()
}

/// What is known of the newest root of the config, if there is one.
pub(crate) fn known(env: &Env<'_>) -> Option<RootInfo> {
    let newest = candidates(env).into_iter().max_by_key(|one| one.created)?;
    read_info(&env.store.root(&newest.key))
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
            if may_be_old && is_old(env, &info) {
                may_be_old = false;
                drop(lock);
                // As long as others use it, it is good enough for one more.
                let alone = store::lock(&lock_path, LockKind::Exclusive, &mut store::do_not_wait)
                    .map_err(|error| store_failure(stage.stage, error))?;
                if alone.is_some() && read_info(&dir).is_some_and(|info| is_old(env, &info)) {
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
            && let Some(now) = revision(env, stage)?
            && self::key(env, Some(&now)) != key
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

/// Whether the config wants a newer root than this.
fn is_old(env: &Env<'_>, info: &RootInfo) -> bool {
    let policy = env.options.plugins.root_cache;
    let age = jiff::Timestamp::now().as_second() - info.begun;
    let most = policy.max_age_days.map(|days| days.saturating_mul(86_400));
    // Without a cache, what this run has made is good for all of it.
    let is_cached = info.created < env.runner.began;
    (!policy.enabled && is_cached) || most.is_some_and(|most| age >= 0 && age.unsigned_abs() > most)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: &str, created: i64, updates: usize, is_old: bool) -> Candidate {
        Candidate { key: key.to_owned(), created, updates, is_old }
    }

    #[test]
    fn routes() {
        let there =
            [candidate("a", 1, 0, false), candidate("b", 2, 1, false), candidate("c", 3, 0, true)];
        let update = |from: &str| Route::Update { from: from.to_owned(), to: "w".to_owned() };
        let use_ = |key: &str| Route::Use(key.to_owned());
        let make = Route::Make("w".to_owned());
        assert_eq!(route("a", &there, false, true), use_("a"));
        // One that is too old is looked at when it is opened, where others may use it.
        assert_eq!(route("c", &there, false, true), use_("c"));
        assert_eq!(route("w", &there, false, true), update("b"));
        assert_eq!(route("w", &there, false, false), make);
        assert_eq!(route("w", &there, true, true), use_("b"));
        assert_eq!(route("w", &[], true, true), make);
        assert_eq!(route("w", &there[2..], false, true), make);
        let high = [candidate("h", 1, MAX_UPDATES, false)];
        assert_eq!(route("w", &high, false, true), make);
    }
}
