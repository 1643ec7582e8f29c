//! The list of packages that this node does not build, kept as long as the config says.

use std::time::{Duration, Instant};

use super::Current;
use crate::causes::with_causes;

/// The list, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Exclusions {
    known: Option<(Instant, Vec<String>)>,
    /// When the next try is due after one that failed.
    again: Option<Instant>,
    trouble: Option<String>,
}

/// How long a list that could not be had is not asked for again.
const PAUSE: Duration = Duration::from_secs(30);

impl Exclusions {
    /// The list. One that cannot be renewed still counts; without any, no task may be taken, unless
    /// the config says that it does not matter.
    pub(super) async fn get(&mut self, current: &Current) -> Result<Vec<String>, String> {
        let now = Instant::now();
        let valid = Duration::from_secs(current.config.cache_update_interval);
        let is_fresh = self.known.as_ref().is_some_and(|(since, _)| now - *since < valid);
        if !is_fresh && self.again.is_none_or(|again| again <= now) {
            match current.ends.exclusions(&current.config.exclusions()).await {
                Ok(list) => {
                    self.known = Some((now, list));
                    (self.again, self.trouble) = (None, None);
                }
                Err(error) => {
                    self.again = Some(now + PAUSE);
                    self.trouble = Some(with_causes(&error));
                }
            }
        }
        match (&self.known, &self.trouble) {
            (Some((_, list)), _) => Ok(list.clone()),
            (None, Some(_)) if current.config.own.ignore_missing_exclusions => Ok(Vec::new()),
            (None, trouble) => Err(format!(
                "the list of excluded packages cannot be had ({}), and \
                 albs_node.ignore_missing_exclusions is not set",
                trouble.as_deref().unwrap_or_default()
            )),
        }
    }

    /// Why the list that counts is not a new one.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
