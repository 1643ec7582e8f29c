//! `outcome.json`: everything known about a build after its end. The format is documented in
//! `docs/outcome.md`.

use std::collections::BTreeMap;

use sandbox::Usage;
use sandbox::spec::Limits;
use serde::Serialize;

use super::Artifact;
use crate::profile::Permission;
use crate::run::{ResultDir, StageRecord};
use crate::verdict::Verdict;

/// Name of the file.
pub const FILE: &str = "outcome.json";
/// Version of the format; raised when a field changes its meaning or disappears.
pub const SCHEMA: u32 = 1;

/// Everything known about a build after its end.
#[derive(Debug, Clone, Serialize)]
pub struct BuildOutcome {
    /// Version of the format.
    pub schema: u32,
    /// How it ended.
    pub verdict: Verdict,
    /// Name of the mock config.
    pub config: String,
    /// `name-version-release` of the source package, once it is known.
    pub package: Option<String>,
    /// The buildroot, once it is known.
    pub buildroot: Option<BuildrootOutcome>,
    /// When it began, as an RFC 3339 time stamp in UTC.
    pub started: String,
    /// Wall-clock time in seconds.
    pub seconds: f64,
    /// The stages that ran.
    pub stages: Vec<StageRecord>,
    /// What all stages used together.
    pub usage: Usage,
    /// Packages in the result directory.
    pub artifacts: Vec<Artifact>,
    /// What the build left among its packages that was not taken: name and reason.
    pub rejected: Vec<(String, String)>,
    /// Limits that were asked for.
    pub limits: Limits,
    /// What rpmbuild was allowed beyond what builds may do otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Permission>,
    /// Versions of what took part.
    pub tools: BTreeMap<String, String>,
}

/// The buildroot of a build.
#[derive(Debug, Clone, Serialize)]
pub struct BuildrootOutcome {
    /// Name of its directory in the store: the config's name and a hash of all that decides its
    /// content.
    pub key: String,
    /// Whether it was there before.
    pub reused: bool,
    /// Packages in it, without build dependencies.
    pub packages: usize,
}

impl BuildOutcome {
    /// Writes `outcome.json` into a directory.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, directory: &ResultDir) -> std::io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        directory.write(FILE, &text)
    }
}
