//! What of earlier builds is kept for later ones, as `status` tells it.

use std::fs::DirEntry;
use std::path::Path;

use serde::Serialize;

use crate::buildroot::store::Store;
use crate::config::Config;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Caches {
    /// Buildroots, with those that are updates of others.
    buildroots: usize,
    /// Build dependencies that lie over them.
    layers: usize,
    /// Sources of lookasides.
    sources: usize,
    /// Bytes of those.
    sources_bytes: u64,
    /// Mirrors of repositories.
    mirrors: usize,
}

impl Caches {
    /// Looks. What cannot be read counts as not there.
    pub(super) fn look(config: &Config) -> Caches {
        let store = Store::at(config.own.store.clone(), None);
        let complete = |entry: &DirEntry| entry.path().join("info.json").exists();
        let mut caches = Caches {
            buildroots: count(&store.roots(), complete),
            layers: count(&store.layers(), complete),
            mirrors: count(&config.own.git_cache, |entry| entry.path().is_dir()),
            ..Caches::default()
        };
        for entry in entries(&config.own.source_cache) {
            if let Ok(metadata) = entry.metadata() {
                caches.sources += 1;
                caches.sources_bytes += metadata.len();
            }
        }
        caches
    }
}

fn count(directory: &Path, counts: impl Fn(&DirEntry) -> bool) -> usize {
    entries(directory).filter(counts).count()
}

fn entries(directory: &Path) -> impl Iterator<Item = DirEntry> {
    std::fs::read_dir(directory).into_iter().flatten().flatten()
}
