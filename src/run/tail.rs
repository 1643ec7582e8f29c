//! Output of a build as lines that can be shown: bounded, and without control characters.

use std::collections::VecDeque;

/// Lines that are kept for the verdict.
const KEPT: usize = 400;
/// Bytes of a line that are kept; the rest is dropped.
const LINE_BYTES: usize = 2000;

/// Cuts output into lines and keeps the last of them.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    kept: VecDeque<String>,
    section: Option<String>,
}

impl Lines {
    /// Takes a chunk of output; `line` gets each line that it completes.
    pub fn add(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n' || *byte == b'\r') {
            self.extend(&rest[..end]);
            rest = &rest[end + 1..];
            if self.partial.is_empty() {
                continue;
            }
            let text = plain(&String::from_utf8_lossy(&self.partial));
            self.partial.clear();
            line(&text);
            self.keep(text);
        }
        self.extend(rest);
    }

    /// The last lines, an unfinished one included.
    pub fn into_tail(mut self) -> Vec<String> {
        if !self.partial.is_empty() {
            let text = plain(&String::from_utf8_lossy(&self.partial));
            self.keep(text);
        }
        self.kept.into()
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The section of the spec that rpmbuild was in: `Executing(%check): …` begins it.
    pub fn section(&self) -> Option<&str> {
        self.section.as_deref()
    }

    fn keep(&mut self, text: String) {
        if let Some((name, _)) = text.strip_prefix("Executing(%").and_then(|t| t.split_once(')'))
            && name.len() < 40
        {
            self.section = Some(format!("%{name}"));
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(text);
    }
}

/// The text with escape sequences and other control characters made harmless: a build's output
/// must not talk to the reader's terminal.
pub fn plain(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            // The C1 range holds one-character forms of the escape sequences; the others change
            // the direction of text.
            c if c.is_control() => '\u{fffd}',
            '\u{061c}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_across_chunks() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in [&b"one\ntw"[..], b"o\r\nthree\x1b[31m\n", b"rest"] {
            lines.add(chunk, |line| seen.push(line.to_owned()));
        }
        assert_eq!(seen, ["one", "two", "three\u{fffd}[31m"]);
        assert_eq!(lines.into_tail().last().map(String::as_str), Some("rest"));
    }

    #[test]
    fn a_flood_stays_small() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.add(&[b'x'; 10_000], |_| {});
            lines.add(b"\n", |line| assert_eq!(line.len(), LINE_BYTES));
        }
        assert_eq!(lines.into_tail().len(), KEPT);
    }
}
