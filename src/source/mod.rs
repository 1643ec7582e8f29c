//! What is built: a source package, or a spec with its sources. Copied to a place that sandboxes
//! can read; nothing of it is unpacked, expanded or executed here.

mod arches;
mod header;
mod srpm;
mod stage;

use std::path::PathBuf;

pub use arches::Arches;
pub(crate) use srpm::is_plain;
pub use srpm::{SourcePackage, SourcePackageError};
pub(crate) use stage::{Copying, MAX_DEPTH, copy_tree, stage};
pub use stage::{StageError, digest};

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A source package.
    Srpm(PathBuf),
    /// A spec file and the directory of its sources.
    Spec {
        /// The spec file.
        spec: PathBuf,
        /// Directory with sources and patches.
        sources: PathBuf,
    },
}
