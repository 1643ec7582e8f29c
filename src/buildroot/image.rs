//! Roots that start from an image instead of from nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use sandbox::spec::Root as SandboxRoot;
use serde::{Deserialize, Serialize};

use super::dnf::PackageManager;
use super::roots::{TREE, store_failure, take};
use super::store::{LockKind, StoreError};
use super::tools::{Programs, Tools};
use super::{Env, dnf, maintenance};
use crate::causes::with_causes;
use crate::helper::{LayerFile, Task};
use crate::image::{self, Access, Image, ImageError, Platform, Wanted};
use crate::mock_config::ImageOptions;
use crate::run::StageRun;
use crate::verdict::{Class, Failure, status};

/// The tree of an image whose package manager completes the root, while it does.
pub(super) const TOOLS: &str = "tools";
/// Where the directory of the root is for the helper.
const PLACE: &str = "/run/albs-node/root-of-store";
/// Where the layers are for the helper.
const LAYERS: &str = "/run/albs-node/layers";

/// The image that a root started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Where it was, as the config has it.
    pub reference: String,
    /// The checksum that mock knows it by.
    pub image_digest: String,
    /// The digest to pull it by.
    pub pull_digest: String,
    /// Its id.
    pub id: String,
    /// The architecture, in the words of OCI.
    pub architecture: String,
}

/// What of an image is in the directory of a root.
#[derive(Debug)]
pub(super) enum Start {
    /// Nothing: the config has none, or prefers packages to one that cannot be had.
    Nothing,
    /// All that the root needs.
    Ready(Origin),
    /// The image; packages come on top, by whatever package manager the root's would be.
    Base(Origin),
    /// The image, and once more for these tools to complete the first.
    WithTools(Origin, Tools),
}

/// Fills the empty trees of a root from the image that the config wants, if it wants one.
pub(super) fn start(env: &Env<'_>, stage: &StageRun<'_>, dir: &Path) -> Result<Start, Failure> {
    let Some(options) = &env.options.buildroot_image else { return Ok(Start::Nothing) };
    let directory = env.store.images();
    let lock = env.store.path().join("images.lock");
    let _lock = take(stage, &lock, LockKind::Exclusive, "images")?;
    let image = match obtain(env, stage, options, &directory)? {
        Ok(image) => image,
        // Another image than the one that is wanted must not go unnoticed.
        Err(error) if options.fallback && !error.is_other_image() && env.manager().is_ok() => {
            stage.note(&format!("{}; packages are installed instead", with_causes(&error)));
            return Ok(Start::Nothing);
        }
        Err(error) => return Err(failure(stage, error)),
    };
    let alone = env.is_bootstrap && !options.ready;
    let trees = if alone { &[TREE, TOOLS][..] } else { &[TREE] };
    let unpacked = trees.iter().try_for_each(|tree| unpack(env, stage, dir, tree, &image));
    // What is damaged must not be found again; a full disk or a stop says nothing of that.
    if matches!(&unpacked, Err(failure) if failure.class == Class::Infrastructure) {
        image.layers.iter().for_each(|layer| {
            let _ = std::fs::remove_file(image.directory.join(&layer.file));
        });
    }
    let pruned = image::prune(&directory);
    unpacked?;
    pruned.map_err(|source| {
        let (action, path) = ("remove unused images from", directory);
        store_failure(stage.stage, StoreError { action, path, source })
    })?;
    let origin = Origin {
        reference: options.reference.clone(),
        image_digest: image.mock_digest,
        pull_digest: image.digest,
        id: image.id.trim_start_matches("sha256:").to_owned(),
        architecture: image.architecture,
    };
    if programs(env, stage, &dir.join(TREE), vec!["/usr/bin/rpm".into()])? == [None] {
        let message = format!("the image {} has no rpm", options.reference);
        let hint = "choose one of a distribution that is made of packages".to_owned();
        return Err(
            Failure::infrastructure(stage.stage, status::ROOT, message, None).with_hint(Some(hint))
        );
    }
    if options.ready {
        return Ok(Start::Ready(origin));
    }
    if !alone {
        return Ok(Start::Base(origin));
    }
    let tree = dir.join(TOOLS);
    let manager = manager_in(env, stage, &tree, true)?;
    let programs = Programs::Root(SandboxRoot::Directory { path: tree, read_only: false });
    Ok(Start::WithTools(origin, Tools { manager, programs }))
}

/// Tries until the time of the config is over. The outer error is that of a build that was stopped.
fn obtain(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    options: &ImageOptions,
    directory: &Path,
) -> Result<Result<Image, ImageError>, Failure> {
    let host = &env.context.host.machine;
    // The package manager that builds a root runs here, whatever the root is for.
    let target = if env.is_bootstrap { host } else { &env.options.target_arch };
    let wanted = Wanted {
        reference: options.reference.clone(),
        platform: Platform::of_target(target, &env.options.oci_platform_map),
        assert_digest: options.assert_digest.clone(),
        skip_pull: options.skip_pull || !env.options.online,
    };
    stage.note(&format!("starting from the image {}", options.reference));
    let end = Instant::now() + Duration::from_secs(options.keep_getting);
    let mut delay = 1;
    loop {
        let result = attempt(stage, directory, &wanted, &access(env, options))?;
        match result {
            Err(error) if error.is_passing() && Instant::now() < end => {
                stage.note(&format!("{}; trying again in {delay} s", with_causes(&error)));
                stage.sleep(delay);
                delay = (delay * 2).min(30);
            }
            result => return Ok(result),
        }
    }
}

fn access(env: &Env<'_>, options: &ImageOptions) -> Access {
    let network = &env.options.network;
    let own = network.certificates.iter().map(|(source, _)| PathBuf::from(source));
    let bundle = network.ca_bundle.iter().map(PathBuf::from);
    Access {
        proxies: network.proxies.clone(),
        certificates: bundle.chain(own).filter(|path| path.is_file()).collect(),
        timeout: Duration::from_secs(options.pull_timeout),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// One attempt, in a thread that is left alone when the build is stopped: a server that says
/// nothing must not be waited for then.
fn attempt(
    stage: &StageRun<'_>,
    directory: &Path,
    wanted: &Wanted,
    access: &Access,
) -> Result<Result<Image, ImageError>, Failure> {
    let (sender, receiver) = channel();
    let work = (directory.to_owned(), wanted.clone(), access.clone());
    std::thread::spawn(move || {
        let (directory, wanted, access) = work;
        // Nobody listens after a stop.
        let _ = sender.send(image::obtain(&directory, &wanted, &access));
    });
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) if !stage.is_cancelled() => {}
            Err(RecvTimeoutError::Timeout) => {
                access.stop.store(true, Ordering::Relaxed);
                return Err(stage.interrupted());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let message = "the thread that gets images died";
                return Err(Failure::infrastructure(stage.stage, status::GENERIC, message, None));
            }
        }
    }
}

fn unpack(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    dir: &Path,
    tree: &str,
    image: &Image,
) -> Result<(), Failure> {
    let root = Path::new(PLACE).join(tree);
    let layers = image.layers.iter().map(|layer| LayerFile {
        path: Path::new(LAYERS).join(&layer.file),
        diff_id: layer.diff_id.clone(),
    });
    let trees = [
        (dir.to_owned(), PLACE.into(), false),
        (image.directory.clone(), PathBuf::from(LAYERS), true),
    ];
    if tree != TREE {
        maintenance::run(env, stage, &Task::MakeDirectories { paths: vec![root.clone()] }, &trees)?;
    }
    maintenance::run(env, stage, &Task::Unpack { root, layers: layers.collect() }, &trees)
}

/// The package manager that is in a tree: the one that the config wants, or, if another will do,
/// one that can install it.
pub(super) fn manager_in(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tree: &Path,
    another: bool,
) -> Result<PackageManager, Failure> {
    let wanted = PackageManager::of_bootstrap(env.options);
    let mut candidates = vec![wanted.clone()];
    if another {
        candidates.extend(dnf::installers(env.options));
    }
    let paths = candidates.iter().map(|manager| manager.program.clone()).collect();
    let pairs = candidates.into_iter().zip(programs(env, stage, tree, paths)?);
    let mut fitting = pairs.filter_map(|(manager, path)| path.map(|path| manager.at(&path)));
    fitting.next().flatten().ok_or_else(|| {
        let (kind, program) = (wanted.kind, wanted.program.display());
        let message =
            format!("the bootstrap root has no {kind} ({program}) to install others with");
        let hint = match env.options.buildroot_image {
            Some(_) => {
                "choose a bootstrap_image that has it, set bootstrap_image_ready to False, or \
                 choose another package_manager"
            }
            None => "install its package in the option that ends in _install_command",
        };
        Failure::infrastructure(stage.stage, status::PACKAGE_MANAGER, message, None)
            .with_hint(Some(hint.to_owned()))
    })
}

/// What programs of a tree lead to; none where there is no such program.
fn programs(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tree: &Path,
    paths: Vec<PathBuf>,
) -> Result<Vec<Option<PathBuf>>, Failure> {
    let place = PathBuf::from(PLACE);
    let task = Task::Programs { root: place.clone(), paths };
    let answer = maintenance::ask(env, stage, &task, &[(tree.to_owned(), place, true)])?;
    serde_json::from_str(&answer).map_err(|error| {
        let message = "the helper's answer cannot be read";
        Failure::infrastructure(stage.stage, status::GENERIC, message, Some(error.into()))
    })
}

fn failure(stage: &StageRun<'_>, error: ImageError) -> Failure {
    let hint = error.hint();
    let retryable = error.is_passing();
    let class = match error.is_disk_full() {
        true => Class::Resource,
        false => Class::Infrastructure,
    };
    let message = "the root cannot be started from its image";
    let failure =
        Failure::infrastructure(stage.stage, status::ROOT, message, Some(Box::new(error)));
    Failure { class, retryable, ..failure }.with_hint(hint)
}
