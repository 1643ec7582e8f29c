//! Buildroots: what is installed into them, where they are kept, how they are made and removed.

pub mod bootstrap;
pub mod dnf;
pub mod key;
pub(crate) mod maintenance;
pub mod packages;
pub mod remove;
pub mod sandboxes;
pub mod store;
pub mod tools;
pub mod workspace;

use std::path::PathBuf;

use crate::mock_config::MockOptions;
use crate::run::Runner;

/// What making and using the buildroots of one config takes.
#[derive(Debug)]
pub struct Env<'a> {
    /// Runs sandboxes.
    pub runner: &'a Runner,
    /// Where roots are kept.
    pub store: &'a store::Store,
    /// What all sandboxes have in common.
    pub context: sandboxes::Context,
    /// The config.
    pub options: &'a MockOptions,
    /// The package manager that installs: the host's, or the bootstrap root's.
    pub manager: dnf::PackageManager,
    /// Whether the root is for the package manager of another one.
    pub is_bootstrap: bool,
    /// The root that the package manager is in, if it is not the host's.
    pub bootstrap: Option<Box<Env<'a>>>,
    /// This program, which works inside maintenance sandboxes.
    pub program: PathBuf,
    /// Host paths that the repositories need.
    pub visible: Vec<PathBuf>,
    /// Key of the config's buildroot.
    pub key: String,
}
