//! Why a source could not be downloaded, and what that means.

use std::io;

use super::address::Refused;
use super::allowance::Exceeded;
use crate::http::redacted;
use crate::retry::Trouble;

/// A source could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The address is none, or of another kind.
    #[error(
        "{0} is not an address that sources can be downloaded from; those of http, https and ftp are"
    )]
    Address(String),
    /// The address is not on the internet.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No answer, or one that broke off.
    #[error("{url} could not be downloaded")]
    Transfer {
        /// The address, without secrets.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server says no.
    #[error("{url} gives {status}")]
    Status {
        /// The address, without secrets.
        url: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The server's answer is none to what it was asked.
    #[error("{url} gives an answer that cannot be understood")]
    Answer {
        /// The address, without secrets.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The server of FTP says no.
    #[error("{url} cannot be had: the server says {reply}")]
    Reply {
        /// The address, without secrets.
        url: String,
        /// What it says.
        reply: String,
        /// Whether it may say something else later.
        passing: bool,
    },
    /// It is too large.
    #[error("{url} is larger than {most} bytes")]
    TooLarge {
        /// The address, without secrets.
        url: String,
        /// Bytes that are allowed.
        most: u64,
    },
    /// All sources together are too large, or take too long.
    #[error("{what} goes beyond what is allowed")]
    Exceeded {
        /// The address, without secrets, or the name.
        what: String,
        /// What is beyond what is allowed.
        source: Exceeded,
    },
    /// It is something else than what was wanted.
    #[error("{url} has the checksum {found}, and {wanted} is expected")]
    Checksum {
        /// The address, without secrets.
        url: String,
        /// What it has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The build was cancelled.
    #[error("it was cancelled")]
    Cancelled,
}

impl DownloadError {
    /// A name that could not be looked up, or whose addresses are refused; `url` may have secrets.
    pub fn unresolved(url: &str, error: Box<dyn std::error::Error + Send + Sync>) -> DownloadError {
        match error.downcast() {
            Ok(refused) => DownloadError::Refused(*refused),
            Err(source) => DownloadError::Transfer { url: redacted(url), source },
        }
    }

    /// What it means for the next try.
    pub fn trouble(&self) -> Trouble {
        match self {
            DownloadError::Transfer { .. } => Trouble::Passing { retry_after: None },
            DownloadError::Status { status: 408 | 425 | 429 | 500.., .. } => {
                Trouble::Passing { retry_after: None }
            }
            DownloadError::Reply { passing: true, .. } => Trouble::Passing { retry_after: None },
            // Mirrors and caches in between have given half files and error pages.
            DownloadError::Checksum { .. } | DownloadError::Answer { .. } => Trouble::Doubtful,
            _ => Trouble::Final,
        }
    }

    /// What can be done.
    pub fn hint(&self) -> Option<&'static str> {
        matches!(self, DownloadError::Refused(_)).then_some(Refused::HINT)
    }
}
