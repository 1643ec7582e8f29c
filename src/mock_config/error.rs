//! What can go wrong with a config, and how it is told.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use super::source::{Location, SourceMap, Span};

/// What sort of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not Python.
    Syntax,
    /// It is Python, but beyond what configs may use here.
    Unsupported,
    /// A name, key or option that does not exist.
    Name,
    /// An operation or option got a value of the wrong type.
    Type,
    /// The type is right, the value is not.
    Value,
    /// An `include()` that cannot be followed.
    Include,
    /// The config wants more than any config needs: steps, depth, size, files.
    Limit,
    /// A `{{ template }}` that cannot be expanded.
    Template,
    /// There is no config of that name.
    NotFound,
    /// A file could not be read.
    Io,
    /// An option that no build can do without is not set.
    Missing,
    /// A `key=value` of the command line is malformed.
    Override,
    /// The config is not for this host.
    Architecture,
}

/// Why a config could not be used.
///
/// [`Display`] is one sentence behind the place; [`ConfigError::render`] adds the source line and
/// the hint.
#[derive(Debug)]
pub struct ConfigError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    location: Option<Location>,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ConfigError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        ConfigError(Box::new(Inner { kind, message, location: None, hint: None, source: None }))
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(super) fn with_location(mut self, location: Option<Location>) -> Self {
        self.0.location = location.or(self.0.location);
        self
    }

    pub(super) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What sort of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is wrong, in one sentence without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it is, when it is in a file.
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The source line with a caret under what is meant.
    pub fn snippet(&self) -> Option<String> {
        self.0.location.as_ref().map(super::snippet::render)
    }

    /// Everything for a person: sentence, source line, hint. The cause is left to the caller, who
    /// prints the chain.
    pub fn render(&self) -> String {
        let mut out = self.0.message.clone();
        if let Some(snippet) = self.snippet() {
            out.push('\n');
            out.push_str(&snippet);
        }
        if let Some(hint) = self.hint() {
            out.push_str("\nhint: ");
            out.push_str(hint);
        }
        out
    }
}

impl Display for ConfigError {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.0.location {
            Some(location) => write!(out, "{location}: {}", self.0.message),
            None => out.write_str(&self.0.message),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// An error of the language, before its position is turned into a place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub kind: ErrorKind,
    pub span: Span,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(kind: ErrorKind, span: Span, message: impl Into<String>) -> Self {
        Fault { kind, span, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A hint for when nothing more precise is known.
    pub fn hint_if_none(self, hint: &str) -> Self {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    pub fn locate(self, map: &SourceMap) -> ConfigError {
        let mut error =
            ConfigError::new(self.kind, self.message).with_location(map.locate(self.span));
        error.0.hint = self.hint;
        error
    }
}

pub(super) type Outcome<T> = Result<T, Fault>;
