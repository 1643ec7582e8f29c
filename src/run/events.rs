//! What happens during a build, as one stream for progress, logs and tools.

use std::fmt;
use std::sync::Arc;

use sandbox::Usage;
use serde::Serialize;

use crate::verdict::Stage;

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stage began.
    StageStarted {
        /// Which.
        stage: Stage,
        /// What it does, for people.
        what: String,
    },
    /// A command wrote a line.
    Line {
        /// The stage.
        stage: Stage,
        /// The line, without control characters.
        line: String,
    },
    /// Something worth knowing.
    Note {
        /// The stage.
        stage: Stage,
        /// A sentence.
        text: String,
    },
    /// A stage ended.
    StageFinished {
        /// Which.
        stage: Stage,
        /// Wall-clock time in seconds.
        seconds: f64,
        /// What was used.
        usage: Usage,
        /// Whether it did what it was for.
        success: bool,
    },
}

/// Receives events.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(&Event) + Send + Sync>);

impl Sink {
    /// A sink that calls this function.
    pub fn new(receive: impl Fn(&Event) + Send + Sync + 'static) -> Sink {
        Sink(Arc::new(receive))
    }

    /// Hands an event over.
    pub fn send(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}
