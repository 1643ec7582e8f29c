//! Reading one mapping key by key: every value is asked for by its type, and whatever is wrong is
//! collected.

use std::path::{Path, PathBuf};

use super::problem::{Problem, Severity};
use super::scalar::{Scalar, scalar};
use super::yaml::{Entry, Node, Value};
use crate::nearest::nearest;
use crate::secret::Secret;

/// All problems of a file.
#[derive(Debug)]
pub(super) struct Problems {
    file: PathBuf,
    pub found: Vec<Problem>,
}

impl Problems {
    pub fn new(file: &Path) -> Problems {
        Problems { file: file.to_owned(), found: Vec::new() }
    }

    pub fn add(
        &mut self,
        severity: Severity,
        line: Option<usize>,
        message: String,
        hint: Option<String>,
    ) {
        let place = Some((self.file.clone(), line));
        self.found.push(Problem { severity, place, message, hint });
    }

    pub fn error(&mut self, line: Option<usize>, message: String, hint: Option<String>) {
        self.add(Severity::Error, line, message, hint);
    }

    pub fn warning(&mut self, line: Option<usize>, message: String, hint: Option<String>) {
        self.add(Severity::Warning, line, message, hint);
    }
}

/// A mapping, whose keys are taken one after the other.
#[derive(Debug)]
pub(super) struct Section {
    /// What stands before its keys in messages: nothing, or `albs_node.`.
    prefix: String,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
}

impl Section {
    /// The entries; a key that stands there twice is an error, and the last one counts, as it does
    /// for PyYAML.
    pub fn new(prefix: &str, entries: Vec<Entry>, problems: &mut Problems) -> Section {
        let mut unique: Vec<Entry> = Vec::new();
        for entry in entries {
            if let Some(known) = unique.iter_mut().find(|known| known.key == entry.key) {
                let message = format!(
                    "{prefix}{} is set again; it is set on line {} already",
                    entry.key, known.line
                );
                problems.error(Some(entry.line), message, Some("keep one of them".to_owned()));
                *known = entry;
            } else {
                unique.push(entry);
            }
        }
        Section { prefix: prefix.to_owned(), entries: unique, asked: Vec::new() }
    }

    /// The line of a key.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.line)
    }

    /// Takes a key with its line, unless it is missing or empty.
    pub fn take(&mut self, key: &'static str) -> Option<(usize, Node)> {
        self.asked.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        let empty = match &entry.value.value {
            Value::Word { text, plain: true } => scalar(text) == Scalar::Nothing,
            _ => false,
        };
        (!empty).then_some((entry.line, entry.value))
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        problems: &mut Problems,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let (line, node) = self.take(key)?;
        let value = read(&node.value);
        if value.is_none() {
            let message =
                format!("{}{key} must be {wanted}, but it is {}", self.prefix, told(&node));
            let hint = match (&node.value, wanted) {
                (Value::Word { plain: true, .. }, "a text") => Some("put it in quotes".to_owned()),
                _ => None,
            };
            problems.error(Some(line), message, hint);
        }
        value
    }

    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<String> {
        self.typed(key, "a text", problems, text)
    }

    /// A text that must not be shown, also where it is wrong.
    pub fn secret(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<(usize, Secret)> {
        let (line, node) = self.take(key)?;
        let secret = text(&node.value);
        if secret.is_none() {
            let message = format!("{}{key} must be a text", self.prefix);
            problems.error(Some(line), message, Some("put it in quotes".to_owned()));
        }
        secret.map(|secret| (line, Secret::new(secret)))
    }

    pub fn path(&mut self, key: &'static str, problems: &mut Problems) -> Option<PathBuf> {
        self.typed(key, "an absolute path", problems, |value| {
            text(value).map(PathBuf::from).filter(|path| path.is_absolute())
        })
    }

    pub fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        self.typed(key, "true or false", problems, |value| match word(value)? {
            Scalar::Flag(flag) => Some(flag),
            _ => None,
        })
    }

    /// A whole number of at least `least`.
    pub fn number(
        &mut self,
        key: &'static str,
        least: i64,
        problems: &mut Problems,
    ) -> Option<u64> {
        let wanted = format!("a whole number, {least} or more");
        self.typed(key, &wanted, problems, |value| match word(value)? {
            Scalar::Int(number) if number >= least => u64::try_from(number).ok(),
            _ => None,
        })
    }

    /// A number with or without a fraction, within limits.
    pub fn fraction(
        &mut self,
        key: &'static str,
        (least, most): (f64, f64),
        problems: &mut Problems,
    ) -> Option<f64> {
        let wanted = format!("a number from {least} to {most}");
        self.typed(key, &wanted, problems, |value| {
            match word(value)? {
                Scalar::Int(number) => Some(number as f64),
                Scalar::Float(number) => Some(number),
                _ => None,
            }
            .filter(|number| (least..=most).contains(number))
        })
    }

    /// Something that a text stands for.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        problems: &mut Problems,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.typed(key, wanted, problems, |value| match value {
            Value::Word { text, .. } => parse(text),
            _ => None,
        })
    }

    /// A list of things that texts stand for; each that is none is an error of its own.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        problems: &mut Problems,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (line, node) = self.take(key)?;
        let Value::List(items) = &node.value else {
            let message = format!(
                "{}{key} must be a list, each item {wanted}, but it is {}",
                self.prefix,
                told(&node)
            );
            problems.error(Some(line), message, None);
            return None;
        };
        let mut out = Vec::new();
        for item in items {
            let value = match &item.value {
                Value::Word { text, .. } => parse(text),
                _ => None,
            };
            match value {
                Some(value) => out.push(value),
                None => {
                    let message = format!(
                        "each item of {}{key} must be {wanted}, but this one is {}",
                        self.prefix,
                        told(item)
                    );
                    problems.error(Some(item.line), message, None);
                }
            }
        }
        Some(out)
    }

    /// A mapping below a key; `None` if it is missing or something else.
    pub fn section(&mut self, key: &'static str, problems: &mut Problems) -> Option<Section> {
        let (line, node) = self.take(key)?;
        let prefix = format!("{}{key}.", self.prefix);
        match node.value {
            Value::Map(entries) => Some(Section::new(&prefix, entries, problems)),
            _ => {
                let message =
                    format!("{}{key} must be a mapping, but it is {}", self.prefix, told(&node));
                problems.error(Some(line), message, None);
                None
            }
        }
    }

    /// All entries that are left, whatever their keys.
    pub fn rest(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Whatever was not asked for is no key: one problem for each.
    pub fn end(self, severity: Severity, problems: &mut Problems) {
        for entry in self.entries {
            let near = nearest(&entry.key, self.asked.iter().copied(), 1);
            let hint = near.first().map(|near| format!("did you mean {near}?"));
            let message = format!("there is no key {}{}", self.prefix, entry.key);
            problems.add(severity, Some(entry.line), message, hint);
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Word { text, plain: false } => Some(text.clone()),
        Value::Word { text, .. } if scalar(text) == Scalar::Text => Some(text.clone()),
        _ => None,
    }
}

fn word(value: &Value) -> Option<Scalar> {
    match value {
        Value::Word { text, plain: true } => Some(scalar(text)),
        _ => None,
    }
}

/// What a value is, short and on one line.
pub(super) fn told(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Word { text, plain } => {
            let short: String = text.chars().take(60).collect();
            match (plain, scalar(text)) {
                (true, Scalar::Int(_) | Scalar::Float(_)) => format!("the number {short}"),
                (true, Scalar::Flag(_)) => format!("the flag {short}"),
                _ => format!("the text {short:?}"),
            }
        }
    }
}
