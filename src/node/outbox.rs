//! The directory of everything that was taken and is not reported yet.
//!
//! ```text
//! OUTBOX/.lock        held by the node that works here
//! OUTBOX/ID/          one task
//!   task.json         as the server sent it
//!   journal           how far it has come, see `journal`
//!   settings.json     what the worker is told of the node's config
//!   worker.lock       held by the worker as long as it lives
//!   task.log          the story of the task, by node and worker
//!   result/           what the build gives: packages, logs, outcome.json
//!   done.json         written by the worker at its end
//! OUTBOX/.new-ID      a task that is not complete; .old-ID one that is reported
//! ```

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value as Json;

use super::done::write_whole;
use super::journal::{Entry, Journal, Progress};
use super::tell::{Level, tell};
use crate::causes::with_causes;
use crate::helper::remove_tree;
use crate::task::{MAX_ID, MalformedTask, Task};

const TASK: &str = "task.json";
const JOURNAL: &str = "journal";

/// The outbox of a running node.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    _lock: Flock<File>,
}

/// The outbox cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct OutboxError {
    /// What was attempted.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// A task and what is known of it. Shared by all that work on it.
#[derive(Debug)]
pub struct HeldTask {
    /// Its number.
    pub id: i64,
    /// What the server wants, or why that cannot be understood.
    pub task: Result<Box<Task>, MalformedTask>,
    /// Its directory.
    pub directory: PathBuf,
    journal: Mutex<Journal>,
}

impl Outbox {
    /// Opens an outbox, made if missing, and removes what is of no use any more. What of that
    /// cannot be removed is told.
    ///
    /// # Errors
    ///
    /// It cannot be used, or another node uses it.
    pub fn open(path: &Path) -> Result<Outbox, OutboxError> {
        attempt("make the outbox", path, private(path))?;
        let file = attempt("lock the outbox", path, File::create(path.join(".lock")))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            let source = match errno {
                nix::errno::Errno::EWOULDBLOCK => io::Error::other("another node works there"),
                errno => errno.into(),
            };
            OutboxError { action: "lock the outbox", path: path.to_owned(), source }
        })?;
        let outbox = Outbox { path: path.to_owned(), _lock: lock };
        for name in outbox.names()? {
            if name.starts_with(".new-") || name.starts_with(".old-") {
                let place = path.join(name);
                // It is in nobody's way: the next start tries again.
                if let Err(error) = attempt("remove", &place, remove_tree(&place)) {
                    tell(Level::Warning, with_causes(&error));
                }
            }
        }
        Ok(outbox)
    }

    /// Every task that is held, in the order of their numbers, and those that cannot be read.
    ///
    /// # Errors
    ///
    /// The outbox itself cannot be read.
    pub fn held(&self) -> Result<(Vec<HeldTask>, Vec<OutboxError>), OutboxError> {
        let mut ids: Vec<i64> = self.names()?.iter().filter_map(|name| name.parse().ok()).collect();
        ids.sort_unstable();
        let (mut held, mut unreadable) = (Vec::new(), Vec::new());
        for id in ids {
            let directory = self.path.join(id.to_string());
            match HeldTask::open(id, directory) {
                Ok(task) => held.push(task),
                Err(error) => unreadable.push(error),
            }
        }
        Ok((held, unreadable))
    }

    /// Keeps a task that was taken, or gives nothing if it is held already. It survives a crash
    /// when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be written down.
    pub fn add(&self, id: i64, json: &Json) -> Result<Option<HeldTask>, OutboxError> {
        debug_assert!((1..=MAX_ID).contains(&id));
        let directory = self.path.join(id.to_string());
        if directory.exists() {
            return Ok(None);
        }
        let new = self.path.join(format!(".new-{id}"));
        let write = || {
            remove_tree(&new)?;
            private(&new)?;
            write_whole(&new, TASK, json.to_string().as_bytes())?;
            let received = Entry::Received { at: Timestamp::now() };
            Journal::open(&new.join(JOURNAL))?.append(&received)?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, &directory)?;
            File::open(&self.path)?.sync_all()
        };
        attempt("write down a task in", &directory, write())?;
        HeldTask::open(id, directory).map(Some)
    }

    /// Whether a task is held, also if it cannot be read.
    pub fn has(&self, id: i64) -> bool {
        self.path.join(id.to_string()).exists()
    }

    /// Forgets a task, which is reported.
    ///
    /// # Errors
    ///
    /// Something of it cannot be removed; the next start tries again.
    pub fn remove(&self, task: &HeldTask) -> Result<(), OutboxError> {
        let old = self.path.join(format!(".old-{}", task.id));
        let remove = || {
            fs::rename(&task.directory, &old)?;
            remove_tree(&old)
        };
        attempt("remove", &task.directory, remove())
    }

    fn names(&self) -> Result<Vec<String>, OutboxError> {
        let read = || {
            let entries = fs::read_dir(&self.path)?.collect::<io::Result<Vec<_>>>()?;
            Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()))
        };
        attempt("read", &self.path, read()).map(Iterator::collect)
    }
}

impl HeldTask {
    fn open(id: i64, directory: PathBuf) -> Result<HeldTask, OutboxError> {
        let place = directory.join(TASK);
        let json: Json = attempt(
            "read",
            &place,
            fs::read(&place).and_then(|text| Ok(serde_json::from_slice(&text)?)),
        )?;
        let task = Task::from_json(&json).map(Box::new);
        let place = directory.join(JOURNAL);
        let journal = attempt("read", &place, Journal::open(&place))?;
        Ok(HeldTask { id, task, directory, journal: Mutex::new(journal) })
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).progress().clone()
    }

    /// Writes an entry; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn note(&self, entry: &Entry) -> io::Result<()> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).append(entry)
    }

    /// When it was taken.
    pub fn received(&self) -> Timestamp {
        self.progress().received.unwrap_or_else(Timestamp::now)
    }
}

/// Makes a directory for this user alone.
fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn attempt<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, OutboxError> {
    result.map_err(|source| OutboxError { action, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tasks_are_there_again_until_they_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/outbox");
        let outbox = Outbox::open(&path).unwrap();
        let seven = outbox.add(7, &json!({"id": 7})).unwrap().unwrap();
        assert!(seven.task.is_err(), "it lacks everything");
        assert!(outbox.add(7, &json!({})).unwrap().is_none(), "it is held");
        outbox.add(3, &json!({"id": 3})).unwrap().unwrap();
        seven.note(&Entry::Started { at: Timestamp::now() }).unwrap();
        drop((outbox, seven));

        let outbox = Outbox::open(&path).unwrap();
        let (held, unreadable) = outbox.held().unwrap();
        assert_eq!(held.iter().map(|task| task.id).collect::<Vec<_>>(), [3, 7]);
        assert_eq!((held[1].progress().starts, unreadable.len()), (1, 0));
        outbox.remove(&held[0]).unwrap();
        assert_eq!(outbox.held().unwrap().0.len(), 1);
    }

    #[test]
    fn halves_are_removed_and_one_bad_task_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        outbox.add(1, &json!({"id": 1})).unwrap();
        outbox.add(2, &json!({"id": 2})).unwrap();
        drop(outbox);
        fs::write(dir.path().join("1/journal"), "no entry\n").unwrap();
        fs::create_dir_all(dir.path().join(".new-9/x")).unwrap();
        fs::create_dir_all(dir.path().join(".old-8/x")).unwrap();
        let outbox = Outbox::open(dir.path()).unwrap();
        let (held, unreadable) = outbox.held().unwrap();
        assert_eq!((held.len(), unreadable.len()), (1, 1));
        assert!(!dir.path().join(".new-9").exists() && !dir.path().join(".old-8").exists());
    }

    #[test]
    fn what_a_repository_has_nested_deeply_does_not_stop_the_node() {
        use nix::fcntl::{OFlag, open, openat};
        use nix::sys::stat::{Mode, mkdirat};
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join(".old-5");
        fs::create_dir(&old).unwrap();
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut place = open(&old, flags, Mode::empty()).unwrap();
        for _ in 0..2500 {
            mkdirat(&place, "d", Mode::S_IRWXU).unwrap();
            place = openat(&place, "d", flags, Mode::empty()).unwrap();
        }
        Outbox::open(dir.path()).unwrap();
        assert!(!old.exists());
        // Nor does what cannot be removed, by whoever is not root.
        fs::create_dir_all(dir.path().join(".old-6/x")).unwrap();
        let mode = |bits| std::os::unix::fs::PermissionsExt::from_mode(bits);
        fs::set_permissions(dir.path().join(".old-6"), mode(0o500)).unwrap();
        Outbox::open(dir.path()).unwrap();
        let _ = fs::set_permissions(dir.path().join(".old-6"), mode(0o700));
    }

    #[test]
    fn one_node_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Outbox::open(dir.path()).unwrap();
        let second = Outbox::open(dir.path()).unwrap_err();
        assert_eq!(second.source.to_string(), "another node works there");
    }
}
