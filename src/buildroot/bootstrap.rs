//! Making the buildroot of a config, once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sandbox::spec::Root as SandboxRoot;
use serde::{Deserialize, Serialize};

use super::account::{account, host_users};
use super::disk::Size;
use super::image::{self, Origin, Start};
use super::sandboxes::BUILDROOT;
use super::store::{self, Lock, LockKind, StoreError, attempt};
use super::tools::{self, Tools};
use super::{Env, dnf, integrity, maintenance, packages, record};
use crate::helper::Task;
use crate::mock_config::{MockOptions, ModuleOptions};
use crate::run::StageRun;
use crate::verdict::{Failure, Stage, status};

/// A buildroot that exists and stays as long as this value lives.
#[derive(Debug)]
pub struct Root {
    /// Name of its directory in the store.
    pub key: String,
    /// Its tree.
    pub tree: PathBuf,
    /// What is known of it.
    pub info: RootInfo,
    /// Whether it was there before.
    pub reused: bool,
    #[expect(dead_code, reason = "held, not used")]
    lock: Lock,
}

/// What is recorded of a complete buildroot. Its existence says that the root is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootInfo {
    /// Name of the config.
    pub config: String,
    /// rpm's database in the root, as the root's own rpm has it.
    pub dbpath: String,
    /// How much it has.
    pub size: Size,
    /// Number of packages.
    pub packages: usize,
    /// What is installed, as [`packages::installed`] lists it.
    pub installed: Vec<String>,
    /// When it was made, as seconds since 1970.
    pub created: i64,
    /// Versions of the tools that made it and that it has.
    pub tools: BTreeMap<String, String>,
    /// The image that it started from.
    #[serde(default)]
    pub image: Option<Origin>,
}

/// What says that a root is complete.
const INFO: &str = "info.json";
/// Name of the tree below the directory of a root.
pub(super) const TREE: &str = "root";
/// All trees that may be there.
pub(super) const TREES: [&str; 2] = [TREE, image::TOOLS];

/// Gives the buildroot of the config, making it if it is missing. Waits while another process
/// makes or removes it.
///
/// # Errors
///
/// The package manager failed, or the store cannot be used.
pub fn ensure(env: &Env<'_>, stage: &StageRun<'_>) -> Result<Root, Failure> {
    let key = env.key.clone();
    let dir = env.store.root(&key);
    let lock_path = lock_path(env, &key);
    let mut reused = true;
    let mut may_be_old = true;
    loop {
        let lock = take(stage, &lock_path, LockKind::Shared, "buildroot")?;
        if let Some(info) = read_info(&dir) {
            if may_be_old && is_old(env, &info) {
                may_be_old = false;
                drop(lock);
                // As long as others use it, it is good enough for one more.
                let alone = store::lock(&lock_path, LockKind::Exclusive, &mut store::do_not_wait)
                    .map_err(|error| store_failure(stage.stage, error))?;
                if alone.is_some() && read_info(&dir).is_some_and(|info| is_old(env, &info)) {
                    stage.note("the buildroot is made anew, as root_cache of the config wants it");
                    // First what says that it is complete: removing may stop half-way.
                    let info = dir.join(INFO);
                    attempt("forget the buildroot", &info, fs::remove_file(&info))
                        .map_err(|error| store_failure(stage.stage, error))?;
                    discard(env, &dir);
                    reused = false;
                }
                continue;
            }
            if !integrity::is_usable(env, stage, &dir, TREE)? {
                drop(lock);
                let _alone = take(stage, &lock_path, LockKind::Exclusive, "buildroot")?;
                integrity::evict(env, stage, &dir, &TREES)?;
                reused = false;
                continue;
            }
            let tree = dir.join(TREE);
            return Ok(Root { key, tree, info, reused, lock });
        }
        drop(lock);
        let _alone = take(stage, &lock_path, LockKind::Exclusive, "buildroot")?;
        if read_info(&dir).is_none() {
            (reused, may_be_old) = (false, false);
            make(env, stage, &dir)?;
        }
    }
}

/// Whether the config wants a newer root than this.
fn is_old(env: &Env<'_>, info: &RootInfo) -> bool {
    let policy = env.options.plugins.root_cache;
    let age = jiff::Timestamp::now().as_second() - info.created;
    let most = policy.max_age_days.map(|days| days.saturating_mul(86_400));
    // Without a cache, what this run has made is good for all of it.
    let is_cached = info.created < env.runner.began;
    (!policy.enabled && is_cached) || most.is_some_and(|most| age >= 0 && age.unsigned_abs() > most)
}

/// The lock of a root.
pub(super) fn lock_path(env: &Env<'_>, key: &str) -> PathBuf {
    env.store.roots().join(format!("{key}.lock"))
}

/// Takes a lock, waiting for whoever holds it until the build is cancelled. `what` it is on is
/// told then.
pub(crate) fn take(
    stage: &StageRun<'_>,
    path: &Path,
    kind: LockKind,
    what: &str,
) -> Result<Lock, Failure> {
    let mut told = false;
    let mut wait = || {
        if !told {
            stage.note(&format!("waiting for another process that uses the {what}"));
            told = true;
        }
        !stage.is_cancelled()
    };
    match store::lock(path, kind, &mut wait).map_err(|error| store_failure(stage.stage, error))? {
        Some(lock) => Ok(lock),
        None => Err(stage.interrupted()),
    }
}

/// What is known of the root of a key, if there is one.
pub(crate) fn known(env: &Env<'_>) -> Option<RootInfo> {
    read_info(&env.store.root(&env.key))
}

fn read_info(dir: &Path) -> Option<RootInfo> {
    record::read(&dir.join(INFO))
}

pub(crate) fn store_failure(stage: Stage, error: StoreError) -> Failure {
    let hint = error.hint();
    let class = match error.source.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ENOSPC as i32 => crate::verdict::Class::Resource,
        _ => crate::verdict::Class::Infrastructure,
    };
    let message = "the store cannot be used";
    Failure {
        class,
        ..Failure::infrastructure(stage, status::ROOT, message, Some(Box::new(error)))
    }
    .with_hint(hint)
}

/// Makes the root in `dir`. What an interrupted attempt left is removed first, and what this one
/// leaves on failure is removed at the end.
fn make(env: &Env<'_>, stage: &StageRun<'_>, dir: &Path) -> Result<(), Failure> {
    let failed = |error| store_failure(stage.stage, error);
    discard(env, dir);
    attempt("make the directory of the buildroot", dir, store::shared_directory(dir))
        .map_err(failed)?;
    forget_old_packages(env, stage)?;
    let result = make_tree(env, stage, dir);
    if result.is_err() {
        discard(env, dir);
    }
    result
}

/// Removes downloads that are older than the config wants to keep them.
fn forget_old_packages(env: &Env<'_>, stage: &StageRun<'_>) -> Result<(), Failure> {
    let cache = env.store.caches().join(&env.key);
    let days = env.options.plugins.package_cache_days.unwrap_or(u64::MAX);
    let (Some(seconds), true) = (days.checked_mul(86_400), cache.exists()) else { return Ok(()) };
    let directory = PathBuf::from("/run/albs-node/cache");
    let task = Task::RemoveOld { directory: directory.clone(), seconds };
    maintenance::run(env, stage, &task, &[(cache, directory, false)])
}

fn discard(env: &Env<'_>, dir: &Path) {
    if dir.exists() {
        let _ = super::remove::remove_trees(&env.context, &env.program, dir, &TREES);
    }
}

fn make_tree(env: &Env<'_>, stage: &StageRun<'_>, dir: &Path) -> Result<(), Failure> {
    let place = PathBuf::from("/run/albs-node/root-of-store");
    let trees = [(dir.to_owned(), place.clone(), false)];
    let task = Task::MakeDirectories { paths: vec![place.join(TREE)] };
    maintenance::run(env, stage, &task, &trees)?;
    match image::start(env, stage, dir)? {
        Start::Nothing => {
            tools::with_tools(env, stage, |tools| fill(env, stage, Some(tools), dir, None))
        }
        Start::Ready(origin) => fill(env, stage, None, dir, Some(origin)),
        Start::Base(origin) => {
            tools::with_tools(env, stage, |tools| fill(env, stage, Some(tools), dir, Some(origin)))
        }
        Start::WithTools(origin, tools) => {
            fill(env, stage, Some(&tools), dir, Some(origin))?;
            let task = Task::Remove { paths: vec![place.join(image::TOOLS)] };
            maintenance::run(env, stage, &task, &trees)
        }
    }
}

/// Completes the tree: packages, where there are tools to install them with, and what builds need
/// besides. It has the files of `origin` already.
fn fill(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tools: Option<&Tools>,
    dir: &Path,
    origin: Option<Origin>,
) -> Result<(), Failure> {
    let tree = dir.join(TREE);
    let root = || SandboxRoot::Directory { path: tree.clone(), read_only: false };
    // An image has a database, where its own rpm wants it.
    let first_dbpath = match origin {
        Some(_) => database_path(env, stage, root())?,
        None => dnf::DEFAULT_DBPATH.to_owned(),
    };

    // Before any package, whose scriptlets may want them.
    if !env.options.files.is_empty() {
        let files = env.options.files.clone().into_iter().collect();
        let task = Task::WriteFiles { root: BUILDROOT.into(), files };
        maintenance::run(env, stage, &task, &[(tree.clone(), BUILDROOT.into(), false)])?;
    }
    if let Some(tools) = tools {
        for command in &setup_commands(env.options) {
            let request = packages::Request {
                tools,
                root: root(),
                dbpath: &first_dbpath,
                command,
                visible: &[],
                what: "installing the buildroot",
            };
            packages::run(env, stage, &request)?;
        }
    }
    if env.is_bootstrap {
        image::manager_in(env, stage, &tree, false)?;
    }

    let dbpath = database_path(env, stage, root())?;
    let account = account(env);
    let host_users = host_users(env, stage)?;
    maintenance::run(
        env,
        stage,
        &Task::Prepare {
            root: BUILDROOT.into(),
            account,
            host_users,
            directories: env.options.extra_chroot_dirs.clone(),
            move_database: (dbpath != first_dbpath).then(|| (first_dbpath, dbpath.clone())),
        },
        &[(tree.clone(), BUILDROOT.into(), false)],
    )?;
    let installed = packages::installed(env, stage, root())?;
    // A bootstrap root's own rpm may be too new or too old for that of the host; what matters is
    // that it works for the root it installs.
    if installed.is_empty() && !env.is_bootstrap {
        return Err(Failure::infrastructure(
            stage.stage,
            status::ROOT,
            "the buildroot's own rpm cannot read the package database that this host's rpm wrote",
            None,
        )
        .with_hint(Some(
            "let the buildroot's own package manager install it: config_opts['use_bootstrap'] = True"
                .to_owned(),
        )));
    }
    let info = RootInfo {
        config: env.options.root.clone(),
        dbpath,
        size: integrity::record(env, stage, &tree, dir)?,
        packages: installed.len(),
        installed,
        created: jiff::Timestamp::now().as_second(),
        tools: versions(env, stage, tools, root())?,
        image: origin,
    };
    record::write(&dir.join(INFO), &info).map_err(|error| store_failure(stage.stage, error))
}

/// The package manager's commands that fill a new buildroot, in mock's order. A config may have
/// none.
pub fn setup_commands(options: &MockOptions) -> Vec<Vec<String>> {
    let ModuleOptions { setup_commands, enable, install } = &options.modules;
    let setup = setup_commands.iter().map(|(command, modules)| (command.as_str(), modules));
    let mut commands: Vec<Vec<String>> = [("enable", enable), ("install", install)]
        .into_iter()
        .chain(setup)
        .filter(|(_, modules)| !modules.is_empty())
        .map(|(command, modules)| {
            ["module", command].map(str::to_owned).into_iter().chain(modules.clone()).collect()
        })
        .collect();
    commands.push(options.chroot_setup_cmd.clone());
    if !options.chroot_additional_packages.is_empty() {
        let install = std::iter::once("install".to_owned());
        commands.push(install.chain(options.chroot_additional_packages.clone()).collect());
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// Where the buildroot's own rpm looks for its database.
fn database_path(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    root: SandboxRoot,
) -> Result<String, Failure> {
    let argv = ["rpm", "--eval", "%{_dbpath}"].map(str::to_owned).to_vec();
    let output = packages::query(env, stage, root, argv)?;
    let path = output.lines().last().unwrap_or_default().trim();
    if path.starts_with('/') && !path.contains("..") {
        Ok(path.to_owned())
    } else {
        // A home directory of nobody, as Debian's rpm has it.
        Ok(dnf::DEFAULT_DBPATH.to_owned())
    }
}

/// Versions of the package manager and of the buildroot's rpm, one line each.
fn versions(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tools: Option<&Tools>,
    root: SandboxRoot,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut versions = BTreeMap::new();
    let argv = ["rpm", "--version"].map(str::to_owned).to_vec();
    let rpm = packages::query(env, stage, root.clone(), argv)?;
    versions.insert("rpm".to_owned(), first_line(&rpm));
    if let Some(tools) = tools
        && let Some(version) = packages::manager_version(env, stage, tools, root)?
    {
        versions.insert(tools.manager.kind.to_string(), version);
    }
    Ok(versions)
}

fn first_line(text: &str) -> String {
    crate::run::plain(text.lines().next().unwrap_or_default())
}
