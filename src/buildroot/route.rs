//! Where the root of a config comes from: what its repositories hold, which roots there are, and
//! what follows from both.

use std::fs;

use super::key::REVISION_LENGTH;
use super::record::INFO;
use super::revisions::{self, RevisionError};
use super::roots::{RootInfo, read_info};
use super::{Env, update};
use crate::run::StageRun;
use crate::verdict::Failure;

/// Updates that may lie over each other before a root is made anew.
const MAX_UPDATES: usize = 20;

/// Where a root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// It is there.
    Use {
        /// Which.
        key: String,
        /// Whether it may be made if it is not there any more: it is the one that is wanted.
        may_make: bool,
    },
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
        _ if is_there && !is_frozen => Route::Use { key: wanted.to_owned(), may_make: true },
        Some(Candidate { key, .. }) if is_frozen => {
            Route::Use { key: key.clone(), may_make: key == wanted }
        }
        Some(newest) if may_update && newest.updates < MAX_UPDATES => {
            Route::Update { from: newest.key.clone(), to: wanted.to_owned() }
        }
        _ => Route::Make(wanted.to_owned()),
    }
}

/// Finds out where the root comes from as the repositories are now.
///
/// # Errors
///
/// The build was cancelled.
pub(super) fn to(env: &Env<'_>, stage: &StageRun<'_>) -> Result<Route, Failure> {
    let revision = revision(env, stage)?;
    // Without a revision, whatever is there will do. A root that is there for its package
    // manager only need not be new.
    let options = env.options;
    let is_current = !env.is_bootstrap && options.update_before_build && options.online;
    let is_frozen = revision.is_none() || !is_current;
    let wanted = key(env, revision.as_deref());
    Ok(route(&wanted, &candidates(env), is_frozen, may_update(env)))
}

/// The key of a root: what the config decides, and what the repositories hold.
pub(super) fn key(env: &Env<'_>, revision: Option<&str>) -> String {
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
    let offline = !env.options.online;
    match revisions::of(env.options, env.store, offline, &|| stage.is_cancelled()) {
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

/// Whether the config wants a newer root than this.
pub(super) fn is_old(env: &Env<'_>, info: &RootInfo) -> bool {
    // Offline, an old one is better than none.
    if !env.options.online {
        return false;
    }
    let policy = env.options.plugins.root_cache;
    let age = jiff::Timestamp::now().as_second() - info.begun;
    let most = policy.max_age_days.map(|days| days.saturating_mul(86_400));
    // Without a cache, what this run has made is good for all of it.
    let is_cached = info.created < env.runner.began;
    (!policy.enabled && is_cached) || most.is_some_and(|most| age >= 0 && age.unsigned_abs() > most)
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
        let use_ = |key: &str, may_make| Route::Use { key: key.to_owned(), may_make };
        let make = Route::Make("w".to_owned());
        assert_eq!(route("a", &there, false, true), use_("a", true));
        // One that is too old is looked at when it is opened, where others may use it.
        assert_eq!(route("c", &there, false, true), use_("c", true));
        assert_eq!(route("w", &there, false, true), update("b"));
        assert_eq!(route("w", &there, false, false), make);
        assert_eq!(route("w", &there, true, true), use_("b", false));
        assert_eq!(route("w", &[], true, true), make);
        assert_eq!(route("w", &there[2..], false, true), make);
        let high = [candidate("h", 1, MAX_UPDATES, false)];
        assert_eq!(route("w", &high, false, true), make);
    }
}
