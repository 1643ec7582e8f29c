//! Where every character that is evaluated came from.
//!
//! `include()` is textual, so the text that is evaluated is stitched together from several files.
//! All texts of a load lie one after the other in one space of positions, and each position leads
//! back to a file, a line and a column.

use std::path::PathBuf;

/// A range of positions in the space of one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: u32, end: u32) -> Self {
        Span { start, end: end.max(start) }
    }

    /// From the start of this one to the end of the other.
    pub(super) fn to(self, other: Span) -> Self {
        Span::new(self.start, other.end)
    }
}

/// Where a file of a config was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// On this machine.
    File(PathBuf),
    /// Compiled into the program, under this name.
    BuiltIn(String),
    /// Given on the command line.
    CommandLine,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(path) => write!(out, "{}", path.display()),
            Origin::BuiltIn(name) => write!(out, "built-in:{name}"),
            Origin::CommandLine => out.write_str("command line"),
        }
    }
}

/// A place in a file that a person can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub origin: Origin,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The whole line.
    pub text: String,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}:{}", self.origin, self.line, self.column)
    }
}

/// Something about a config that a person should hear, although it is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is, in one sentence.
    pub text: String,
    /// Where it is about.
    pub location: Option<Location>,
}

impl std::fmt::Display for Note {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(location) = &self.location {
            write!(out, "{location}: ")?;
        }
        out.write_str(&self.text)
    }
}

/// A stretch of positions that was copied from one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Where it begins; relative to its text, or absolute once it is in the map.
    pub at: u32,
    pub file: u32,
    /// Where it begins in the file.
    pub from: u32,
}

/// Text with its origin.
#[derive(Debug, Clone, Default)]
pub(super) struct Stitched {
    pub text: String,
    pub pieces: Vec<Piece>,
}

impl Stitched {
    /// Adds a part of a file.
    pub fn push(&mut self, text: &str, file: u32, from: usize) {
        if !text.is_empty() {
            self.pieces.push(Piece { at: self.text.len() as u32, file, from: from as u32 });
            self.text.push_str(text);
        }
    }

    /// The file that a byte is from, and its place there.
    pub fn place(&self, at: usize) -> (u32, usize) {
        let next = self.pieces.partition_point(|piece| piece.at as usize <= at);
        match next.checked_sub(1).and_then(|piece| self.pieces.get(piece)) {
            Some(piece) => (piece.file, piece.from as usize + at - piece.at as usize),
            None => (0, at),
        }
    }

    /// Adds other stitched text.
    pub fn append(&mut self, other: Stitched) {
        let by = self.text.len() as u32;
        self.pieces.extend(other.pieces.iter().map(|piece| Piece { at: piece.at + by, ..*piece }));
        self.text.push_str(&other.text);
    }
}

#[derive(Debug, Clone)]
struct File {
    origin: Origin,
    text: String,
}

/// All texts of one load.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceMap {
    files: Vec<File>,
    pieces: Vec<Piece>,
    next: u32,
}

impl SourceMap {
    /// Takes in a file; its own text gets positions too, from the returned one on.
    pub fn add_file(&mut self, origin: Origin, text: &str) -> (u32, u32) {
        let file = self.files.len() as u32;
        self.files.push(File { origin, text: text.to_owned() });
        let mut whole = Stitched::default();
        whole.push(text, file, 0);
        (file, self.add_text(&whole))
    }

    /// Gives positions to stitched text and returns the first one.
    pub fn add_text(&mut self, stitched: &Stitched) -> u32 {
        let base = self.next;
        self.pieces
            .extend(stitched.pieces.iter().map(|piece| Piece { at: piece.at + base, ..*piece }));
        // One more position than characters: the end of the text has a place as well.
        self.next += stitched.text.len() as u32 + 1;
        base
    }

    /// The files that were read, in the order of reading.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.files.iter().map(|file| &file.origin)
    }

    /// The place that a span begins at, as wide as the span is on that line.
    pub fn locate(&self, span: Span) -> Option<Location> {
        let (file, offset) = self.resolve(span.start)?;
        let text = &file.text;
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
        let begin = text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
        let wanted = (span.end - span.start) as usize;
        let stop =
            (offset..=(offset + wanted).min(end)).rev().find(|at| text.is_char_boundary(*at))?;
        Some(Location {
            origin: file.origin.clone(),
            line: text[..offset].matches('\n').count() + 1,
            column: text[begin..offset].chars().count() + 1,
            text: text[begin..end].to_owned(),
            width: text[offset..stop].chars().count().max(1),
        })
    }

    /// Every line of a file that says this and nothing else, in the order of reading.
    pub fn lines(&self, wanted: &str) -> Vec<Location> {
        let lines = self.files.iter().flat_map(|file| {
            file.text.lines().enumerate().map(move |(number, line)| (file, number, line))
        });
        let found = lines.filter(|(_, _, line)| line.trim() == wanted);
        found
            .map(|(file, number, line)| Location {
                origin: file.origin.clone(),
                line: number + 1,
                column: line.chars().take_while(|symbol| symbol.is_whitespace()).count() + 1,
                text: line.to_owned(),
                width: wanted.chars().count().max(1),
            })
            .collect()
    }

    fn resolve(&self, position: u32) -> Option<(&File, usize)> {
        let after = self.pieces.partition_point(|piece| piece.at <= position);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        Some((self.files.get(piece.file as usize)?, (piece.from + (position - piece.at)) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lead_back_through_an_inclusion() {
        let mut map = SourceMap::default();
        let (outer, _) = map.add_file(Origin::BuiltIn("outer".into()), "one\ninclude\nthree\n");
        let (inner, _) = map.add_file(Origin::BuiltIn("inner".into()), "äbc\ndef");
        let mut whole = Stitched::default();
        whole.push("one\n", outer, 0);
        let mut part = Stitched::default();
        part.push("äbc\ndef", inner, 0);
        whole.append(part);
        whole.push("\nthree\n", outer, 11);
        let base = map.add_text(&whole);
        let at = |word: &str| {
            let start = base + whole.text.find(word).unwrap() as u32;
            let place = map.locate(Span::new(start, start + word.len() as u32)).unwrap();
            (place.to_string(), place.width)
        };
        assert_eq!(at("bc"), ("built-in:inner:1:2".into(), 2));
        assert_eq!(at("def"), ("built-in:inner:2:1".into(), 3));
        assert_eq!(at("three"), ("built-in:outer:3:1".into(), 5));
    }
}
