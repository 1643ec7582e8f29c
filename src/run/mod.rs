//! Running sandboxes for a build: logs, events, usage of each stage, cancellation.

pub mod bill;
mod cancel;
mod capped;
mod events;
mod logs;
mod results;
mod running;
mod tail;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Instant;

use sandbox::cgroup::Subtree;
use sandbox::spec::Limits;
use sandbox::{
    Enforcement, HostFacts, Killer, Largest, Layer, Outcome, Sample, Sandbox, SandboxSpec, Usage,
};
use serde::{Deserialize, Serialize};

pub use cancel::Cancel;
pub use events::{Event, Sink};
pub use logs::{Log, Logs};
pub use results::{Pending, PendingDirectory, ResultDir};
pub use running::Running;
pub use tail::{Lines, plain};

use crate::verdict::{Class, Failure, Said, Stage, status};

/// What one stage took and used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageRecord {
    /// Name of the stage.
    pub name: Stage,
    /// Wall-clock time in seconds.
    pub seconds: f64,
    /// What its sandboxes used together.
    pub usage: Usage,
    /// Mean of the memory in use, in bytes; none of a stage that was over before it was looked at.
    #[serde(default)]
    pub memory_average_bytes: Option<u64>,
    /// What was used over time; `seconds` counts from the beginning of the build, and what is
    /// summed up starts anew with each sandbox.
    #[serde(default)]
    pub samples: Vec<Sample>,
    /// Of a stage in which processes were killed for want of memory: which was seen to have most.
    #[serde(default)]
    pub largest: Option<Largest>,
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
    /// The control group around those of the stages.
    _subtree: Option<Subtree>,
    started: Instant,
    /// When the run began, as seconds since 1970.
    pub began: i64,
}

/// A sandbox that has ended, and the last lines it wrote.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// The last lines of its output, without control characters.
    pub tail: Vec<String>,
    /// The section of a spec that it was in.
    pub section: Option<String>,
}

impl Finished {
    /// What the verdict looks at.
    pub fn said(&self) -> Said<'_> {
        Said { tail: &self.tail, section: self.section.as_deref(), lacks_room: false }
    }
}

/// A stage in progress.
#[derive(Debug)]
pub struct StageRun<'a> {
    runner: &'a Runner,
    /// Which.
    pub stage: Stage,
    usage: RefCell<Usage>,
    samples: RefCell<Vec<Sample>>,
    memory: Cell<bill::MemoryTime>,
    largest: RefCell<Option<Largest>>,
    isolation: RefCell<BTreeMap<Layer, Enforcement>>,
    /// Layers that a sandbox of this stage has asked for.
    asked: RefCell<BTreeSet<Layer>>,
}

impl Runner {
    /// A runner without stages yet, whose sandboxes together have these limits.
    pub fn new(
        mut host: HostFacts,
        limits: &Limits,
        cancel: Cancel,
        sink: Sink,
        logs: Logs,
    ) -> Runner {
        // What stands in the way is told by the stages, whose groups have the same limits.
        let subtree = limits.any().then(|| Subtree::create("build", limits, &host.cgroup).ok());
        let subtree = subtree.flatten();
        if let Some(subtree) = &subtree {
            host.cgroup = subtree.facts().clone();
        }
        Runner {
            _subtree: subtree,
            host,
            cancel,
            sink,
            logs,
            records: RefCell::default(),
            started: Instant::now(),
            began: jiff::Timestamp::now().as_second(),
        }
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
        let started = Instant::now();
        // Names of packages are part of it, and they come from outside.
        let what = &plain(what);
        self.logs.state(&format!("Start: {what}"));
        self.sink.send(&Event::StageStarted { stage, what: what.to_owned() });
        let run = StageRun {
            runner: self,
            stage,
            usage: RefCell::default(),
            samples: RefCell::default(),
            memory: Cell::default(),
            largest: RefCell::default(),
            isolation: RefCell::default(),
            asked: RefCell::default(),
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
        let (samples, largest) = (run.samples.into_inner(), run.largest.into_inner());
        self.records.borrow_mut().push(StageRecord {
            name: stage,
            seconds,
            usage,
            memory_average_bytes: run.memory.get().average(),
            samples,
            largest,
            isolation,
        });
        self.logs.state(&format!("Finish: {what}"));
        result
    }

    /// Layers that were not fully enforced are told in the log, not only in the outcome.
    pub fn log_isolation(&self, stage: Stage, isolation: &BTreeMap<Layer, Enforcement>) {
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
        self.sandbox_with(spec, log, |_| {})
    }

    /// As [`StageRun::sandbox`]; `started` gets what can end the sandbox.
    ///
    /// # Errors
    ///
    /// As [`StageRun::sandbox`].
    pub fn sandbox_with(
        &self,
        spec: &SandboxSpec,
        log: Log,
        started: impl FnOnce(Killer),
    ) -> Result<Finished, Failure> {
        let logs = &self.runner.logs;
        logs.command(log, self.stage, &spec.argv);
        let mut lines = Lines::default();
        let finished = self.raw_with(spec, started, &mut |bytes| {
            let began = Instant::now();
            logs.output(log, self.stage, bytes);
            lines.add(bytes, |line| {
                self.runner.sink.send(&Event::Line { stage: self.stage, line: line.to_owned() });
            });
            logs.pace(log, began.elapsed());
        })?;
        logs.flush(log, self.stage);
        logs.ended(log, self.stage, &finished);
        let section = lines.section().map(str::to_owned);
        Ok(Finished { outcome: finished, tail: lines.into_tail(), section })
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
        self.raw_with(spec, |_| {}, output)
    }

    /// As [`StageRun::raw`]; `started` gets what can end the sandbox.
    ///
    /// # Errors
    ///
    /// As [`StageRun::sandbox`].
    pub fn raw_with(
        &self,
        spec: &SandboxSpec,
        started: impl FnOnce(Killer),
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, Failure> {
        let running = self.start(spec)?;
        started(running.sandbox.killer());
        running.wait(output)
    }

    /// Runs a sandbox and hands over what it says to `receive`, which reads from a pipe meanwhile.
    /// What it does not read is read to the end, so that the sandbox never waits for it.
    ///
    /// # Errors
    ///
    /// As [`StageRun::sandbox`]; those of receiving are in the result.
    pub fn received<T: Send>(
        &self,
        spec: &SandboxSpec,
        receive: impl FnOnce(&mut io::PipeReader) -> io::Result<T> + Send,
    ) -> Result<(Outcome, io::Result<T>), Failure> {
        let (mut reader, mut writer) = match io::pipe() {
            Ok(ends) => ends,
            Err(error) => {
                let message = "a pipe could not be made";
                let source = Some(error.into());
                let failure = Failure::infrastructure(self.stage, status::GENERIC, message, source);
                return Err(failure);
            }
        };
        std::thread::scope(|scope| {
            let receiver = scope.spawn(move || {
                let result = receive(&mut reader);
                io::copy(&mut reader, &mut io::sink())?;
                result
            });
            let outcome = self.raw(spec, &mut |bytes| {
                // A receiver that is gone tells why at the end.
                let _ = writer.write_all(bytes);
            });
            drop(writer);
            let received = receiver.join();
            let died = |_| Err(io::Error::other("the receiver died"));
            Ok((outcome?, received.unwrap_or_else(died)))
        })
    }

    /// Starts a sandbox that runs beside what the stage does next. It may not say more than fits
    /// into a pipe until it is waited for, and is killed if it is not.
    ///
    /// # Errors
    ///
    /// As [`StageRun::sandbox`].
    pub fn start<'s>(&'s self, spec: &'s SandboxSpec) -> Result<Running<'s>, Failure> {
        let runner = self.runner;
        if runner.cancel.is_cancelled() {
            return Err(self.interrupted());
        }
        let offset = runner.started.elapsed().as_secs_f64();
        let sandbox =
            Sandbox::spawn(spec, &runner.host).map_err(|error| self.unusable(spec, error))?;
        let watch = runner.cancel.watch(sandbox.killer());
        Ok(Running { stage: self, spec, offset, sandbox, watch })
    }

    fn unusable(&self, spec: &SandboxSpec, error: sandbox::SandboxError) -> Failure {
        let hint = error.hint();
        let program = spec.argv.first().map_or("", |program| program);
        let message = format!("the sandbox for {program} could not be used");
        Failure::infrastructure(self.stage, status::ISOLATION, message, Some(Box::new(error)))
            .with_hint(hint)
    }

    /// A layer that a sandbox does not ask for says nothing about those that do: our own helpers
    /// have no limits, and are not restricted in what they make.
    fn note_isolation(&self, outcome: &Outcome, spec: &SandboxSpec) {
        let asks = |layer: Layer| match layer {
            Layer::Cgroup => spec.limits.any(),
            Layer::Landlock => !spec.landlock.is_empty(),
            _ => true,
        };
        let strength = |enforcement: &Enforcement| match enforcement {
            Enforcement::Off(_) => 0,
            Enforcement::Partial(_) => 1,
            Enforcement::Full => 2,
        };
        let mut known = self.isolation.borrow_mut();
        for (layer, enforcement) in &outcome.enforcement {
            let mut asked = self.asked.borrow_mut();
            if !asks(*layer) && asked.contains(layer) {
                continue;
            }
            if asks(*layer) && asked.insert(*layer) {
                known.remove(layer);
            }
            let weakest = known.entry(*layer).or_insert_with(|| enforcement.clone());
            if strength(enforcement) < strength(weakest) {
                *weakest = enforcement.clone();
            }
        }
    }

    /// What stops the build.
    pub fn cancel(&self) -> Cancel {
        self.runner.cancel.clone()
    }

    /// Whether the build is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.runner.cancel.is_cancelled()
    }

    /// Waits, or less if the build is to stop.
    pub fn sleep(&self, seconds: u64) {
        self.runner.cancel.wait(std::time::Duration::from_secs(seconds));
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

    /// Puts on the bill of the stage what was used for it beside its sandboxes.
    pub fn charge(&self, more: &Usage) {
        let mut usage = self.usage.borrow_mut();
        *usage = usage.plus(more);
    }

    /// Notes a process that had much of the memory that others were killed for.
    fn larger(&self, seen: Option<&Largest>) {
        let mut known = self.largest.borrow_mut();
        if let Some(seen) = seen
            && known.as_ref().is_none_or(|known| seen.bytes > known.bytes)
        {
            *known = Some(seen.clone());
        }
    }

    /// Tells the user something that is not output of a command.
    pub fn note(&self, text: &str) {
        // Much of what is told comes from packages, servers and configs.
        let text = &plain(text);
        self.runner.logs.note(Log::Root, self.stage, text);
        self.runner.sink.send(&Event::Note { stage: self.stage, text: text.to_owned() });
    }
}
