//! What builds require besides the buildroot, installed once and stacked over it.
//!
//! ```text
//! STORE/layers/KEY/upper   what installing has changed over the root, owned by mapped ids
//! STORE/layers/KEY/info.json
//! STORE/layers/KEY.lock    shared by users of the layer, exclusive for whoever removes it
//! STORE/wants/HASH         what a set of requirements has come to, as JSON
//! STORE/wants/HASH.lock    exclusive for whoever finds that out
//! ```
//!
//! A want is hashed from the root and the requirements, a layer's key from the want and the packages
//! that are there in the end; a want that is known needs no package manager. Different wants do not
//! share a layer, even if they come to the same packages: what is installed is told by a tree in
//! which scriptlets have run, and a hostile one could make it look like what others want.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sandbox::spec::Root as SandboxRoot;
use serde::{Deserialize, Serialize};

use super::disk::Size;
use super::key::{HASH_LENGTH, file_name};
use super::record::{self, INFO};
use super::roots::{Root, store_failure, take};
use super::store::{self, Lock, LockKind, Store, StoreError, attempt};
use super::workspace::Workspace;
use super::{Env, integrity, packages, route};
use crate::checksum;
use crate::run::StageRun;
use crate::verdict::Failure;

/// Name of the tree below the directory of a layer.
pub(super) const TREE: &str = "upper";
/// All trees that may be there.
pub(super) const TREES: [&str; 2] = [TREE, "work"];

/// What a build requires besides its root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Want {
    /// Requirements of source packages, as rpmspec(8) lists them.
    pub requires: BTreeSet<String>,
    /// What source packages conflict with: some package managers remove it.
    pub conflicts: BTreeSet<String>,
    /// Packages that are installed besides, as they are named to the package manager.
    pub packages: BTreeSet<String>,
}

/// A layer that exists and stays as long as this value lives.
#[derive(Debug)]
pub struct Layer {
    /// Name of its directory in the store.
    pub key: String,
    /// Its tree.
    pub tree: PathBuf,
    /// What is recorded of it.
    pub info: LayerInfo,
    /// Whether it was there before.
    pub reused: bool,
    #[expect(dead_code, reason = "held, not used")]
    lock: Lock,
}

/// What is recorded of a complete layer. Its existence says that the layer is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerInfo {
    /// Name of the config.
    pub config: String,
    /// Key of the root that it lies on.
    pub root: String,
    /// How much the layer has.
    pub size: Size,
    /// What is installed in the root and the layer together, as [`packages::installed`] lists it.
    pub installed: Vec<String>,
    /// When it was made, as seconds since 1970.
    pub created: i64,
}

/// What a want has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Key of the layer.
    pub layer: String,
}

impl Want {
    /// The name of what is known of it.
    pub fn hash(&self, root: &str) -> String {
        let text = serde_json::to_vec(&(root, self)).unwrap_or_default();
        format!("{}-{}", root, &checksum::of(&text)[..HASH_LENGTH])
    }
}

/// The key of a layer: what was wanted and is installed decides it, not when.
fn key(config: &str, want: &str, installed: &[String]) -> String {
    // The last word is the time of installing.
    let packages: Vec<&str> = installed
        .iter()
        .map(|line| line.rsplit_once(' ').map_or(line.as_str(), |(l, _)| l))
        .collect();
    let text = serde_json::to_vec(&(want, packages)).unwrap_or_default();
    format!("{}-{}", file_name(config), &checksum::of(&text)[..HASH_LENGTH])
}

/// Gives the layer that has what is wanted. If it is not known which, `install` installs it into
/// the root that it is given, unless another process is at it: that is waited for.
///
/// # Errors
///
/// What `install` fails with, or the store cannot be used.
pub fn provide(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    root: &Root,
    want: &Want,
    install: impl FnOnce(SandboxRoot) -> Result<(), Failure>,
) -> Result<Layer, Failure> {
    let want = want.hash(&root.key);
    let known = env.store.wants().join(&want);
    if let Some(layer) = find(env, stage, &known)? {
        return Ok(layer);
    }
    let _alone =
        take(stage, &store::lock_of(&known), LockKind::Exclusive, "same build dependencies")?;
    if let Some(layer) = find(env, stage, &known)? {
        return Ok(layer);
    }
    let workspace = Workspace::on_disk(env, stage, root)?;
    let before = route::revision(env, stage)?;
    let layer = make(env, stage, root, &want, workspace, install)?;
    if route::revision(env, stage)? != before {
        // The layer is right for what is in it, but not for the repositories of the root's key.
        stage.note("the repositories have changed while build dependencies were installed");
        return Ok(layer);
    }
    let content = Known { layer: layer.key.clone() };
    record::write(&known, &content).map_err(|error| store_failure(stage.stage, error))?;
    Ok(layer)
}

/// The key of the layer that has what is wanted, if it is there.
pub fn known(store: &Store, root: &str, want: &Want) -> Option<String> {
    let Known { layer, .. } = record::read(&store.wants().join(want.hash(root)))?;
    store.layers().join(&layer).join(INFO).exists().then_some(layer)
}

/// Whether a spec is known to require no more than its want.
pub fn is_settled(env: &Env<'_>, record: &str) -> bool {
    env.store.wants().join(record).exists()
}

/// Records that a spec requires no more than its want.
///
/// # Errors
///
/// It cannot be written.
pub fn settle(env: &Env<'_>, record: &str) -> Result<(), StoreError> {
    let path = env.store.wants().join(record);
    attempt("record", &path, fs::write(&path, ""))
}

/// The layer of a want, if it is known and there.
fn find(env: &Env<'_>, stage: &StageRun<'_>, known: &Path) -> Result<Option<Layer>, Failure> {
    let Some(Known { layer, .. }) = record::read(known) else { return Ok(None) };
    open(env, stage, &layer, true)
}

/// The layer of a key, if it is complete.
///
/// # Errors
///
/// Its lock cannot be taken.
pub(super) fn open(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    key: &str,
    reused: bool,
) -> Result<Option<Layer>, Failure> {
    let dir = env.store.layers().join(key);
    let what = "layer of build dependencies";
    let lock = take(stage, &store::lock_of(&dir), LockKind::Shared, what)?;
    let Some(info) = record::read(&dir.join(INFO)) else { return Ok(None) };
    if !integrity::is_usable(env, stage, &dir, TREE)? {
        drop(lock);
        let _alone = take(stage, &store::lock_of(&dir), LockKind::Exclusive, what)?;
        integrity::evict(env, stage, &dir, &TREES)?;
        return Ok(None);
    }
    Ok(Some(Layer { key: key.to_owned(), tree: dir.join(TREE), info, reused, lock }))
}

/// Installs in a workspace and publishes it, unless there is a layer of the same want and packages.
fn make(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    root: &Root,
    want: &str,
    workspace: Workspace,
    install: impl FnOnce(SandboxRoot) -> Result<(), Failure>,
) -> Result<Layer, Failure> {
    let fill = || {
        install(workspace.root())?;
        let installed = packages::installed(env, stage, workspace.root())?;
        let size = integrity::record(env, stage, &workspace.written(), workspace.path())?;
        Ok((installed, size))
    };
    let (installed, size) = match fill() {
        Ok(filled) => filled,
        Err(failure) => {
            workspace.remove(env);
            return Err(failure);
        }
    };
    let key = key(&env.options.root, want, &installed);
    let dir = env.store.layers().join(&key);
    let mut workspace = Some(workspace);
    let result = loop {
        match open(env, stage, &key, false) {
            Ok(None) => {}
            Ok(Some(layer)) => break Ok(layer),
            Err(failure) => break Err(failure),
        }
        let Some(made) = workspace.take() else { continue };
        let info = LayerInfo {
            config: env.options.root.clone(),
            size,
            root: root.key.clone(),
            installed: installed.clone(),
            created: jiff::Timestamp::now().as_second(),
        };
        if let Err(failure) = publish(env, stage, made, &dir, &info) {
            break Err(failure);
        }
    };
    if let Some(workspace) = workspace {
        workspace.remove(env);
    }
    result
}

/// Makes a workspace the layer in `dir`. If there is one by now, that is as good.
fn publish(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    workspace: Workspace,
    dir: &Path,
    info: &LayerInfo,
) -> Result<(), Failure> {
    let what = "layer of build dependencies";
    let alone = take(stage, &store::lock_of(dir), LockKind::Exclusive, what);
    if alone.is_err() || dir.join(INFO).exists() {
        workspace.remove(env);
        return alone.map(drop);
    }
    workspace.publish(env, dir, &TREES, info).map_err(|error| store_failure(stage.stage, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(requires: &[&str]) -> Want {
        let requires = requires.iter().map(|name| (*name).to_owned()).collect();
        Want { requires, ..Want::default() }
    }

    #[test]
    fn the_order_of_requirements_does_not_matter() {
        assert_eq!(want(&["a", "b"]).hash("r"), want(&["b", "a"]).hash("r"));
        assert_ne!(want(&["a", "b"]).hash("r"), want(&["a"]).hash("r"));
        assert_ne!(want(&["a"]).hash("r"), want(&["a"]).hash("s"));
        let mut as_package = want(&[]);
        as_package.packages.insert("a".to_owned());
        assert_ne!(as_package.hash("r"), want(&["a"]).hash("r"));
        let mut with_conflict = want(&["a"]);
        with_conflict.conflicts.insert("b".to_owned());
        assert_ne!(with_conflict.hash("r"), want(&["a"]).hash("r"));
    }

    #[test]
    fn the_time_of_installing_does_not_matter() {
        let lines = |time: &str| vec![format!("a-1-1.noarch 5 6 abc {time}")];
        assert_eq!(key("x", "r", &lines("1")), key("x", "r", &lines("2")));
        assert_ne!(key("x", "r", &lines("1")), key("x", "r", &[]));
        assert_ne!(key("x", "r", &lines("1")), key("x", "s", &lines("1")));
    }
}
