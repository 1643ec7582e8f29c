//! Calls of our own program inside maintenance sandboxes.

use std::path::{Path, PathBuf};

use sandbox::{Outcome, Sandbox, SandboxError, SandboxSpec, Usage};

use super::Env;
use super::sandboxes::Context;
use crate::helper::Task;
use crate::profile::ProfileName;
use crate::run::{Log, StageRun};
use crate::verdict::{Class, Failure, classify_helper, status};

/// Trees that a task works on: host path, place inside, read-only.
pub(crate) type Trees = [(PathBuf, PathBuf, bool)];

/// Runs a task as part of a stage; what it complains of goes to `root.log`.
pub(super) fn run(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    task: &Task,
    trees: &Trees,
) -> Result<(), Failure> {
    run_in(&env.context, &env.program, stage, task, trees)
}

/// As [`run`], where there is no config.
pub(super) fn run_in(
    context: &Context,
    program: &Path,
    stage: &StageRun<'_>,
    task: &Task,
    trees: &Trees,
) -> Result<(), Failure> {
    let spec = spec(context, program, stage.stage.as_str(), task, trees)
        .map_err(|error| own_fault(stage, "the helper could not be planned", error))?;
    let finished = stage.sandbox(&spec, Log::Root)?;
    if finished.outcome.exit.success() {
        return Ok(());
    }
    let message = format!("the buildroot could not be worked on ({})", finished.outcome.exit);
    Err(classify_helper(stage.stage, message, &finished.tail))
}

/// Runs a task as part of a stage, and gives what it answers.
pub(super) fn ask(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    task: &Task,
    trees: &Trees,
) -> Result<String, Failure> {
    let spec = spec(&env.context, &env.program, stage.stage.as_str(), task, trees)
        .map_err(|error| own_fault(stage, "the helper could not be planned", error))?;
    let mut said = Vec::new();
    let outcome = stage.raw(&spec, &mut |bytes| keep(bytes, &mut said))?;
    let Some(said) = text(said) else {
        let message = format!("what there is to say of the buildroot {BEYOND}");
        let failure = Failure::infrastructure(stage.stage, status::ROOT, message, None);
        return Err(Failure { class: Class::Resource, ..failure });
    };
    if outcome.exit.success() {
        return Ok(said);
    }
    let message = format!("the buildroot could not be looked at ({})", outcome.exit);
    Err(classify_helper(stage.stage, message, &[crate::run::plain(&said)]))
}

/// What came of a task that a build can do without: why it failed is told, and stops nothing.
///
/// # Errors
///
/// The build was cancelled.
pub(super) fn or_note<T>(
    stage: &StageRun<'_>,
    what: &str,
    result: Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    match result {
        Err(failure) if !stage.is_cancelled() => {
            stage.note(&format!("{what}: {failure}"));
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Most bytes of an answer that are kept: names and attributes of files are whatever packages made
/// of them. A root of a million files takes about half of it.
const MOST_ANSWER: usize = 256 << 20;
/// Said of one that is longer.
const BEYOND: &str = "has more than 256 MiB, which are names and attributes of files";

/// The longest that a task may take, in ms. Nobody else limits it, and what it works on may be made
/// to take long. Copying takes less anywhere: a kernel's packages are some gigabytes.
const LONGEST_MS: u64 = 3_600_000;

/// Keeps no more than one byte too many.
fn keep(bytes: &[u8], said: &mut Vec<u8>) {
    let room = (MOST_ANSWER + 1).saturating_sub(said.len());
    said.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// As text, without a copy where it is text; none if it was too long.
fn text(said: Vec<u8>) -> Option<String> {
    let lossy =
        |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
    (said.len() <= MOST_ANSWER).then(|| String::from_utf8(said).unwrap_or_else(lossy))
}

/// Runs a task outside any stage, also while a build is being cancelled: for cleaning up.
///
/// # Errors
///
/// The sandbox could not be used, or the task failed; the text is for people.
pub(super) fn run_always(
    context: &Context,
    program: &Path,
    task: &Task,
    trees: &Trees,
) -> Result<(), String> {
    ask_always(context, program, task, trees).map(drop)
}

/// As [`run_always`]; gives what the task answers, and what it has used.
pub(super) fn ask_always(
    context: &Context,
    program: &Path,
    task: &Task,
    trees: &Trees,
) -> Result<(String, Usage), String> {
    let spec = spec(context, program, "clean", task, trees).map_err(|error| error.to_string())?;
    let mut said = Vec::new();
    let mut run = || -> Result<Outcome, SandboxError> {
        let sandbox = Sandbox::spawn(&spec, &context.host)?;
        sandbox.wait(&mut |bytes| keep(bytes, &mut said))
    };
    let outcome = run().map_err(|error| error.to_string())?;
    let said = text(said).ok_or_else(|| format!("what there is to say {BEYOND}"))?;
    if outcome.exit.success() {
        return Ok((said, outcome.usage));
    }
    Err(format!("{}: {}", outcome.exit, crate::run::plain(&said)))
}

/// The sandbox of a task.
pub(crate) fn spec(
    context: &Context,
    program: &Path,
    name: &str,
    task: &Task,
    trees: &Trees,
) -> Result<SandboxSpec, Box<dyn std::error::Error + Send + Sync>> {
    let text = serde_json::to_string(task)?;
    // Those that only read get by with less.
    let profile = match task {
        Task::Collect { .. } | Task::Scan { .. } | Task::Measure { .. } | Task::Manifest { .. } => {
            ProfileName::Collect
        }
        _ => ProfileName::Maintenance,
    };
    let mut spec = context.maintenance(name, profile, program, trees, &[&text])?;
    spec.timeout_ms = Some(LONGEST_MS);
    Ok(spec)
}

fn own_fault(
    stage: &StageRun<'_>,
    message: &str,
    error: Box<dyn std::error::Error + Send + Sync>,
) -> Failure {
    Failure::infrastructure(stage.stage, status::GENERIC, message, Some(error))
}
