//! How much a config may use. A config is not trusted to end, nor to stay small.

use std::cell::Cell;

use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::source::Span;

/// Evaluated nodes. The largest known config needs some hundreds.
const STEPS: u64 = 1_000_000;
/// Bytes of everything that was ever created, whether it is still in use or not.
const BYTES: usize = 64 << 20;
/// How deep containers may be nested in each other.
pub(super) const DEPTH: usize = 100;
/// Values in the result, where one that is shared counts every time.
pub(super) const NODES: usize = 100_000;

const TOO_MUCH: &str = "no config needs that much; write the value itself";

#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    bytes: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { steps: STEPS, bytes: Cell::new(BYTES) }
    }
}

impl Budget {
    pub fn step(&mut self, span: Span) -> Outcome<()> {
        self.take(1, span)
    }

    /// An operation that looks at so many bytes or items.
    pub fn work(&mut self, size: usize, span: Span) -> Outcome<()> {
        self.take(1 + size as u64 / 64, span)
    }

    fn take(&mut self, steps: u64, span: Span) -> Outcome<()> {
        match self.steps.checked_sub(steps) {
            Some(left) => self.steps = left,
            None => {
                let message = format!("the config takes more than {STEPS} steps");
                return Err(Fault::new(ErrorKind::Limit, span, message).hint(TOO_MUCH));
            }
        }
        Ok(())
    }

    pub fn spend(&self, bytes: usize, span: Span) -> Outcome<()> {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) => self.bytes.set(left),
            None => {
                let message = format!("the config's values need more than {} MiB", BYTES >> 20);
                return Err(Fault::new(ErrorKind::Limit, span, message).hint(TOO_MUCH));
            }
        }
        Ok(())
    }
}
