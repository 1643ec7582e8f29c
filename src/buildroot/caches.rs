//! Caches that the code of packages writes to, and what may become of them: whatever is put there
//! beside what belongs there would stay for ever.

use std::path::{Path, PathBuf};

use super::disk::Size;
use super::{Env, maintenance};
use crate::helper::Task;
use crate::resources::{Amount, Resource};
use crate::run::StageRun;
use crate::verdict::Failure;

/// Where the helper sees one.
const PLACE: &str = "/run/albs-node/cache";

/// Empties the compiler cache of a config if there is twice as much in it as ccache lets it have,
/// or more than can be counted. That this fails stops nothing.
///
/// # Errors
///
/// The build was cancelled.
pub(crate) fn tidy(env: &Env<'_>, stage: &StageRun<'_>, max_size: &str) -> Result<(), Failure> {
    let cache = env.store.compiler_caches().join(&env.key);
    if !cache.exists() {
        return Ok(());
    }
    let most = most(max_size);
    let task = Task::Measure { directory: PLACE.into(), enough: most };
    let found = maintenance::ask(env, stage, &task, &[(cache.clone(), PLACE.into(), true)]);
    let found = maintenance::or_note(stage, "the compiler cache could not be looked at", found)?;
    let Some(said) = found else { return Ok(()) };
    let size = serde_json::from_str::<Size>(&said).unwrap_or_default();
    if !size.exceeds(&most) && !size.is_beyond_counting() {
        return Ok(());
    }
    empty(env, stage, &cache, "the compiler cache has twice as much in it as it may")
}

/// Removes all that is in a cache. That this fails stops nothing.
///
/// # Errors
///
/// The build was cancelled.
pub(crate) fn empty(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    cache: &Path,
    why: &str,
) -> Result<(), Failure> {
    stage.note(&format!("{why}: it is emptied"));
    let task = Task::Empty { directory: PLACE.into() };
    let trees = [(cache.to_owned(), PathBuf::from(PLACE), false)];
    let emptied = maintenance::run(env, stage, &task, &trees);
    maintenance::or_note(stage, "it could not be emptied", emptied).map(drop)
}

/// Twice a size as ccache has it: `4G`, `4.0 GiB`; a number alone is of gigabytes. All that there
/// can be if it is no number, or no limit.
pub(crate) fn most(max_size: &str) -> Size {
    let plain: String = max_size.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = plain.trim_end_matches('B').trim_end_matches('i').to_ascii_uppercase();
    let is_number = plain.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    let plain = if is_number { plain + "G" } else { plain };
    let bytes = Amount(plain).number(Resource::Disk.unit(), None, None).ok().flatten();
    match bytes {
        Some(bytes) if bytes > 0.0 => Size { bytes: (bytes * 2.0) as u64, ..Size::MAX },
        _ => Size::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_ccache() {
        for text in ["4G", "4Gi", "4 GiB", "4GB", "4", "4.0"] {
            assert_eq!(most(text).bytes, 8 << 30, "{text}");
        }
        assert_eq!(most("500k").bytes, 1000 << 10);
        assert_eq!([most("0"), most("much")], [Size::MAX; 2]);
    }
}
