//! Updates laid over a root whose repositories have moved on, where that gives what a new root
//! would have.

use std::fs;
use std::path::PathBuf;

use sandbox::spec::Root as SandboxRoot;

use super::bootstrap::setup_commands;
use super::roots::{RootInfo, TREES, existing, store_failure};
use super::tools::{self, Tools};
use super::workspace::Workspace;
use super::{Env, dnf, integrity, maintenance, packages, scriptlets};
use crate::helper::Task;
use crate::mock_config::Manager;
use crate::run::StageRun;
use crate::verdict::Failure;

/// Name of the tree in which a new root is worked out.
const TRIAL: &str = "copy";

/// Whether the package manager can say what a new root would have: all but microdnf.
pub(super) fn can_compare(env: &Env<'_>) -> bool {
    env.manager().is_ok_and(|manager| manager.kind != Manager::Microdnf)
}

/// Makes the root `to` by updating the root `from`. The caller holds the lock of `to` alone. Says
/// whether it did: not if what comes out is not what a new root would have.
///
/// # Errors
///
/// The store cannot be used, or the build was cancelled. A package manager that fails is no error:
/// making the root anew tells what is wrong.
pub(super) fn update(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    from: &str,
    to: &str,
) -> Result<bool, Failure> {
    let Some(root) = existing(env, stage, from)? else { return Ok(false) };
    stage.note("the repositories have changed: updating the buildroot");
    let workspace = Workspace::on_disk(env, stage, &root)?;
    if workspace.is_copy() {
        workspace.remove(env);
        return Ok(false);
    }
    let made = tools::with_tools(env, stage, |tools| {
        let scripts = scriptlets::of(env, stage, workspace.root())?;
        let dbpath = &root.info.dbpath;
        let update = [vec!["update".to_owned()]];
        for command in update.iter().chain(&setup_commands(env.options)) {
            let what = "updating the buildroot";
            let request = packages::Request {
                tools,
                root: workspace.root(),
                dbpath,
                command,
                visible: &[],
                what,
            };
            packages::run(env, stage, &request)?;
        }
        let installed = packages::installed(env, stage, workspace.root())?;
        let now = scriptlets::of(env, stage, workspace.root())?;
        let differs = match (scriptlets::stale(&scripts, &now), &root.info.image) {
            (Some(name), _) => Some(format!("what scriptlets of the old {name} may have left")),
            // What an image has besides packages cannot be worked out.
            (None, Some(_)) => None,
            (None, None) => difference(&installed, &of_new_root(env, stage, tools, &workspace)?),
        };
        Ok((installed, differs))
    });
    let (installed, differs) = match made {
        Ok(made) => made,
        Err(failure) => {
            workspace.remove(env);
            if stage.is_cancelled() {
                return Err(failure);
            }
            stage.note(&format!("{failure}; the buildroot is made anew"));
            return Ok(false);
        }
    };
    if let Some(difference) = differs {
        workspace.remove(env);
        stage.note(&format!("the buildroot is made anew: updated, it has {difference}"));
        return Ok(false);
    }
    let info = RootInfo {
        parent: Some(from.to_owned()),
        updates: root.info.updates + 1,
        packages: installed.len(),
        installed,
        created: jiff::Timestamp::now().as_second(),
        ..root.info.clone()
    };
    publish(env, stage, workspace, to, info)
}

fn publish(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    workspace: Workspace,
    to: &str,
    info: RootInfo,
) -> Result<bool, Failure> {
    let dir = env.store.root(to);
    let recorded = integrity::record(env, stage, &workspace.written(), workspace.path());
    let size = match recorded {
        Ok(size) => size,
        Err(failure) => {
            workspace.remove(env);
            return Err(failure);
        }
    };
    let manifest = fs::read_to_string(workspace.path().join(integrity::MANIFEST));
    if let Some(left) = left_behind(manifest.as_deref().unwrap_or_default()) {
        workspace.remove(env);
        stage.note(&format!("the buildroot is made anew: an update has {left}"));
        return Ok(false);
    }
    let info = RootInfo { size, ..info };
    workspace
        .publish(env, &dir, &TREES, &info)
        .map_err(|error| store_failure(stage.stage, error))
        .map(|()| true)
}

/// What a new root would have: rpm is let install everything into an empty database, and no file.
fn of_new_root(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tools: &Tools,
    workspace: &Workspace,
) -> Result<Vec<String>, Failure> {
    let place = PathBuf::from("/run/albs-node/workspace");
    let trees = [(workspace.path().to_owned(), place.clone(), false)];
    let task = Task::MakeDirectories { paths: vec![place.join(TRIAL)] };
    maintenance::run(env, stage, &task, &trees)?;
    let path = workspace.path().join(TRIAL);
    let root = || SandboxRoot::Directory { path: path.clone(), read_only: false };
    let what = "working out what a new buildroot has";
    let dbpath = dnf::DEFAULT_DBPATH;
    for command in &setup_commands(env.options) {
        let request =
            packages::Request { tools, root: root(), dbpath, command, visible: &[], what };
        packages::run_for_database(env, stage, &request)?;
    }
    let request =
        packages::Request { tools, root: root(), dbpath, command: &[], visible: &[], what };
    let listed = packages::listed(env, stage, &request);
    let task = Task::Remove { paths: vec![place.join(TRIAL)] };
    maintenance::run(env, stage, &task, &trees)?;
    listed
}

/// What an update has left that a new root would not have, from the manifest of what it has
/// written.
fn left_behind(manifest: &str) -> Option<&'static str> {
    let path = |line: &str| line.split("\" ").next().unwrap_or_default().to_owned();
    let paths: Vec<String> = manifest.lines().map(path).collect();
    // Files that were changed here and in a new package: a new root has the package's.
    if paths.iter().any(|path| path.ends_with(".rpmnew") || path.ends_with(".rpmsave")) {
        return Some("left files beside changed ones");
    }
    // The numbers of users depend on the order in which packages make them.
    let users = ["\"etc/passwd", "\"etc/group"];
    paths.iter().any(|path| users.contains(&path.as_str())).then_some("changed users or groups")
}

/// The names of the packages in lines of `packages::installed`.
fn names(lines: &[String]) -> std::collections::BTreeSet<&str> {
    lines.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect()
}

/// What one list of packages has and the other has not, for people.
fn difference(updated: &[String], new: &[String]) -> Option<String> {
    let (updated, new) = (names(updated), names(new));
    let list = |one: &std::collections::BTreeSet<&str>,
                other: &std::collections::BTreeSet<&str>| {
        let names: Vec<&str> = one.difference(other).take(3).copied().collect();
        names.join(", ")
    };
    let (more, less) = (list(&updated, &new), list(&new, &updated));
    match (more.is_empty(), less.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{more} that a new one has not")),
        (true, false) => Some(format!("not {less}, which a new one has")),
        (false, false) => Some(format!("{more} where a new one has {less}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind() {
        let of = |name: &str| left_behind(&format!("\"usr\" d 755 0 0\n\"{name}\" f 644 0 0\n"));
        assert_eq!(of("etc/passwd-"), None);
        assert_eq!(of("etc/passwd"), Some("changed users or groups"));
        assert_eq!(of("etc/a.conf.rpmnew"), Some("left files beside changed ones"));
    }

    #[test]
    fn differences() {
        let lines = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{name} 1 2 3 4")).collect()
        };
        let said = |a: &[&str], b: &[&str]| difference(&lines(a), &lines(b));
        assert_eq!(said(&["a-1", "b-1"], &["b-1", "a-1"]), None);
        assert_eq!(said(&["a-1"], &[]).unwrap(), "a-1 that a new one has not");
        assert_eq!(said(&[], &["a-1"]).unwrap(), "not a-1, which a new one has");
        assert_eq!(said(&["a-1"], &["a-2"]).unwrap(), "a-1 where a new one has a-2");
    }
}
