//! Getting sources: a source package from its address. What is downloaded is kept as it is, and
//! looked into only by what is made for hostile files.

mod address;
mod download;
mod lookaside;
mod sums;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{Addresses, Refused};
pub use download::{DownloadError, Downloads};
use ipnet::IpNet;
pub use lookaside::{Entry, ListError, Lookasides, metadata, sources};
pub use sums::{Sum, SumKind};

use crate::http::redacted;
use crate::retry::Trouble;
use crate::run::{Runner, StageRun};
use crate::source::{Source, SourcePackage, is_plain};
use crate::verdict::{Class, Failure, Stage, status};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The address of a source package.
    pub url: String,
    /// What its SHA-256 must be, in lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Networks that it may come from although they are private.
    pub private_networks: Vec<IpNet>,
}

/// Gets the source into an empty directory, in a stage of its own.
///
/// # Errors
///
/// It cannot be had: `infrastructure`, and worth another try, if its server is away; `package` if
/// it is not there, or not what was expected.
pub fn fetch(runner: &Runner, request: &FetchRequest, directory: &Path) -> Result<Source, Failure> {
    let what = format!("getting {}", redacted(&request.url));
    runner.stage(Stage::Fetch, &what, |stage| package(stage, request, directory))
}

fn package(
    stage: &StageRun<'_>,
    request: &FetchRequest,
    directory: &Path,
) -> Result<Source, Failure> {
    let infrastructure = |message: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, Some(error))
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        infrastructure("the directory of the source cannot be made", error.into())
    })?;
    let addresses = Addresses::new(request.private_networks.clone());
    let downloads = Downloads::new(&addresses)
        .map_err(|error| infrastructure("the client cannot be set up", error.into()))?;
    let sum = request.sha256.as_deref().and_then(Sum::parse);
    let place = directory.join(file_name(&request.url));
    let wait = |time: Duration| {
        if time > Duration::ZERO {
            stage.sleep(time.as_secs().max(1));
        }
        !stage.is_cancelled()
    };
    let bytes = downloads
        .get(&request.url, &place, sum.as_ref(), &wait)
        .map_err(|error| failure(stage, error))?;
    let package = SourcePackage::read(&place).map_err(|error| Failure {
        class: Class::Package,
        ..infrastructure("what was downloaded is not a usable source package", error.into())
    })?;
    let checked = match &sum {
        Some(_) => "its checksum is as expected",
        None => "no checksum of it is known",
    };
    stage.note(&format!("{}.src.rpm has {bytes} bytes; {checked}", package.nvr));
    Ok(Source::Srpm(place))
}

/// The last part of an address, if it can be the name of a source package.
fn file_name(url: &str) -> PathBuf {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_good = is_plain(name) && name.ends_with(".src.rpm") && name.len() < 200;
    if is_good { name.into() } else { "source.src.rpm".into() }
}

fn failure(stage: &StageRun<'_>, error: DownloadError) -> Failure {
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
        _ if passing => Class::Infrastructure,
        _ => Class::Package,
    };
    let cause = Some(error.into());
    let message = "the source could not be downloaded";
    let failure = Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, cause);
    Failure { class, retryable: passing, ..failure }.with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let name = |url| file_name(url).display().to_string();
        assert_eq!(name("https://h/a/x-1-1.src.rpm?q=1#f"), "x-1-1.src.rpm");
        for odd in ["https://h/", "https://h/..", "https://h/-x.src.rpm", "https://h/x.rpm", ""] {
            assert_eq!(name(odd), "source.src.rpm", "{odd}");
        }
    }
}
