//! Why a file was not uploaded.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::HttpError;
use crate::queue::QueueError;
use crate::retry::Trouble;

/// Why a file was not uploaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot upload {}", path.display())]
pub struct UploadError {
    path: PathBuf,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("cannot read it")]
    Read(#[source] io::Error),
    #[error("it is not the file any more whose checksum was taken")]
    Changed,
    /// A directory is in the place of Pulp.
    #[error(transparent)]
    Keep(QueueError),
    #[error(transparent)]
    Call(#[from] HttpError),
    #[error("Pulp's task {task} ended as {state}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Task { task: String, state: String, reason: String },
    #[error("Pulp's task {task} has not ended after {} s", after.as_secs())]
    Deadline { task: String, after: Duration },
    #[error("Pulp has told that it has the file, but does not find it")]
    NotFound,
    #[error("what Pulp has received is not what was sent, {0} times")]
    Damaged(u32),
}

impl UploadError {
    pub(super) fn new(path: &Path, reason: Reason) -> UploadError {
        UploadError { path: path.to_owned(), reason }
    }

    /// A file that could not be put into a queue's directory.
    pub fn kept(path: &Path, error: QueueError) -> UploadError {
        UploadError::new(path, Reason::Keep(error))
    }

    /// A file that is not the one any more whose checksum was taken.
    pub fn changed(path: &Path) -> UploadError {
        UploadError::new(path, Reason::Changed)
    }

    /// What it means for the next try.
    pub fn trouble(&self) -> Trouble {
        match &self.reason {
            Reason::Read(_) | Reason::Changed => Trouble::Final,
            // A request that was damaged on its way is answered so as well.
            Reason::Call(error) if error.status() == Some(400) => Trouble::Doubtful,
            Reason::Call(error) => error.trouble(),
            Reason::Task { state, .. } if state == "failed" => Trouble::Doubtful,
            Reason::Keep(_) | Reason::Task { .. } | Reason::Deadline { .. } => {
                Trouble::Passing { retry_after: None }
            }
            Reason::NotFound | Reason::Damaged(_) => Trouble::Doubtful,
        }
    }

    /// What can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.reason {
            Reason::Call(error) => match error.status() {
                Some(401) => Some("pulp_user or pulp_password is wrong"),
                Some(403) => Some(
                    "Pulp lets only administrators make and list artifacts, unless its policy says \
                     otherwise; use such an account as pulp_user",
                ),
                Some(404) => Some("pulp_host must be the address that /pulp/api/v3/ is below"),
                _ => error.hint(),
            },
            Reason::Deadline { .. } => Some("look whether Pulp's workers run, and what they do"),
            Reason::Task { .. } => Some("the log of Pulp's workers tells more"),
            Reason::Damaged(_) => Some("something between here and Pulp changes what is sent"),
            _ => None,
        }
    }
}
