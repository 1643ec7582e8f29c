//! What a worker is told of the node's config: everything that decides a build, and no secret.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::done::write_whole;
use crate::config::{BuildNetwork, Config};
use crate::resources::{Amount, Resource};
use crate::task::NodeExtras;

/// Name of the file in a task's directory.
const FILE: &str = "settings.json";

/// The part of the config that workers need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The architecture of this node's builds.
    pub base_arch: String,
    /// Builds that run at the same time.
    pub slots: u32,
    /// Directory of the host's policies.
    pub policies: PathBuf,
    /// Directory of buildroots.
    pub store: PathBuf,
    /// Directory of sources, by checksum.
    pub source_cache: PathBuf,
    /// Directory of mirrors of git repositories.
    pub git_cache: PathBuf,
    /// Whether pointers of git LFS are replaced with what they point to. Tasks of an older node
    /// do not say.
    #[serde(default)]
    pub git_lfs: bool,
    /// Private networks that sources may come from.
    pub private_networks: Vec<IpNet>,
    /// Limits that go before those of a package's class, by the names of what they limit.
    pub limits: BTreeMap<String, String>,
    /// Whether rpmbuild may have a network.
    pub build_network: bool,
    /// Directory of the programs that sign for secure boot.
    pub pesign_directory: PathBuf,
    /// Proxy for npm and yarn in builds.
    pub npm_proxy: Option<String>,
}

impl Settings {
    /// What of a config workers need.
    pub fn new(config: &Config) -> Settings {
        let own = &config.own;
        let limits = own
            .limits
            .iter()
            .map(|(resource, amount)| (resource.name().to_owned(), amount.0.clone()));
        Settings {
            base_arch: config.base_arch.clone(),
            slots: config.slots(),
            policies: own.policies.clone(),
            store: own.store.clone(),
            source_cache: own.source_cache.clone(),
            git_cache: own.git_cache.clone(),
            git_lfs: own.git_lfs,
            private_networks: own.private_networks.clone(),
            limits: limits.collect(),
            build_network: own.build_network == BuildNetwork::Task,
            pesign_directory: own.pesign_directory.clone(),
            npm_proxy: config.npm_proxy.clone(),
        }
    }

    /// What builds get from the node.
    pub fn extras(&self) -> NodeExtras {
        NodeExtras {
            pesign_directory: self.pesign_directory.clone(),
            npm_proxy: self.npm_proxy.clone(),
        }
    }

    /// The limits, as the policy has them.
    pub fn amounts(&self) -> Vec<(Resource, Amount)> {
        let known = |(name, amount): (&String, &String)| {
            let resource = Resource::ALL.into_iter().find(|known| known.name() == name)?;
            Some((resource, Amount(amount.clone())))
        };
        self.limits.iter().filter_map(known).collect()
    }

    /// Writes them into a task's directory.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        write_whole(directory, FILE, &serde_json::to_vec(self)?)
    }

    /// Reads them from a task's directory.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn read(directory: &Path) -> io::Result<Settings> {
        Ok(serde_json::from_slice(&std::fs::read(directory.join(FILE))?)?)
    }
}
