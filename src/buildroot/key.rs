//! The key of a buildroot: a hash of everything that decides its content.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use sandbox::IdMapping;
use sandbox::spec::User;
use serde::Serialize;

use crate::checksum;
use crate::mock_config::{ImageOptions, Manager, ManagerOptions, MockOptions, ModuleOptions};

/// Changes when what is put into roots changes in a way that the other parts do not show.
const FORMAT: u32 = 2;

/// Digits of the hash in a key.
const HASH_LENGTH: usize = 12;

/// The parts of the key, printable.
#[derive(Debug, Clone, Serialize)]
pub struct KeyParts {
    format: u32,
    root: String,
    target_arch: String,
    releasever: Option<String>,
    /// Key of the root that the package manager is in.
    bootstrap: Option<String>,
    package_manager: Manager,
    /// Of all of them, since one may stand in for another.
    managers: BTreeMap<Manager, ManagerOptions>,
    forcearch: Option<String>,
    architecture: Option<String>,
    image: Option<ImageOptions>,
    platforms: Vec<(String, String)>,
    modules: ModuleOptions,
    setup_command: Vec<String>,
    additional_packages: Vec<String>,
    configuration: String,
    variables: Vec<(String, String)>,
    directories: Vec<String>,
    files: Vec<(String, String)>,
    host_users: Vec<String>,
    build_user: String,
    home: String,
    ids: IdMapping,
    /// Local repositories: path and checksum of their metadata.
    repositories: Vec<(PathBuf, String)>,
}

impl KeyParts {
    /// Collects the parts. `visible` are the repositories on this host, `bootstrap` is the key of
    /// the root that the package manager is in.
    pub fn new(
        options: &MockOptions,
        ids: &IdMapping,
        user: User,
        visible: &[PathBuf],
        bootstrap: Option<&str>,
    ) -> KeyParts {
        let pairs = |map: &BTreeMap<String, String>| {
            map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        KeyParts {
            format: FORMAT,
            root: options.root.clone(),
            target_arch: options.target_arch.clone(),
            releasever: options.releasever.clone(),
            bootstrap: bootstrap.map(str::to_owned),
            package_manager: options.package_manager,
            managers: options.managers.clone(),
            forcearch: options.forcearch.clone(),
            architecture: options.rpmbuild_arch.clone(),
            // How long a registry is asked decides nothing.
            image: options.buildroot_image.clone().map(|image| ImageOptions {
                keep_getting: 0,
                pull_timeout: 0,
                ..image
            }),
            platforms: match options.buildroot_image {
                Some(_) => pairs(&options.oci_platform_map),
                None => Vec::new(),
            },
            modules: options.modules.clone(),
            setup_command: options.chroot_setup_cmd.clone(),
            additional_packages: options.chroot_additional_packages.clone(),
            configuration: options.dnf_conf.clone(),
            variables: pairs(&options.dnf_vars),
            directories: options.extra_chroot_dirs.clone(),
            files: pairs(&options.files),
            host_users: options.copy_host_users.clone(),
            build_user: format!(
                "{}:{}:{}:{}",
                options.chrootuser, options.chrootgroup, user.uid, user.gid
            ),
            home: options.chroothome.clone(),
            ids: ids.clone(),
            repositories: visible
                .iter()
                .filter_map(|path| {
                    let metadata = fs::read(path.join("repodata/repomd.xml")).ok()?;
                    Some((path.clone(), checksum::of(&metadata)))
                })
                .collect(),
        }
    }

    /// Name of the root's directory: the config's name for people, the hash for certainty.
    pub fn key(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        format!("{}-{}", file_name(&self.root), &checksum::of(&text)[..HASH_LENGTH])
    }
}

/// Whether `key` is the key of a root of the config named `root`, or of its bootstrap root.
pub fn is_of(key: &str, root: &str) -> bool {
    let Some((name, hash)) = key.rsplit_once('-') else { return false };
    let own = file_name(root);
    hash.len() == HASH_LENGTH && (name == own || name.strip_suffix("-bootstrap") == Some(&own))
}

/// The name of a config as a file name.
pub(super) fn file_name(root: &str) -> String {
    let name: String = root
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' })
        .take(80)
        .collect();
    name.trim_start_matches('.').to_owned()
}
