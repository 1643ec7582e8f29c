//! The size of what a build writes. Nothing that works for every user and file system limits a
//! directory tree, so it is looked at while the build runs, and the build is ended when it has
//! become too large: the free space of the file system every half second, and the tree itself
//! when much of that has gone, or half a minute has passed.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandbox::Killer;
use serde::{Deserialize, Serialize};

use super::sandboxes::Context;
use super::workspace::Workspace;
use super::{Env, maintenance};
use crate::helper::Task;

/// Time between looks at the file system.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time after which the tree is looked at even if no space seems to be gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time between two looks at the tree, however long one takes.
const LONGEST: Duration = Duration::from_secs(20);
/// Where the helper sees the tree.
const PLACE: &str = "/run/albs-node/tree";

/// How much there is, or may be, in a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files, directories, links.
    pub inodes: u64,
}

impl Size {
    /// Whether either is more than that of a limit.
    fn exceeds(&self, limit: &Size) -> bool {
        self.bytes > limit.bytes || self.inodes > limit.inodes
    }

    /// What is left of it without another.
    fn less(&self, other: &Size) -> Size {
        Size {
            bytes: self.bytes.saturating_sub(other.bytes),
            inodes: self.inodes.saturating_sub(other.inodes),
        }
    }

    /// What of the limit would be a reason to look closer.
    fn share(&self, part: u64) -> Size {
        Size { bytes: self.bytes / part, inodes: self.inodes / part }
    }
}

/// Bytes that are free for ordinary users on the file system of a path.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let data = nix::sys::statvfs::statvfs(path).ok()?;
    Some(data.blocks_available().saturating_mul(data.fragment_size()))
}

/// Watches a tree until it is asked for the result.
#[derive(Debug)]
pub struct DiskWatch {
    stop: Sender<()>,
    thread: JoinHandle<Watched>,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched {
    /// The size of the tree, if it was the reason to end the build.
    pub too_large: Option<Size>,
    /// How often the tree could not be looked at.
    pub failed: u32,
}

impl DiskWatch {
    /// Watches what the build writes to the workspace, and kills its sandbox when that exceeds
    /// `limit`.
    pub fn start(env: &Env<'_>, workspace: &Workspace, limit: Size, killer: Killer) -> DiskWatch {
        let (tree, is_copy) = (workspace.written(), workspace.is_copy());
        let (context, program) = (env.context.clone(), env.program.clone());
        // The tree itself is made by the first sandbox.
        let place = workspace.path().to_owned();
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let free_at_start = free(&place);
            let before = match is_copy {
                true => measure(&context, &program, &tree).unwrap_or_default(),
                false => Size::default(),
            };
            let (mut wait, mut looked, mut failed) = (INTERVAL, Instant::now(), 0);
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = INTERVAL;
                let gone = free_at_start.less(&free(&place));
                if !gone.exceeds(&limit.share(4)) && looked.elapsed() < PATIENCE {
                    continue;
                }
                let began = Instant::now();
                match measure(&context, &program, &tree).map(|size| size.less(&before)) {
                    Some(size) if size.exceeds(&limit) => {
                        killer.kill();
                        return Watched { too_large: Some(size), failed };
                    }
                    Some(_) => {}
                    // Tried again, and told at the end: it says nothing of the build.
                    None => failed += 1,
                }
                looked = Instant::now();
                // At most a twentieth of the time goes into looking, as long as that is often enough.
                wait = (began.elapsed() * 20).clamp(INTERVAL, LONGEST);
            }
            // What was written in the last moments is too much all the same.
            let is_suspicious = free_at_start.less(&free(&place)).exceeds(&limit.share(4));
            let last = match is_suspicious {
                true => measure(&context, &program, &tree).map(|size| size.less(&before)),
                false => None,
            };
            Watched { too_large: last.filter(|size| size.exceeds(&limit)), failed }
        });
        DiskWatch { stop, thread }
    }

    /// Ends the watch.
    pub fn end(self) -> Watched {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn free(place: &Path) -> Size {
    nix::sys::statvfs::statvfs(place).map_or(Size::default(), |data| Size {
        bytes: data.blocks_free().saturating_mul(data.fragment_size()),
        inodes: data.files_free(),
    })
}

fn measure(context: &Context, program: &Path, tree: &Path) -> Option<Size> {
    let task = Task::Measure { directory: PLACE.into() };
    let trees = [(tree.to_owned(), PLACE.into(), true)];
    let said = maintenance::ask_always(context, program, &task, &trees).ok()?;
    serde_json::from_str(&said).ok()
}
