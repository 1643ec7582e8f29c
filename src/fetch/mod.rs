//! Getting sources: a source package from its address, or a repository with what it lists. What
//! comes is kept as it is, and looked into only by what is made for hostile files, or in sandboxes.

mod address;
mod allowance;
mod cache;
mod download;
mod error;
mod expected;
mod ftp;
mod git;
mod layout;
mod lfs;
mod listed;
mod lookaside;
mod missing;
mod package;
mod repository;
mod sums;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{Addresses, Refused};
pub use allowance::{Allowance, Exceeded};
pub use download::Downloads;
pub use error::DownloadError;
pub use expected::{Expected, expected};
pub use git::package_of;
use ipnet::IpNet;
use jiff::Timestamp;
pub use lookaside::{Entry, ListError, Lookasides, metadata, sources};
pub use missing::{Provision, provide};
pub use sums::{Sum, SumKind};

use crate::buildroot::scratch::Tools;
use crate::buildroot::{disk, inventory};
use crate::retry::Trouble;
use crate::run::{Runner, StageRun};
use crate::source::Source;
use crate::verdict::{Class, Failure, Stage, status};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The source.
    pub wanted: Wanted,
    /// Where it may come from, and where copies are kept.
    pub places: Places,
}

/// A source somewhere else.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A source package.
    Package {
        /// Its address.
        url: String,
        /// What its SHA-256 must be, in lower-case hexadecimal digits.
        sha256: Option<String>,
    },
    /// A git repository.
    Repository(GitRequest),
}

/// What is wanted of a git repository.
#[derive(Debug, Clone, Default)]
pub struct GitRequest {
    /// Its address.
    pub url: String,
    /// A branch, a tag or another ref; the server's own branch without.
    pub reference: Option<String>,
    /// Whether that is a branch (or else a tag), if it is known.
    pub is_branch: Option<bool>,
    /// The commit, which goes before the ref.
    pub commit: Option<String>,
    /// Whether the history is needed, and `.git` beside the spec.
    pub history: bool,
    /// Name of the spec, if it is known.
    pub spec: Option<String>,
}

/// Names of the directories in a store where `albs-node fetch` keeps sources and mirrors.
pub const SOURCES_OF_STORE: &str = "sources";
/// As above.
pub const MIRRORS_OF_STORE: &str = "git";

/// Removes sources and mirrors where there is less room than there is to be, the sources first, and
/// what was not used for longest before others. Says why some could not be removed.
pub fn make_room(
    (sources, mirrors): (Option<&Path>, Option<&Path>),
    least: &inventory::Allowance,
    tools: Tools<'_>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(sources) = sources {
        let free = disk::free(sources);
        if let Err(error) = cache::make_room(sources, least.wanted(free).less(&free)) {
            problems.push(format!("cannot remove what is in {}: {error}", sources.display()));
        }
    }
    if let Some(mirrors) = mirrors {
        let wanted = least.wanted(disk::free(mirrors));
        let is_short = || wanted.exceeds(&disk::free(mirrors));
        problems.extend(git::prune(mirrors, tools, git::KEPT, &is_short));
    }
    problems
}

/// Removes what is kept of sources and repositories in a store and is not in use. Says whether
/// there was something, and why some of it is still there.
pub fn forget(tools: Tools<'_>) -> (bool, Vec<String>) {
    let [sources, mirrors] =
        [SOURCES_OF_STORE, MIRRORS_OF_STORE].map(|name| tools.store.path().join(name));
    let any = sources.exists() || mirrors.exists();
    let mut problems = git::prune(&mirrors, tools, Duration::ZERO, &|| false);
    // As long as there are mirrors in it, it stays.
    let _ = std::fs::remove_dir(&mirrors);
    match std::fs::remove_dir_all(&sources) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            problems.push(format!("cannot remove {}: {error}", sources.display()));
        }
        _ => {}
    }
    (any, problems)
}

/// Where sources may come from, and where copies are kept.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Private networks that sources may come from all the same.
    pub private_networks: Vec<IpNet>,
    /// Directory of sources by their checksums; none are kept without.
    pub sources: Option<PathBuf>,
    /// Directory of mirrors; none are kept without.
    pub mirrors: Option<PathBuf>,
    /// The host's own list of lookasides, if there is such a file.
    pub lookasides: PathBuf,
    /// Whether pointers of git LFS are replaced with what they point to.
    pub lfs: bool,
}

/// A source that is here.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What can be built.
    pub source: Source,
    /// The commit.
    pub commit: Option<String>,
    /// `.git` of the repository.
    pub repository: Option<PathBuf>,
    /// What took how long, by the names of albs-web-server.
    pub times: Vec<(&'static str, Timestamp, Timestamp)>,
}

/// Gets the source into an empty directory of this user, in a stage of its own.
///
/// # Errors
///
/// It cannot be had: `infrastructure`, and worth another try, if its server is away; `package` if
/// it is not there, or not what was expected.
pub fn fetch(
    runner: &Runner,
    tools: Tools<'_>,
    request: &FetchRequest,
    directory: &Path,
) -> Result<Fetched, Failure> {
    let url = match &request.wanted {
        Wanted::Package { url, .. } => url,
        Wanted::Repository(git) => &git.url,
    };
    let what = format!("getting {}", crate::http::redacted(url));
    runner.stage(Stage::Fetch, &what, |stage| {
        std::fs::create_dir_all(directory).map_err(|error| {
            let message = format!("cannot make {}", directory.display());
            let code = status::SOURCE_PACKAGE;
            Failure::infrastructure(stage.stage, code, message, Some(error.into()))
        })?;
        let own = &tools.context.host.network.addresses;
        let addresses = Addresses::new(request.places.private_networks.clone(), own);
        let downloads = Downloads::new(&addresses, Allowance::of(directory)).map_err(|error| {
            let message = "the client for downloads cannot be set up";
            let code = status::SOURCE_PACKAGE;
            Failure::infrastructure(stage.stage, code, message, Some(error.into()))
        })?;
        match &request.wanted {
            Wanted::Package { url, sha256 } => {
                package::get(stage, &downloads, url, sha256.as_deref(), directory)
            }
            Wanted::Repository(git) => repository::Repository {
                tools,
                stage,
                addresses: &addresses,
                downloads: &downloads,
                places: &request.places,
            }
            .get(git, directory),
        }
    })
}

/// A source that cannot be used, for this reason.
fn unusable(stage: &StageRun<'_>, message: impl Into<String>) -> Failure {
    let failure = Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, None);
    Failure { class: Class::Package, ..failure }
}

/// A download that failed.
fn failure(stage: &StageRun<'_>, message: &str, error: DownloadError) -> Failure {
    if matches!(error, DownloadError::Cancelled) {
        return stage.interrupted();
    }
    let hint = error.hint().map(str::to_owned);
    let passing = matches!(error.trouble(), Trouble::Passing { .. });
    let class = match &error {
        DownloadError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Class::Resource
        }
        DownloadError::Write { .. } => Class::Infrastructure,
        DownloadError::Exceeded { source: Exceeded::Bytes { .. }, .. } => Class::Resource,
        DownloadError::Exceeded { source: Exceeded::Time, .. } => Class::Timeout,
        _ if passing => Class::Infrastructure,
        _ => Class::Package,
    };
    let cause = Some(error.into());
    let failure = Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, cause);
    Failure { class, retryable: passing, ..failure }.with_hint(hint)
}
