//! Making the buildroot of a config from nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::account::{account, host_users};
use super::image::{self, Origin, Start};
use super::record::{self, INFO};
use super::roots::{RootInfo, TREE, discard, store_failure};
use super::sandboxes::BUILDROOT;
use super::store::{self, attempt};
use super::tools::{self, Tools};
use super::{Env, dnf, integrity, maintenance, packages};
use crate::helper::Task;
use crate::mock_config::{MockOptions, ModuleOptions};
use crate::run::StageRun;
use crate::verdict::{Failure, status};
use sandbox::spec::Root as SandboxRoot;

/// Makes the root in `dir`, which does not exist. What this leaves on failure is removed at the
/// end.
///
/// # Errors
///
/// The package manager failed, or the store cannot be used.
pub(super) fn make(env: &Env<'_>, stage: &StageRun<'_>, dir: &Path) -> Result<(), Failure> {
    let failed = |error| store_failure(stage.stage, error);
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
    // No package manager writes there meanwhile.
    let _lock = packages::lock_cache(env, stage)?;
    let removed = maintenance::run(env, stage, &task, &[(cache, directory, false)]);
    maintenance::or_note(stage, "old packages are not removed", removed).map(drop)
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
    let question = tools.map(|tools| packages::version_question(env, stage, tools)).transpose()?;
    let mut versions = BTreeMap::from([("rpm".to_owned(), rpm_version(env, stage, root())?)]);
    // It takes nearly as long as reading the tree, and one processor.
    let asked = question.as_ref().map(|question| stage.start(question)).transpose()?;
    let size = integrity::record(env, stage, &tree, dir)?;
    if let (Some(tools), Some(asked)) = (tools, asked)
        && let Some(version) = packages::version(asked)?
    {
        versions.insert(tools.manager.kind.to_string(), version);
    }
    let now = jiff::Timestamp::now().as_second();
    let info = RootInfo {
        config: env.options.root.clone(),
        parent: None,
        updates: 0,
        dbpath,
        size,
        packages: installed.len(),
        installed,
        created: now,
        begun: now,
        tools: versions,
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

/// The version of the buildroot's rpm, as it tells it.
fn rpm_version(env: &Env<'_>, stage: &StageRun<'_>, root: SandboxRoot) -> Result<String, Failure> {
    let argv = ["rpm", "--version"].map(str::to_owned).to_vec();
    Ok(first_line(&packages::query(env, stage, root, argv)?))
}

fn first_line(text: &str) -> String {
    crate::run::plain(text.lines().next().unwrap_or_default())
}
