//! Why a build failed, in terms that a machine can act on and a person can read in one line.

mod classify;
mod ended;
mod offline;
mod patterns;

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use classify::{
    Said, classify_disk, classify_helper, classify_package_manager, classify_rpmbuild,
    classify_share, on_full_disk,
};
pub use ended::{classify_command, classify_package};

use crate::resources::Resource;

/// The stages of a build, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Sources are downloaded.
    Fetch,
    /// The buildroot is made, or found.
    Bootstrap,
    /// The source package is made.
    Srpm,
    /// Build dependencies are installed.
    Install,
    /// Binary packages are made.
    Rpmbuild,
    /// Results are taken out.
    Collect,
}

impl Stage {
    /// The name in logs and in `outcome.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Fetch => "fetch",
            Stage::Bootstrap => "bootstrap",
            Stage::Srpm => "srpm",
            Stage::Install => "install",
            Stage::Rpmbuild => "rpmbuild",
            Stage::Collect => "collect",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who can do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The package: its spec, its sources, its tests.
    Package,
    /// A build dependency that no repository can satisfy.
    Dependency,
    /// The host, its network, the repositories.
    Infrastructure,
    /// A limit on memory, processes or disk.
    Resource,
    /// A time limit.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
    /// Nobody: the package is not for this architecture.
    Excluded,
}

impl Class {
    /// The name in `outcome.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Package => "package",
            Class::Dependency => "dependency",
            Class::Infrastructure => "infrastructure",
            Class::Resource => "resource",
            Class::Timeout => "timeout",
            Class::Cancelled => "cancelled",
            Class::Excluded => "excluded",
        }
    }
}

/// Exit statuses of mock that builds end with.
pub mod status {
    /// Unknown failure.
    pub const GENERIC: u8 = 1;
    /// The config is wrong.
    pub const CONFIG: u8 = 3;
    /// The command line is wrong.
    pub const COMMAND_LINE: u8 = 5;
    /// This host cannot build for that architecture.
    pub const ARCHITECTURE: u8 = 6;
    /// rpmbuild failed.
    pub const BUILD: u8 = 10;
    /// A time limit was reached.
    pub const TIMEOUT: u8 = 11;
    /// The buildroot could not be made or used.
    pub const ROOT: u8 = 20;
    /// The package manager failed.
    pub const PACKAGE_MANAGER: u8 = 30;
    /// The source package is not usable.
    pub const SOURCE_PACKAGE: u8 = 40;
    /// The buildroot is in use.
    pub const LOCKED: u8 = 60;
    /// The result directory is not usable.
    pub const RESULTDIR: u8 = 70;
    /// Isolation is not possible on this host.
    pub const ISOLATION: u8 = 80;
    /// Interrupted from the keyboard: 128 + SIGINT, as shells have it.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a build failed.
#[derive(Debug)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// Who can do something about it.
    pub class: Class,
    /// Section of the spec in which rpmbuild failed, such as `%build`.
    pub section: Option<String>,
    /// One sentence.
    pub message: String,
    /// The lines of the log that show it, without control characters.
    pub evidence: Vec<String>,
    /// What can be done.
    pub hint: Option<String>,
    /// Exit status of the program, as in mock.
    pub status: u8,
    /// The limit that was the reason, if one was.
    pub limit: Option<Hit>,
    /// Whether the same build may succeed when tried again unchanged.
    pub retryable: bool,
    /// The cause, where it is an error of this program.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// A limit that was the reason of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Of what.
    pub name: Resource,
    /// Its number: bytes, seconds or a count (see [`Resource::unit`]); none if it is not known here.
    pub value: Option<u64>,
    /// How much was used, in the same unit, if that is known.
    pub used: Option<u64>,
}

impl Failure {
    /// A failure of the host or of this program.
    pub fn infrastructure(
        stage: Stage,
        status: u8,
        message: impl Into<String>,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> Failure {
        Failure {
            stage,
            class: Class::Infrastructure,
            section: None,
            message: message.into(),
            evidence: Vec::new(),
            hint: None,
            status,
            limit: None,
            retryable: false,
            source,
        }
    }

    /// A package that is not for an architecture, for this reason.
    pub fn excluded(stage: Stage, package: &str, target: &str, reason: String) -> Failure {
        Failure {
            class: Class::Excluded,
            evidence: vec![reason],
            ..Failure::infrastructure(
                stage,
                status::BUILD,
                format!("{package} is not for {target}"),
                None,
            )
        }
    }

    /// The same failure with a hint.
    pub fn with_hint(mut self, hint: Option<String>) -> Failure {
        self.hint = hint;
        self
    }

    /// The part of a failure that goes into `outcome.json`.
    pub fn verdict(&self) -> Verdict {
        let mut cause = self.source.as_deref().map(|e| e as &dyn Error);
        let mut sentence = self.message.clone();
        while let Some(error) = cause {
            sentence += &format!(": {error}");
            cause = error.source();
        }
        Verdict {
            result: VerdictResult::Failure,
            phase: Some(self.stage),
            section: self.section.clone(),
            class: Some(self.class),
            message: Some(sentence),
            evidence: self.evidence.clone(),
            hint: self.hint.clone(),
            limit: self.limit,
            retryable: self.retryable,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as &(dyn Error + 'static))
    }
}

/// How a build ended, as `outcome.json` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Success or failure.
    pub result: VerdictResult,
    /// The stage that failed.
    pub phase: Option<Stage>,
    /// The section of the spec that failed.
    pub section: Option<String>,
    /// Who can do something about it.
    pub class: Option<Class>,
    /// One sentence.
    pub message: Option<String>,
    /// Lines of the log.
    pub evidence: Vec<String>,
    /// What can be done.
    pub hint: Option<String>,
    /// The limit that was the reason, if one was.
    pub limit: Option<Hit>,
    /// Whether the same build may succeed when tried again unchanged.
    pub retryable: bool,
}

/// Success or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictResult {
    /// All packages were built.
    Success,
    /// They were not.
    Failure,
}

impl Verdict {
    /// The verdict of a build that worked.
    pub fn success() -> Verdict {
        Verdict {
            result: VerdictResult::Success,
            phase: None,
            section: None,
            class: None,
            message: None,
            evidence: Vec::new(),
            hint: None,
            limit: None,
            retryable: false,
        }
    }
}

#[cfg(test)]
mod tests;
