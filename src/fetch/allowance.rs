//! What all sources of a build together may have, and until when they may come: a list may name any
//! number of them, and a server may send a byte now and then for ever.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::download::Wait;
use crate::buildroot::disk;

/// Percent of what is free that they may have: they are copied once more for the build, and some to
/// the cache.
pub const PERCENT: u64 = 30;
/// How long they may take, as long as dnf may where the config says nothing.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// More than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// They are too large.
    #[error("all sources together may have {most} bytes, which is {PERCENT} % of what was free")]
    Bytes {
        /// Bytes that are allowed.
        most: u64,
    },
    /// They take too long.
    #[error("all sources together may take {} hours", LONGEST.as_secs() / 3600)]
    Time,
}

/// What may still come. Threads share it.
#[derive(Debug)]
pub struct Allowance {
    most: u64,
    left: AtomicU64,
    until: Instant,
}

impl Allowance {
    /// For sources that come to a directory, from now on.
    pub fn of(directory: &Path) -> Allowance {
        let most = disk::part_of_free(directory, PERCENT).bytes;
        Allowance::new(most, Instant::now() + LONGEST)
    }

    /// So many bytes, and until then.
    pub(super) fn new(most: u64, until: Instant) -> Allowance {
        Allowance { most, left: AtomicU64::new(most), until }
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether there is time left.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn in_time(&self) -> Result<(), Exceeded> {
        if Instant::now() < self.until { Ok(()) } else { Err(Exceeded::Time) }
    }

    /// What one source takes: nothing yet.
    pub fn taken(&self) -> Taken<'_> {
        Taken { allowance: self, bytes: 0 }
    }
}

/// What a source has taken of an allowance. It is given back at the end unless it is kept.
#[derive(Debug)]
pub struct Taken<'a> {
    allowance: &'a Allowance,
    bytes: u64,
}

impl Taken<'_> {
    /// Takes more.
    ///
    /// # Errors
    ///
    /// There is not as much left.
    pub fn take(&mut self, bytes: u64) -> Result<(), Exceeded> {
        let less = |left: u64| left.checked_sub(bytes);
        let Allowance { most, left, .. } = self.allowance;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .map_err(|_| Exceeded::Bytes { most: *most })?;
        self.bytes += bytes;
        Ok(())
    }

    /// The source is there.
    pub fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.allowance.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A body that ends when it is too large, when there is no more time, or when the work is to end.
pub(super) struct Body<'a, 'b> {
    pub(super) from: &'a mut dyn Read,
    /// Bytes that it may have itself.
    pub(super) left: u64,
    pub(super) taken: &'a mut Taken<'b>,
    pub(super) wait: &'a Wait<'a>,
}

impl Read for Body<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.wait)(Duration::ZERO) {
            // The wait before the next try ends it then.
            return Err(io::Error::other("cancelled"));
        }
        self.taken.allowance.in_time().map_err(io::Error::other)?;
        let count = self.from.read(buffer).map_err(io::Error::other)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.taken.take(count as u64).map_err(io::Error::other)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(allowance: &Allowance, left: u64, keep: bool) -> io::Result<usize> {
        let mut taken = allowance.taken();
        let mut from: &[u8] = b"0123456789";
        let mut body = Body { from: &mut from, left, taken: &mut taken, wait: &|_| true };
        let read = body.read_to_end(&mut Vec::new());
        if keep {
            taken.keep();
        }
        read
    }

    fn exceeded(error: io::Error) -> Exceeded {
        error.downcast().unwrap()
    }

    #[test]
    fn what_is_not_kept_is_given_back() {
        let allowance = Allowance::new(25, Instant::now() + LONGEST);
        for (keep, left) in [(false, 25), (true, 15), (false, 15), (true, 5)] {
            assert_eq!(read(&allowance, 10, keep).unwrap(), 10);
            assert_eq!(allowance.left(), left);
        }
        let error = exceeded(read(&allowance, 10, false).unwrap_err());
        assert_eq!(error, Exceeded::Bytes { most: 25 });
        assert_eq!(allowance.left(), 5);
        let error = read(&allowance, 3, false).unwrap_err();
        assert_eq!((error.kind(), allowance.left()), (io::ErrorKind::FileTooLarge, 5));
    }

    #[test]
    fn what_comes_too_late_is_not_read() {
        let allowance = Allowance::new(25, Instant::now());
        assert_eq!(exceeded(read(&allowance, 10, false).unwrap_err()), Exceeded::Time);
        assert_eq!(Exceeded::Time.to_string(), "all sources together may take 6 hours");
    }
}
