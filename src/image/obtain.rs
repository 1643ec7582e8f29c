//! Getting an image: from the store, a registry or a file, for one platform, complete or not at
//! all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::MAX_DOCUMENT;
use super::archive::{DockerManifest, Parts, blob_name};
use super::blobs::{Blobs, Record, unexpected};
use super::config::Config;
use super::error::{ImageError, Reason};
use super::manifest::{Descriptor, Document, ManifestError};
use super::platform::Platform;
use super::reference::{Reference, Source};
use super::registry::{Access, Registry};
use crate::checksum;

/// Bytes of a layer as it is transferred.
const MAX_LAYER: u64 = 16 << 30;
/// The name that an OCI layout gives to an image.
const NAME: &str = "org.opencontainers.image.ref.name";

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it is, as configs write it.
    pub reference: String,
    /// What it is for.
    pub platform: Platform,
    /// A checksum that it must have: mock's, that of its manifest, or its id.
    pub assert_digest: Option<String>,
    /// Whether a registry is not asked.
    pub skip_pull: bool,
}

/// An image whose layers are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest to pull it by: that of its manifest; of an archive of docker, which has none,
    /// its id.
    pub digest: String,
    /// Its id: the digest of its configuration.
    pub id: String,
    /// The checksum that mock knows it by.
    pub mock_digest: String,
    /// The architecture, in the words of OCI.
    pub architecture: String,
    /// The directory that the files of its layers are in.
    pub directory: PathBuf,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Name of its file.
    pub file: String,
    /// The checksum of its unpacked content, `sha256:…`.
    pub diff_id: String,
}

/// Gives the image, getting what of it is not in `directory` yet. The caller holds its lock, and
/// calls [`prune`] when the image is no longer used.
///
/// # Errors
///
/// See [`ImageError`].
pub fn obtain(directory: &Path, wanted: &Wanted, access: &Access) -> Result<Image, ImageError> {
    let failed = |reason| ImageError::new(&wanted.reference, reason);
    let blobs = Blobs::open(directory).map_err(|error| failed(Reason::Keep(error)))?;
    let get = || {
        let reference = Reference::parse(&wanted.reference)?;
        let image = match &reference.source {
            Source::Registry { .. } if wanted.skip_pull => kept(&blobs, &reference, wanted)?,
            Source::Registry { host, repository, tag, digest } => {
                let registry = Registry::new(host, repository, access)?;
                let name = digest.as_deref().unwrap_or(tag);
                let top = registry.manifest(name)?;
                check(&top, digest.as_deref())
                    .map_err(|source| transfer("the manifest", source))?;
                from_registry(&blobs, &registry, top, &reference, wanted)?
            }
            Source::Layout(path, name) => {
                let parts = Parts::of_directory(path);
                from_layout(&blobs, &parts, name.as_deref(), wanted)?
            }
            Source::Archive(path, name) => {
                let parts = Parts::of_archive(path).map_err(|source| Reason::Read {
                    what: format!("the archive {}", path.display()),
                    source,
                })?;
                match parts.has("index.json") {
                    true => from_layout(&blobs, &parts, name.as_deref(), wanted)?,
                    false => from_docker_archive(&blobs, &parts, name.as_deref(), wanted)?,
                }
            }
        };
        Ok(image)
    };
    get().map_err(failed)
}

/// Removes what belongs to no image that a registry gave.
///
/// # Errors
///
/// Something cannot be removed.
pub fn prune(directory: &Path) -> io::Result<()> {
    Blobs::open(directory)?.prune()
}

fn from_registry(
    blobs: &Blobs,
    registry: &Registry,
    top: Vec<u8>,
    reference: &Reference,
    wanted: &Wanted,
) -> Result<Image, Reason> {
    let mut bytes = top;
    let mut document = Document::read(&bytes)?;
    if !document.manifests.is_empty() {
        let digest = document.choose(&wanted.platform)?.digest.clone();
        bytes = registry.manifest(&digest)?;
        check(&bytes, Some(&digest)).map_err(|source| transfer("the manifest", source))?;
        document = Document::read(&bytes)?;
    }
    let manifest = blobs.keep(&mut bytes.as_slice(), None, MAX_DOCUMENT).map_err(Reason::Keep)?;
    for file in files(&document).filter(|file| !blobs.has(&file.digest)) {
        blobs
            .keep(&mut registry.blob(&file.digest)?, Some(&file.digest), most(&document, file))
            .map_err(|source| transfer(&format!("the blob {}", file.digest), source))?;
    }
    let all = files(&document).map(|file| file.digest.clone());
    let record = Record { blobs: all.chain([manifest.clone()]).collect(), manifest };
    let image = complete(blobs, &record.manifest, &document, wanted)?;
    blobs.set_record(reference, &wanted.platform, &record).map_err(Reason::Keep)?;
    Ok(image)
}

/// What an earlier pull of that name has left.
fn kept(blobs: &Blobs, reference: &Reference, wanted: &Wanted) -> Result<Image, Reason> {
    let record = blobs.record(reference, &wanted.platform).ok_or(Reason::NotHere)?;
    if !record.blobs.iter().all(|digest| blobs.has(digest)) {
        return Err(Reason::NotHere);
    }
    let document = Document::read(&document(blobs, &record.manifest)?)?;
    complete(blobs, &record.manifest, &document, wanted)
}

fn from_layout(
    blobs: &Blobs,
    parts: &Parts,
    name: Option<&str>,
    wanted: &Wanted,
) -> Result<Image, Reason> {
    let index = part(parts, "index.json")?;
    let mut index = Document::read(&index)?;
    if let Some(name) = name {
        let names: Vec<&String> =
            index.manifests.iter().filter_map(|item| item.annotations.get(NAME)).collect();
        let there = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        index.manifests.retain(|item| item.annotations.get(NAME).is_some_and(|own| own == name));
        if index.manifests.is_empty() {
            return Err(Reason::NoName(there));
        }
    }
    // An index may hold another one, of one image for several platforms.
    let mut digest = index.choose(&wanted.platform)?.digest.clone();
    let manifest = |digest: &str| {
        let name = blob_name(digest);
        let bytes = part(parts, &name)?;
        check(&bytes, Some(digest)).map_err(|source| Reason::Read { what: name, source })?;
        Ok::<_, Reason>(Document::read(&bytes)?)
    };
    let mut document = manifest(&digest)?;
    if !document.manifests.is_empty() {
        digest = document.choose(&wanted.platform)?.digest.clone();
        document = manifest(&digest)?;
    }
    for file in files(&document) {
        copy(blobs, parts, &blob_name(&file.digest), Some(&file.digest), most(&document, file))?;
    }
    complete(blobs, &digest, &document, wanted)
}

fn from_docker_archive(
    blobs: &Blobs,
    parts: &Parts,
    name: Option<&str>,
    wanted: &Wanted,
) -> Result<Image, Reason> {
    let manifests: Vec<DockerManifest> = serde_json::from_slice(&part(parts, "manifest.json")?)
        .map_err(|error| ManifestError::Malformed(error.to_string()))?;
    let tags = |manifest: &DockerManifest| manifest.repo_tags.clone().unwrap_or_default();
    let is_named = |manifest: &&DockerManifest| {
        name.is_none_or(|name| {
            let wanted = [short(name).to_owned(), format!("{}:latest", short(name))];
            tags(manifest).iter().any(|tag| wanted.iter().any(|name| name == short(tag)))
        })
    };
    let Some(manifest) = manifests.iter().find(is_named) else {
        return Err(Reason::NoName(manifests.iter().flat_map(tags).collect::<Vec<_>>().join(", ")));
    };
    let bytes = part(parts, &manifest.config)?;
    let config = Config::read(&bytes)?;
    let id = format!("sha256:{}", checksum::of(&bytes));
    let mut files = Vec::new();
    for name in &manifest.layers {
        files.push(copy(blobs, parts, name, None, MAX_LAYER)?);
    }
    finish(blobs, &id, &id, &config, &files, wanted)
}

/// The name of an image without what stands for the default registry.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The image of a manifest whose files are all here.
fn complete(
    blobs: &Blobs,
    digest: &str,
    manifest: &Document,
    wanted: &Wanted,
) -> Result<Image, Reason> {
    let Some(config) = &manifest.config else {
        let text = "it is a list of lists".to_owned();
        return Err(ManifestError::Malformed(text).into());
    };
    let id = &config.digest;
    let config = Config::read(&document(blobs, id)?)?;
    let files: Vec<String> = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
    finish(blobs, digest, id, &config, &files, wanted)
}

fn finish(
    blobs: &Blobs,
    digest: &str,
    id: &str,
    config: &Config,
    files: &[String],
    wanted: &Wanted,
) -> Result<Image, Reason> {
    let platform = config.platform();
    // Configurations need not name the variant.
    let plain = Platform { variant: None, ..wanted.platform.clone() };
    if !plain.fits(&platform) {
        let (wanted, found) = (wanted.platform.to_string(), platform.to_string());
        return Err(Reason::Platform { wanted, found });
    }
    if files.len() > MAX_LAYERS {
        let text = format!("it has more than {MAX_LAYERS} layers");
        return Err(ManifestError::Malformed(text).into());
    }
    if config.diff_ids().len() != files.len() {
        let text = "its configuration does not list as many layers as it has".to_owned();
        return Err(ManifestError::Malformed(text).into());
    }
    let mock = config.mock_digest();
    if let Some(assert) = &wanted.assert_digest {
        let hex = |text: &str| text.strip_prefix("sha256:").unwrap_or(text).to_owned();
        if ![hex(&mock), hex(digest), hex(id)].contains(&hex(assert)) {
            let (manifest, id) = (digest.to_owned(), id.to_owned());
            return Err(Reason::Digest { wanted: assert.clone(), mock, manifest, id });
        }
    }
    let name = |digest: &String| {
        blobs.path(digest).file_name().map(|name| name.to_string_lossy().into_owned())
    };
    let layers = files.iter().zip(config.diff_ids()).map(|(file, diff_id)| Layer {
        file: name(file).unwrap_or_default(),
        diff_id: diff_id.clone(),
    });
    Ok(Image {
        digest: digest.to_owned(),
        id: id.to_owned(),
        mock_digest: mock,
        architecture: platform.architecture,
        directory: blobs.directory().to_owned(),
        layers: layers.collect(),
    })
}

fn part(parts: &Parts, name: &str) -> Result<Vec<u8>, Reason> {
    parts.document(name).map_err(|source| Reason::Read { what: name.to_owned(), source })
}

fn document(blobs: &Blobs, digest: &str) -> Result<Vec<u8>, Reason> {
    let read = || super::read_document(fs::File::open(blobs.path(digest))?);
    read().map_err(|source| Reason::Read { what: digest.to_owned(), source })
}

/// What was given must be what was asked for.
fn check(bytes: &[u8], digest: Option<&str>) -> io::Result<()> {
    let seen = format!("sha256:{}", checksum::of(bytes));
    match digest {
        Some(digest) if digest != seen => Err(unexpected(&seen, digest)),
        _ => Ok(()),
    }
}

fn transfer(what: &str, source: io::Error) -> Reason {
    Reason::Transfer { what: what.to_owned(), source }
}

/// Layers that an image may have; overlayfs takes 500, and no builder makes more than 127.
const MAX_LAYERS: usize = 200;

/// The files that a manifest names.
fn files(manifest: &Document) -> impl Iterator<Item = &Descriptor> {
    manifest.config.iter().chain(&manifest.layers)
}

/// Bytes that a file may have: as many as its manifest says.
fn most(manifest: &Document, file: &Descriptor) -> u64 {
    let is_config = manifest.config.as_ref().is_some_and(|config| config.digest == file.digest);
    let most = if is_config { MAX_DOCUMENT } else { MAX_LAYER };
    if file.size > 0 { file.size.min(most) } else { most }
}

/// Copies a part of an archive or layout, and gives its digest.
fn copy(
    blobs: &Blobs,
    parts: &Parts,
    name: &str,
    digest: Option<&str>,
    most: u64,
) -> Result<String, Reason> {
    parts
        .open(name)
        .and_then(|mut content| blobs.keep(&mut content, digest, most))
        .map_err(|source| Reason::Read { what: name.to_owned(), source })
}
