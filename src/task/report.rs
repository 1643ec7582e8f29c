//! What the node tells albs-web-server: what it can build, what it is building, what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MAX_ID, check, datetime, names, timedelta};

/// `build_node/get_task`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GetTask {
    /// What can be built.
    pub supported_arches: Vec<String>,
    /// Parts of addresses of what is not built here.
    pub excluded_packages: Vec<String>,
}

/// `build_node/ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ping {
    /// Tasks that the node holds.
    pub active_tasks: Vec<i64>,
}

/// `build_node/build_done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildDone {
    /// The task.
    pub task_id: i64,
    /// How it ended.
    pub status: Status,
    /// What was uploaded.
    pub artifacts: Vec<ReportedArtifact>,
    /// How long what took.
    pub stats: Stats,
    /// The commit that was built.
    pub git_commit_hash: Option<String>,
    /// As the task says.
    pub is_cas_authenticated: bool,
    /// As the task says.
    pub alma_commit_cas_hash: Option<String>,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// With packages.
    Done,
    /// Without.
    Failed,
    /// The package is not for this architecture.
    Excluded,
}

/// A file in Pulp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedArtifact {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ArtifactKind,
    /// Where it is, as Pulp says.
    pub href: String,
    /// Its SHA-256, lower-case.
    pub sha256: String,
    /// Where it was on the node; the server keeps it for people.
    pub path: String,
    /// Its hash in the notary.
    pub cas_hash: Option<String>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// A package.
    Rpm,
    /// Anything else: logs and configs.
    BuildLog,
}

/// Stages and what is known about them. The server takes texts only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stats(BTreeMap<String, BTreeMap<String, String>>);

impl Stats {
    /// Sets the times of a stage.
    pub fn stage(&mut self, stage: &str, start: Timestamp, end: Timestamp) {
        let took = Duration::try_from(end.duration_since(start)).unwrap_or_default();
        self.set(stage, "start_ts", &datetime(start));
        self.set(stage, "end_ts", &datetime(end));
        self.set(stage, "delta", &timedelta(took));
    }

    /// Sets one value. A NUL in it would kill the server's worker.
    pub fn set(&mut self, stage: &str, key: &str, value: &str) {
        let clean = |text: &str| text.replace('\0', "\u{fffd}");
        self.0.entry(clean(stage)).or_default().insert(clean(key), clean(value));
    }

    /// One value.
    pub fn get(&self, stage: &str, key: &str) -> Option<&str> {
        self.0.get(stage)?.get(key).map(String::as_str)
    }
}

impl GetTask {
    /// Asks for what this node builds.
    pub fn new(base_arch: &str, build_src: bool, excluded_packages: Vec<String>) -> GetTask {
        GetTask { supported_arches: supported_arches(base_arch, build_src), excluded_packages }
    }
}

impl Ping {
    /// Names tasks. The server cannot look for ids that its database cannot hold.
    pub fn new(tasks: impl IntoIterator<Item = i64>) -> Ping {
        Ping { active_tasks: tasks.into_iter().filter(|id| (1..=MAX_ID).contains(id)).collect() }
    }
}

impl BuildDone {
    /// What the server would fail the task for, or would not understand. `has_built_srpm` tells
    /// whether the task named a source package that was built before.
    pub fn problems(&self, has_built_srpm: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let is_rpm = |artifact: &&ReportedArtifact| artifact.kind == ArtifactKind::Rpm;
        let has_srpm = self.artifacts.iter().any(|artifact| artifact.name.ends_with(".src.rpm"));
        if self.artifacts.iter().any(|artifact| is_rpm(&artifact)) && !has_srpm && !has_built_srpm {
            problems.push("packages are reported without their source package".to_owned());
        }
        for artifact in &self.artifacts {
            let name = &artifact.name;
            if names::arch_of(name).is_none_or(str::is_empty) {
                problems.push(format!("the name {name:?} has no architecture"));
            }
            let is_lower = !artifact.sha256.bytes().any(|byte| byte.is_ascii_uppercase());
            if !check::is_hexadecimal(&artifact.sha256, 64..=64) || !is_lower {
                problems.push(format!("{name} has the checksum {:?}", artifact.sha256));
            }
            if artifact.href.is_empty() {
                problems.push(format!("{name} was not uploaded"));
            }
        }
        if self.status == Status::Done && self.stats.get("build_node_task", "start_ts").is_none() {
            problems.push("the start of the task is not told".to_owned());
        }
        problems
    }
}

/// What a node of this architecture builds. The order matters: the server takes the repositories
/// of the first for source packages.
pub fn supported_arches(base_arch: &str, build_src: bool) -> Vec<String> {
    let more = (base_arch == "x86_64").then_some("i686");
    let src = build_src.then_some("src");
    [Some(base_arch), more, src].into_iter().flatten().map(str::to_owned).collect()
}

/// The list of packages that a node does not build. The server takes whatever is between line ends
/// for part of an address: blank lines would exclude everything.
pub fn exclusions(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
