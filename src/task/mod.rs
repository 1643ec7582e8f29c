//! Build tasks of albs-web-server: what one asks for, the mock config that it carries, and what is
//! reported of it. Everything is data; `server` carries it over the network.

mod check;
mod config;
mod extras;
mod names;
mod python_time;
mod reach;
mod read;
mod report;

use serde_json::{Map, Value as Json};

pub(crate) use check::{is_git_ref, is_source};
pub use config::{Assignment, TaskConfig, TaskConfigError};
pub use extras::NodeExtras;
pub use names::{Half, Names, arch_of};
pub use python_time::{datetime, timedelta};
pub use read::{Complaint, MalformedTask};
pub use report::{
    ArtifactKind, BuildDone, GetTask, Ping, ReportedArtifact, Stats, Status, exclusions,
    supported_arches,
};

/// Largest task id that the server's database can hold; it answers 500 to larger ones.
pub const MAX_ID: i64 = i32::MAX as i64;

/// A build task, as `build_node/get_task` answers it. Fields appear over time, so unknown ones are
/// ignored, and all that a build can do without may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The task's number.
    pub id: i64,
    /// The architecture to build for; `src` is the source package alone.
    pub arch: String,
    /// The build that the task belongs to.
    pub build_id: Option<i64>,
    /// What to build.
    pub source: Ref,
    /// What to build for.
    pub platform: Platform,
    /// Who wants it built.
    pub created_by: Option<Person>,
    /// What to install from.
    pub repositories: Vec<Repository>,
    /// The source package that another task made.
    pub built_srpm_url: Option<String>,
    /// What the server knows of it, see [`Task::srpm_sha256`].
    pub srpm_hash: Option<String>,
    /// Whether the packages are to be signed for secure boot.
    pub is_secure_boot: bool,
    /// The source's hash in the notary; it is reported as it came.
    pub alma_commit_cas_hash: Option<String>,
    /// Whether the notary knows the source; likewise.
    pub is_cas_authenticated: bool,
}

impl Task {
    /// The SHA-256 of the source package, lower-case. The server passes on what a notary has told;
    /// `None` if that is no such checksum.
    pub fn srpm_sha256(&self) -> Option<String> {
        let hash = self.srpm_hash.as_deref().filter(|hash| check::is_hexadecimal(hash, 64..=64));
        hash.map(str::to_ascii_lowercase)
    }
}

/// Where the sources are.
#[derive(Debug, Clone, PartialEq)]
pub struct Ref {
    /// A git repository, or a source package.
    pub url: String,
    /// A branch, tag or other ref.
    pub git_ref: Option<String>,
    /// What sort of ref it is.
    pub kind: Option<RefKind>,
    /// The commit that the source package was made from, lower-case.
    pub git_commit_hash: Option<String>,
}

/// Sorts of refs, as the server numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    /// 1
    Branch,
    /// 2
    Tag,
    /// 3: the address is that of a source package.
    SourcePackage,
    /// 4: any other ref.
    Other,
}

impl Ref {
    /// Whether the address is that of a source package, and not of a git repository.
    pub fn is_source_package(&self) -> bool {
        // The file is what counts for the Python node, whatever the sort of ref says.
        self.url.ends_with("src.rpm") || self.kind == Some(RefKind::SourcePackage)
    }
}

/// Who wants something built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
}

/// A distribution, with everything that its builds need.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// Its name, `AlmaLinux-9`.
    pub name: String,
    /// How it builds.
    pub data: PlatformData,
}

/// How a platform builds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlatformData {
    /// Options of mock.
    pub mock: Map<String, Json>,
    /// Macros for both builds, of the source package and of the others.
    pub definitions: Map<String, Json>,
    /// What stands in `[main]` of the package manager's configuration.
    pub yum: Map<String, Json>,
    /// The short name of the distribution.
    pub mock_dist: Option<String>,
    /// Seconds that rpmbuild may take.
    pub timeout: Option<u64>,
    /// Regular expressions: files of the buildroot to collect.
    pub custom_logs: Vec<String>,
    /// Whether remote sources that are missing may be fetched.
    pub allow_sources_download: bool,
}

/// A repository to install from.
#[derive(Debug, Clone, PartialEq)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Which repositories it goes before: smaller numbers win.
    pub priority: Option<i64>,
    /// Whether builds use it.
    pub mock_enabled: bool,
}

#[cfg(test)]
mod tests;
