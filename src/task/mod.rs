//! Build tasks of albs-web-server: what one asks for, and the mock config that it carries.

mod config;
mod reach;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

pub use config::{Assignment, TaskConfig, TaskConfigError};

/// A build task, as `build_node/get_task` answers it. Fields appear over time, so unknown ones are
/// ignored, and all that a build can do without may be missing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Task {
    /// The task's number.
    pub id: i64,
    /// The architecture to build for; `src` is the source package alone.
    pub arch: String,
    /// The build that the task belongs to.
    #[serde(default)]
    pub build_id: Option<i64>,
    /// What to build.
    #[serde(rename = "ref")]
    pub source: Ref,
    /// What to build for.
    pub platform: Platform,
    /// What to install from.
    #[serde(default, deserialize_with = "or_default")]
    pub repositories: Vec<Repository>,
    /// The source package that another task made.
    #[serde(default)]
    pub built_srpm_url: Option<String>,
    /// Whether the packages are to be signed for secure boot.
    #[serde(default, deserialize_with = "or_default")]
    pub is_secure_boot: bool,
}

/// Where the sources are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ref {
    /// A git repository, or a source package.
    pub url: String,
    /// A branch, tag or other ref.
    #[serde(default)]
    pub git_ref: Option<String>,
    /// 1 is a branch, 2 a tag, 3 a source package, 4 another ref.
    #[serde(default)]
    pub ref_type: Option<i64>,
    /// The commit that the source package was made from.
    #[serde(default)]
    pub git_commit_hash: Option<String>,
}

/// A distribution, with everything that its builds need.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Platform {
    /// Its name, `AlmaLinux-9`.
    pub name: String,
    /// The kind of its packages.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// How it builds.
    #[serde(default, deserialize_with = "or_default")]
    pub data: PlatformData,
}

/// How a platform builds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PlatformData {
    /// Options of mock.
    #[serde(deserialize_with = "or_default")]
    pub mock: Map<String, Json>,
    /// Macros for both builds, of the source package and of the others.
    #[serde(deserialize_with = "or_default")]
    pub definitions: Map<String, Json>,
    /// What stands in `[main]` of the package manager's configuration.
    #[serde(deserialize_with = "or_default")]
    pub yum: Map<String, Json>,
    /// The short name of the distribution.
    pub mock_dist: Option<String>,
    /// Seconds that rpmbuild may take.
    pub timeout: Option<u64>,
    /// Regular expressions: files of the buildroot to collect.
    pub custom_logs: Option<Vec<String>>,
    /// Whether remote sources that are missing may be fetched.
    pub allow_sources_download: Option<bool>,
}

/// A repository to install from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// Which repositories it goes before: smaller numbers win.
    #[serde(default)]
    pub priority: Option<i64>,
    /// Whether builds use it.
    #[serde(default = "yes")]
    pub mock_enabled: bool,
}

/// A field that is null is one that is missing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn yes() -> bool {
    true
}
