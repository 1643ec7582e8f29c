//! YAML as a tree in which everything knows its line.
//!
//! Reading is bounded: a config is small, and aliases may not make it large.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// Values of a document, those that aliases repeat counted each time.
const MAX_VALUES: usize = 10_000;
/// How deep they are nested.
const MAX_DEPTH: usize = 32;

/// A value and the line, from 1, where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
}

/// What stands there; words that may mean something else are not interpreted yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `plain` words may be numbers, flags or nothing; those in quotes are texts.
    Word {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub line: usize,
    pub value: Node,
}

/// A document that cannot be read; there is only one of these, since nothing behind it is sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub message: String,
}

impl Node {
    /// How many values it holds, itself included.
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Word { .. } => 0,
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| 1 + entry.value.count()).sum(),
        }
    }
}

/// Something that is not complete yet.
struct Open {
    anchor: usize,
    line: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, usize)> },
}

/// Reads the one document of a file; an empty file has none.
pub(super) fn read(text: &str) -> Result<Option<Node>, Fault> {
    let mut reader =
        Reader { open: Vec::new(), anchors: HashMap::new(), left: MAX_VALUES, root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Fault {
            line: error.marker().line(),
            message: format!("this is not YAML: {}", error.info()),
        })?;
        reader.take(event, span)?;
    }
    Ok(reader.root)
}

struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    /// Values that may still come.
    left: usize,
    root: Option<Node>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let line = span.start.line();
        let fault = |message: &str| Err(Fault { line, message: message.to_owned() });
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                spend(&mut self.left, 1, line)?;
                let is_text = tag.as_deref().is_some_and(Tag::is_yaml_core_schema)
                    && tag.as_deref().is_some_and(|tag| tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !is_text;
                let value = Value::Word { text: text.into_owned(), plain };
                self.add(Node { line, value }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(Open { anchor, line, kind: Kind::List(Vec::new()) })
            }
            Event::MappingStart(anchor, _) => {
                let kind = Kind::Map { entries: Vec::new(), key: None };
                self.begin(Open { anchor, line, kind })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.kind {
                    Kind::List(items) => Value::List(items),
                    Kind::Map { entries, .. } => Value::Map(merged(entries)?),
                };
                self.add(Node { line: open.line, value }, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return fault("this alias stands inside of what it repeats");
                };
                spend(&mut self.left, node.count(), line)?;
                let node = Node { line, ..node.clone() };
                self.add(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                fault("a second document begins here; only one is read")
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("values are nested deeper than {MAX_DEPTH} levels");
            return Err(Fault { line: open.line, message });
        }
        spend(&mut self.left, 1, open.line)?;
        self.open.push(open);
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        let line = node.line;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map { entries, key }) => match (key.take(), node.value) {
                (Some((key, line_of_key)), value) => {
                    let value = Node { line, value };
                    entries.push(Entry { key, line: line_of_key, value });
                }
                (None, Value::Word { text, .. }) => *key = Some((text, line)),
                (None, _) => {
                    let message = "a key must be a word".to_owned();
                    return Err(Fault { line, message });
                }
            },
        }
        Ok(())
    }
}

fn spend(left: &mut usize, values: usize, line: usize) -> Result<(), Fault> {
    *left = left.checked_sub(values).ok_or_else(|| Fault {
        line,
        message: format!("more than {MAX_VALUES} values; what aliases repeat counts each time"),
    })?;
    Ok(())
}

/// Puts what `<<` names behind what is there itself, which goes before.
fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, Fault> {
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    for merge in merges {
        let maps = match merge.value.value {
            Value::List(items) => items,
            value => vec![Node { line: merge.line, value }],
        };
        for map in maps {
            let Value::Map(more) = map.value else {
                let message = "<< must be followed by a mapping, or a list of them".to_owned();
                return Err(Fault { line: merge.line, message });
            };
            for entry in more {
                if !own.iter().any(|known| known.key == entry.key) {
                    own.push(entry);
                }
            }
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Word { text, plain: true } => text.clone(),
            Value::Word { text, .. } => format!("{text:?}"),
            Value::List(items) => {
                format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let entry = |e: &Entry| format!("{}@{}: {}", e.key, e.line, shown(&e.value));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn tree(text: &str) -> String {
        match read(text) {
            Ok(node) => node.as_ref().map(shown).unwrap_or_default(),
            Err(fault) => format!("{}: {}", fault.line, fault.message),
        }
    }

    #[test]
    fn values_and_their_lines() {
        let text = "---\na: 1 # one\nb: '1'\nc: !!str 1\nd:\n- x\n- {y: z}\ne: |\n  t\nf:\n";
        assert_eq!(
            tree(text),
            "{a@2: 1, b@3: \"1\", c@4: \"1\", d@5: [x, {y@7: z}], e@8: \"t\\n\", f@10: }"
        );
        assert_eq!((tree(""), tree("# x\n"), tree("---\n")), Default::default());
        assert_eq!(
            tree("x: &a {y: 1}\nz: {<<: *a, w: 2}"),
            "{x@1: {y@1: 1}, z@2: {w@2: 2, y@1: 1}}"
        );
    }

    #[test]
    fn what_cannot_be_read() {
        for (text, wanted) in [
            ("a: b: c", "1: this is not YAML"),
            ("a: [1", "this is not YAML"),
            ("a: 1\n---\nb: 2\n", "2: a second document"),
            ("[a]: 1", "1: a key must be a word"),
            ("a: &a [*a]", "inside of what it repeats"),
            ("a: *b", "1: this is not YAML"),
            ("a: {<<: 1}", "1: << must be followed"),
        ] {
            let seen = tree(text);
            assert!(seen.contains(wanted), "{text:?}: {seen}");
        }
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(tree(&deep).contains("nested deeper"), "{}", tree(&deep));
    }

    #[test]
    fn aliases_do_not_explode() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
        for level in 1..20 {
            let before = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 8].join(", "));
        }
        assert!(tree(&text).contains("more than 10000 values"), "{}", tree(&text));
    }
}
