//! Why an image cannot be had, and what can be done.

use std::io;

use super::manifest::ManifestError;
use super::reference::BadReference;
use super::registry::RegistryError;

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the image {reference} cannot be had")]
pub struct ImageError {
    reference: String,
    source: Reason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error(transparent)]
    Reference(#[from] BadReference),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("cannot read {what}")]
    Read { what: String, source: io::Error },
    #[error("cannot get {what}")]
    Transfer { what: String, source: io::Error },
    #[error("it holds no image of that name; it holds {0}")]
    NoName(String),
    #[error("it was not pulled before, and its registry may not be asked")]
    NotHere,
    #[error("its digest is not {wanted}: mock's is {mock}, the manifest's {manifest}, its id {id}")]
    Digest { wanted: String, mock: String, manifest: String, id: String },
    #[error("{wanted} is wanted, and its configuration says {found}")]
    Platform { wanted: String, found: String },
    #[error("cannot keep its files")]
    Keep(#[source] io::Error),
}

impl ImageError {
    pub(super) fn new(reference: &str, source: Reason) -> ImageError {
        ImageError { reference: reference.to_owned(), source }
    }

    /// Whether it may be had later.
    pub fn is_passing(&self) -> bool {
        match &self.source {
            Reason::Registry(error) => error.is_passing(),
            // It broke off, or what arrived is not what was promised.
            Reason::Transfer { .. } => !self.is_disk_full(),
            _ => false,
        }
    }

    /// Whether it is there, but is not the one that is wanted.
    pub fn is_other_image(&self) -> bool {
        matches!(self.source, Reason::Digest { .. })
    }

    /// Whether the file system is full.
    pub fn is_disk_full(&self) -> bool {
        let full = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
        match &self.source {
            Reason::Keep(error) => full(error),
            Reason::Read { source, .. } | Reason::Transfer { source, .. } => full(source),
            _ => false,
        }
    }

    /// What an operator can do.
    pub fn hint(&self) -> Option<String> {
        let hint = match &self.source {
            Reason::Reference(_) => {
                "write a name as podman does (example.org/name:tag), oci:DIRECTORY, or \
                 docker-archive:FILE"
            }
            Reason::NotHere => {
                "leave out --offline, bootstrap_image_skip_pull or buildroot_image_skip_pull once"
            }
            Reason::Digest { .. } => {
                "if the image may have changed, write the new digest into the config"
            }
            Reason::Platform { .. } | Reason::Manifest(ManifestError::NoPlatform { .. }) => {
                "choose an image for this architecture; oci_platform_map names platforms of targets"
            }
            Reason::Registry(RegistryError::Answer { status, .. })
                if [401, 403, 404].contains(&status.as_u16()) =>
            {
                "check the name and the tag; only images that need no login can be pulled"
            }
            Reason::Registry(RegistryError::Transfer { .. }) => {
                "check the network, the proxies and certificates of the config, or use an image in \
                 a file (oci-archive:FILE)"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
