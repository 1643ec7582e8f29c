//! Errors as people read them: one sentence, its cause, a hint; and the exit status.

use std::error::Error;
use std::path::PathBuf;

use crate::run::plain;
use crate::verdict::Failure;

/// An error at the top: what was attempted, why it failed, what to do about it.
#[derive(Debug)]
pub struct CliError {
    status: u8,
    error: Box<dyn Error + Send + Sync>,
    snippet: Option<String>,
    evidence: Vec<String>,
    hint: Option<String>,
    log: Option<PathBuf>,
}

impl CliError {
    /// An error with the exit status that it ends the program with.
    pub fn new(
        status: u8,
        error: impl Into<Box<dyn Error + Send + Sync>>,
        hint: Option<String>,
    ) -> Self {
        CliError {
            status,
            error: error.into(),
            snippet: None,
            evidence: Vec::new(),
            hint,
            log: None,
        }
    }

    /// With the place in a file that is wrong.
    pub fn with_snippet(mut self, snippet: Option<String>) -> Self {
        self.snippet = snippet;
        self
    }

    /// With the log that tells more.
    pub fn with_log(mut self, log: PathBuf) -> Self {
        self.log = Some(log);
        self
    }

    /// Exit status of the program.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Prints the error, its causes and the hint to standard error.
    pub fn print(&self) {
        super::output::complain(self.render().trim_end());
    }

    /// The error and its causes as one line.
    pub(super) fn sentence(&self) -> String {
        crate::causes::with_causes(self.error.as_ref())
    }

    /// The error as it is printed.
    pub(super) fn render(&self) -> String {
        let mut text = format!("error: {}\n", plain(&self.error.to_string()));
        for line in self.snippet.iter().flat_map(|snippet| snippet.lines()) {
            text += &format!("  {}\n", plain(line));
        }
        let mut cause = self.error.source();
        while let Some(error) = cause {
            for (index, line) in error.to_string().trim_end().lines().enumerate() {
                let mark = if index == 0 { "cause: " } else { "       " };
                text += &format!("  {mark}{}\n", plain(line));
            }
            cause = error.source();
        }
        for line in &self.evidence {
            text += &format!("  | {}\n", plain(line));
        }
        if let Some(hint) = &self.hint {
            text += &format!("  hint: {}\n", plain(hint));
        }
        if let Some(log) = &self.log {
            text += &format!("  log: {}\n", plain(&log.display().to_string()));
        }
        text
    }
}

impl From<Failure> for CliError {
    fn from(mut failure: Failure) -> Self {
        CliError {
            status: failure.status,
            evidence: std::mem::take(&mut failure.evidence),
            hint: failure.hint.take(),
            snippet: None,
            log: None,
            error: Box::new(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_with_cause_and_hint() {
        let cause = std::io::Error::other("the\x1b[2J disk");
        let failure = Failure {
            evidence: vec!["gcc: error".into()],
            ..Failure::infrastructure(
                crate::verdict::Stage::Srpm,
                1,
                "it failed",
                Some(Box::new(cause)),
            )
        }
        .with_hint(Some("do it".into()));
        assert_eq!(
            CliError::from(failure).render(),
            "error: it failed\n  cause: the\u{fffd}[2J disk\n  | gcc: error\n  hint: do it\n"
        );
    }
}
