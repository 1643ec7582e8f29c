//! What is wrong with a config, all of it at once.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The node cannot start.
    Error,
    /// It can, but not everything is as the file says.
    Warning,
}

/// One thing that is wrong.
///
/// [`Display`] is `file:line: what`, as editors and compilers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, and the line from 1; the line is missing where it is about the whole file, both
    /// where it is about the command line.
    pub place: Option<(PathBuf, Option<usize>)>,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// Whether the node cannot start.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((file, Some(line))) => write!(f, "{}:{line}: ", file.display())?,
            Some((file, None)) => write!(f, "{}: ", file.display())?,
            None => {}
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)
    }
}
