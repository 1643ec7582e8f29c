//! What the node says of itself: lines on standard error, for people or for the journal.

use std::fmt::Display;
use std::io::Write;

use jiff::Timestamp;

use crate::run::plain;

/// How much a line matters (sd-daemon(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody has to do something.
    Error,
    /// Somebody may want to.
    Warning,
    /// What happens.
    Info,
}

/// Says a line. Under systemd it gets a priority, elsewhere the time.
pub fn tell(level: Level, line: impl Display) {
    // Much of what is said comes from servers and packages.
    let line = plain(&line.to_string());
    let text = if std::env::var_os("JOURNAL_STREAM").is_some() {
        let priority = match level {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Info => 6,
        };
        format!("<{priority}>{line}\n")
    } else {
        let mark = match level {
            Level::Error => "error: ",
            Level::Warning => "warning: ",
            Level::Info => "",
        };
        format!("{} {mark}{line}\n", time(Timestamp::now()))
    };
    // Nobody may be listening any more; the work goes on.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// `2026-05-01T10:00:00Z`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Says a condition when it begins, changes and ends, not each time it is looked at.
#[derive(Debug, Default)]
pub struct Condition(Option<String>);

impl Condition {
    /// The condition is this now. What begins is said as it is, its end by `over`.
    pub fn is(&mut self, level: Level, now: Option<String>, over: &str) {
        if self.changes(&now) {
            match &now {
                Some(text) => tell(level, text),
                None => tell(Level::Info, over),
            }
        }
        self.0 = now;
    }

    /// Numbers alone make no news.
    fn changes(&self, now: &Option<String>) -> bool {
        let words = |text: &Option<String>| {
            let letters = |c: &char| !c.is_ascii_digit() && *c != '.';
            text.as_ref().map(|text| text.chars().filter(letters).collect::<String>())
        };
        words(&self.0) != words(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_alone_make_no_news() {
        let some = |text: &str| Some(text.to_owned());
        let condition = Condition(some("the load is 8.1"));
        assert!(!condition.changes(&some("the load is 9.75")));
        assert!(condition.changes(&some("/srv has 3 inodes free")) && condition.changes(&None));
        assert!(!Condition::default().changes(&None));
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time("2026-05-01T12:00:00.5+02:00".parse().unwrap()), "2026-05-01T10:00:00Z");
    }
}
