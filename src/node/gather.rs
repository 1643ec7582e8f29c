//! What a worker makes of a build: files for Pulp, statistics, a reason. Thin over pure parts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::done::{Bill, DoneFile, Reason};
use super::worker::{RESULT, compressed, file};
use crate::build::outcome::BuildOutcome;
use crate::build::plugins::SCAN_DIRECTORY;
use crate::causes::with_causes;
use crate::run::StageRecord;
use crate::task::{ArtifactKind, Half, Names, Stats, Status, Task};
use crate::verdict::{Class, Failure, Stage};

/// Name of the config that was used, in the task's directory.
pub const CONFIG: &str = "mock.cfg";
/// What `mock_stderr` is made of, likewise.
pub const STDERR: &str = "stderr.log";

/// A stage of the worker, and when it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Its name.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}

/// Why a task was not done.
pub fn reason(failure: &Failure) -> Reason {
    Reason {
        phase: failure.stage.as_str().to_owned(),
        class: failure.class.as_str().to_owned(),
        message: with_causes(failure),
        evidence: failure.evidence.last().cloned(),
        retryable: failure.retryable,
    }
}

/// How a task ended.
pub fn status(failure: Option<&Failure>) -> Status {
    match failure.map(|failure| failure.class) {
        None => Status::Done,
        Some(Class::Excluded) => Status::Excluded,
        Some(_) => Status::Failed,
    }
}

/// The server's names of the times that were taken, and what was used, as texts.
pub fn stats(times: &[Timed], stages: &[StageRecord]) -> Stats {
    let mut stats = Stats::default();
    let mut span = |name: &str, is_part: &dyn Fn(&str) -> bool| {
        let parts = || times.iter().filter(|timed| is_part(&timed.name));
        let (start, end) = (parts().map(|t| t.start).min(), parts().map(|t| t.end).max());
        if let (Some(start), Some(end)) = (start, end) {
            stats.stage(name, start, end);
        }
    };
    let stage = |stage: Stage| stage.as_str();
    let srpm = |name: &str| name == stage(Stage::Srpm);
    let binaries = |name: &str| {
        [Stage::Install, Stage::Rpmbuild, Stage::Collect].iter().any(|s| stage(*s) == name)
    };
    span("build_all", &|_| true);
    span("git_checkout", &|name| name == "git_checkout");
    span("sources_unpack", &|name| name == "sources_unpack");
    span("build_packages", &|name| srpm(name) || binaries(name));
    span("build_srpm", &srpm);
    span("build_binaries", &binaries);
    for name in ["bootstrap", "install", "rpmbuild"] {
        span(name, &|timed| timed == name);
    }
    let usage = stages.iter().fold(sandbox::Usage::default(), |sum, s| sum.plus(&s.usage));
    for (key, value) in [
        ("cpu_user_us", Some(usage.cpu_user_us)),
        ("cpu_system_us", Some(usage.cpu_system_us)),
        ("memory_peak_bytes", usage.memory_peak_bytes),
        ("io_read_bytes", usage.io_read_bytes),
        ("io_write_bytes", usage.io_write_bytes),
        ("pids_peak", usage.pids_peak),
    ] {
        if let Some(value) = value {
            stats.set("resources", key, &value.to_string());
        }
    }
    stats
}

/// Files of a task for Pulp, by the names that the server and its pages know. Packages are named
/// as they were built; the source package is left out if another task has made it.
///
/// # Errors
///
/// A package cannot be read. A log that cannot is left out: a good build does not fail for it.
pub fn files(
    directory: &Path,
    task: &Task,
    outcome: Option<&BuildOutcome>,
    notes: &mut Vec<String>,
) -> io::Result<Vec<DoneFile>> {
    let half = if task.arch == "src" { Half::Srpm } else { Half::Build };
    let mut names = Names::new(task.id, Timestamp::now());
    let mut files = Vec::new();
    for artifact in outcome.map_or(&[][..], |outcome| &outcome.artifacts) {
        let has_own_source = task.built_srpm_url.is_some();
        if artifact.name.ends_with(".src.rpm") && has_own_source {
            continue;
        }
        // The checksum is of now: what the build gave was checked when it was taken.
        let path = Path::new(RESULT).join(&artifact.name);
        files.push(file(directory, &path, &artifact.name, ArtifactKind::Rpm)?);
    }
    let mut add = |made: io::Result<DoneFile>, what: &Path| match made {
        Ok(file) => files.push(file),
        Err(error) => notes.push(format!("{} is not kept: {error}", what.display())),
    };
    if directory.join(CONFIG).exists() {
        let name = names.config(half);
        let copied = copy_config(directory, &name);
        add(copied, Path::new(CONFIG));
    }
    for log in logs(&directory.join(RESULT)) {
        let name = log.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = names.log(half, name);
        add(compressed(directory, &log, &name), &log);
    }
    let stderr = directory.join(STDERR);
    if stderr.exists() {
        let name = names.stderr(half);
        add(compressed(directory, &stderr, &name), &stderr);
    }
    Ok(files)
}

/// The config is not compressed.
fn copy_config(directory: &Path, name: &str) -> io::Result<DoneFile> {
    let path = PathBuf::from(super::worker::UPLOAD).join(name);
    fs::create_dir_all(directory.join(super::worker::UPLOAD))?;
    fs::copy(directory.join(CONFIG), directory.join(&path))?;
    file(directory, &path, name, ArtifactKind::BuildLog)
}

/// Logs of a result directory, those of the build first, then those that the task asked for, whose
/// names may end in anything. What is in it was written by this program alone, and holds no links.
fn logs(result: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    below(result, &mut found, 0);
    let wanted = result.join(SCAN_DIRECTORY);
    found.retain(|path| {
        path.extension().is_some_and(|end| end == "log") || path.starts_with(&wanted)
    });
    found.sort_by_key(|path| (path.components().count(), path.clone()));
    found
}

fn below(directory: &Path, found: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            Ok(kind) if kind.is_dir() && depth < 32 => below(&entry.path(), found, depth + 1),
            _ => {}
        }
    }
}

/// What a task took.
pub fn bill(times: &[Timed], outcome: Option<&BuildOutcome>) -> Bill {
    let mut bill = Bill::default();
    for timed in times {
        let took = timed.end.duration_since(timed.start).as_secs_f64();
        *bill.stages.entry(timed.name.clone()).or_default() += took;
    }
    if let Some(outcome) = outcome {
        bill.cpu_us = outcome.usage.cpu_user_us + outcome.usage.cpu_system_us;
        bill.io_write_bytes = outcome.usage.io_write_bytes.unwrap_or(0);
        bill.root_reused = outcome.buildroot.as_ref().map(|root| root.reused);
    }
    bill
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_servers_names() {
        let at = |second: u32| format!("2026-05-01T10:00:{second:02}Z").parse().unwrap();
        let timed =
            |name: &str, start, end| Timed { name: name.into(), start: at(start), end: at(end) };
        let times = [
            timed("git_checkout", 0, 2),
            timed("bootstrap", 2, 3),
            timed("srpm", 3, 5),
            timed("install", 5, 9),
            timed("rpmbuild", 9, 20),
            timed("collect", 20, 21),
        ];
        let stats = stats(&times, &[]);
        let delta = |stage| stats.get(stage, "delta");
        assert_eq!(delta("git_checkout"), Some("0:00:02"));
        assert_eq!(delta("build_srpm"), Some("0:00:02"));
        assert_eq!(delta("build_binaries"), Some("0:00:16"));
        assert_eq!(delta("build_packages"), Some("0:00:18"));
        assert_eq!(delta("build_all"), Some("0:00:21"));
        assert_eq!(delta("sources_unpack"), None);
        assert_eq!(stats.get("resources", "cpu_user_us"), Some("0"));
    }

    #[test]
    fn logs_of_the_build_come_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "root.log",
            "build.log",
            "outcome.json",
            "chroot_scan/a/config.log",
            "chroot_scan/trace",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.log")).unwrap();
        let names: Vec<_> = logs(dir.path())
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            ["build.log", "root.log", "chroot_scan/trace", "chroot_scan/a/config.log"]
        );
    }
}
