//! The one pipeline of all faces: from a request to packages and an outcome.
//!
//! bootstrap → srpm → install → rpmbuild → collect, in one straight line. Whatever happens, the
//! workspace is removed and the outcome written at the end.

mod artifacts;
mod collect;
pub mod commands;
mod hw_info;
pub mod outcome;
mod pipeline;
pub mod plan;
pub mod plugins;
mod requires;
mod rpmbuild;
mod sources;

use std::path::PathBuf;

pub use artifacts::Artifact;
pub use pipeline::{Input, inspect, run};

use crate::fetch::Provision;
use crate::resources::{Effective, Resource};
use crate::run::StageRecord;
use crate::source::Source;

/// What is to be built, and how.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The source.
    pub source: Source,
    /// Where packages and logs go.
    pub resultdir: PathBuf,
    /// Macro definitions of the command line: name and value.
    pub defines: Vec<(String, String)>,
    /// What it may use.
    pub resources: Effective,
    /// Whether builds see the host's network. From the config only.
    pub network: bool,
    /// Whether only the source package is made.
    pub only_source: bool,
    /// Whether a source package that is given is used as it is, where making it anew would give the
    /// same: packing large sources takes as long as building a small package.
    pub reuse_source: bool,
    /// How sources of the spec that are missing may be had, if they may.
    pub provision: Option<Provision>,
    /// Stages that have run before, for the outcome.
    pub earlier: Vec<StageRecord>,
}

impl BuildRequest {
    /// Wall-clock limit of each rpmbuild call, in milliseconds.
    pub fn timeout_ms(&self) -> Option<u64> {
        self.milliseconds(Resource::Timeout)
    }

    /// Longest time without output of each rpmbuild call, in milliseconds.
    pub fn silence_ms(&self) -> Option<u64> {
        self.milliseconds(Resource::Silence)
    }

    fn milliseconds(&self, resource: Resource) -> Option<u64> {
        Some((self.resources.settings.get(&resource)?.number? * 1000.0) as u64)
    }
}
