//! A log of bounded size: the beginning and the end are kept, what is between them is counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// Bytes of the end that are kept in memory while a log is over its size.
const TAIL: u64 = 1 << 20;
/// Bytes a second that are read from a command whose log is over its size. Reading costs time that
/// nobody is billed for, so a flood is slowed down instead.
const RATE: f64 = 32e6;
/// The part of a processor that this may take, however short its lines are.
const MOST_OF_TIME: f64 = 0.2;

/// A log file with a limit.
#[derive(Debug)]
pub(super) struct Capped {
    file: File,
    /// Bytes that may still go to the file at once.
    room: Option<u64>,
    tail: VecDeque<u8>,
    most_of_tail: usize,
    left_out: u64,
    flood: Option<Flood>,
}

/// What comes when there is enough.
#[derive(Debug)]
struct Flood {
    /// When it began.
    since: Instant,
    bytes: u64,
    /// How long was worked on them.
    worked: Duration,
}

impl Flood {
    /// How long all of it should have taken.
    fn due(&self) -> Duration {
        let bytes = Duration::from_secs_f64(self.bytes as f64 / RATE);
        bytes.max(self.worked.div_f64(MOST_OF_TIME))
    }
}

impl Capped {
    /// `most`: bytes that are kept; all without it.
    pub(super) fn new(file: File, most: Option<u64>) -> Capped {
        let tail = most.map_or(0, |most| TAIL.min(most / 2));
        Capped {
            file,
            room: most.map(|most| most - tail),
            tail: VecDeque::new(),
            most_of_tail: tail as usize,
            left_out: 0,
            flood: None,
        }
    }

    /// Adds to the log.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let now = match &mut self.room {
            None => bytes.len(),
            Some(room) => {
                let now = usize::try_from(*room).unwrap_or(usize::MAX).min(bytes.len());
                *room -= now as u64;
                now
            }
        };
        self.write_always(&bytes[..now]);
        let rest = &bytes[now..];
        if rest.is_empty() {
            return;
        }
        let kept = &rest[rest.len().saturating_sub(self.most_of_tail)..];
        let too_many = (self.tail.len() + kept.len()).saturating_sub(self.most_of_tail);
        self.tail.drain(..too_many);
        self.tail.extend(kept);
        self.left_out += (too_many + rest.len() - kept.len()) as u64;
        let began = || Flood { since: Instant::now(), bytes: 0, worked: Duration::ZERO };
        self.flood.get_or_insert_with(began).bytes += rest.len() as u64;
    }

    /// Waits if there is too much, after `worked` was spent on some of it.
    pub(super) fn pace(&mut self, worked: Duration) {
        if let Some(flood) = &mut self.flood {
            flood.worked += worked;
            std::thread::sleep(flood.due().saturating_sub(flood.since.elapsed()));
        }
    }

    /// Writes the end that was held back.
    pub(super) fn end(&mut self) {
        if self.left_out > 0 {
            let text = format!(
                "\n… {} bytes left out, since the log reached its size limit …\n",
                self.left_out
            );
            self.write_always(text.as_bytes());
        }
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        self.write_always(&tail);
        self.left_out = 0;
    }

    /// Adds to the file whatever its size. A log that cannot be written must not end a build; the
    /// full disk shows elsewhere.
    pub(super) fn write_always(&mut self, bytes: &[u8]) {
        let _ = self.file.write_all(bytes);
    }
}

impl Drop for Capped {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    fn log(most: Option<u64>, chunks: &[&[u8]]) -> String {
        let mut copy = tempfile::tempfile().unwrap();
        let mut capped = Capped::new(copy.try_clone().unwrap(), most);
        chunks.iter().for_each(|chunk| capped.write(chunk));
        drop(capped);
        let mut text = String::new();
        copy.rewind().unwrap();
        copy.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_flood_is_slow() {
        let since = Instant::now();
        let flood = |bytes, worked| Flood { since, bytes, worked }.due();
        assert_eq!(flood(64_000_000, Duration::from_millis(100)), Duration::from_secs(2));
        assert_eq!(flood(64_000_000, Duration::from_secs(2)), Duration::from_secs(10));
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        assert_eq!(log(None, &[b"abc", b"def"]), "abcdef");
        assert_eq!(log(Some(6), &[b"abc", b"def"]), "abcdef");
        let marker = "\n… 3 bytes left out, since the log reached its size limit …\n";
        assert_eq!(log(Some(6), &[b"abcd", b"efghi"]), format!("abc{marker}ghi"));
        assert_eq!(log(Some(6), &[b"abcdefghi"]), format!("abc{marker}ghi"));
        assert_eq!(
            log(Some(6), &[b"abc", b"d", b"e", b"f", b"g", b"h", b"i"]),
            format!("abc{marker}ghi")
        );
    }
}
