//! The size of what a sandbox writes. Nothing that works for every user and file system limits a
//! directory tree, so it is looked at while the sandbox runs, and that is ended when the tree has
//! become too large: the free space of the file system every half second, and the tree itself
//! when so much of that has gone that the limit may be near, or half a minute has passed.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sandbox::spec::Root;
use sandbox::{Killer, Usage};
use serde::{Deserialize, Serialize};

use super::maintenance;
use super::sandboxes::Context;
use super::scratch::Tools;
use crate::helper::Task;
use crate::run::StageRun;
use crate::verdict::Failure;

/// Time between looks at the file system.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time after which the tree is looked at even if no space seems to be gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time between two looks at the tree while space goes, however long one takes.
const LONGEST: Duration = Duration::from_secs(20);
/// Looks that may fail, one after the other, before what the file system says counts instead.
const ATTEMPTS: u32 = 5;
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
    /// More than there can be.
    pub const MAX: Size = Size { bytes: u64::MAX, inodes: u64::MAX };

    /// Whether either is more than that of a limit.
    pub fn exceeds(&self, limit: &Size) -> bool {
        self.bytes > limit.bytes || self.inodes > limit.inodes
    }

    /// Whether it is that of a tree which is too deep to be counted.
    pub fn is_beyond_counting(&self) -> bool {
        self.inodes > u64::MAX / 2
    }

    /// What is left of it without another.
    pub(crate) fn less(&self, other: &Size) -> Size {
        Size {
            bytes: self.bytes.saturating_sub(other.bytes),
            inodes: self.inodes.saturating_sub(other.inodes),
        }
    }

    /// It and another together.
    pub(crate) fn and(&self, other: &Size) -> Size {
        Size {
            bytes: self.bytes.saturating_add(other.bytes),
            inodes: self.inodes.saturating_add(other.inodes),
        }
    }

    /// An equal part of it.
    fn share(&self, part: u64) -> Size {
        Size { bytes: self.bytes / part, inodes: self.inodes / part }
    }
}

/// What is free for ordinary users on the file system of a path; all that there can be where nobody
/// knows.
pub fn free(path: &Path) -> Size {
    let Ok(data) = nix::sys::statvfs::statvfs(path) else { return Size::MAX };
    // One without a size.
    if data.blocks() == 0 {
        return Size::MAX;
    }
    let bytes = data.blocks_available().saturating_mul(data.fragment_size());
    // btrfs has as many as fit.
    let inodes = if data.files() == 0 { u64::MAX } else { data.files_available() };
    Size { bytes, inodes }
}

/// So much of what is free on the file system of a path: what dnf and git may write. What builds may
/// is said of their package, but dependencies are for others, too, and sources come before all.
pub fn part_of_free(path: &Path, percent: u64) -> Size {
    let part = |number| if number == u64::MAX { number } else { number / 100 * percent };
    let free = free(path);
    Size { bytes: part(free.bytes), inodes: part(free.inodes) }
}

/// Percent of the file system of a path that are free for ordinary users; all where nobody knows.
pub fn percent_free(path: &Path) -> u64 {
    let Ok(data) = nix::sys::statvfs::statvfs(path) else { return 100 };
    (data.blocks_available() * 100).checked_div(data.blocks()).unwrap_or(100)
}

/// A tree that a sandbox writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it is; the sandbox may make it.
    pub tree: PathBuf,
    /// A directory that is there already, on the same file system.
    pub place: PathBuf,
    /// Whether what is in it at the beginning does not count.
    pub has_base: bool,
    /// A limit of its own, instead of that of all.
    pub most: Option<Size>,
}

impl Written {
    /// What is written to a buildroot; none if that is in memory, with a size of its own.
    pub fn of(root: &Root) -> Option<Written> {
        let (tree, has_base) = match root {
            Root::Directory { path, read_only: false } => (path, true),
            Root::Overlay { upper, .. } => (upper, false),
            _ => return None,
        };
        let place = tree.parent()?.to_owned();
        Some(Written { tree: tree.clone(), place, has_base, most: None })
    }
}

/// A tree that has become too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// What was written.
    pub size: Size,
    /// What might have been.
    pub limit: Size,
}

/// Runs a sandbox that writes to some trees; `run` must hand over what can end it. If there is a
/// limit, it is one of each, and the sandbox is ended when one is beyond it. Gives what `run` does,
/// and what was too much.
///
/// # Errors
///
/// Those of `run`.
pub fn watched<T>(
    tools: Tools<'_>,
    stage: &StageRun<'_>,
    trees: &[Written],
    limit: Option<Size>,
    run: impl FnOnce(&mut dyn FnMut(Killer)) -> Result<T, Failure>,
) -> Result<(T, Option<TooLarge>), Failure> {
    let mut watches = Vec::new();
    let done = run(&mut |killer| {
        let watch =
            |tree: &Written| Some(DiskWatch::start(tools, tree.clone(), limit?, killer.clone()));
        watches.extend(trees.iter().filter_map(watch));
    });
    let seen: Vec<Watched> = watches.into_iter().map(DiskWatch::end).collect();
    let times: u32 = seen.iter().map(|watched| watched.failed).sum();
    if times > 0 {
        stage.note(&format!("what is written could not be looked at {times} times"));
    }
    seen.iter().for_each(|watched| stage.charge(&watched.usage));
    let size = seen.iter().find_map(|watched| watched.too_large);
    Ok((done?, size.zip(limit).map(|(size, limit)| TooLarge { size, limit })))
}

/// Watches a tree until it is asked for the result.
#[derive(Debug)]
struct DiskWatch {
    stop: Sender<()>,
    thread: JoinHandle<Watched>,
}

/// The last look at a tree.
#[derive(Debug, Default)]
struct Look {
    /// What was there.
    size: Size,
    /// What was in use on the file system.
    used: Size,
    /// How long it took.
    took: Duration,
    /// How many have failed since.
    failed: u32,
}

impl Look {
    /// Whether it is time for another, with so much in use now, and so long after it.
    ///
    /// Looks of less than a second take at most a twentieth of the time as long as the tree cannot
    /// be beyond its limit, and a third if it can.
    fn is_old(&self, used: &Size, elapsed: Duration, limit: &Size) -> bool {
        let may_be_beyond = used.less(&self.used).exceeds(&limit.less(&self.size));
        elapsed >= PATIENCE
            || may_be_beyond && elapsed >= self.took * 2
            || self.is_suspicious(used, limit) && elapsed >= (self.took * 20).min(LONGEST)
    }

    /// Whether a good part of what was left may have been written since. Others write there, too.
    fn is_suspicious(&self, used: &Size, limit: &Size) -> bool {
        used.less(&self.used).exceeds(&limit.less(&self.size).share(4))
    }

    /// The size of the tree, if it cannot be looked at and all that was written to the file system
    /// since would be too much: a build must not get rid of its limit by what it writes.
    fn presumed(&self, used: &Size, limit: &Size) -> Option<Size> {
        let size = self.size.and(&used.less(&self.used));
        (self.failed >= ATTEMPTS && size.exceeds(limit)).then_some(size)
    }

    /// After another, which has found this, with so much in use when it began. If it failed, all
    /// that was written since the last good one is still to be seen.
    fn after(&mut self, found: Option<Size>, used: Size, took: Duration) {
        self.took = took;
        self.failed += 1;
        if let Some(size) = found {
            (self.size, self.used, self.failed) = (size, used, 0);
        }
    }
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
struct Watched {
    /// The size of the tree, if it was the reason to end the sandbox.
    too_large: Option<Size>,
    /// How often the tree could not be looked at.
    failed: u32,
    /// What looking at it has used.
    usage: Usage,
}

impl DiskWatch {
    /// Watches what is written to a tree, and kills the sandbox when that exceeds `limit`.
    fn start(tools: Tools<'_>, written: Written, limit: Size, killer: Killer) -> DiskWatch {
        let Written { tree, place, has_base, most } = written;
        let limit = most.unwrap_or(limit);
        let (context, program) = (tools.context.clone(), tools.program.to_owned());
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut usage = Usage::default();
            let mut measure = |enough| measure(&context, &program, &tree, enough, &mut usage);
            let (too_large, failed) =
                watch(&place, has_base && tree.exists(), limit, &killer, &stopped, &mut measure);
            Watched { too_large, failed, usage }
        });
        DiskWatch { stop, thread }
    }

    /// Ends the watch.
    fn end(self) -> Watched {
        drop(self.stop);
        // What has panicked has seen nothing.
        self.thread.join().unwrap_or(Watched { failed: 1, ..Watched::default() })
    }
}

/// Watches a tree until `stopped` says so: gives its size, if that was the reason to end the sandbox,
/// and how often it could not be looked at.
fn watch(
    place: &Path,
    has_base: bool,
    limit: Size,
    killer: &Killer,
    stopped: &Receiver<()>,
    measure: &mut dyn FnMut(Size) -> Option<Size>,
) -> (Option<Size>, u32) {
    let used_before = used(place);
    let (mut before, mut failed) = (Some(Size::default()), 0);
    if has_base {
        before = (0..ATTEMPTS).find_map(|attempt| {
            failed = attempt;
            measure(Size::MAX)
        });
    }
    let Some(before) = before.filter(|before| *before != Size::MAX) else {
        // Too deep to be looked at, so that nothing could be found in it.
        killer.kill();
        return (Some(Size::MAX), failed);
    };
    let limit = limit.and(&before);
    let mut last = Look { size: before, used: used_before, ..Look::default() };
    let mut looked = Instant::now();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let used = used(place);
        if !last.is_old(&used, looked.elapsed(), &limit) {
            continue;
        }
        let began = Instant::now();
        let found = measure(limit);
        if let Some(size) = found.filter(|size| size.exceeds(&limit)) {
            killer.kill();
            // Only now is there time to count all of it.
            let all = measure(Size::MAX).unwrap_or(size);
            return (Some(all.less(&before)), failed);
        }
        // Tried again, and told at the end: it says nothing of the build.
        failed += u32::from(found.is_none());
        last.after(found, used, began.elapsed());
        looked = Instant::now();
        if let Some(size) = last.presumed(&used, &limit) {
            killer.kill();
            return (Some(size.less(&before)), failed);
        }
    }
    // What was written in the last moments is too much all the same.
    if !last.is_suspicious(&used(place), &limit) {
        return (None, failed);
    }
    let end = measure(Size::MAX);
    failed += u32::from(end.is_none());
    let too_large = end.filter(|size| size.exceeds(&limit));
    (too_large.map(|size| size.less(&before)), failed)
}

/// What is in use on the file system of a path. Not what is free: XFS makes inodes of free blocks,
/// so that each megabyte would seem to be thousands of files. btrfs does not count them.
fn used(place: &Path) -> Size {
    nix::sys::statvfs::statvfs(place).map_or(Size::default(), |data| Size {
        bytes: data
            .blocks()
            .saturating_sub(data.blocks_free())
            .saturating_mul(data.fragment_size()),
        inodes: data.files().saturating_sub(data.files_free()),
    })
}

/// The size of the tree; once it is more than enough, no more is counted. What that uses is added
/// to `usage`.
fn measure(
    context: &Context,
    program: &Path,
    tree: &Path,
    enough: Size,
    usage: &mut Usage,
) -> Option<Size> {
    let task = Task::Measure { directory: PLACE.into(), enough };
    let trees = [(tree.to_owned(), PLACE.into(), true)];
    let (said, used) = maintenance::ask_always(context, program, &task, &trees).ok()?;
    *usage = usage.plus(&used);
    serde_json::from_str(&said).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Size = Size { bytes: 1000, inodes: 20_000 };

    fn files(inodes: u64) -> Size {
        Size { bytes: 1 << 40, inodes }
    }

    fn is_old(look: &Look, used: u64, seconds: f64) -> bool {
        look.is_old(&files(used), Duration::from_secs_f64(seconds), &LIMIT)
    }

    #[test]
    fn looks_are_rare_while_nothing_is_written() {
        let look = Look { used: files(100_000), ..Look::default() };
        assert!(!is_old(&look, 100_000, 29.0));
        assert!(!is_old(&look, 104_999, 29.0));
        assert!(is_old(&look, 100_000, 30.0));
        // Somebody else removed something.
        assert!(!is_old(&look, 50_000, 29.0));
    }

    #[test]
    fn looks_come_with_what_is_written() {
        let mut look = Look { used: files(100_000), ..Look::default() };
        assert!(is_old(&look, 105_001, 0.5));
        let took = Duration::from_millis(200);
        look.after(Some(Size { bytes: 0, inodes: 19_000 }), files(120_000), took);
        assert!(!is_old(&look, 120_500, 3.9), "a twentieth of the time");
        assert!(is_old(&look, 120_500, 4.0));
        assert!(!is_old(&look, 122_000, 0.3), "a third of the time");
        assert!(is_old(&look, 122_000, 0.5), "the limit may have been passed");
        // A look that failed has seen nothing.
        look.after(None, files(122_000), took);
        assert!(is_old(&look, 122_000, 0.5));
    }

    #[test]
    fn a_tree_that_cannot_be_looked_at_keeps_its_limit() {
        let mut look = Look { used: files(100_000), ..Look::default() };
        let bound = Size { bytes: u64::MAX, ..LIMIT };
        for _ in 0..ATTEMPTS {
            assert_eq!(look.presumed(&files(200_000), &bound), None);
            look.after(None, files(200_000), Duration::ZERO);
        }
        assert_eq!(look.presumed(&files(120_000), &bound), None);
        let seen = look.presumed(&files(200_000), &bound).map(|size| size.inodes);
        assert_eq!(seen, Some(100_000));
        look.after(Some(Size::default()), files(200_000), Duration::ZERO);
        assert_eq!(look.presumed(&files(300_000), &bound), None);
    }
}
