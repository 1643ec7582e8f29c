//! What a worker leaves of a task: `done.json`, written once, at its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::task::{ArtifactKind, Stats, Status};

/// Name of the file in the task's directory.
pub const FILE: &str = "done.json";

/// What became of a task on this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// How it ended.
    pub status: Status,
    /// Why, if not well: what was attempted, the cause, and what shows it.
    pub reason: Option<Reason>,
    /// Files for Pulp, logs among them.
    pub files: Vec<DoneFile>,
    /// Times of stages, and what they used.
    pub stats: Stats,
    /// The commit that the sources are of.
    pub git_commit_hash: Option<String>,
    /// What it took, for the node's metrics.
    #[serde(default)]
    pub bill: Bill,
}

/// What a task took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Seconds of each stage.
    pub stages: BTreeMap<String, f64>,
    /// Processor time, in µs.
    pub cpu_us: u64,
    /// Bytes written to disks.
    pub io_write_bytes: u64,
    /// Whether the buildroot was there before, if it came so far.
    pub root_reused: Option<bool>,
}

/// Why a task was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stage, such as `rpmbuild`.
    pub phase: String,
    /// Who can do something about it, such as `package`.
    pub class: String,
    /// One line.
    pub message: String,
    /// The line of a log that shows it.
    pub evidence: Option<String>,
    /// Whether the same task may succeed when it is tried again unchanged.
    pub retryable: bool,
}

/// A file for Pulp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneFile {
    /// Its name there.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Where it is, below the task's directory.
    pub path: PathBuf,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, lower-case.
    pub sha256: String,
}

impl Default for Done {
    fn default() -> Self {
        Done {
            status: Status::Failed,
            reason: None,
            files: Vec::new(),
            stats: Stats::default(),
            git_commit_hash: None,
            bill: Bill::default(),
        }
    }
}

impl Done {
    /// A task that has failed before anything was made for it.
    pub fn failed(reason: Reason) -> Done {
        Done { reason: Some(reason), ..Done::default() }
    }

    /// Writes the file, complete or not at all; its content is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        write_whole(directory, FILE, &serde_json::to_vec(self)?)
    }

    /// Reads the file, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read, or holds something else.
    pub fn read(directory: &Path) -> io::Result<Option<Done>> {
        match fs::read(directory.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Ok(Some(serde_json::from_slice(&text?)?)),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.phase, self.class, self.message)?;
        match &self.evidence {
            Some(line) => write!(f, " | {line}"),
            None => Ok(()),
        }
    }
}

/// Writes a file under a name of its own and renames it, with everything on the disk.
pub(super) fn write_whole(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let aside = directory.join(format!(".{name}"));
    let mut file = File::create(&aside)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&aside, directory.join(name))?;
    File::open(directory)?.sync_all()
}
