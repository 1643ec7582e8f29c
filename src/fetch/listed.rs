//! Sources that a repository lists by their checksums: from the cache, or from where lookasides
//! keep them, several at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cache::SourceCache;
use super::download::{Download, DownloadError, Downloads};
use super::layout;
use super::lookaside::Entry;

/// Downloads at the same time.
const AT_ONCE: usize = 4;

/// What became of a source.
#[derive(Debug)]
pub enum Got {
    /// It was in the repository.
    Present,
    /// It was in the cache.
    Cached,
    /// It was downloaded: how many bytes.
    Downloaded(u64),
    /// Nobody has it.
    Missing,
    /// It could not be had.
    Failed(DownloadError),
}

/// What getting listed sources takes.
pub struct Listed<'a> {
    /// Where each may be, the best first.
    pub addresses: &'a (dyn Fn(&Entry) -> Vec<Download> + Sync),
    /// The client.
    pub downloads: &'a Downloads,
    /// What is there already.
    pub cache: Option<&'a SourceCache>,
}

impl Listed<'_> {
    /// Gets all into a directory. `wait` waits, and says whether to go on. Nothing more is begun
    /// after one has failed.
    pub fn get(
        &self,
        entries: Vec<Entry>,
        sources: &Path,
        wait: &(dyn Fn(Duration) -> bool + Sync),
    ) -> Vec<(Entry, Got)> {
        let threads = entries.len().min(AT_ONCE);
        let queue = Mutex::new(VecDeque::from(entries));
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(entry) = next else { break };
                        let got = self.one(&entry, sources, wait);
                        if matches!(got, Got::Failed(_)) {
                            queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        }
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((entry, got));
                    }
                });
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn one(&self, entry: &Entry, sources: &Path, wait: &(dyn Fn(Duration) -> bool + Sync)) -> Got {
        let name = sources.join(&entry.path);
        let wrong = |source| Got::Failed(DownloadError::Write { path: name.clone(), source });
        let place = match layout::place_of(sources, &entry.path) {
            Ok(place) => place,
            Err(error) => return wrong(io::Error::other(error)),
        };
        match has(&place, entry) {
            Ok(true) => return Got::Present,
            Ok(false) => {}
            Err(error) => return wrong(error),
        }
        if let Some(cache) = self.cache {
            match cache.give(&entry.sum, &place) {
                Ok(true) => return Got::Cached,
                Ok(false) => {}
                Err(error) => return wrong(error),
            }
        }
        let mut passing = None;
        for address in (self.addresses)(entry) {
            match self.downloads.get(&address, &place, Some(&entry.sum), &|time| wait(time)) {
                Ok(bytes) => {
                    // It is there, whatever becomes of the cache.
                    let _ = self.cache.map(|cache| cache.keep(&entry.sum, &place));
                    return Got::Downloaded(bytes);
                }
                // Not everybody keeps everything.
                Err(DownloadError::Status { status: 400..=407 | 409..=424, .. }) => {}
                Err(error @ (DownloadError::Cancelled | DownloadError::Write { .. })) => {
                    return Got::Failed(error);
                }
                Err(error) => passing = passing.or(Some(error)),
            }
        }
        passing.map_or(Got::Missing, Got::Failed)
    }
}

/// Whether a file is there with the checksum that it should have; if not, nothing is there then.
fn has(place: &Path, entry: &Entry) -> io::Result<bool> {
    if layout::is_file(place)
        && let (_, None) = entry.sum.copy(&mut File::open(place)?, &mut io::sink())?
    {
        return Ok(true);
    }
    match fs::remove_file(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(false),
    }
}
