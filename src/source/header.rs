//! What a header must be before a parser that believes it is let at it.
//!
//! A header is an index of entries and the store that they point into (rpm's document on the package
//! format). A parser that believes them reads past the end, or the same bytes once for each entry:
//! a few megabytes become terabytes. rpm itself takes only entries that lie one after the other
//! (`hdrblobVerifyInfo` of lib/header.c), and so does this.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Bytes of the lead, which comes before the headers.
const LEAD: u64 = 96;
/// Magic and version, four reserved bytes, entries of the index, bytes of the store.
const START: usize = 16;
/// What every header begins with.
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];
/// Tag, type, offset into the store and number of items, of four bytes each.
const ENTRY: usize = 16;
/// Most entries that rpm itself takes.
const MOST_ENTRIES: u32 = 0xffff;
/// Most bytes of a store, of which rpm takes eight times as many: a source package has some
/// kilobytes, and a hundred for each file.
const MOST_BYTES: u32 = 32 << 20;
/// Most items of all entries together. As text each takes 24 bytes of memory and more.
const MOST_ITEMS: usize = 4 << 20;
/// Tags of the entry that the first one may be and that covers all others: its data lie at the
/// end of the store.
const REGIONS: std::ops::RangeInclusive<u32> = 61..=63;
/// Type and number of items of that entry.
const REGION: (u32, usize) = (7, 16);

/// Checks both headers of a package: that of signatures, and its own.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut input = BufReader::new(file);
    io::copy(&mut input.by_ref().take(LEAD), &mut io::sink())?;
    let signatures = one(&mut input, length)?;
    let padding = signatures.next_multiple_of(8) - signatures;
    io::copy(&mut input.by_ref().take(padding), &mut io::sink())?;
    one(&mut input, length).map(drop)
}

/// Reads and checks a header; gives the bytes of its store.
fn one(input: &mut impl Read, length: u64) -> io::Result<u64> {
    let mut start = [0; START];
    input.read_exact(&mut start)?;
    let (entries, bytes) = (number(&start, 8), number(&start, 12));
    let size = u64::from(entries) * ENTRY as u64 + u64::from(bytes);
    if start[..4] != MAGIC || entries > MOST_ENTRIES || bytes > MOST_BYTES || size > length {
        return Err(invalid());
    }
    let mut index = vec![0; entries as usize * ENTRY];
    let mut store = vec![0; bytes as usize];
    input.read_exact(&mut index)?;
    input.read_exact(&mut store)?;
    follow(&index, &store).ok_or_else(invalid)?;
    Ok(u64::from(bytes))
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a header is not one of rpm's")
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// Goes through the entries; none if one is not where it may be.
fn follow(index: &[u8], store: &[u8]) -> Option<()> {
    let (entries, _) = index.as_chunks::<ENTRY>();
    let (mut at, mut items) = (0, 0_usize);
    for (position, entry) in entries.iter().enumerate() {
        let (tag, kind) = (number(entry, 0), number(entry, 4));
        let (offset, count) = (number(entry, 8) as usize, number(entry, 12) as usize);
        let data = store.get(offset..)?;
        let size = size(kind, count, data)?;
        data.get(..size)?;
        if position == 0 && REGIONS.contains(&tag) {
            if (kind, count) != REGION {
                return None;
            }
            continue;
        }
        if !BYTES.contains(&kind) {
            items += count;
        }
        if offset < at || items > MOST_ITEMS {
            return None;
        }
        at = offset + size;
    }
    Some(())
}

/// Types whose items are single bytes.
const BYTES: [u32; 3] = [1, 2, 7];

/// Bytes that so many items of a type take at the beginning of `data` (lib/header.c, `typeSizes`).
fn size(kind: u32, count: usize, data: &[u8]) -> Option<usize> {
    match kind {
        0 => Some(0),
        _ if BYTES.contains(&kind) => Some(count),
        3 => count.checked_mul(2),
        4 => count.checked_mul(4),
        5 => count.checked_mul(8),
        6 if count != 1 => None,
        6 | 8 | 9 => {
            let mut ends = data.iter().enumerate().filter(|(_, byte)| **byte == 0);
            match count {
                0 => Some(0),
                _ => ends.nth(count - 1).map(|(last, _)| last + 1),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tag, type, offset, number of items.
    type Entry = [u32; 4];
    const ALL: Entry = [63, 7, 16, 16];

    fn is_followed(entries: &[Entry], store: &[u8]) -> bool {
        let words = entries.iter().flatten().copied();
        let index: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
        follow(&index, store).is_some()
    }

    #[test]
    fn entries_that_rpm_makes() {
        let store = [b"name\0a\0b\0\0\0\0\0\0\x01\0\x02".as_slice(), &[0; 16]].concat();
        let entries = [ALL, [1000, 6, 0, 1], [1117, 8, 5, 2], [1030, 3, 14, 2]];
        assert!(is_followed(&entries, &store));
        assert!(is_followed(&[], b""));
    }

    #[test]
    fn entries_that_lead_elsewhere() {
        let store = [0_u8; 64];
        let bad: [&[Entry]; 10] = [
            // Before the beginning, behind the end, over the end.
            &[[1000, 7, u32::MAX, 1]],
            &[[1000, 7, 65, 0]],
            &[[1000, 4, 0, u32::MAX]],
            &[[1000, 5, 60, 1]],
            // Strings without an end, or more of them than there are; two where one is meant.
            &[[1000, 8, 0, 65]],
            &[[1000, 6, 0, 2]],
            // The same bytes twice; another region than the first.
            &[[1000, 7, 0, 40], [1001, 7, 0, 40]],
            &[ALL, [63, 7, 0, 16], [63, 7, 0, 16]],
            &[[63, 8, 0, 16]],
            &[[1000, 10, 0, 1]],
        ];
        for entries in bad {
            assert!(!is_followed(entries, &store), "{entries:?}");
        }
        assert!(!is_followed(&[[1000, 6, 0, 1]], b"endless"));
    }

    #[test]
    fn more_items_than_memory_has_room_for() {
        let store = vec![0; 8 << 20];
        assert!(is_followed(&[[1000, 7, 0, 8 << 20]], &store));
        assert!(is_followed(&[[1000, 8, 0, 4 << 20]], &store));
        assert!(!is_followed(&[[1000, 8, 0, (4 << 20) + 1]], &store));
    }
}
