//! What has happened to one task, as a file that only grows: whatever ends the node, the next one
//! reads how far the task has come.
//!
//! An entry is a line of JSON, on the disk before anything is done that relies on it. The last line
//! may be torn by a crash; it is cut off then, for nothing has relied on it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::done::Done;

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The task was taken.
    Received {
        /// When.
        at: Timestamp,
    },
    /// A worker was started to build it.
    Started {
        /// When.
        at: Timestamp,
    },
    /// A worker has ended with a failure that is not the task's own; another will be started.
    Again {
        /// When.
        at: Timestamp,
        /// The failure.
        why: String,
    },
    /// Nothing is left to build.
    Built {
        /// When.
        at: Timestamp,
        /// What became of it.
        done: Box<Done>,
    },
    /// Chunks of a file go to this unfinished upload of Pulp.
    Begun {
        /// The artifact's name.
        name: String,
        /// The upload's path.
        href: String,
    },
    /// That upload is of no use any more.
    Ended {
        /// The artifact's name.
        name: String,
    },
    /// Pulp has the file.
    Uploaded {
        /// When.
        at: Timestamp,
        /// The artifact's name.
        name: String,
        /// The artifact's path.
        href: String,
    },
    /// Pulp will never have the file.
    Refused {
        /// The artifact's name.
        name: String,
        /// Why.
        why: String,
    },
    /// From here on, the report may have reached the server.
    Reporting {
        /// When.
        at: Timestamp,
    },
    /// The server has surely not got it.
    NotReported,
    /// The server has it.
    Reported {
        /// When.
        at: Timestamp,
    },
}

/// Where an artifact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// On its way, partly in this upload of Pulp.
    Begun(String),
    /// In Pulp.
    Uploaded(String),
    /// Nowhere but here, for this reason.
    Refused(String),
}

/// How far a task has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// When it was taken.
    pub received: Option<Timestamp>,
    /// When the last worker was started.
    pub started: Option<Timestamp>,
    /// How many workers were started.
    pub starts: u64,
    /// How many of them have failed for reasons that are not the task's own.
    pub failures: u64,
    /// What was built, and when the last worker had ended.
    pub built: Option<(Timestamp, Done)>,
    /// Artifacts by their names, as far as something is known of them.
    pub uploads: BTreeMap<String, Upload>,
    /// When the last artifact was uploaded.
    pub uploaded: Option<Timestamp>,
    /// Since when the server may have the report.
    pub reporting: Option<Timestamp>,
    /// Whether it has.
    pub reported: bool,
}

impl Progress {
    /// What the next entry changes.
    pub fn add(&mut self, entry: &Entry) {
        match entry.clone() {
            Entry::Received { at } => self.received = Some(at),
            Entry::Started { at } => {
                self.started = Some(at);
                self.starts += 1;
            }
            Entry::Again { .. } => self.failures += 1,
            Entry::Built { at, done } => self.built = Some((at, *done)),
            Entry::Begun { name, href } => {
                self.uploads.insert(name, Upload::Begun(href));
            }
            Entry::Ended { name } => {
                self.uploads.remove(&name);
            }
            Entry::Uploaded { at, name, href } => {
                self.uploaded = Some(at);
                self.uploads.insert(name, Upload::Uploaded(href));
            }
            Entry::Refused { name, why } => {
                self.uploads.insert(name, Upload::Refused(why));
            }
            Entry::Reporting { at } => self.reporting = Some(at),
            Entry::NotReported => self.reporting = None,
            Entry::Reported { .. } => self.reported = true,
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    file: File,
    progress: Progress,
}

impl Journal {
    /// Opens a journal, made if missing, and reads how far its task has come.
    ///
    /// # Errors
    ///
    /// It cannot be read or mended, or a whole line of it is no entry: that is no crash's work, and
    /// guessing what it was could lose a build.
    pub fn open(path: &Path) -> io::Result<Journal> {
        let mut file =
            File::options().read(true).append(true).create(true).truncate(false).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
            file.sync_data()?;
        }
        let mut progress = Progress::default();
        for (index, line) in text[..whole].split(|byte| *byte == b'\n').enumerate() {
            // The last one is what follows the last line end: nothing.
            if line.is_empty() {
                continue;
            }
            let entry = serde_json::from_slice(line).map_err(|error| {
                let what = format!("line {} is no entry of a journal: {error}", index + 1);
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?;
            progress.add(&entry);
        }
        Ok(Journal { file, progress })
    }

    /// Writes an entry; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// It could not be written; nothing of it is left.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let end = self.file.seek(SeekFrom::End(0))?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would spoil the next one.
            self.file.set_len(end)?;
            return Err(error);
        }
        self.progress.add(entry);
        Ok(())
    }

    /// How far the task has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> Timestamp {
        format!("2026-05-01T10:00:{second:02}Z").parse().unwrap()
    }

    fn entries() -> Vec<Entry> {
        let name = || "a.x86_64.rpm".to_owned();
        vec![
            Entry::Received { at: at(0) },
            Entry::Started { at: at(1) },
            Entry::Again { at: at(2), why: "mirror\naway".into() },
            Entry::Started { at: at(3) },
            Entry::Built { at: at(4), done: Box::default() },
            Entry::Begun { name: name(), href: "/u/1/".into() },
            Entry::Uploaded { at: at(5), name: name(), href: "/a/1/".into() },
            Entry::Reporting { at: at(6) },
        ]
    }

    #[test]
    fn what_was_written_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        for entry in entries() {
            journal.append(&entry).unwrap();
        }
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.progress(), journal.progress());
        let progress = again.progress();
        assert_eq!((progress.starts, progress.failures), (2, 1));
        assert_eq!(progress.uploads["a.x86_64.rpm"], Upload::Uploaded("/a/1/".into()));
        assert_eq!((progress.reporting, progress.reported), (Some(at(6)), false));
    }

    #[test]
    fn torn_anywhere_the_entries_before_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        entries().iter().for_each(|entry| journal.append(entry).unwrap());
        let text = std::fs::read(&path).unwrap();
        for length in 0..=text.len() {
            std::fs::write(&path, &text[..length]).unwrap();
            let mut torn = Journal::open(&path).unwrap();
            let mut expected = Progress::default();
            let whole = text[..length].iter().filter(|byte| **byte == b'\n').count();
            entries()[..whole].iter().for_each(|entry| expected.add(entry));
            assert_eq!(torn.progress(), &expected, "{length}");
            // What is added afterwards is a line of its own.
            torn.append(&Entry::NotReported).unwrap();
            expected.add(&Entry::NotReported);
            assert_eq!(Journal::open(&path).unwrap().progress(), &expected, "{length}");
        }
    }

    #[test]
    fn what_no_crash_does_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        std::fs::write(&path, "{\"entry\":\"not_reported\"}\nx\n").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.starts_with("line 2 is no entry"), "{error}");
    }
}
