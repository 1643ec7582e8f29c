//! What the compiler cache of a config may become. ccache keeps to its limit with its own files;
//! whatever else a build puts there would stay for ever.

use std::path::PathBuf;

use super::disk::Size;
use super::{Env, maintenance};
use crate::helper::Task;
use crate::resources::{Amount, Resource};
use crate::run::StageRun;
use crate::verdict::Failure;

/// Where the helper sees it.
const PLACE: &str = "/run/albs-node/ccache";

/// Empties the cache if there is twice as much in it as ccache lets it have.
///
/// # Errors
///
/// It cannot be looked at or emptied.
pub(crate) fn tidy(env: &Env<'_>, stage: &StageRun<'_>, max_size: &str) -> Result<(), Failure> {
    let cache = env.store.compiler_cache(&env.key);
    let cache = cache.map_err(|error| super::roots::store_failure(stage.stage, error))?;
    let Some(most) = most(max_size) else { return Ok(()) };
    let place = PathBuf::from(PLACE);
    let task = Task::Measure { directory: place.clone(), enough: most };
    let said = maintenance::ask(env, stage, &task, &[(cache.clone(), place.clone(), true)])?;
    if serde_json::from_str::<Size>(&said).is_ok_and(|size| size.exceeds(&most)) {
        stage.note("the compiler cache is emptied: it has twice as much in it as it may");
        let task = Task::Empty { directory: place.clone() };
        maintenance::run(env, stage, &task, &[(cache, place, false)])?;
    }
    Ok(())
}

/// Twice a size as ccache writes it: `4G`, `4.0 GiB`. None if it is no number, or no limit.
fn most(max_size: &str) -> Option<Size> {
    let plain: String = max_size.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = plain.trim_end_matches('B').trim_end_matches('i').to_ascii_uppercase();
    let bytes = Amount(plain).number(Resource::Disk.unit(), None, None).ok()??;
    let twice = Size { bytes: (bytes * 2.0) as u64, inodes: u64::MAX };
    (bytes > 0.0).then_some(twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_ccache() {
        let bytes = |text| most(text).map(|size| size.bytes);
        for text in ["4G", "4Gi", "4 GiB", "4GB"] {
            assert_eq!(bytes(text), Some(8 << 30), "{text}");
        }
        assert_eq!(bytes("500k"), Some(1000 << 10));
        assert_eq!((bytes("0"), bytes("much")), (None, None));
    }
}
