//! Sandboxes that run beside others of their stage.

use sandbox::Sandbox;
use sandbox::outcome::{Outcome, Sample};
use sandbox::spec::SandboxSpec;

use super::StageRun;
use super::cancel::Watch;
use crate::verdict::Failure;

/// A sandbox of a stage that has been started.
#[derive(Debug)]
pub struct Running<'s> {
    pub(super) stage: &'s StageRun<'s>,
    pub(super) spec: &'s SandboxSpec,
    /// When it was started, in seconds since the runner was.
    pub(super) offset: f64,
    pub(super) sandbox: Sandbox,
    /// Kills it when the build is stopped.
    pub(super) watch: Watch,
}

impl Running<'_> {
    /// Waits for its end, and hands over what it says.
    ///
    /// # Errors
    ///
    /// As [`StageRun::sandbox`].
    pub fn wait(self, output: &mut dyn FnMut(&[u8])) -> Result<Outcome, Failure> {
        let Running { stage, spec, offset, sandbox, watch: _watch } = self;
        let outcome = sandbox.wait(output).map_err(|error| stage.unusable(spec, error))?;
        stage.charge(&outcome.usage);
        let later = |sample: &Sample| Sample { seconds: sample.seconds + offset, ..*sample };
        stage.samples.borrow_mut().extend(outcome.samples.iter().map(later));
        let mut memory = stage.memory.get();
        memory.sandbox(&outcome.samples);
        stage.memory.set(memory);
        if outcome.usage.oom_kills + outcome.usage.host_oom_kills > 0 {
            stage.larger(outcome.largest.as_ref());
        }
        stage.note_isolation(&outcome, spec);
        if stage.runner.cancel.is_cancelled() {
            return Err(stage.interrupted());
        }
        Ok(outcome)
    }
}
