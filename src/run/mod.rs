//! Running sandboxes for a build: logs, events, usage of each stage, cancellation.

mod cancel;
mod events;
mod logs;
mod results;
mod tail;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use sandbox::{Enforcement, HostFacts, Layer, Outcome, Sandbox, SandboxSpec, Usage};
use serde::Serialize;

pub use cancel::Cancel;
pub use events::{Event, Sink};
pub use logs::{Log, Logs};
pub use results::{Pending, ResultDir};
pub use tail::{Lines, plain};

use crate::verdict::{Class, Failure, Stage, status};

/// What one stage took and used.
#[derive(Debug, Clone, Serialize)]
pub struct StageRecord {
    /// Name of the stage.
    pub name: Stage,
    /// Wall-clock time in seconds.
    pub seconds: f64,
    /// What its sandboxes used together.
    pub usage: Usage,
    /// How far each layer of isolation was enforced, in the weakest of its sandboxes.
    pub isolation: BTreeMap<Layer, Enforcement>,
}

/// Runs the sandboxes of one build.
#[derive(Debug)]
pub struct Runner {
    /// The host.
    pub host: HostFacts,
    /// Stops the build.
    pub cancel: Cancel,
    /// Receives what happens.
    pub sink: Sink,
    /// The logs of the build.
    pub logs: Logs,
    records: RefCell<Vec<StageRecord>>,
}

/// A sandbox that has ended, and the last lines it wrote.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// The last lines of its output, without control characters.
    pub tail: Vec<String>,
}

/// A stage in progress.
#[derive(Debug)]
pub struct StageRun<'a> {
    runner: &'a Runner,
    /// Which.
    pub stage: Stage,
    usage: RefCell<Usage>,
    isolation: RefCell<BTreeMap<Layer, Enforcement>>,
    /// Whether a sandbox of this stage had limits.
    limited: Cell<bool>,
}

impl Runner {
    /// A runner without stages yet.
    pub fn new(host: HostFacts, cancel: Cancel, sink: Sink, logs: Logs) -> Runner {
        Runner { host, cancel, sink, logs, records: RefCell::default() }
    }

    /// Runs a stage and records what it took.
    ///
    /// # Errors
    ///
    /// Whatever `work` fails with.
    pub fn stage<T>(
        &self,
        stage: Stage,
        what: &str,
        work: impl FnOnce(&StageRun<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let started = std::time::Instant::now();
        // Names of packages are part of it, and they come from outside.
        let what = &plain(what);
        self.logs.state(&format!("Start: {what}"));
        self.sink.send(&Event::StageStarted { stage, what: what.to_owned() });
        let run = StageRun {
            runner: self,
            stage,
            usage: RefCell::default(),
            isolation: RefCell::default(),
            limited: Cell::default(),
        };
        let result = work(&run);
        let seconds = started.elapsed().as_secs_f64();
        let usage = run.usage.into_inner();
        self.sink.send(&Event::StageFinished {
            stage,
            seconds,
            usage: usage.clone(),
            success: result.is_ok(),
        });
        let isolation = run.isolation.into_inner();
        self.log_isolation(stage, &isolation);
        self.records.borrow_mut().push(StageRecord { name: stage, seconds, usage, isolation });
        self.logs.state(&format!("Finish: {what}"));
        result
    }

    /// Layers that were not fully enforced are told in the log, not only in the outcome.
    fn log_isolation(&self, stage: Stage, isolation: &BTreeMap<Layer, Enforcement>) {
        for (layer, enforcement) in isolation {
            let (how, reason) = match enforcement {
                Enforcement::Full => continue,
                Enforcement::Partial(reason) => ("partly enforced", reason),
                Enforcement::Off(reason) => ("off", reason),
            };
            self.logs.note(Log::Root, stage, &format!("isolation: {layer:?} {how}: {reason}"));
        }
    }

    /// What the stages so far took.
    pub fn records(&self) -> Vec<StageRecord> {
        self.records.borrow().clone()
    }
}

impl StageRun<'_> {
    /// Runs a sandbox and writes what it says to a log.
    ///
    /// # Errors
    ///
    /// It could not be planned or watched, or the build was cancelled. How the command itself
    /// ended is in the result.
    pub fn sandbox(&self, spec: &SandboxSpec, log: Log) -> Result<Finished, Failure> {
        let logs = &self.runner.logs;
        logs.command(log, self.stage, &spec.argv);
        let mut lines = Lines::default();
        let finished = self.raw(spec, &mut |bytes| {
            logs.output(log, self.stage, bytes);
            lines.add(bytes, |line| {
                self.runner.sink.send(&Event::Line { stage: self.stage, line: line.to_owned() });
            });
        })?;
        logs.flush(log, self.stage);
        logs.ended(log, self.stage, &finished);
        Ok(Finished { outcome: finished, tail: lines.into_tail() })
    }

    /// Runs a sandbox and hands over what it says.
    ///
    /// # Errors
    ///
    /// As [`StageRun::sandbox`].
    pub fn raw(
        &self,
        spec: &SandboxSpec,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, Failure> {
        let runner = self.runner;
        let failed = |error: sandbox::SandboxError| {
            let hint = error.hint();
            Failure::infrastructure(
                self.stage,
                status::ISOLATION,
                format!(
                    "the sandbox for {} could not be used",
                    spec.argv.first().map_or("", |a| a)
                ),
                Some(Box::new(error)),
            )
            .with_hint(hint)
        };
        if runner.cancel.is_cancelled() {
            return Err(self.interrupted());
        }
        let sandbox = Sandbox::spawn(spec, &runner.host).map_err(failed)?;
        let _watch = runner.cancel.watch(sandbox.killer());
        let outcome = sandbox.wait(output).map_err(failed)?;
        let mut usage = self.usage.borrow_mut();
        *usage = usage.plus(&outcome.usage);
        self.note_isolation(&outcome, spec.limits.any());
        if runner.cancel.is_cancelled() {
            return Err(self.interrupted());
        }
        Ok(outcome)
    }

    /// `limited`: whether the sandbox had limits. Those of our own helpers have none, which says
    /// nothing about the limits of the build.
    fn note_isolation(&self, outcome: &Outcome, limited: bool) {
        let strength = |enforcement: &Enforcement| match enforcement {
            Enforcement::Off(_) => 0,
            Enforcement::Partial(_) => 1,
            Enforcement::Full => 2,
        };
        let mut known = self.isolation.borrow_mut();
        for (layer, enforcement) in &outcome.enforcement {
            if *layer == Layer::Cgroup && !limited && self.limited.get() {
                continue;
            }
            if *layer == Layer::Cgroup && limited && !self.limited.replace(true) {
                known.remove(layer);
            }
            let weakest = known.entry(*layer).or_insert_with(|| enforcement.clone());
            if strength(enforcement) < strength(weakest) {
                *weakest = enforcement.clone();
            }
        }
    }

    /// Whether the build is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.runner.cancel.is_cancelled()
    }

    /// Waits, or less if the build is to stop.
    pub fn sleep(&self, seconds: u64) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        while std::time::Instant::now() < end && !self.is_cancelled() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// The failure of a build that was stopped.
    pub fn interrupted(&self) -> Failure {
        Failure {
            class: Class::Cancelled,
            ..Failure::infrastructure(
                self.stage,
                self.runner.cancel.status(),
                format!("interrupted in stage {}", self.stage),
                None,
            )
        }
    }

    /// Tells the user something that is not output of a command.
    pub fn note(&self, text: &str) {
        self.runner.logs.note(Log::Root, self.stage, text);
        self.runner.sink.send(&Event::Note { stage: self.stage, text: text.to_owned() });
    }
}
