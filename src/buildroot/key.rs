//! The key of a buildroot: a hash of everything that decides its content, but what the
//! repositories hold, which is asked later.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sandbox::IdMapping;
use sandbox::spec::User;
use serde::Serialize;

use crate::checksum;
use crate::mock_config::{ImageOptions, Manager, ManagerOptions, MockOptions, ModuleOptions};

/// Changes when what is put into roots changes in a way that the other parts do not show.
const FORMAT: u32 = 3;

/// Digits of the hash in a key.
pub(super) const HASH_LENGTH: usize = 12;

/// Digits that tell what the repositories hold.
pub(super) const REVISION_LENGTH: usize = 8;

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
    /// The host's programs that install, if it is they: path, bytes, and time of change in seconds.
    tools: Vec<(PathBuf, u64, i64)>,
}

impl KeyParts {
    /// Collects the parts. `program` is the host's package manager, if it has one; `bootstrap` is the
    /// key of the root that the package manager is in, if it is in one.
    pub fn new(
        options: &MockOptions,
        ids: &IdMapping,
        user: User,
        program: Option<&Path>,
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
            tools: match bootstrap {
                Some(_) => Vec::new(),
                None => [program, Some(Path::new("/usr/bin/rpm"))]
                    .into_iter()
                    .flatten()
                    .filter_map(|path| {
                        let metadata = fs::metadata(path).ok()?;
                        Some((path.to_owned(), metadata.len(), metadata.mtime()))
                    })
                    .collect(),
            },
        }
    }

    /// What names of root directories begin with: the config's name for people, the hash for
    /// certainty. What the repositories hold comes after it.
    pub fn key(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        format!("{}-{}", file_name(&self.root), &checksum::of(&text)[..HASH_LENGTH])
    }
}

/// Whether `key` names something of the config named `root`, or of its bootstrap root: a root, a
/// layer, or what roots of different revisions have in common.
pub fn is_of(key: &str, root: &str) -> bool {
    let is_hash = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let line = match key.rsplit_once('-') {
        Some((line, revision)) if is_hash(revision, REVISION_LENGTH) => line,
        _ => key,
    };
    let Some((name, hash)) = line.rsplit_once('-') else { return false };
    let own = file_name(root);
    is_hash(hash, HASH_LENGTH) && (name == own || name.strip_suffix("-bootstrap") == Some(&own))
}

/// Whether `key` names something of a bootstrap root.
pub fn is_of_bootstrap(key: &str) -> bool {
    let (line, revision) = key.rsplit_once('-').unwrap_or_default();
    // A line alone has no revision, which is shorter than the hash.
    let line = if revision.len() == REVISION_LENGTH { line } else { key };
    line.rsplit_once('-').is_some_and(|(name, _)| name.ends_with("-bootstrap"))
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
