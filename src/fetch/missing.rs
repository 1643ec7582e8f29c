//! Sources that a spec expects and that nobody has brought: downloaded from where the spec says,
//! if that is allowed; `Source0` made of the repository itself.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use sandbox::spec::Network;

use super::address::Addresses;
use super::allowance::{Allowance, PERCENT};
use super::download::Downloads;
use super::expected::{Expected, File};
use super::git::archive;
use crate::buildroot::disk;
use crate::buildroot::scratch::Tools;
use crate::http::redacted;
use crate::run::StageRun;
use crate::source::is_plain;
use crate::verdict::{Class, Failure, classify_command, status};

/// How sources that are missing may be had.
#[derive(Debug, Clone, Default)]
pub struct Provision {
    /// Whether they may be downloaded.
    pub download: bool,
    /// Private networks that they may come from.
    pub private_networks: Vec<IpNet>,
    /// `.git` of the repository that the spec is from.
    pub repository: Option<PathBuf>,
}

/// Most files that are downloaded for a spec.
const MOST_FILES: u32 = 1000;

/// Gets what is missing among the names that are `present` into a directory; gives the names.
///
/// What cannot be had by its nature is left to rpmbuild, which says best what it misses.
///
/// # Errors
///
/// A download failed.
pub fn provide(
    tools: Tools<'_>,
    stage: &StageRun<'_>,
    provision: &Provision,
    expected: &Expected,
    present: &[String],
    directory: &Path,
) -> Result<Vec<String>, Failure> {
    let failed = |class: Class, message: &str| Failure {
        class,
        ..Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, None)
    };
    let own = &tools.context.host.network.addresses;
    let addresses = Addresses::new(provision.private_networks.clone(), own);
    let downloads = Downloads::new(&addresses, Allowance::of(directory)).map_err(|error| {
        let message = "the client cannot be set up";
        Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, Some(error.into()))
    })?;
    let cancel = stage.cancel();
    let mut provided: Vec<String> = Vec::new();
    // A spec may name any number of them.
    let mut files = 0;
    for file in &expected.files {
        let name = file.name();
        let known = present.iter().chain(&provided).any(|known| known == name);
        // An address may end in anything.
        if known || !is_plain(name) || name.starts_with('.') {
            continue;
        }
        let place = directory.join(name);
        let done = match (file.is_remote() && provision.download, &provision.repository) {
            (true, _) => {
                let wait = |time| cancel.wait(time);
                if files == MOST_FILES {
                    let message = format!(
                        "the spec names more than {MOST_FILES} files that are not there and would \
                         be downloaded"
                    );
                    return Err(failed(Class::Package, &message)
                        .with_hint(Some("bring them with the spec".to_owned())));
                }
                let wanted = file.value.as_str().into();
                let bytes = downloads.get(&wanted, &place, None, &wait).map_err(|error| {
                    let what = format!("{} could not be downloaded", file.tag);
                    super::failure(stage, &what, error)
                })?;
                files += 1;
                let from = redacted(&file.value);
                stage.note(&format!(
                    "{}: {bytes} bytes from {from}; no checksum is known",
                    file.tag
                ));
                true
            }
            (false, Some(repository)) if file.tag == "Source0" => {
                pack(tools, stage, expected, file, repository, &place)?
            }
            _ => {
                if file.is_remote() {
                    stage.note(&format!(
                        "{} is missing, and sources may not be downloaded: {}",
                        file.tag,
                        redacted(&file.value)
                    ));
                }
                false
            }
        };
        if done {
            provided.push(name.to_owned());
        }
    }
    Ok(provided)
}

/// Packs the repository as the spec expects it. Says whether that is possible.
fn pack(
    tools: Tools<'_>,
    stage: &StageRun<'_>,
    expected: &Expected,
    file: &File,
    repository: &Path,
    place: &Path,
) -> Result<bool, Failure> {
    let Some(argv) = archive::command(&expected.name, &expected.version, file.name()) else {
        return Ok(false);
    };
    let trees = [(repository.to_owned(), PathBuf::from(archive::PLACE), true)];
    let environment = super::git::environment();
    let failed = |message: String, cause| {
        Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, cause)
    };
    let mut spec = tools
        .context
        .fetch(&trees, &environment, Some(Network::None), argv)
        .map_err(|error| failed("git archive could not be planned".into(), Some(error.into())))?;
    spec.timeout_ms = Some(super::git::LONGEST_MS);
    spec.stdio.stderr = sandbox::spec::Stdout::Null;
    let most = disk::part_of_free(place.parent().unwrap_or(place), PERCENT).bytes;
    let mut output = fs::File::create(place)
        .map_err(|error| failed(format!("cannot write {}", place.display()), Some(error.into())))?;
    let (outcome, written) =
        stage.received(&spec, |reader| std::io::copy(&mut reader.take(most), &mut output))?;
    let bytes = written
        .map_err(|error| failed(format!("cannot write {}", place.display()), Some(error.into())))?;
    if bytes == most {
        let name = file.name();
        let message = format!("{name} has more than {most} bytes, {PERCENT} % of what was free");
        return Err(Failure { class: Class::Resource, ..failed(message, None) });
    }
    if let Some(failure) = classify_command(stage.stage, "git archive", &outcome, &spec.limits) {
        return Err(failure);
    }
    if !outcome.exit.success() {
        let message =
            format!("the repository could not be packed as {}: {}", file.name(), outcome.exit);
        return Err(Failure { class: Class::Package, ..failed(message, None) });
    }
    stage.note(&format!("{}: {} has {bytes} bytes, made of the repository", file.tag, file.name()));
    Ok(true)
}
