//! A source package from its address.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Fetched;
use super::download::Downloads;
use super::sums::Sum;
use crate::run::StageRun;
use crate::source::{Source, SourcePackage, is_plain};
use crate::verdict::{Class, Failure, status};

/// Downloads it.
pub(super) fn get(
    stage: &StageRun<'_>,
    downloads: &Downloads,
    url: &str,
    sha256: Option<&str>,
    directory: &Path,
) -> Result<Fetched, Failure> {
    let started = Timestamp::now();
    let sum = sha256.and_then(Sum::parse);
    let place = directory.join(file_name(url));
    let cancel = stage.cancel();
    let wait = |time| cancel.wait(time);
    let bytes = downloads
        .get(&url.into(), &place, sum.as_ref(), &wait)
        .map_err(|error| super::failure(stage, "the source could not be downloaded", error))?;
    let package = SourcePackage::read(&place).map_err(|error| {
        let message = "what was downloaded is not a usable source package";
        let cause = Some(error.into());
        let failure = Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, cause);
        Failure { class: Class::Package, ..failure }
    })?;
    let checked = match &sum {
        Some(_) => "its checksum is as expected",
        None => "no checksum of it is known",
    };
    stage.note(&format!("{}.src.rpm has {bytes} bytes; {checked}", package.nvr));
    Ok(Fetched {
        source: Source::Srpm(place),
        commit: None,
        repository: None,
        times: vec![("sources_unpack", started, Timestamp::now())],
    })
}

/// The last part of an address, if it can be the name of a source package.
fn file_name(url: &str) -> PathBuf {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_good = is_plain(name) && name.ends_with(".src.rpm") && name.len() < 200;
    if is_good { name.into() } else { "source.src.rpm".into() }
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
