//! What installs into a buildroot: a package manager, and the programs that it runs among.

use sandbox::spec::Root as SandboxRoot;

use super::Env;
use super::dnf::PackageManager;
use super::roots;
use super::workspace::Workspace;
use crate::run::StageRun;
use crate::verdict::{Failure, status};

/// A package manager where it runs.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The package manager.
    pub manager: PackageManager,
    /// What it runs among.
    pub programs: Programs,
}

/// The programs that a package manager runs among.
#[derive(Debug, Clone)]
pub enum Programs {
    /// Those of the host, read-only.
    Host,
    /// Those of a root, which the package manager may change.
    Root(SandboxRoot),
}

/// Runs `work` with the tools of the config: where it wants a bootstrap root, that is made if it
/// is missing, and kept for as long as `work` takes. What is changed there is thrown away.
///
/// # Errors
///
/// There is no package manager, the bootstrap root could not be made, or what `work` fails with.
pub fn with_tools<T>(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    work: impl FnOnce(&Tools) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let manager = planned_manager(env, stage)?;
    let Some(bootstrap) = &env.bootstrap else {
        return work(&Tools { manager, programs: Programs::Host });
    };
    let root = roots::ensure(bootstrap, stage)?;
    let workspace = Workspace::create(bootstrap, stage, &root)?;
    let result = work(&Tools { manager, programs: Programs::Root(workspace.root()) });
    workspace.remove(bootstrap);
    result
}

/// The package manager that installs into the buildroot: the bootstrap root's, or the host's.
fn planned_manager(env: &Env<'_>, stage: &StageRun<'_>) -> Result<PackageManager, Failure> {
    env.manager().map_err(|error| {
        let hint = error.hint();
        let message = "the buildroot cannot be installed";
        Failure::infrastructure(stage.stage, status::PACKAGE_MANAGER, message, Some(error.into()))
            .with_hint(Some(hint))
    })
}
