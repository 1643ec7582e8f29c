//! Why it is not known what repositories hold, and what can be done.

use std::fmt;
use std::io;
use std::sync::Arc;

use reqwest::StatusCode;

use super::address::Address;
use super::fetch::MAX_DOCUMENT;
use crate::causes::with_causes;
use crate::http::SetupError;

/// It is not known what the repositories of a config hold.
#[derive(Debug)]
pub enum RevisionError {
    /// Some that the config does not do without cannot be asked.
    Unavailable(Vec<Unavailable>),
    /// The caller wanted no more.
    Cancelled,
    /// This program is at fault.
    Thread,
}

impl fmt::Display for RevisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RevisionError::Unavailable(all) => {
                let mut names = all.iter().map(|one| format!("'{}'", one.id));
                let first = names.next().unwrap_or_default();
                write!(f, "cannot find out what the repository {first} holds")?;
                let others: Vec<String> = names.collect();
                match others.is_empty() {
                    true => Ok(()),
                    // The cause is that of the first.
                    false => write!(f, ", nor what {} hold", others.join(", ")),
                }
            }
            RevisionError::Cancelled => f.write_str("asking the repositories was stopped"),
            RevisionError::Thread => f.write_str("a thread that asks repositories died"),
        }
    }
}

impl std::error::Error for RevisionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().map(|cause| cause as _)
    }
}

/// One repository cannot be asked.
#[derive(Debug)]
pub struct Unavailable {
    /// Its name.
    pub id: String,
    /// What was tried, in order; never empty.
    pub attempts: Vec<AttemptError>,
}

impl Unavailable {
    /// Why, as a sentence without its beginning.
    pub fn reason(&self) -> String {
        let first = self.attempts.first();
        let text = first.map_or_else(String::new, |error| with_causes(error));
        match self.attempts.len() {
            0 | 1 => text,
            more => format!("{text} (first of {more} attempts)"),
        }
    }
}

/// Why one address did not give what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// There is none.
    #[error("it has neither baseurl nor mirrorlist nor metalink")]
    NoAddress,
    /// Its protocol is not spoken here.
    #[error("{0} is no address of HTTP and no file")]
    Unsupported(Address),
    /// A server refers to a file of this host.
    #[error("a list of mirrors that came over the network names the file {0}")]
    LocalMirror(Address),
    /// No request may be made, and no earlier one has left anything.
    #[error("{0} may not be asked offline, and nothing is known of it from before")]
    Offline(Address),
    /// The client could not be set up.
    #[error(transparent)]
    Setup(#[from] Arc<SetupError>),
    /// A file cannot be read.
    #[error("cannot read {address}")]
    Read {
        /// The file.
        address: Address,
        /// The cause.
        source: io::Error,
    },
    /// A server was not reached, or the transfer broke off.
    #[error("cannot get {address}")]
    Transfer {
        /// What was asked for.
        address: Address,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server answered something else.
    #[error("{address} gives {status}")]
    Answer {
        /// What was asked for.
        address: Address,
        /// The status of HTTP.
        status: StatusCode,
    },
    /// It is larger than any that there is.
    #[error("{0} has more than {MAX_DOCUMENT} bytes")]
    Size(Address),
    /// It is something else.
    #[error("what {address} gives cannot be used: {reason}")]
    Content {
        /// What was asked for.
        address: Address,
        /// A sentence.
        reason: String,
    },
}

impl AttemptError {
    /// Whether the same address may answer a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            AttemptError::Transfer { .. } => true,
            AttemptError::Answer { status, .. } => {
                status.is_server_error()
                    || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(status)
            }
            _ => false,
        }
    }
}

impl RevisionError {
    /// Whether it may work later, with the same config.
    pub fn is_passing(&self) -> bool {
        // Repositories that are being published anew have a moment without index, too.
        let may_pass = |error: &AttemptError| match error {
            AttemptError::Answer { .. } | AttemptError::Size(_) | AttemptError::Content { .. } => {
                true
            }
            error => error.is_passing(),
        };
        match self {
            RevisionError::Unavailable(all) => {
                all.iter().all(|one| one.attempts.iter().any(may_pass))
            }
            RevisionError::Cancelled | RevisionError::Thread => false,
        }
    }

    /// The names of the repositories that are not known.
    pub fn repositories(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            RevisionError::Unavailable(all) => all.as_slice(),
            RevisionError::Cancelled | RevisionError::Thread => &[],
        };
        all.iter().map(|one| one.id.as_str())
    }

    /// The cause: what went wrong first with the first of the repositories.
    pub fn cause(&self) -> Option<&AttemptError> {
        match self {
            RevisionError::Unavailable(all) => all.first()?.attempts.first(),
            RevisionError::Cancelled | RevisionError::Thread => None,
        }
    }

    /// What an operator can do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.cause()? {
            AttemptError::NoAddress => "set baseurl, mirrorlist or metalink, or enabled=0",
            AttemptError::Unsupported(_) => {
                "use https://, http:// or file://, and only variables that the config sets"
            }
            AttemptError::LocalMirror(_) => "write baseurl=file:///... into the config",
            AttemptError::Offline(_) => "build once with a network; then it is known",
            AttemptError::Setup(_) => "correct the option of the config that names it",
            AttemptError::Read { .. } => "correct its baseurl, or run createrepo_c there",
            AttemptError::Answer { status, .. } if [401, 403].contains(&status.as_u16()) => {
                "set username and password, or sslclientcert and sslclientkey, of the repository"
            }
            AttemptError::Answer { status, .. } if [404, 410].contains(&status.as_u16()) => {
                "check its address, and the values of $releasever and $basearch in it; \
                 skip_if_unavailable=1 goes on without it"
            }
            AttemptError::Transfer { .. } => {
                "check the network, and proxies and certificates of the config; \
                 skip_if_unavailable=1 goes on without the repository"
            }
            AttemptError::Answer { .. } | AttemptError::Size(_) | AttemptError::Content { .. } => {
                "look at what its server gives; skip_if_unavailable=1 goes on without the repository"
            }
        };
        Some(hint.to_owned())
    }
}
