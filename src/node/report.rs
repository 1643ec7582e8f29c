//! From what a task has come to, to what the server is told. Pure.

use std::path::Path;

use jiff::Timestamp;

use super::done::{Done, Reason};
use super::journal::{Progress, Upload};
use crate::task::{ArtifactKind, BuildDone, ReportedArtifact, Stats, Status, Task};

/// The report of a task of which nothing is left to build or upload. `task` is missing if it could
/// not be understood.
pub fn report(
    id: i64,
    task: Option<&Task>,
    progress: &Progress,
    directory: &Path,
    now: Timestamp,
) -> BuildDone {
    let nothing = Done::default();
    let (built_at, done) =
        progress.built.as_ref().map_or((now, &nothing), |(at, done)| (*at, done));
    let mut status = done.status;
    // A log that is missing fails no build; a package that is missing does.
    if status == Status::Done && lost_package(done, progress).is_some() {
        status = Status::Failed;
    }
    let with_packages = status == Status::Done;
    let artifacts = done
        .files
        .iter()
        .filter(|file| with_packages || file.kind != ArtifactKind::Rpm)
        .filter_map(|file| {
            let Some(Upload::Uploaded(href)) = progress.uploads.get(&file.name) else {
                return None;
            };
            Some(ReportedArtifact {
                name: file.name.clone(),
                kind: file.kind,
                href: href.clone(),
                sha256: file.sha256.clone(),
                path: directory.join(&file.path).display().to_string(),
                cas_hash: None,
            })
        });
    let artifacts = artifacts.collect();
    BuildDone {
        task_id: id,
        status,
        artifacts,
        stats: stats(done, progress, built_at, now),
        git_commit_hash: done.git_commit_hash.clone(),
        is_cas_authenticated: task.is_some_and(|task| task.is_cas_authenticated),
        alma_commit_cas_hash: task.and_then(|task| task.alma_commit_cas_hash.clone()),
    }
}

/// A package that Pulp will never have, and why.
pub fn lost_package<'a>(done: &'a Done, progress: &'a Progress) -> Option<(&'a str, &'a str)> {
    let packages = done.files.iter().filter(|file| file.kind == ArtifactKind::Rpm);
    packages
        .filter_map(|file| match progress.uploads.get(&file.name) {
            Some(Upload::Refused(why)) => Some((file.name.as_str(), why.as_str())),
            _ => None,
        })
        .next()
}

fn stats(done: &Done, progress: &Progress, built_at: Timestamp, now: Timestamp) -> Stats {
    let mut stats = done.stats.clone();
    stats.stage("build_node_task", progress.received.unwrap_or(built_at), now);
    if let Some(end) = progress.uploaded {
        stats.stage("upload", built_at, end.max(built_at));
    }
    let workers = progress.starts.to_string();
    stats.set("resources", "starts", &workers);
    if let Some(Reason { phase, class, message, evidence, retryable }) = &done.reason {
        stats.set("verdict", "phase", phase);
        stats.set("verdict", "class", class);
        stats.set("verdict", "message", message);
        stats.set("verdict", "evidence", evidence.as_deref().unwrap_or_default());
        stats.set("verdict", "retryable", if *retryable { "true" } else { "false" });
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::super::done::DoneFile;
    use super::super::journal::Entry;
    use super::*;

    fn at(second: u32) -> Timestamp {
        format!("2026-05-01T10:00:{second:02}.5Z").parse().unwrap()
    }

    fn file(name: &str, kind: ArtifactKind) -> DoneFile {
        let path = Path::new("result").join(name);
        DoneFile { name: name.into(), kind, path, bytes: 1, sha256: "a".repeat(64) }
    }

    fn progress(status: Status, uploads: &[(&str, Upload)]) -> Progress {
        let files = vec![
            file("a-1-1.src.rpm", ArtifactKind::Rpm),
            file("a-1-1.x86_64.rpm", ArtifactKind::Rpm),
            file("albs.7.1.log", ArtifactKind::BuildLog),
        ];
        let mut progress = Progress::default();
        let done = Done { status, files, git_commit_hash: Some("c".into()), ..Done::default() };
        progress.add(&Entry::Received { at: at(0) });
        progress.add(&Entry::Started { at: at(1) });
        progress.add(&Entry::Built { at: at(2), done: Box::new(done) });
        for (name, upload) in uploads {
            progress.uploads.insert((*name).to_owned(), upload.clone());
        }
        progress.uploaded = Some(at(4));
        progress
    }

    fn told(status: Status, uploads: &[(&str, Upload)]) -> BuildDone {
        report(7, None, &progress(status, uploads), Path::new("/outbox/7"), at(5))
    }

    fn names(report: &BuildDone) -> Vec<&str> {
        report.artifacts.iter().map(|artifact| artifact.name.as_str()).collect()
    }

    fn here(href: &str) -> Upload {
        Upload::Uploaded(href.into())
    }

    #[test]
    fn packages_are_told_of_good_builds_only() {
        let uploads = [
            ("a-1-1.src.rpm", here("/1/")),
            ("a-1-1.x86_64.rpm", here("/2/")),
            ("albs.7.1.log", here("/3/")),
        ];
        let good = told(Status::Done, &uploads);
        assert_eq!(names(&good), ["a-1-1.src.rpm", "a-1-1.x86_64.rpm", "albs.7.1.log"]);
        assert_eq!(good.artifacts[0].path, "/outbox/7/result/a-1-1.src.rpm");
        assert!(good.problems(false).is_empty(), "{:?}", good.problems(false));
        assert_eq!(good.stats.get("upload", "delta"), Some("0:00:02"));
        assert_eq!(
            good.stats.get("build_node_task", "start_ts"),
            Some("2026-05-01 10:00:00.500000")
        );
        assert_eq!(names(&told(Status::Failed, &uploads)), ["albs.7.1.log"]);
        assert_eq!(names(&told(Status::Excluded, &uploads)), ["albs.7.1.log"]);
    }

    #[test]
    fn what_pulp_refuses_counts_if_it_is_a_package() {
        let refused = || Upload::Refused("413".into());
        let packages = [("a-1-1.src.rpm", here("/1/")), ("a-1-1.x86_64.rpm", here("/2/"))];
        let mut uploads = packages.to_vec();
        uploads.push(("albs.7.1.log", refused()));
        let without_log = told(Status::Done, &uploads);
        assert_eq!((without_log.status, without_log.artifacts.len()), (Status::Done, 2));
        let lost = [
            ("a-1-1.src.rpm", here("/1/")),
            ("a-1-1.x86_64.rpm", refused()),
            ("albs.7.1.log", here("/3/")),
        ];
        let lost = told(Status::Done, &lost);
        assert_eq!((lost.status, names(&lost)), (Status::Failed, vec!["albs.7.1.log"]));
    }
}
