//! Buildroots: what is installed into them, where they are kept, how they are made and removed.

mod account;
pub mod bootstrap;
pub(crate) mod caches;
pub mod disk;
pub mod dnf;
pub mod emulation;
pub mod image;
pub mod integrity;
pub mod inventory;
pub mod keep;
pub mod key;
pub mod layers;
pub(crate) mod maintenance;
pub mod packages;
mod record;
pub mod remove;
pub mod repositories;
pub mod revisions;
pub mod roots;
pub mod route;
pub mod sandboxes;
pub mod scratch;
mod scriptlets;
mod share;
pub mod store;
pub mod tools;
mod update;
pub mod view;
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
    /// The host's package manager, if it has one that is of use.
    pub host_manager: Result<dnf::PackageManager, dnf::NoPackageManager>,
    /// Whether the root is for the package manager of another one.
    pub is_bootstrap: bool,
    /// The root that the package manager is in, if it is not the host's.
    pub bootstrap: Option<Box<Env<'a>>>,
    /// This program, which works inside maintenance sandboxes.
    pub program: PathBuf,
    /// Host paths that the repositories need.
    pub visible: Vec<PathBuf>,
    /// What the config decides of the keys of its roots.
    pub key: String,
}

impl Env<'_> {
    /// What trees of mapped ids are worked on with.
    pub fn tools(&self) -> scratch::Tools<'_> {
        scratch::Tools { context: &self.context, program: &self.program, store: self.store }
    }

    /// The package manager that installs into the buildroot: the bootstrap root's, or the host's.
    ///
    /// # Errors
    ///
    /// It would be the host's, and there is none.
    pub fn manager(&self) -> Result<dnf::PackageManager, dnf::NoPackageManager> {
        match self.bootstrap {
            Some(_) => Ok(dnf::PackageManager::of_bootstrap(self.options)),
            None => self.host_manager.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::mock_config::{HostView, LoadRequest, MockOptions, load};

    /// The options of a small config with this package manager.
    pub(crate) fn options(manager: &str) -> MockOptions {
        let text = "config_opts['root'] = 'x'\nconfig_opts['dnf.conf'] = '[main]'\n\
                    config_opts['releasever'] = '9'\nconfig_opts['target_arch'] = 'x86_64'\n";
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.cfg");
        std::fs::write(&file, text).unwrap();
        let request = LoadRequest {
            name: file.display().to_string(),
            configdir: None,
            home: None,
            system_dir: "/nonexistent".into(),
            overrides: vec![("package_manager".to_owned(), manager.to_owned())],
            host: HostView::of_this_process().unwrap(),
        };
        load(&request).unwrap().options().unwrap()
    }
}
