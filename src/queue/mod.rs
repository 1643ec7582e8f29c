//! A directory in the place of albs-web-server and Pulp, for one machine: tasks are put there as
//! files, and what becomes of them is found there.
//!
//! ```text
//! DIR/tasks/NAME.json    a task as the server would send it; written elsewhere and renamed to here
//! DIR/taken/ID.json      one that the node holds
//! DIR/refused/NAME.json  what is no task, or one whose number was used before
//! DIR/reports/ID.json    what the server would be told
//! DIR/packages/          packages, for createrepo_c
//! DIR/logs/              logs and configs
//! ```
//!
//! Whoever can write there decides what is built, as the server does. One node uses a queue at a
//! time; what one has left is taken up by the next.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::checksum;
use crate::server::{Delivered, Received};
use crate::task::{BuildDone, GetTask, MAX_ID, Task};
use crate::upload::LocalFile;

const TASKS: &str = "tasks";
const TAKEN: &str = "taken";
const REFUSED: &str = "refused";
const REPORTS: &str = "reports";
const PACKAGES: &str = "packages";
const LOGS: &str = "logs";

/// Bytes of a task, as for the server.
const MAX_TASK: u64 = 16 << 20;

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    path: PathBuf,
}

/// Something could not be done in the queue.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct QueueError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What a look for a task has given.
#[derive(Debug)]
pub struct Taken {
    /// The task, if there was one.
    pub received: Received,
    /// Files that were put aside, each with the reason.
    pub refused: Vec<String>,
}

impl Queue {
    /// The queue in a directory. What is missing is made.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn open(path: &Path) -> Result<Queue, QueueError> {
        for name in [TASKS, TAKEN, REFUSED, REPORTS, PACKAGES, LOGS] {
            let place = path.join(name);
            attempt("make", &place, fs::create_dir_all(&place))?;
        }
        Ok(Queue { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts back tasks that an earlier node has taken and that nobody holds: it ended before it
    /// could write them down.
    ///
    /// # Errors
    ///
    /// The queue cannot be read or changed.
    pub fn put_back(&self, is_held: impl Fn(i64) -> bool) -> Result<(), QueueError> {
        for name in self.names(TAKEN)? {
            let id = name.strip_suffix(".json").and_then(|id| id.parse().ok());
            let Some(id) = id.filter(|id| !is_held(*id)) else { continue };
            let place = self.path.join(TAKEN).join(&name);
            match self.report_of(id).exists() {
                true => attempt("remove", &place, fs::remove_file(&place))?,
                false => attempt(
                    "put back",
                    &place,
                    fs::rename(&place, self.path.join(TASKS).join(name)),
                )?,
            }
        }
        Ok(())
    }

    /// Takes the first task by name that can be built here.
    ///
    /// # Errors
    ///
    /// The queue cannot be read or changed.
    pub fn take(&self, ask: &GetTask) -> Result<Taken, QueueError> {
        let mut refused = Vec::new();
        for name in self.names(TASKS)? {
            let place = self.path.join(TASKS).join(&name);
            let received = match self.understand(&place) {
                Ok(received) => received,
                Err(why) => {
                    refused.push(format!("{} is put aside: {why}", place.display()));
                    let aside = self.path.join(REFUSED).join(&name);
                    attempt("put aside", &place, fs::rename(&place, aside))?;
                    continue;
                }
            };
            let id = match &received {
                Received::Task(task, _) if !ask.supported_arches.contains(&task.arch) => continue,
                Received::Task(task, _) => Some(task.id),
                Received::Malformed(malformed, _) => malformed.id,
                Received::Nothing => None,
            };
            let Some(id) = id else { continue };
            attempt("take", &place, fs::rename(&place, self.taken(id)))?;
            return Ok(Taken { received, refused });
        }
        Ok(Taken { received: Received::Nothing, refused })
    }

    /// What is in a file, or why nothing can be reported of it.
    fn understand(&self, place: &Path) -> Result<Received, String> {
        let mut text = Vec::new();
        let file = File::open(place).map_err(|error| format!("it cannot be read: {error}"))?;
        let read = file.take(MAX_TASK + 1).read_to_end(&mut text);
        read.map_err(|error| format!("it cannot be read: {error}"))?;
        if text.len() as u64 > MAX_TASK {
            return Err(format!("it is larger than {MAX_TASK} bytes"));
        }
        let json: Json =
            serde_json::from_slice(&text).map_err(|error| format!("it is no JSON: {error}"))?;
        let id = json["id"].as_i64().filter(|id| (1..=MAX_ID).contains(id));
        let id = id.ok_or_else(|| format!("its id is no number from 1 to {MAX_ID}"))?;
        if self.report_of(id).exists() {
            let report = self.report_of(id);
            return Err(format!("there is a report of task {id} already, {}", report.display()));
        }
        if self.taken(id).exists() {
            return Err(format!("task {id} is taken already"));
        }
        Ok(match Task::from_json(&json) {
            Ok(task) => Received::Task(Box::new(task), json),
            Err(malformed) => Received::Malformed(malformed, json),
        })
    }

    /// Writes a report down, and forgets the task.
    ///
    /// # Errors
    ///
    /// It cannot be written; the task is still taken then.
    pub fn report(&self, report: &BuildDone) -> Result<Delivered, QueueError> {
        let place = self.report_of(report.task_id);
        let taken = self.taken(report.task_id);
        let is_known = place.exists();
        if !is_known {
            let write = || {
                let mut text = serde_json::to_vec_pretty(report)?;
                text.push(b'\n');
                self.write(&place, &mut &text[..]).map(drop)
            };
            attempt("write", &place, write())?;
        }
        match fs::remove_file(&taken) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => attempt("remove", &taken, removed)?,
        }
        Ok(if is_known { Delivered::Known } else { Delivered::Queued })
    }

    /// Keeps an artifact. Gives its path below the directory, or nothing if it is not the file
    /// any more whose checksum was taken. One of the same name is replaced.
    ///
    /// # Errors
    ///
    /// It cannot be read or written.
    pub fn keep(&self, file: &LocalFile) -> Result<Option<String>, QueueError> {
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let directory = if name.ends_with(".rpm") { PACKAGES } else { LOGS };
        let href = format!("{directory}/{name}");
        let place = self.path.join(&href);
        let mut content = attempt("read", &file.path, File::open(&file.path))?;
        let mut write = || -> io::Result<bool> {
            let (pending, sha256) = self.pending(&place, &mut content)?;
            let is_it = sha256 == file.sha256;
            if is_it {
                pending.persist(&place)?;
            }
            Ok(is_it)
        };
        Ok(attempt("keep", &place, write())?.then_some(href))
    }

    fn write(&self, place: &Path, content: &mut dyn Read) -> io::Result<File> {
        let (pending, _) = self.pending(place, content)?;
        Ok(pending.persist(place)?)
    }

    /// A file beside its place, whose content is on the disk; and its checksum.
    fn pending(
        &self,
        place: &Path,
        content: &mut dyn Read,
    ) -> io::Result<(tempfile::NamedTempFile, String)> {
        let directory = place.parent().unwrap_or(&self.path);
        let mut pending = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
        let (_, sha256) = checksum::copy(content, pending.as_file_mut())?;
        let file = pending.as_file_mut();
        file.flush()?;
        // Others are to read it, as they could from Pulp.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_data()?;
        Ok((pending, sha256))
    }

    fn taken(&self, id: i64) -> PathBuf {
        self.path.join(TAKEN).join(format!("{id}.json"))
    }

    fn report_of(&self, id: i64) -> PathBuf {
        self.path.join(REPORTS).join(format!("{id}.json"))
    }

    /// Names of JSON files in one of the directories, sorted; those that begin with a dot are being
    /// written.
    fn names(&self, directory: &str) -> Result<Vec<String>, QueueError> {
        let place = self.path.join(directory);
        let read = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(&place)?.collect::<io::Result<Vec<_>>>()?;
            let names =
                entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
            Ok(names.filter(|name| name.ends_with(".json") && !name.starts_with('.')).collect())
        };
        let mut names = attempt("read", &place, read())?;
        names.sort();
        Ok(names)
    }
}

fn attempt<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, QueueError> {
    result.map_err(|source| QueueError { action, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
