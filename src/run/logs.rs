//! The log files of a build, with mock's names and formats.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use sandbox::Outcome;

use super::ResultDir;
use super::capped::Capped;
use crate::verdict::Stage;

/// One of the logs that commands write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// `root.log`: what makes the buildroot, each line with its stage.
    Root,
    /// `build.log`: what rpmbuild says, as it says it.
    Build,
}

/// The log files of one build, or none where there is no result directory.
#[derive(Debug, Default)]
pub struct Logs {
    build: Option<RefCell<Capped>>,
    root: Option<RefCell<RootLog>>,
    state: Option<RefCell<File>>,
}

#[derive(Debug)]
struct RootLog {
    file: Capped,
    partial: Vec<u8>,
}

impl Logs {
    /// Logs that keep nothing.
    pub fn none() -> Logs {
        Logs::default()
    }

    /// New logs in a directory; old ones of these names are replaced. Of those that commands
    /// write, `most` bytes are kept.
    ///
    /// # Errors
    ///
    /// A file cannot be made.
    pub fn create(directory: &ResultDir, most: Option<u64>) -> io::Result<Logs> {
        let file = |name: &str| directory.create(name);
        let capped = |name: &str| Ok::<_, io::Error>(Capped::new(file(name)?, most));
        Ok(Logs {
            build: Some(RefCell::new(capped("build.log")?)),
            root: Some(RefCell::new(RootLog { file: capped("root.log")?, partial: Vec::new() })),
            state: Some(RefCell::new(file("state.log")?)),
        })
    }

    /// A line of `state.log`: `2026-11-22 12:00:00,123 - Start: …`.
    pub fn state(&self, text: &str) {
        if let Some(file) = &self.state {
            let now = jiff::Zoned::now();
            let line = format!("{} - {text}\n", now.strftime("%Y-%m-%d %H:%M:%S,%3f"));
            write(&mut file.borrow_mut(), line.as_bytes());
        }
    }

    /// A line of our own.
    pub fn note(&self, log: Log, stage: Stage, text: &str) {
        let line = format!("{text}\n");
        self.output(log, stage, line.as_bytes());
    }

    pub(super) fn command(&self, log: Log, stage: Stage, argv: &[String]) {
        self.note(log, stage, &format!("Executing command: {:?}", without_contents(argv)));
    }

    pub(super) fn ended(&self, log: Log, stage: Stage, outcome: &Outcome) {
        let text = match outcome.exit {
            sandbox::Exit::Exited(status) => format!("Child return code was: {status}"),
            ref exit => format!("Child was not able to finish: {exit}"),
        };
        self.note(log, stage, &text);
        if outcome.leftovers > 0 {
            let text = format!("Killed {} processes that the command left", outcome.leftovers);
            self.note(log, stage, &text);
        }
    }

    /// What a command wrote.
    pub(super) fn output(&self, log: Log, stage: Stage, bytes: &[u8]) {
        match log {
            Log::Build => {
                if let Some(file) = &self.build {
                    file.borrow_mut().write(bytes);
                }
            }
            Log::Root => {
                if let Some(log) = &self.root {
                    log.borrow_mut().add(stage, bytes);
                }
            }
        }
    }

    /// Waits, if so much was written that working on it takes too much of the host.
    pub(super) fn pace(&self, log: Log, worked: Duration) {
        match log {
            Log::Build => self.build.iter().for_each(|file| file.borrow_mut().pace(worked)),
            Log::Root => self.root.iter().for_each(|log| log.borrow_mut().file.pace(worked)),
        }
    }

    /// Ends an unfinished line.
    pub(super) fn flush(&self, log: Log, stage: Stage) {
        if let (Log::Root, Some(log)) = (log, &self.root) {
            let mut log = log.borrow_mut();
            if !log.partial.is_empty() {
                log.add(stage, b"\n");
            }
        }
    }
}

impl RootLog {
    fn add(&mut self, stage: Stage, bytes: &[u8]) {
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            // Progress bars are redrawn with carriage returns; a line that never ends is cut.
            self.partial.extend_from_slice(chunk);
            if chunk.ends_with(b"\n") || self.partial.len() > 64 * 1024 {
                let mut line = format!("DEBUG {stage}:  ").into_bytes();
                line.append(&mut self.partial);
                if !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
                self.file.write(&line);
            }
        }
    }
}

/// A table at the end of `build.log`, which is shown whatever was left out before.
impl Logs {
    /// Ends the logs with what the build has cost.
    pub fn bill(&self, table: &str) {
        if let Some(file) = &self.build {
            let mut file = file.borrow_mut();
            file.end();
            file.write_always(format!("\n{table}").as_bytes());
        }
    }
}

/// A log that cannot be written must not end a build; the full disk shows elsewhere.
fn write(file: &mut File, bytes: &[u8]) {
    let _ = file.write_all(bytes);
}

/// A command line as it is told: of files that our own helper writes, the names alone. They may
/// have passwords in them, as the settings of proxies do.
fn without_contents(argv: &[String]) -> Vec<String> {
    let mut told = argv.to_vec();
    if let [_, helper, task, ..] = &mut told[..]
        && helper == "helper"
        && let Ok(mut json) = serde_json::from_str::<serde_json::Value>(task)
        && let Some(files) = json.pointer_mut("/write_files/files").and_then(|f| f.as_array_mut())
    {
        for file in files {
            *file = file[0].take();
        }
        *task = json.to_string();
    }
    told
}
