//! Errors as people read them: one sentence, its cause, a hint; and the exit status.

use std::error::Error;

/// Exit status of mock for a wrong command line.
pub(super) const COMMAND_LINE: u8 = 5;

/// An error at the top: what was attempted, why it failed, what to do about it.
#[derive(Debug)]
pub struct CliError {
    status: u8,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
}

impl CliError {
    /// An error with the exit status that it ends the program with.
    pub fn new(
        status: u8,
        error: impl Into<Box<dyn Error + Send + Sync>>,
        hint: Option<String>,
    ) -> Self {
        CliError { status, error: error.into(), hint }
    }

    /// Exit status of the program.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Prints the error, its causes and the hint to standard error.
    pub fn print(&self) {
        eprint!("{}", self.render());
    }

    fn render(&self) -> String {
        let mut text = format!("error: {}\n", plain(&self.error.to_string()));
        let mut cause = self.error.source();
        while let Some(error) = cause {
            text += &format!("  cause: {}\n", plain(&error.to_string()));
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            text += &format!("  hint: {}\n", plain(hint));
        }
        text
    }
}

/// Text without control characters other than line breaks: it may come from a build.
pub(super) fn plain(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}
