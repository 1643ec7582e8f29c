//! Sources that a repository lists by their checksums: from the cache, or from where lookasides
//! keep them, several at once.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::DownloadError;
use super::cache::SourceCache;
use super::download::{Download, Downloads, Wait};
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

/// Who has sources by their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// Several lookasides, of which some do not answer to strangers.
    Lookasides,
    /// The server of git LFS, in whose place there are pointers.
    Lfs,
}

impl Keeper {
    /// The name of one.
    pub fn name(self) -> &'static str {
        match self {
            Keeper::Lookasides => "lookaside",
            Keeper::Lfs => "server of git LFS",
        }
    }

    /// Whether an answer means that the source is not there.
    fn has_not(self, error: &DownloadError) -> bool {
        match (self, error) {
            (_, DownloadError::Status { status: 404 | 410, .. }) => true,
            (Keeper::Lookasides, DownloadError::Status { status, .. }) => {
                matches!(status, 400..=407 | 409..=424)
            }
            (Keeper::Lookasides, DownloadError::Reply { passing, .. }) => !passing,
            _ => false,
        }
    }
}

/// What getting listed sources takes.
pub struct Listed<'a> {
    /// Who has them.
    pub keeper: Keeper,
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
    pub fn get(&self, entries: Vec<Entry>, sources: &Path, wait: &Wait<'_>) -> Vec<(Entry, Got)> {
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

    fn one(&self, entry: &Entry, sources: &Path, wait: &Wait<'_>) -> Got {
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
        // What is there stays until there is something better.
        let aside = place.with_file_name(format!(".{:016x}.part", fastrand::u64(..)));
        let got = self.anywhere(entry, &aside, wait);
        let put = match &got {
            Got::Cached | Got::Downloaded(_) => fs::rename(&aside, &place),
            // Nobody has said that what is there is right.
            Got::Missing if self.keeper == Keeper::Lookasides => match fs::remove_file(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
        put.map_or_else(wrong, |()| got)
    }

    /// Gets a source from the cache, or from wherever it is.
    fn anywhere(&self, entry: &Entry, place: &Path, wait: &Wait<'_>) -> Got {
        if let Some((cache, bytes)) =
            self.cache.and_then(|cache| Some((cache, cache.size(&entry.sum)?)))
        {
            // It is no smaller for being here already.
            let mut taken = self.downloads.allowance().taken();
            if let Err(source) = taken.take(bytes) {
                let what = crate::run::plain(&entry.path.to_string_lossy());
                return Got::Failed(DownloadError::Exceeded { what, source });
            }
            match cache.give(&entry.sum, place) {
                Ok(true) => {
                    taken.keep();
                    return Got::Cached;
                }
                Ok(false) => {}
                Err(source) => {
                    return Got::Failed(DownloadError::Write { path: place.to_owned(), source });
                }
            }
        }
        let mut failed = None;
        for address in (self.addresses)(entry) {
            match self.downloads.get(&address, place, Some(&entry.sum), wait) {
                Ok(bytes) => {
                    // It is there, whatever becomes of the cache.
                    let _ = self.cache.map(|cache| cache.keep(&entry.sum, place));
                    return Got::Downloaded(bytes);
                }
                // Not everybody keeps everything.
                Err(error) if self.keeper.has_not(&error) => {}
                Err(
                    error @ (DownloadError::Cancelled
                    | DownloadError::Write { .. }
                    | DownloadError::Exceeded { .. }),
                ) => return Got::Failed(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Got::Missing, Got::Failed)
    }
}

/// Whether a file is there with the checksum that it should have.
fn has(place: &Path, entry: &Entry) -> io::Result<bool> {
    if !layout::is_file(place) {
        return Ok(false);
    }
    let (_, other) = entry.sum.copy(&mut File::open(place)?, &mut io::sink())?;
    Ok(other.is_none())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{Addresses, Allowance, Exceeded, Sum};
    use super::*;

    #[test]
    fn what_is_in_the_cache_has_no_more_than_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = SourceCache::open(&dir.path().join("cache")).unwrap();
        let sum = Sum::parse("900150983cd24fb0d6963f7d28e17f72").unwrap();
        fs::write(dir.path().join("abc"), "abc").unwrap();
        cache.keep(&sum, &dir.path().join("abc")).unwrap();
        let allowance = Allowance::new(5, Instant::now() + Duration::from_secs(60));
        let downloads = Downloads::new(&Addresses::new(Vec::new(), &[]), allowance).unwrap();
        let listed = Listed {
            keeper: Keeper::Lookasides,
            addresses: &|_| Vec::new(),
            downloads: &downloads,
            cache: Some(&cache),
        };
        let entry = |name: &str| Entry { path: name.into(), sum: sum.clone() };
        let got = listed.get(vec![entry("a"), entry("b")], dir.path(), &|_| true);
        let is_cached = |got: &&(Entry, Got)| matches!(got.1, Got::Cached);
        assert_eq!(got.iter().filter(is_cached).count(), 1, "{got:?}");
        let is_beyond = |got: &(Entry, Got)| match &got.1 {
            Got::Failed(DownloadError::Exceeded { what, source }) => {
                *source == Exceeded::Bytes { most: 5 } && ["a", "b"].contains(&what.as_str())
            }
            _ => false,
        };
        assert!(got.iter().any(is_beyond), "{got:?}");
        assert_eq!(downloads.allowance().left(), 2);
    }
}
