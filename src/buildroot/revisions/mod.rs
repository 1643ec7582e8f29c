//! Revisions: what the repositories of a config hold right now.
//!
//! The revision of a repository is the SHA-256 of its `repomd.xml`, which names everything else in
//! it by checksum. Files are read; servers are asked by ourselves, all at once, with conditional
//! requests that unchanged repositories answer with a few bytes. A metalink tells the checksum
//! without the file. Nothing of a package manager runs, and nothing that is received is used for
//! anything but this.
//!
//! # When nothing is asked
//!
//! By dnf's own rule (`resetMetadataExpired` of libdnf, `recompute_expired` of libdnf5): with
//! `metadata_expire=never`, never again; else whenever the configuration file is newer than what is
//! known, which in our sandboxes it always is, since it is written for each run; and only with
//! `check_config_file_age=0` what was checked less than `metadata_expire` ago counts as true, two
//! days unless the config says otherwise. yum does not look at the file, and has six hours. dnf
//! measures from when its own copy was last found to be current, we from our last check, so with
//! that option either may be ahead of the other. Repositories on this host are always read.
//!
//! # What dnf may still see
//!
//! A repository may change between the question and the installation, and mirrors may be behind
//! what their metalink says, which dnf tolerates within its list of earlier checksums. Whoever names
//! a result by a revision compares it afterwards with the `repomd.xml` that dnf has used.

mod address;
mod cache;
mod check;
mod error;
mod fetch;
mod lists;
mod repository;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use address::Address;
pub use cache::prune;
pub use error::{AttemptError, RevisionError, Unavailable};
pub use repository::{Access, Login, Proxy, Repository, Source, enabled};

use super::repositories::with_variables;
use super::store::Store;
use crate::checksum;
use crate::mock_config::MockOptions;
use check::{Shared, Variables};
use fetch::{Fetcher, Network};

/// Repositories that are asked at the same time.
const MAX_THREADS: usize = 32;
/// How often is asked whether to stop.
const POLL: Duration = Duration::from_millis(50);

/// What the repositories of a config hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revisions {
    /// By the names of the repositories.
    pub repositories: BTreeMap<String, Revision>,
    /// Why others are not known, which the config does without (`skip_if_unavailable`).
    pub failed: BTreeMap<String, String>,
}

/// What one repository holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Checksum of its `repomd.xml`.
    pub sha256: String,
    /// The address that this was learned from, without names, passwords and tokens.
    pub from: String,
    /// When it was so: seconds since 1970.
    pub checked: u64,
    /// How it was learned.
    pub how: How,
}

/// How a revision was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Read from a file.
    Local,
    /// Got from a server.
    Fetched,
    /// A server said that it is what it was.
    NotModified,
    /// Known from an earlier request; nobody was asked.
    Cached,
    /// From the checksum in a metalink.
    Metalink,
}

impl Revisions {
    /// A checksum of what the repositories hold, for keys: it changes when one of them does, or
    /// when one comes or goes, and with nothing else.
    pub fn digest(&self) -> String {
        let sums: BTreeMap<&str, &str> = self
            .repositories
            .iter()
            .map(|(id, revision)| (id.as_str(), revision.sha256.as_str()))
            .collect();
        checksum::of(&serde_json::to_vec(&sums).unwrap_or_default())
    }
}

/// Learns what the repositories of a config hold. While servers are waited for, `cancelled` is
/// asked twenty times a second. Offline, no server is asked, and what is known from before is
/// taken, however old.
///
/// # Errors
///
/// A repository that the config does not do without is not known: [`RevisionError::Unavailable`]
/// has all of them. Or the caller wanted no more.
pub fn of(
    options: &MockOptions,
    store: &Store,
    offline: bool,
    cancelled: &dyn Fn() -> bool,
) -> Result<Revisions, RevisionError> {
    let repositories = enabled(options);
    let network = Network::of(options);
    let client = |access: &Access| Fetcher::new(access.clone(), network.clone());
    let clients = repositories.iter().map(|one| (one.access.clone(), client(&one.access)));
    let known = options.clone();
    let shared = Shared {
        clients: clients.collect(),
        directory: store.revisions(),
        variables: Variables(Box::new(move |text| with_variables(&known, text))),
        offline,
        now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        stop: AtomicBool::new(false),
    };
    let shared = Arc::new(shared);
    let results = start(&shared, Arc::from(repositories.as_slice()));
    let mut answers: BTreeMap<usize, Result<Revision, Vec<AttemptError>>> = BTreeMap::new();
    while answers.len() < repositories.len() {
        if cancelled() {
            shared.stop.store(true, Ordering::Relaxed);
            return Err(RevisionError::Cancelled);
        }
        match results.recv_timeout(POLL) {
            Ok((index, answer)) => drop(answers.insert(index, answer)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(RevisionError::Thread),
        }
    }
    collect(repositories, answers)
}

/// A repository by its number, and what is known of it or was tried.
type Answered = (usize, Result<Revision, Vec<AttemptError>>);

/// Asks all repositories, in threads that are left alone when nobody listens any more: a server
/// that says nothing must not be waited for then.
fn start(shared: &Arc<Shared>, repositories: Arc<[Repository]>) -> Receiver<Answered> {
    let (sender, receiver) = channel();
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..repositories.len().min(MAX_THREADS) {
        let (sender, shared, next) = (sender.clone(), shared.clone(), next.clone());
        let repositories = repositories.clone();
        std::thread::spawn(move || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(repository) = repositories.get(index) else { return };
                if sender.send((index, check::revision(&shared, repository))).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

fn collect(
    repositories: Vec<Repository>,
    answers: BTreeMap<usize, Result<Revision, Vec<AttemptError>>>,
) -> Result<Revisions, RevisionError> {
    let mut revisions = Revisions::default();
    let mut unavailable = Vec::new();
    for (repository, answer) in repositories.into_iter().zip(answers.into_values()) {
        let id = repository.id;
        match answer {
            Ok(revision) => drop(revisions.repositories.insert(id, revision)),
            Err(attempts) => {
                let one = Unavailable { id, attempts };
                match repository.skip_if_unavailable {
                    true => drop(revisions.failed.insert(one.id.clone(), one.reason())),
                    false => unavailable.push(one),
                }
            }
        }
    }
    match unavailable.is_empty() {
        true => Ok(revisions),
        false => Err(RevisionError::Unavailable(unavailable)),
    }
}
