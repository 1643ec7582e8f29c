//! The throw-away, writable part of a build: an overlay over the buildroot, or a copy of it where
//! the kernel has no overlayfs for user namespaces.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sandbox::spec::Root as SandboxRoot;
use sandbox::{Exit, Sandbox};
use serde::Serialize;

use super::layers::Layer;
use super::record::{self, INFO};
use super::roots::{self, Root, store_failure};
use super::store::{self, Lock, LockKind, StoreError, attempt};
use super::{Env, layers, maintenance, remove};
use crate::helper::Task;
use crate::profile::ProfileName;
use crate::run::{Log, StageRun};
use crate::verdict::{Class, Failure, classify_helper, status};

/// Trees of a workspace that belong to mapped ids.
pub(super) const TREES: [&str; 4] = ["upper", "work", "copy", super::scratch::TREE];

/// File of a lasting workspace with the key of the layer that it lies on.
pub(super) const LAYER: &str = "layer.json";
/// File of the store with the kernel on which overlays work there.
const OVERLAY_WORKS: &str = "overlay";

/// A workspace. Must be given to [`Workspace::remove`] at the end; what is not, because the
/// program was killed, is swept at a later start.
#[derive(Debug)]
pub struct Workspace {
    dir: PathBuf,
    /// Read-only trees below what is written, the lowest first.
    lower: Vec<PathBuf>,
    /// A layer over them.
    layer: RefCell<Option<Layer>>,
    copied: bool,
    lock: Option<Lock>,
}

impl Workspace {
    /// Makes a workspace for one build.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    pub fn create(env: &Env<'_>, stage: &StageRun<'_>, root: &Root) -> Result<Workspace, Failure> {
        Workspace::make(env, stage, root, memory(env, stage))
    }

    /// As [`Workspace::create`], never in memory, since it may become a layer of the store.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    pub(super) fn on_disk(
        env: &Env<'_>,
        stage: &StageRun<'_>,
        root: &Root,
    ) -> Result<Workspace, Failure> {
        Workspace::make(env, stage, root, None)
    }

    fn make(
        env: &Env<'_>,
        stage: &StageRun<'_>,
        root: &Root,
        memory: Option<PathBuf>,
    ) -> Result<Workspace, Failure> {
        let failed = |error| store_failure(stage.stage, error);
        let dir = env.store.builds().join(remove::workspace_name());
        // Of our own, so nobody holds it.
        let lock_path = dir.with_extension("lock");
        let lock = roots::take(stage, &lock_path, LockKind::Exclusive, "workspace")?;
        let made = match memory {
            Some(memory) => in_memory(&memory, &dir),
            None => attempt("make the workspace", &dir, store::shared_directory(&dir)),
        };
        let mut workspace = Workspace {
            dir,
            lower: root.trees.clone(),
            copied: false,
            lock: Some(lock),
            layer: RefCell::default(),
        };
        if let Err(error) = made {
            workspace.remove(env);
            return Err(failed(error));
        }
        match workspace.fill(env, stage) {
            Ok(()) => Ok(workspace),
            Err(failure) => {
                workspace.remove(env);
                Err(failure)
            }
        }
    }

    /// Opens the lasting workspace in `dir`, making it if it is missing. The caller holds a lock.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    pub fn lasting(
        env: &Env<'_>,
        stage: &StageRun<'_>,
        root: &Root,
        dir: PathBuf,
    ) -> Result<Workspace, Failure> {
        let failed = |error| store_failure(stage.stage, error);
        let mut workspace = Workspace {
            dir,
            lower: root.trees.clone(),
            copied: false,
            lock: None,
            layer: RefCell::default(),
        };
        if let Some(key) = record::read::<String>(&workspace.dir.join(LAYER)) {
            let Some(layer) = layers::open(env, stage, &key, true)? else {
                return Err(lost_layer(env, stage));
            };
            workspace.put(layer);
        }
        if workspace.dir.join("copy").exists() {
            workspace.copied = true;
        } else if !workspace.dir.join("work").exists() {
            let made = store::shared_directory(&workspace.dir);
            attempt("make the workspace", &workspace.dir, made).map_err(failed)?;
            workspace.fill(env, stage)?;
        }
        Ok(workspace)
    }

    /// Copies the root where there is no overlay. Not fuse-overlayfs: a copy takes 0.8 s, and a
    /// build of 25 s took 31 s on it.
    fn fill(&mut self, env: &Env<'_>, stage: &StageRun<'_>) -> Result<(), Failure> {
        if overlays_work(env) {
            return Ok(());
        }
        match self.try_overlay(env, stage)? {
            None => {
                let noted = env.store.write(OVERLAY_WORKS, &env.context.host.kernel);
                noted.map(drop).map_err(|error| store_failure(stage.stage, error))
            }
            Some(reason) => {
                stage.note(&format!(
                    "copying the buildroot, since overlayfs is not usable: {reason}"
                ));
                self.copied = true;
                self.copy(env, stage)
            }
        }
    }

    /// Tries the overlay with the least command there is; gives the reason if it cannot be made.
    fn try_overlay(&self, env: &Env<'_>, stage: &StageRun<'_>) -> Result<Option<String>, Failure> {
        let environment = &env.options.environment;
        let argv = vec!["true".to_owned()];
        let mut spec = env
            .context
            .chroot("probe", ProfileName::Rpmbuild, self.root(), Vec::new(), environment, argv)
            .map_err(|error| own_fault(stage, Box::new(error)))?;
        spec.limits = sandbox::spec::Limits::default();
        spec.accounting = false;
        let outcome = Sandbox::spawn(&spec, &env.runner.host)
            .and_then(|sandbox| sandbox.wait(&mut |_| {}))
            .map_err(|error| {
                let hint = error.hint();
                own_fault(stage, Box::new(error)).with_hint(hint)
            })?;
        Ok(match outcome.exit {
            Exit::CouldNotStart(failure) if failure.step.starts_with("root: overlay") => {
                Some(failure.to_string())
            }
            _ => None,
        })
    }

    fn copy(&self, env: &Env<'_>, stage: &StageRun<'_>) -> Result<(), Failure> {
        let place = PathBuf::from("/run/albs-node/workspace");
        let task = Task::MakeDirectories { paths: vec![place.join("copy")] };
        maintenance::run(env, stage, &task, &[(self.dir.clone(), place, false)])?;
        let (from, to) = ("/run/albs-node/base", "/run/albs-node/workspace");
        let base = self.lower[0].clone();
        let trees = [(base, from.into(), true), (self.dir.clone(), to.into(), false)];
        let mut spec = env
            .context
            .maintenance(stage.stage.as_str(), ProfileName::Maintenance, &env.program, &trees, &[])
            .map_err(|error| own_fault(stage, Box::new(error)))?;
        let arguments = ["cp", "-a", "--reflink=auto", "--", "/run/albs-node/base/."];
        spec.argv = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        spec.argv.push(format!("{to}/copy"));
        let finished = stage.sandbox(&spec, Log::Root)?;
        if finished.outcome.exit.success() {
            return Ok(());
        }
        let message = "the buildroot could not be copied".to_owned();
        Err(classify_helper(stage.stage, message, &finished.tail))
    }

    /// The root for sandboxes of this build.
    pub fn root(&self) -> SandboxRoot {
        if self.copied {
            SandboxRoot::Directory { path: self.dir.join("copy"), read_only: false }
        } else {
            SandboxRoot::Overlay {
                layers: self.layers(),
                upper: self.dir.join("upper"),
                work: self.dir.join("work"),
                // A lasting one has what its user did by hand.
                volatile: self.lock.is_some(),
            }
        }
    }

    fn layers(&self) -> Vec<PathBuf> {
        let layer = self.layer.borrow();
        self.lower.iter().cloned().chain(layer.iter().map(|layer| layer.tree.clone())).collect()
    }

    /// Puts a layer between the root and what is written, in place of an earlier one. Nothing may
    /// run in the workspace meanwhile; overlayfs allows other layers below a mount that is made
    /// anew (overlayfs document of the kernel, "Changes to underlying filesystems").
    pub fn put(&self, layer: Layer) {
        self.layer.replace(Some(layer));
    }

    /// Whether a layer was put in.
    pub fn has_layer(&self) -> bool {
        self.layer.borrow().is_some()
    }

    /// The list of packages of the layer that was put in.
    pub fn installed(&self) -> Option<Vec<String>> {
        self.layer.borrow().as_ref().map(|layer| layer.info.installed.clone())
    }

    /// Its directory in the store.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Gives what was written a lasting place, with its record, in place of what an interrupted
    /// removal has left there. The caller holds the lock of the place.
    pub(super) fn publish(
        mut self,
        env: &Env<'_>,
        place: &Path,
        trees: &[&str],
        info: &impl Serialize,
    ) -> Result<(), StoreError> {
        let prepared = record::write(&self.dir.join(INFO), info).and_then(|()| {
            remove::remove_trees(&env.context, &env.program, place, trees)
                .map_err(|reason| store::other("remove", place, reason))
        });
        if let Err(error) = prepared {
            self.remove(env);
            return Err(error);
        }
        attempt("publish the layer", place, fs::rename(&self.dir, place))?;
        let _ = fs::remove_file(self.dir.with_extension("lock"));
        self.lock.take();
        Ok(())
    }

    /// The host directory that holds what the build has written.
    pub fn written(&self) -> PathBuf {
        self.dir.join(if self.copied { "copy" } else { "upper" })
    }

    /// Whether that has the buildroot in it as well, as a copy.
    pub fn is_copy(&self) -> bool {
        self.copied
    }

    /// A directory of this user beside the trees, for inputs and outputs.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn directory(&self, stage: &StageRun<'_>, name: &str) -> Result<PathBuf, Failure> {
        let path = self.dir.join(name);
        // Readable for mapped ids, whatever the umask says.
        let made = fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        attempt("make the directory", &path, made)
            .map_err(|error| store_failure(stage.stage, error))?;
        Ok(path)
    }

    /// Removes everything after a build, or keeps it for a shell if the config wants that.
    pub fn end(self, env: &Env<'_>, root: &Root, result: &Result<(), Failure>) {
        let (built, failed) = env.options.keep;
        match result {
            Ok(()) if built => self.keep(env, root),
            Err(failure) if failed && failure.class != Class::Cancelled => self.keep(env, root),
            _ => self.remove(env),
        }
    }

    /// Makes what was written the lasting layer of the root, in place of one that is there; the
    /// next shell sees it. Where that is not possible, everything is removed; both is told.
    fn keep(mut self, env: &Env<'_>, root: &Root) {
        let kept = self.try_keep(env, root);
        if let Err(reason) = &kept {
            tell(env, format!("what the build left is not kept: {reason}"));
            return self.remove(env);
        }
        self.lock.take();
        let name = &env.options.root;
        tell(
            env,
            format!("what the build left is kept; look at it with: albs-node shell -r {name}"),
        );
    }

    fn try_keep(&self, env: &Env<'_>, root: &Root) -> Result<(), String> {
        let dir = env.store.sessions().join(&root.key);
        let lock = env.store.sessions().join(format!("{}.lock", root.key));
        let _lock = store::lock(&lock, LockKind::Exclusive, &mut store::do_not_wait)
            .map_err(|error| format!("{error}: {}", error.source))?
            .ok_or("somebody uses the shell of this buildroot")?;
        if self.dir.is_symlink() {
            return Err("it is in memory, as the plugin tmpfs wants it".to_owned());
        }
        remove::remove_trees(&env.context, &env.program, &dir, &TREES)?;
        if let Some(layer) = &*self.layer.borrow() {
            record::write(&self.dir.join(LAYER), &layer.key).map_err(|error| error.to_string())?;
        }
        fs::rename(&self.dir, &dir).map_err(|error| error.to_string())?;
        let _ = fs::remove_file(self.dir.with_extension("lock"));
        Ok(())
    }

    /// Removes everything. A failure is told, not returned: the build's own result counts more.
    pub fn remove(mut self, env: &Env<'_>) {
        if let Err(error) = remove::remove_workspace(&env.context, &env.program, &self.dir) {
            tell(env, format!("the workspace was not removed: {error}"));
        }
        self.lock.take();
    }
}

fn tell(env: &Env<'_>, text: String) {
    let stage = crate::verdict::Stage::Collect;
    env.runner.sink.send(&crate::run::Event::Note { stage, text });
}

/// The directory in memory for what builds write, if the config wants that and the host has room.
fn memory(env: &Env<'_>, stage: &StageRun<'_>) -> Option<PathBuf> {
    let wanted = env.options.plugins.tmpfs.as_ref()?;
    let total = crate::resources::host_memory_bytes() >> 20;
    if total < wanted.required_ram_mb {
        stage.note(&format!(
            "the build is on the disk: this host has {total} MiB of memory, and the plugin tmpfs \
             of the config asks for {}",
            wanted.required_ram_mb
        ));
        return None;
    }
    let place = store::memory_directory();
    if place.is_none() {
        stage.note("the build is on the disk: /dev/shm is no file system in memory");
    }
    place
}

/// Makes the workspace in memory, and a link to it where workspaces are found.
fn in_memory(memory: &Path, dir: &Path) -> Result<(), StoreError> {
    let place = memory.join(dir.file_name().unwrap_or_default());
    // First the link: what it leads to is swept with it.
    attempt("make the workspace", dir, std::os::unix::fs::symlink(&place, dir))?;
    loop {
        attempt("make the directory in memory", memory, store::private_directory(memory))?;
        attempt("use the directory in memory", memory, store::check_owner(memory))?;
        match store::shared_directory(&place) {
            // A build that ended just now has taken the directory along.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            made => return attempt("make the workspace", &place, made),
        }
    }
}

/// Whether overlays are known to work in the store. What worked once goes on to work, until the
/// kernel is another.
pub(super) fn overlays_work(env: &Env<'_>) -> bool {
    env.store.read(OVERLAY_WORKS).is_some_and(|kernel| kernel == env.context.host.kernel)
}

fn lost_layer(env: &Env<'_>, stage: &StageRun<'_>) -> Failure {
    let message = "the build dependencies that were kept with the buildroot are gone";
    let hint = format!("remove what is left with: albs-node clean -r {}", env.options.root);
    Failure::infrastructure(stage.stage, status::ROOT, message, None).with_hint(Some(hint))
}

fn own_fault(stage: &StageRun<'_>, error: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    let message = "a sandbox for the workspace could not be used";
    Failure::infrastructure(stage.stage, status::ISOLATION, message, Some(error))
}
