//! `include()` as mock does it: before anything is evaluated, each line that begins with
//! `include(…)` is replaced by the text of the file, inside a string just as well as outside.
//!
//! The argument reaches to the last closing parenthesis of the line. A file is taken once per
//! config; a second inclusion vanishes with a note. Relative paths start at the configuration
//! directory, wherever the including file is.
//!
//! One consequence of how mock puts the text in place is kept, since configs can see it: two
//! backslashes in an included file are one, once for every level of inclusion.

use std::collections::HashSet;

use super::error::{ConfigError, ErrorKind, Fault, Outcome};
use super::eval::{Machine, World};
use super::files::{Found, Library};
use super::parse::parse_expression;
use super::source::{Note, Origin, SourceMap, Span, Stitched};
use super::value::Value;

/// How deep inclusions may go. Every level is one more call on the stack.
const MAX_DEPTH: usize = 20;
/// Files in one load.
const MAX_FILES: usize = 200;
/// Bytes of text after all inclusions.
const MAX_TEXT: usize = 2 << 20;

/// Reads a config with everything it includes.
pub(super) struct Includer<'a> {
    pub library: &'a Library<'a>,
    pub map: &'a mut SourceMap,
    pub notes: &'a mut Vec<Note>,
    world: &'a dyn World,
    /// By their names as they are written: mock compares those.
    seen: HashSet<String>,
    /// Whether the config is one of the built-in ones, whose templates are built in as well.
    built_in: bool,
    depth: usize,
}

impl<'a> Includer<'a> {
    pub fn new(
        library: &'a Library<'a>,
        map: &'a mut SourceMap,
        notes: &'a mut Vec<Note>,
        world: &'a dyn World,
    ) -> Self {
        Includer { library, map, notes, world, seen: HashSet::new(), built_in: false, depth: 0 }
    }

    /// The text of a config with all inclusions in place.
    pub fn read(mut self, found: Found) -> Result<Stitched, ConfigError> {
        self.built_in = matches!(found.origin, Origin::BuiltIn(_));
        self.stitch(found)
    }

    fn stitch(&mut self, found: Found) -> Result<Stitched, ConfigError> {
        let Found { origin, text } = found;
        let (file, base) = self.map.add_file(origin.clone(), &text);
        self.seen.insert(origin.to_string());
        let mut out = Stitched::default();
        let mut done = 0;
        for line in include_lines(&text) {
            out.push(&text[done..line.start], file, done);
            done = line.end;
            let argument = &text[line.argument.clone()];
            let place = base + line.argument.start as u32;
            let span = Span::new(place, place + argument.len() as u32);
            let path = match self.argument(argument, span) {
                Ok(path) => path,
                Err(fault) => return Err(fault.locate(self.map)),
            };
            if let Some(part) = self.follow(&path, span)? {
                out.append(collapse_backslashes(part));
            }
            if out.text.len() > MAX_TEXT {
                let message = format!("the config is larger than {} MiB", MAX_TEXT >> 20);
                return Err(Fault::new(ErrorKind::Limit, span, message).locate(self.map));
            }
        }
        out.push(&text[done..], file, done);
        Ok(out)
    }

    fn argument(&self, text: &str, span: Span) -> Outcome<String> {
        let hint = "write include('templates/name.tpl') and nothing with parentheses behind it";
        let expr = parse_expression(text, span.start).map_err(|fault| fault.hint_if_none(hint))?;
        match Machine::constant(&expr, self.world)? {
            Value::Str(path) => Ok(path),
            other => {
                let message = format!("include() needs a path, not {}", other.type_name());
                Err(Fault::new(ErrorKind::Include, span, message).hint(hint))
            }
        }
    }

    /// The text of an included file, or nothing when it is in already.
    fn follow(&mut self, path: &str, span: Span) -> Result<Option<Stitched>, ConfigError> {
        let origin = self.library.included(path, self.built_in);
        if self.seen.contains(&origin.to_string()) {
            let text = format!("{origin} is included more than once; it was read once");
            self.notes.push(Note { text, location: self.map.locate(span) });
            return Ok(None);
        }
        let limit = match () {
            () if self.depth >= MAX_DEPTH => Some(format!("more than {MAX_DEPTH} levels deep")),
            () if self.map.origins().count() >= MAX_FILES => {
                Some(format!("more than {MAX_FILES} files"))
            }
            () => None,
        };
        if let Some(limit) = limit {
            let message = format!("the config includes {limit}");
            return Err(Fault::new(ErrorKind::Limit, span, message).locate(self.map));
        }
        let found = self.library.open(&origin).map_err(|error| {
            let place = self.map.locate(span);
            let error = if error.kind() == ErrorKind::NotFound {
                let message = format!("the included file {origin} does not exist");
                ConfigError::new(ErrorKind::Include, message)
                    .with_hint(self.library.include_hint(self.built_in))
            } else {
                error
            };
            error.with_location(place)
        })?;
        self.depth += 1;
        let part = self.stitch(found)?;
        self.depth -= 1;
        Ok(Some(part))
    }
}

/// Whether a text has a line that would be replaced by a file.
pub(super) fn has_include_line(text: &str) -> bool {
    !include_lines(text).is_empty()
}

struct IncludeLine {
    /// What is replaced: also the blank lines and the indentation before.
    start: usize,
    end: usize,
    argument: std::ops::Range<usize>,
}

fn include_lines(text: &str) -> Vec<IncludeLine> {
    const WORD: &str = "include(";
    let mut out = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let skipped = text[start..].find(|symbol: char| !symbol.is_whitespace());
        let word = start + skipped.unwrap_or(text.len() - start);
        let line_end = text[word..].find('\n').map_or(text.len(), |at| word + at);
        let line = &text[word..line_end];
        let argument = line.strip_prefix(WORD).and_then(|rest| rest.rfind(')'));
        if let Some(length) = argument {
            let from = word + WORD.len();
            let end = from + length + 1;
            // Python evaluates it without the blanks around it.
            let inside = &text[from..from + length];
            let begin = from + inside.len() - inside.trim_start().len();
            out.push(IncludeLine { start, end, argument: begin..begin + inside.trim().len() });
        }
        start = line_end + 1;
    }
    out
}

/// What becomes of a text that Python's `re.sub` puts in place of a match, as mock includes files:
/// a backslash with some letters is one character, and two backslashes are one. What Python would
/// refuse stays as it is.
fn collapse_backslashes(part: Stitched) -> Stitched {
    if !part.text.contains('\\') {
        return part;
    }
    let mut out = Stitched::default();
    let mut done = 0;
    while let Some(found) = part.text[done..].find('\\') {
        let at = done + found;
        copy(&part, done..at, &mut out);
        let next = part.text[at + 1..].chars().next();
        let single = match next {
            Some('\\') => Some("\\"),
            Some('n') => Some("\n"),
            Some('t') => Some("\t"),
            Some('r') => Some("\r"),
            Some('v') => Some("\x0b"),
            Some('f') => Some("\x0c"),
            Some('a') => Some("\x07"),
            Some('b') => Some("\x08"),
            _ => None,
        };
        done = at + 1;
        match single {
            Some(text) => {
                let (file, from) = part.place(at);
                out.push(text, file, from);
                done += 1;
            }
            None => copy(&part, at..done, &mut out),
        }
    }
    copy(&part, done..part.text.len(), &mut out);
    out
}

/// Adds a part of a text, with where it is from.
fn copy(part: &Stitched, range: std::ops::Range<usize>, out: &mut Stitched) {
    let mut at = range.start;
    while at < range.end {
        let next = part.pieces.partition_point(|piece| piece.at as usize <= at);
        let end = part.pieces.get(next).map_or(range.end, |piece| piece.at as usize).min(range.end);
        let (file, from) = part.place(at);
        out.push(&part.text[at..end], file, from);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_begin_with_it_are_inclusions() {
        let text = "a\n\n  include('b') # c\n# include('d')\nx = include('e')\ninclude('f'\n)\n";
        let seen: Vec<_> = include_lines(text)
            .into_iter()
            .map(|line| (&text[line.start..line.end], &text[line.argument]))
            .collect();
        assert_eq!(seen, [("\n  include('b')", "'b'")]);
    }

    #[test]
    fn collapsing_keeps_the_positions() {
        let mut part = Stitched::default();
        part.push(r"a\\\\b\c", 0, 10);
        let seen = collapse_backslashes(part);
        assert_eq!(seen.text, r"a\\b\c");
        let last = seen.pieces.last().unwrap();
        assert_eq!((last.at, last.from), (5, 17));
    }
}
