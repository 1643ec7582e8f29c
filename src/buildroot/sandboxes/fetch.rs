//! The sandbox that git fetches in: the host's tools, and nothing of the host's own files, keys or
//! configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox::SandboxSpec;
use sandbox::spec::{Network, Root};

use super::{Context, bind, file, tools_system};
use crate::profile::{ProfileError, ProfileName};

/// Bytes of one file that git writes: more than any repository of sources has.
const FILE_SIZE: u64 = 16 << 30;

impl Context {
    /// A sandbox for a command of the host's tools that works on `trees`: host path, place inside,
    /// read-only. `network` goes before that of the profile.
    ///
    /// # Errors
    ///
    /// The profile is not valid.
    pub fn fetch(
        &self,
        trees: &[(PathBuf, PathBuf, bool)],
        environment: &BTreeMap<String, String>,
        network: Option<Network>,
        argv: Vec<String>,
    ) -> Result<SandboxSpec, ProfileError> {
        let profile = ProfileName::Fetch.load()?;
        let mut mounts = self.tools.mounts();
        mounts.extend(tools_system());
        mounts.push(file(Path::new("/etc/gitconfig"), ""));
        mounts.extend(trees.iter().map(bind));
        let mut spec =
            self.spec("fetch", &profile, Root::Empty { size_bytes: 64 << 20 }, mounts, argv);
        spec.environment = environment.clone();
        spec.rlimits.insert("FSIZE".to_owned(), FILE_SIZE);
        spec.network = network.unwrap_or(profile.network);
        self.name_servers(&mut spec);
        Ok(spec)
    }
}
