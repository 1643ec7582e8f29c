//! Where the package manager runs: among the host's programs, or in a bootstrap root.

use sandbox::spec::Root as SandboxRoot;

use super::Env;
use super::bootstrap;
use super::workspace::Workspace;
use crate::run::StageRun;
use crate::verdict::Failure;

/// The programs that a package manager runs among.
#[derive(Debug, Clone)]
pub enum Tools {
    /// Those of the host, read-only.
    Host,
    /// Those of a bootstrap root. What the package manager leaves there is thrown away.
    Root(SandboxRoot),
}

/// Runs `work` with the tools of the config: where it wants a bootstrap root, that is made if it
/// is missing, and kept for as long as `work` takes.
///
/// # Errors
///
/// The bootstrap root could not be made, or what `work` fails with.
pub fn with_tools<T>(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    work: impl FnOnce(&Tools) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(bootstrap) = &env.bootstrap else { return work(&Tools::Host) };
    let root = bootstrap::ensure(bootstrap, stage)?;
    let workspace = Workspace::create(bootstrap, stage, &root)?;
    let result = work(&Tools::Root(workspace.root()));
    workspace.remove(bootstrap);
    result
}
