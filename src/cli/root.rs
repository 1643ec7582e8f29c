//! `albs-node init`, `shell` and `install`: work in the buildroot of a config by hand.
//!
//! What is changed there lasts until `clean`, in a layer over the buildroot: builds do not see it.

use std::path::{Path, PathBuf};

use sandbox::spec::{Limits, Mount};
use sandbox::{Exit, Sandbox};

use super::args::{self, Common};
use super::error::CliError;
use super::output::{print, sink};
use super::setup::{Setup, StoreUse};
use super::signals::{self, Forwarding};
use super::terminal;
use crate::build::commands;
use crate::buildroot::inventory;
use crate::buildroot::roots::{self, Root};
use crate::buildroot::store::{self, LockKind};
use crate::buildroot::tools::with_tools;
use crate::buildroot::workspace::Workspace;
use crate::buildroot::{Env, packages};
use crate::profile::ProfileName;
use crate::run::{Cancel, Logs};
use crate::verdict::{Stage, status};

pub(super) fn init(args: &args::Init) -> Result<u8, CliError> {
    let (root, reused) = with_root(&args.common, |_, _, root| Ok((root.key.clone(), root.reused)))?;
    if !args.common.quiet && !args.common.json {
        let how = if reused { "is there already" } else { "is ready" };
        print(format_args!("buildroot {root} {how}"));
    }
    Ok(0)
}

pub(super) fn install(args: &args::Install) -> Result<u8, CliError> {
    with_root(&args.common, |env, _stops, root| {
        // Paths of packages are shown to the package manager; names are its own business.
        let mut visible: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut command = vec!["install".to_owned()];
        for name in &args.packages {
            match Path::new(name).canonicalize() {
                Ok(path) if name.ends_with(".rpm") => {
                    let file = path.file_name().unwrap_or_default();
                    let inside = Path::new("/run/albs-node/packages").join(file);
                    command.push(inside.display().to_string());
                    visible.push((path, inside));
                }
                _ => command.push(name.clone()),
            }
        }
        env.runner.stage(Stage::Install, "installing packages", |stage| {
            let (_lock, workspace) = open_lasting(env, stage, root)?;
            with_tools(env, stage, |tools| {
                let request = packages::Request {
                    tools,
                    root: workspace.root(),
                    dbpath: &root.info.dbpath,
                    command: &command,
                    visible: &visible,
                    what: "installing packages",
                };
                packages::run(env, stage, &request)
            })
        })?;
        Ok(())
    })?;
    Ok(0)
}

pub(super) fn shell(args: &args::Shell) -> Result<u8, CliError> {
    with_root(&args.common, |env, stops, root| {
        let (_lock, workspace) =
            env.runner.stage(Stage::Install, "opening the buildroot", |stage| {
                open_lasting(env, stage, root)
            })?;
        let argv = match args.command.is_empty() {
            true => vec!["bash".to_owned(), "--login".to_owned()],
            false => args.command.clone(),
        };
        let profile = if args.unpriv { ProfileName::Rpmbuild } else { ProfileName::Shell };
        let options = env.options;
        // What the build user's rpmbuild would know.
        let macros = Mount::File {
            destination: Path::new(&options.chroothome).join(".rpmmacros"),
            content: commands::macro_file(options, &[], None),
            mode: 0o644,
        };
        let mut spec = env
            .context
            .chroot("shell", profile, workspace.root(), vec![macros], &options.environment, argv)
            .map_err(|error| CliError::new(status::GENERIC, error, None))?;
        if options.has_network() {
            env.context.open_network(&mut spec);
        }
        if !args.unpriv {
            spec.capabilities.extend(options.nspawn.capabilities.iter().cloned());
            spec.capabilities.sort();
            spec.capabilities.dedup();
        }
        terminal::attach(&mut spec);
        if args.unpriv {
            spec.cwd = env.options.chroothome.clone().into();
        }
        let failed = |error: sandbox::SandboxError| {
            let hint = error.hint();
            CliError::new(status::ISOLATION, error, hint)
        };
        let sandbox = Sandbox::spawn(&spec, &env.runner.host).map_err(failed)?;
        // From here on, signals are for the command.
        let _forwarding = signals::forward(sandbox.killer(), &spec);
        drop(stops);
        match sandbox.wait(&mut |_| {}).map_err(failed)?.exit {
            Exit::Exited(code) => Ok(code as u8),
            Exit::Signaled(signal) => Ok((128 + signal) as u8),
            Exit::CouldNotStart(failure) => {
                let hint = failure.hint.clone();
                Err(CliError::new(status::ISOLATION, failure, hint))
            }
            Exit::TimedOut | Exit::Silent | Exit::OomKilled | Exit::Cancelled => Ok(137),
        }
    })
}

/// Runs `work` with the buildroot of the config, made if it is missing. As long as `work` keeps
/// its second argument, signals stop what runs; without it, they would be lost, since a handler
/// once set stays.
fn with_root<T>(
    common: &Common,
    work: impl FnOnce(&Env<'_>, Forwarding, &Root) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let setup = Setup::new(common, StoreUse::Make)?;
    let cancel = Cancel::default();
    let signals = signals::cancel(cancel.clone());
    let runner = setup.runner(&Limits::default(), cancel, sink(common), Logs::none());
    let env = setup.env(&runner, None);
    let root =
        runner.stage(Stage::Bootstrap, "chroot init", |stage| root_of_session(&env, stage))?;
    work(&env, signals, &root)
}

/// The root that an earlier shell lies on, whatever the repositories hold by now: what was done there
/// by hand is not lost. Else the root as the repositories are.
fn root_of_session(
    env: &Env<'_>,
    stage: &crate::run::StageRun<'_>,
) -> Result<Root, crate::verdict::Failure> {
    for key in inventory::sessions_of(env.store, &env.key) {
        if let Some(root) = roots::existing(env, stage, &key)? {
            return Ok(root);
        }
    }
    roots::ensure(env, stage)
}

type Lasting = (store::Lock, Workspace);

/// Opens the layer that `install` and `shell` change, alone.
fn open_lasting(
    env: &Env<'_>,
    stage: &crate::run::StageRun<'_>,
    root: &Root,
) -> Result<Lasting, crate::verdict::Failure> {
    let dir = env.store.sessions().join(&root.key);
    let path = env.store.sessions().join(format!("{}.lock", root.key));
    let lock = roots::take(stage, &path, LockKind::Exclusive, "shell of this buildroot")?;
    Ok((lock, Workspace::lasting(env, stage, root, dir)?))
}
