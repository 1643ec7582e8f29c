//! Runs one command in isolation. Knows nothing of packages.
//!
//! A [`SandboxSpec`] says everything about a sandbox; [`plan`](plan::plan) turns it into single
//! operations without touching the host; [`Sandbox::spawn`] starts the program `sandbox-init`,
//! which carries them out and becomes pid 1; [`Sandbox::wait`] gives an [`Outcome`].
//!
//! `unsafe` is in the private module `sys` only.

#![deny(unsafe_code)]

pub mod cgroup;
mod error;
mod handle;
mod hint;
pub mod host;
pub mod ids;
pub mod init;
pub mod landlock;
mod names;
pub mod network;
pub mod outcome;
mod pass;
pub mod plan;
mod rlimit;
pub mod seccomp;
pub mod spec;
mod start;
#[allow(unsafe_code, reason = "the system layer")]
mod sys;
mod terminal;
mod watch;
pub mod wire;

pub use error::{PlanError, SandboxError};
pub use handle::{Killer, Sandbox};
pub use host::HostFacts;
pub use ids::IdMapping;
pub use names::{is_capability, is_rlimit};
pub use outcome::{
    Enforcement, Exit, Largest, Layer, Outcome, Pressure, Sample, StartFailure, Usage,
};
pub use spec::SandboxSpec;
pub use terminal::Event as TerminalEvent;
