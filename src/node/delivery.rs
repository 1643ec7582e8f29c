//! Bringing what was built to Pulp, and the report to the server, however long it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;

use super::builder::surely;
use super::done::{Done, DoneFile};
use super::journal::{Entry, Progress, Upload};
use super::report::{lost_package, report};
use super::sentry::Event;
use super::tell::{Level, tell};
use super::{Held, Node, Stop, story};
use crate::causes::with_causes;
use crate::retry::{Backoff, Next, Trouble};
use crate::server::Delivered;
use crate::task::{ArtifactKind, Status};
use crate::upload::{LocalFile, Step, Wanted};

/// How long what nobody could take so far is left alone.
const LATER: Duration = Duration::from_secs(300);
/// How long a node that ends at once goes on delivering.
const LAST: Duration = Duration::from_secs(60);
/// Files of one task that are on their way side by side.
const SIDE_BY_SIDE: usize = 4;

/// Delivers a task that is built, and forgets it. The node may end before; the next one goes on.
pub(super) async fn deliver(node: &Node, held: &Arc<Held>) {
    let mut stop = node.stop.subscribe();
    let ends = async {
        let _ = stop.wait_for(|stop| *stop == Stop::Cancel).await;
        tokio::time::sleep(LAST).await;
    };
    tokio::select! {
        () = all(node, held) => {}
        () = ends => {
            let id = held.kept.id;
            tell(Level::Warning, format_args!("task {id} is not reported yet; the next node will"));
        }
    }
}

async fn all(node: &Node, held: &Arc<Held>) {
    upload(node, held).await;
    let status = tell_server(node, held).await;
    surely(held, &Entry::Reported { at: Timestamp::now() }).await;
    node.metrics.reported(status, &held.kept.progress());
    node.tasks().remove(&held.kept.id);
    if let Err(error) = tokio::task::block_in_place(|| node.outbox.remove(&held.kept)) {
        tell(Level::Warning, with_causes(&error));
    }
}

/// Files that are to be uploaded still: of a task that is not done only its logs.
fn wanted<'a>(done: &'a Done, progress: &'a Progress) -> Vec<(&'a DoneFile, Option<String>)> {
    let open = |file: &'a DoneFile| match progress.uploads.get(&file.name) {
        Some(Upload::Uploaded(_) | Upload::Refused(_)) => None,
        Some(Upload::Begun(href)) => Some((file, Some(href.clone()))),
        None => Some((file, None)),
    };
    let is_wanted =
        |file: &&DoneFile| done.status == Status::Done || file.kind != ArtifactKind::Rpm;
    done.files.iter().filter(is_wanted).filter_map(open).collect()
}

async fn upload(node: &Node, held: &Arc<Held>) {
    let progress = held.kept.progress();
    let Some((_, done)) = &progress.built else { return };
    let wanted = wanted(done, &progress);
    let uploads: Vec<_> =
        wanted.into_iter().map(|(file, resume)| upload_one(node, held, file, resume)).collect();
    let uploads = futures_util::stream::iter(uploads).buffer_unordered(SIDE_BY_SIDE);
    uploads.collect::<Vec<()>>().await;
}

async fn upload_one(node: &Node, held: &Held, file: &DoneFile, resume: Option<String>) {
    let id = held.kept.id;
    let name = || file.name.clone();
    let local = LocalFile {
        path: held.kept.directory.join(&file.path),
        size: file.bytes,
        sha256: file.sha256.clone(),
    };
    let mut wanted = Wanted { file: local, resume };
    loop {
        let journal = |step: Step<'_>| match step {
            Step::Begun { href } => {
                let entry = Entry::Begun { name: name(), href: href.to_owned() };
                // Without it the upload begins anew, which is slower and no worse.
                let _ = tokio::task::block_in_place(|| held.kept.note(&entry));
            }
            Step::Ended => {
                let entry = Entry::Ended { name: name() };
                let _ = tokio::task::block_in_place(|| held.kept.note(&entry));
            }
            Step::Failed { error, wait } => {
                node.metrics.upload_retries.inc();
                let (why, wait) = (with_causes(error), wait.as_secs_f64());
                let told = format!("task {id}: {why}; the next try is in {wait:.0} s");
                tell(Level::Warning, told);
            }
        };
        let current = node.current();
        let upload = current.ends.upload(&wanted, &journal);
        let result = tokio::select! {
            result = upload => result,
            () = cancelled(held) => {
                let why = "the task was cancelled by the operator".to_owned();
                return surely(held, &Entry::Refused { name: name(), why }).await;
            }
        };
        let error = match result {
            Ok(uploaded) => {
                if !uploaded.was_there {
                    node.metrics.uploaded_bytes.inc_by(file.bytes);
                }
                let at = Timestamp::now();
                let entry = Entry::Uploaded { at, name: name(), href: uploaded.href };
                return surely(held, &entry).await;
            }
            Err(error) => error,
        };
        let why = with_causes(&error);
        // A log that Pulp does not take after all tries holds nothing up.
        if error.trouble() == Trouble::Final || file.kind != ArtifactKind::Rpm {
            tell(Level::Error, format_args!("task {id}: {} cannot be uploaded: {why}", file.name));
            node.tell_sentry(Event::of_delivery(id, &why));
            return surely(held, &Entry::Refused { name: name(), why }).await;
        }
        tell(
            Level::Error,
            format_args!(
                "task {id}: {} is not uploaded yet: {why}; albs-node cancel {id} gives it up",
                file.name
            ),
        );
        node.tell_sentry(Event::of_delivery(id, &why));
        wanted.resume = match held.kept.progress().uploads.get(&file.name) {
            Some(Upload::Begun(href)) => Some(href.clone()),
            _ => None,
        };
        tokio::select! {
            () = tokio::time::sleep(LATER) => {}
            () = held.changed.notified() => {}
        }
    }
}

async fn cancelled(held: &Held) {
    loop {
        // Made before the look, so that nothing is missed between the two.
        let changed = held.changed.notified();
        if held.is_cancelled() {
            return;
        }
        changed.await;
    }
}

/// Reports until the server has it.
async fn tell_server(node: &Node, held: &Arc<Held>) -> Status {
    let id = held.kept.id;
    let task = held.kept.task.as_deref().ok();
    let repeat = Duration::from_secs(node.current().config.own.report_repeat);
    let backoff = Backoff { lost: repeat, ..Backoff::DELIVER };
    // An earlier node may have reported it, and the server may not have come to it yet.
    if let Some(since) = held.kept.progress().reporting {
        let passed = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
        let wait = repeat.saturating_sub(passed);
        tell(
            Level::Info,
            format_args!("task {id} may be reported already; it is again in {} s", wait.as_secs()),
        );
        tokio::time::sleep(wait).await;
    }
    let mut attempt = 0;
    loop {
        let progress = held.kept.progress();
        let report = report(id, task, &progress, &held.kept.directory, Timestamp::now());
        if let Some((_, done)) = &progress.built
            && let Some((name, why)) = lost_package(done, &progress)
        {
            tell(Level::Error, format_args!("task {id} is failed for {name}: {why}"));
        }
        for problem in report.problems(task.is_some_and(|task| task.built_srpm_url.is_some())) {
            tell(Level::Warning, format_args!("task {id}: {problem}"));
        }
        held.silent.store(true, Ordering::Relaxed);
        surely(held, &Entry::Reporting { at: Timestamp::now() }).await;
        attempt += 1;
        let error = match node.current().ends.build_done(&report).await {
            Ok(delivered) => {
                let how = match delivered {
                    Delivered::Queued => "reported",
                    Delivered::Known => "known to the server as finished",
                };
                let status = report.status;
                tell(Level::Info, format_args!("task {id} is {how} ({status:?})"));
                return status;
            }
            Err(error) => error,
        };
        let trouble = error.trouble();
        if trouble != Trouble::Lost {
            surely(held, &Entry::NotReported).await;
            held.silent.store(false, Ordering::Relaxed);
        }
        let (wait, tried) = match backoff.next(attempt, trouble, fastrand::f64()) {
            Next::Wait(wait) => (wait, "is not reported yet"),
            // It is kept: a server that is mended takes it.
            Next::GiveUp => (LATER, "cannot be reported"),
        };
        let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        let told = format!("{tried}: {}{hint}", with_causes(&error));
        story::add(&held.kept.directory, &told);
        if wait >= LATER {
            node.tell_sentry(Event::of_delivery(id, &told));
        }
        tell(
            Level::Warning,
            format_args!("task {id} {told}; the next try is in {} s", wait.as_secs()),
        );
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let file = |name: &str, kind| DoneFile {
            name: name.into(),
            kind,
            path: name.into(),
            bytes: 1,
            sha256: String::new(),
        };
        let files = vec![file("a.rpm", ArtifactKind::Rpm), file("b.log", ArtifactKind::BuildLog)];
        let mut done = Done { status: Status::Done, files, ..Done::default() };
        let mut progress = Progress::default();
        let names = |done: &Done, progress: &Progress| {
            let wanted = wanted(done, progress);
            wanted
                .iter()
                .map(|(file, resume)| format!("{}{resume:?}", file.name))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&done, &progress), ["a.rpmNone", "b.logNone"]);
        progress.uploads.insert("a.rpm".into(), Upload::Begun("/u/".into()));
        progress.uploads.insert("b.log".into(), Upload::Refused("no".into()));
        assert_eq!(names(&done, &progress), ["a.rpmSome(\"/u/\")"]);
        done.status = Status::Failed;
        assert!(names(&done, &progress).is_empty());
    }
}
