//! A directory in the store that sandboxes write to, and that is gone at the end: also after a
//! kill, since it is swept as workspaces of builds are.

use std::path::{Path, PathBuf};

use super::maintenance;
use super::remove;
use super::roots::{self, store_failure};
use super::sandboxes::Context;
use super::store::{self, Lock, LockKind, Store, attempt};
use crate::helper::Task;
use crate::run::StageRun;
use crate::verdict::Failure;

/// Name of the tree in its directory.
pub(super) const TREE: &str = "scratch";
/// Where the helper sees the directory.
const PLACE: &str = "/run/albs-node/made";

/// What working in trees of mapped ids takes.
#[derive(Debug, Clone, Copy)]
pub struct Tools<'a> {
    /// What all sandboxes have in common.
    pub context: &'a Context,
    /// This program, which works inside maintenance sandboxes.
    pub program: &'a Path,
    /// Where the trees are.
    pub store: &'a Store,
}

/// The directory; removed with this value.
#[derive(Debug)]
pub struct Scratch<'a> {
    tools: Tools<'a>,
    dir: PathBuf,
    _lock: Lock,
}

impl<'a> Scratch<'a> {
    /// Makes one, empty, of the sandbox's root.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    pub fn new(tools: Tools<'a>, stage: &StageRun<'_>) -> Result<Scratch<'a>, Failure> {
        let dir = tools.store.builds().join(remove::workspace_name());
        let lock_path = dir.with_extension("lock");
        let lock = roots::take(stage, &lock_path, LockKind::Exclusive, "directory of sources")?;
        let scratch = Scratch { tools, dir, _lock: lock };
        attempt("make the directory", &scratch.dir, store::shared_directory(&scratch.dir))
            .map_err(|error| store_failure(stage.stage, error))?;
        make_tree(tools, stage, &scratch.dir, TREE)?;
        Ok(scratch)
    }

    /// The tree that sandboxes may write to.
    pub fn tree(&self) -> PathBuf {
        self.dir.join(TREE)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // What cannot be removed is swept later.
        let _ = remove::remove_workspace(self.tools.context, self.tools.program, &self.dir);
    }
}

/// Makes a directory of the sandbox's root in a shared one.
///
/// # Errors
///
/// It cannot be made.
pub fn make_tree(
    tools: Tools<'_>,
    stage: &StageRun<'_>,
    dir: &Path,
    name: &str,
) -> Result<(), Failure> {
    let task = Task::MakeDirectories { paths: vec![Path::new(PLACE).join(name)] };
    let place = (dir.to_owned(), PathBuf::from(PLACE), false);
    maintenance::run_in(tools.context, tools.program, stage, &task, &[place])
}
