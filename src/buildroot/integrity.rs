//! Whether what is in the store is still what was put there.
//!
//! Nothing is synchronised to the disk when a tree is published: throw-away roots are not worth
//! the wait. A tree that was published before the host was started anew is therefore compared
//! with its manifest when it is first used; in between, the kernel keeps what was written.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::Size;
use super::sandboxes::Context;
use super::store::{StoreError, attempt};
use super::{Env, maintenance};
use crate::helper::{TOTAL, Task};
use crate::run::StageRun;
use crate::verdict::Failure;

/// File beside a tree with a line for everything in it.
pub(super) const MANIFEST: &str = "manifest";
/// File beside a tree with the boot of the host in which it was last known to be intact.
const BOOT: &str = "boot";
/// Where the tree is seen by the helper.
const PLACE: &str = "/run/albs-node/tree";
/// Lines that are shown of what has changed.
const SHOWN: usize = 5;

/// What a comparison of a tree with its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// It is as it was published.
    Intact,
    /// It is not; lines of the manifest that are missing or new, and how many there are.
    Changed(Vec<String>, usize),
}

/// Records what is in a tree beside it, in `dir`; gives how much that is.
pub(super) fn record(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tree: &Path,
    dir: &Path,
) -> Result<Size, Failure> {
    let task = Task::Manifest { root: PLACE.into() };
    let text = maintenance::ask(env, stage, &task, &[(tree.to_owned(), PLACE.into(), true)])?;
    let path = dir.join(MANIFEST);
    let written = attempt("record", &path, fs::write(&path, &text));
    written
        .and_then(|()| mark(dir))
        .map_err(|error| super::roots::store_failure(stage.stage, error))?;
    Ok(size(&text))
}

/// The total of a manifest.
fn size(manifest: &str) -> Size {
    let total = manifest.lines().next_back().and_then(|line| line.strip_prefix(TOTAL));
    let mut numbers = total.unwrap_or_default().split(' ').map(|word| word.parse().unwrap_or(0));
    Size { bytes: numbers.next().unwrap_or(0), inodes: numbers.next().unwrap_or(0) }
}

/// Compares a tree with its manifest in `dir`.
///
/// # Errors
///
/// It cannot be read at all; the text is for people.
pub fn verify(
    context: &Context,
    program: &Path,
    tree: &Path,
    dir: &Path,
) -> Result<Integrity, String> {
    let path = dir.join(MANIFEST);
    let known = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let task = Task::Manifest { root: PLACE.into() };
    let trees = [(tree.to_owned(), PathBuf::from(PLACE), true)];
    let (found, _) = maintenance::ask_always(context, program, &task, &trees)?;
    Ok(compare(&known, &found))
}

fn compare(known: &str, found: &str) -> Integrity {
    if known == found {
        return Integrity::Intact;
    }
    let lines =
        |text: &'_ str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (known, found) = (lines(known), lines(found));
    let is_file = |line: &&String| !line.starts_with(TOTAL);
    let missing = known.difference(&found).filter(is_file).map(|line| format!("- {line}"));
    let new = found.difference(&known).filter(is_file).map(|line| format!("+ {line}"));
    let all: Vec<String> = missing.chain(new).map(|line| crate::run::plain(&line)).collect();
    let count = all.len();
    Integrity::Changed(all.into_iter().take(SHOWN).collect(), count)
}

/// Whether a tree is intact, as far as that is not known since the host was started. What is not
/// is told.
pub(super) fn is_usable(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    dir: &Path,
    tree: &str,
) -> Result<bool, Failure> {
    if is_known(dir) {
        return Ok(true);
    }
    let why = match verify(&env.context, &env.program, &dir.join(tree), dir) {
        Ok(Integrity::Intact) => {
            let marked = mark(dir);
            marked.map_err(|error| super::roots::store_failure(stage.stage, error))?;
            return Ok(true);
        }
        Ok(Integrity::Changed(lines, count)) => {
            format!("{count} lines of its manifest differ, such as {}", lines.join(", "))
        }
        Err(error) => error,
    };
    stage.note(&format!("{} is made anew: {why}", dir.display()));
    Ok(false)
}

/// Removes a tree that is not intact, unless it was made anew meanwhile. The caller holds its lock
/// alone.
pub(super) fn evict(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    dir: &Path,
    trees: &[&str],
) -> Result<(), Failure> {
    if is_known(dir) {
        return Ok(());
    }
    super::remove::remove_trees(&env.context, &env.program, dir, trees).map_err(|reason| {
        let error = super::store::other("remove", dir, reason);
        super::roots::store_failure(stage.stage, error)
    })
}

/// Whether a tree was known to be intact since the host was started.
pub(super) fn is_known(dir: &Path) -> bool {
    let boot = fs::read_to_string(dir.join(BOOT)).unwrap_or_default();
    !boot.is_empty() && boot == this_boot()
}

/// Notes that a tree is intact.
pub(super) fn mark(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(BOOT);
    attempt("record", &path, fs::write(&path, this_boot()))
}

/// Notes that a tree is to be looked at before it is used.
pub(super) fn unmark(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(BOOT);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => attempt("record", &path, result),
    }
}

/// Names the time since the host was started (random(4), boot_id).
fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_shown() {
        let known = "\"a\" f 1\n\"b\" f 2\ntotal 8192 2\n";
        assert_eq!(compare(known, known), Integrity::Intact);
        let found = "\"a\" f 9\n\"b\" f 2\ntotal 8192 2\n";
        let lines = ["- \"a\" f 1", "+ \"a\" f 9"].map(str::to_owned).to_vec();
        assert_eq!(compare(known, found), Integrity::Changed(lines, 2));
        assert_eq!(size(known), Size { bytes: 8192, inodes: 2 });
        assert_eq!(size(""), Size::default());
    }
}
