//! Having a task built: a worker process of its own, started or found again, and what follows from
//! how it ended.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::done::{self, Done, Reason};
use super::journal::Entry;
use super::sentry::{self, Event};
use super::settings::Settings;
use super::story;
use super::tell::{Level, tell};
use super::worker::{self, CANCELLED, CONFIG, Lock};
use super::{Held, Node, Stop};
use crate::causes::with_causes;
use crate::task::Status;

/// How often a task is begun at all, however its workers end: one that takes the node down each
/// time must not do so for ever.
const MOST_STARTS: u64 = 10;
/// How often a worker is looked for that is not this process's child.
const LOOK: Duration = Duration::from_millis(300);
/// First wait after a failure that is not the task's own; it doubles.
const PAUSE: Duration = Duration::from_secs(20);

/// The node stops before the task is built.
#[derive(Debug)]
pub(super) struct Stopped;

/// What to do with a task whose worker has ended.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// It is built, or never will be.
    Final(Box<Done>),
    /// Another worker shall try, after the node's fault, which is told.
    Again(Box<Reason>),
    /// Another worker shall try when the node is there again.
    Later,
}

/// Builds a task. When this returns well, the journal says so.
pub(super) async fn build(node: &Node, held: &Arc<Held>) -> Result<(), Stopped> {
    let directory = held.kept.directory.clone();
    if let Err(malformed) = &held.kept.task {
        story::add(&directory, &format!("error: {malformed}"));
        let complaints: Vec<_> = malformed.complaints.iter().map(ToString::to_string).collect();
        finish(
            node,
            held,
            Done::failed(Reason {
                phase: "task".into(),
                class: "infrastructure".into(),
                message: "the task cannot be understood".into(),
                evidence: Some(complaints.join("; ")),
                retryable: false,
            }),
        )
        .await;
        return Ok(());
    }
    loop {
        let crashed = run_worker(node, held).await?;
        let found = tokio::task::block_in_place(|| Done::read(&directory));
        let progress = held.kept.progress();
        let retries = node.current().config.own.infrastructure_retries;
        let stop = node.stopping() == Stop::Cancel;
        let verdict = decide(
            found.map_err(|error| error.to_string()),
            &crashed,
            &Past { starts: progress.starts, failures: progress.failures, retries },
            held.is_cancelled(),
            stop,
        );
        match verdict {
            Verdict::Final(done) => {
                finish(node, held, *done).await;
                return Ok(());
            }
            Verdict::Later => return Err(Stopped),
            Verdict::Again(reason) => {
                tell_sentry(node, held, &reason, true);
                let why = reason.to_string();
                node.metrics.again.inc();
                let wait =
                    PAUSE.mul_f64(0.5 + fastrand::f64()) * 2u32.pow(progress.failures as u32);
                let told = format!("it is built again in {} s: {why}", wait.as_secs());
                story::add(&directory, &told);
                tell(Level::Warning, format_args!("task {}: {told}", held.kept.id));
                surely(held, &Entry::Again { at: Timestamp::now(), why }).await;
                let _ = tokio::time::timeout(wait, end_wanted(node, held)).await;
            }
        }
        if node.stopping() == Stop::Cancel {
            return Err(Stopped);
        }
    }
}

/// What a task has been through.
struct Past {
    starts: u64,
    failures: u64,
    /// Most failures that are tried again.
    retries: u64,
}

/// Pure.
fn decide(
    found: Result<Option<Done>, String>,
    crashed: &str,
    past: &Past,
    cancelled: bool,
    stop: bool,
) -> Verdict {
    let reason = |message: String, evidence| Reason {
        phase: "node".into(),
        class: "infrastructure".into(),
        message,
        evidence,
        retryable: true,
    };
    let done = match found {
        Ok(Some(done)) => done,
        _ if cancelled => Done::failed(Reason {
            class: "cancelled".into(),
            retryable: false,
            ..reason("the task was cancelled by the operator".into(), None)
        }),
        // It was this node's end that ended it.
        Ok(None) if stop => return Verdict::Later,
        Ok(None) => Done::failed(reason("the worker ended early".into(), Some(crashed.into()))),
        Err(error) => {
            Done::failed(reason("what the worker left is not usable".into(), Some(error)))
        }
    };
    let Some(reason) = &done.reason else { return Verdict::Final(Box::new(done)) };
    if reason.class == CANCELLED && stop && !cancelled {
        return Verdict::Later;
    }
    // A config that cannot be used stays so.
    let is_own = !reason.retryable && (reason.class != "infrastructure" || reason.phase == CONFIG);
    let is_last = past.failures >= past.retries || past.starts >= MOST_STARTS;
    if is_own || is_last || cancelled || reason.class == CANCELLED {
        return Verdict::Final(Box::new(done));
    }
    Verdict::Again(Box::new(reason.clone()))
}

/// Waits for a worker's end: one that is there, or a new one. Says what is known of a crash; there
/// was none if there is a `done.json`.
async fn run_worker(node: &Node, held: &Arc<Held>) -> Result<String, Stopped> {
    let directory = &held.kept.directory;
    if let Some(pid) = Lock::holder(directory) {
        tell(Level::Info, format_args!("task {}: its worker {pid} is found again", held.kept.id));
        return adopted(node, held).await;
    }
    // Left by a worker that ended when no node was there.
    if held.kept.progress().started.is_some() && is_usable(directory) {
        return Ok(String::new());
    }
    if held.kept.progress().starts >= MOST_STARTS {
        return Ok(format!("it was begun {MOST_STARTS} times"));
    }
    surely(held, &Entry::Started { at: Timestamp::now() }).await;
    let settings = Settings::new(&node.current().config);
    let started = tokio::task::block_in_place(|| start(&node.program, directory, &settings));
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return Ok(format!("it could not be started: {error}")),
    };
    let pid = child.id() as i32;
    held.set_worker(Some(pid));
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    let status = tokio::select! {
        status = &mut ended => status,
        () = end_wanted(node, held) => {
            // Once is enough; it ends its sandbox and tells.
            signal(pid);
            ended.await
        }
    };
    held.set_worker(None);
    let status = status.map_err(io::Error::other).and_then(|status| status);
    match status {
        Ok(status) if status.code() == Some(worker::BUSY) => adopted(node, held).await,
        Ok(status) => Ok(format!("it ended with {status}; see {}", worker::OUTPUT)),
        Err(error) => Ok(format!("it could not be waited for: {error}")),
    }
}

/// Whether a worker has left what its task came to, and not only that it was ended with its node.
fn is_usable(directory: &Path) -> bool {
    let found = tokio::task::block_in_place(|| Done::read(directory));
    let was_ended = |done: &Done| done.reason.as_ref().is_some_and(|why| why.class == CANCELLED);
    found.is_ok_and(|done| done.is_some_and(|done| !was_ended(&done)))
}

/// Waits for a worker that is not this process's child.
async fn adopted(node: &Node, held: &Arc<Held>) -> Result<String, Stopped> {
    let mut is_signalled = false;
    while let Some(pid) = tokio::task::block_in_place(|| Lock::holder(&held.kept.directory)) {
        held.set_worker(Some(pid));
        if !is_signalled && (held.is_cancelled() || node.stopping() == Stop::Cancel) {
            signal(pid);
            is_signalled = true;
        }
        tokio::time::sleep(LOOK).await;
    }
    held.set_worker(None);
    Ok("it was started by an earlier node".to_owned())
}

/// Waits until the build is to end before its time.
async fn end_wanted(node: &Node, held: &Held) {
    let mut stop = node.stop.subscribe();
    loop {
        let changed = held.changed.notified();
        if held.is_cancelled() {
            return;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop == Stop::Cancel) => return,
            () = changed => {}
        }
    }
}

fn signal(pid: i32) {
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
}

/// Starts a worker.
fn start(program: &Path, directory: &Path, settings: &Settings) -> io::Result<std::process::Child> {
    match std::fs::remove_file(directory.join(done::FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    settings.write(directory)?;
    let output =
        std::fs::File::options().create(true).append(true).open(directory.join(worker::OUTPUT))?;
    super::apart(program)
        .arg("work")
        .arg(directory)
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
}

/// Ends the story, makes it an artifact, and writes down that nothing is left to build.
async fn finish(node: &Node, held: &Arc<Held>, mut done: Done) {
    let directory = &held.kept.directory;
    let verdict = match (&done.reason, done.status) {
        (Some(reason), Status::Excluded) => format!("excluded: {reason}"),
        (Some(reason), _) => format!("failed: {reason}"),
        (None, _) => "done".to_owned(),
    };
    tell(Level::Info, format_args!("task {}: {verdict}", held.kept.id));
    story::add(directory, &verdict);
    if let Some(reason) = &done.reason {
        tell_sentry(node, held, reason, false);
    }
    match tokio::task::block_in_place(|| worker::story_file(directory, held.kept.id)) {
        Ok(file) => done.files.push(file),
        Err(error) => tell(
            Level::Warning,
            format_args!("task {}: its log cannot be kept: {}", held.kept.id, with_causes(&error)),
        ),
    }
    surely(held, &Entry::Built { at: Timestamp::now(), done: Box::new(done) }).await;
}

/// Failures of packages are no news for those who run the node.
fn tell_sentry(node: &Node, held: &Held, reason: &Reason, is_tried_again: bool) {
    if sentry::is_told(reason) {
        let task = held.kept.task.as_deref().ok();
        node.tell_sentry(Event::of_task(held.kept.id, task, reason, is_tried_again));
    }
}

/// Writes an entry, however long it takes: on a full disk, nothing goes on without it.
pub(super) async fn surely(held: &Held, entry: &Entry) {
    let mut told = false;
    while let Err(error) = tokio::task::block_in_place(|| held.kept.note(entry)) {
        if !told {
            tell(
                Level::Error,
                format_args!("task {} waits: its journal cannot be written: {error}", held.kept.id),
            );
        }
        told = true;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAST: Past = Past { starts: 1, failures: 0, retries: 2 };

    fn failed(class: &str, retryable: bool) -> Done {
        Done::failed(Reason {
            phase: "install".into(),
            class: class.into(),
            message: "m".into(),
            evidence: None,
            retryable,
        })
    }

    fn decided(done: &Done, past: &Past, cancelled: bool, stop: bool) -> Verdict {
        decide(Ok(Some(done.clone())), "", past, cancelled, stop)
    }

    fn last(done: &Done) -> Verdict {
        Verdict::Final(Box::new(done.clone()))
    }

    #[test]
    fn only_failures_of_the_infrastructure_are_tried_again_and_only_so_often() {
        let package = failed("package", false);
        assert_eq!(decided(&package, &PAST, false, false), last(&package));
        let mirror = failed("infrastructure", true);
        assert!(matches!(decided(&mirror, &PAST, false, false), Verdict::Again(_)));
        let third = Past { failures: 2, ..PAST };
        assert_eq!(decided(&mirror, &third, false, false), last(&mirror));
        let often = Past { starts: MOST_STARTS, ..PAST };
        assert_eq!(decided(&mirror, &often, false, false), last(&mirror));
        assert_eq!(decided(&mirror, &PAST, true, false), last(&mirror));
        let mut config = failed("infrastructure", false);
        config.reason.as_mut().unwrap().phase = CONFIG.into();
        assert!(matches!(decided(&config, &PAST, false, false), Verdict::Final(_)));
        let good = Done { status: Status::Done, ..Done::default() };
        assert_eq!(decided(&good, &PAST, false, false), last(&good));
    }

    #[test]
    fn a_node_that_ends_takes_its_builds_up_later() {
        let ended = failed(CANCELLED, false);
        assert_eq!(decided(&ended, &PAST, false, true), Verdict::Later);
        assert!(matches!(decided(&ended, &PAST, true, true), Verdict::Final(_)));
        assert_eq!(decide(Ok(None), "", &PAST, false, true), Verdict::Later);
        // What had ended before the signal came is delivered.
        let package = failed("package", false);
        assert_eq!(decided(&package, &PAST, false, true), last(&package));
    }

    #[test]
    fn a_worker_that_dies_is_the_nodes_fault() {
        let told = decide(Ok(None), "signal 9", &PAST, false, false);
        let Verdict::Again(why) = told else { panic!("{told:?}") };
        assert_eq!(why.to_string(), "node (infrastructure): the worker ended early | signal 9");
        let Verdict::Final(done) = decide(Ok(None), "", &PAST, true, false) else { panic!() };
        assert_eq!(done.reason.unwrap().class, "cancelled");
    }
}
