//! Why a call failed, and what that means for the next try.

use std::error::Error;
use std::time::Duration;

use crate::retry::Trouble;

/// Why a call failed. `call` is method and address, `POST http://…`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client could not be set up.
    #[error("cannot set up a client of HTTP")]
    Setup {
        /// The cause.
        source: reqwest::Error,
    },
    /// The other side was not reached, or the connection broke off.
    #[error("{call} got no answer")]
    Transfer {
        /// What was called.
        call: String,
        /// Whether the request may have arrived.
        sent: bool,
        /// The cause.
        source: reqwest::Error,
    },
    /// It says no.
    #[error("{call} gives {status}{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Answer {
        /// What was called.
        call: String,
        /// The status.
        status: u16,
        /// What the answer says, on one line without control characters.
        reason: String,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It says yes, but not what is expected.
    #[error("{call} gives {what}")]
    Content {
        /// What was called.
        call: String,
        /// What it gives.
        what: String,
    },
}

impl HttpError {
    pub(crate) fn transfer(call: &str, error: reqwest::Error) -> HttpError {
        let sent = !error.is_connect() && !error.is_builder();
        // The address is part of our own sentence.
        HttpError::Transfer { call: call.to_owned(), sent, source: error.without_url() }
    }

    /// The status of an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            HttpError::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What it means for the next try.
    pub fn trouble(&self) -> Trouble {
        match self {
            HttpError::Setup { .. } => Trouble::Operator,
            HttpError::Transfer { source, .. } if is_certificate(source) => Trouble::Operator,
            HttpError::Transfer { sent: true, .. } => Trouble::Lost,
            HttpError::Transfer { .. } => Trouble::Passing { retry_after: None },
            HttpError::Content { .. } => Trouble::Doubtful,
            HttpError::Answer { status, retry_after, .. } => match status {
                // 500 is what albs-web-server says while its database is away, and what it says
                // to some requests for ever.
                500 | 501 | 413 => Trouble::Doubtful,
                408 | 425 | 429 | 502.. => Trouble::Passing { retry_after: *retry_after },
                // The address is not that of the API.
                300..=399 | 401 | 403 | 404 | 405 | 407 => Trouble::Operator,
                _ => Trouble::Final,
            },
        }
    }

    /// What can be done about it, where that does not depend on what was called.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            HttpError::Transfer { source, .. } if is_certificate(source) => Some(
                "the certificate of the server is not trusted here; add its authority to those of the host",
            ),
            HttpError::Transfer { source, .. } if source.is_connect() => {
                Some("check the address, the network, and that the server runs")
            }
            HttpError::Transfer { source, .. } if source.is_timeout() => Some(
                "the server is slow; it is asked again, and request_timeout or pulp_timeout gives it more time",
            ),
            HttpError::Answer { status: 300..=399, .. } => {
                Some("configure the address that it has moved to")
            }
            HttpError::Answer { status: 413, .. } => {
                Some("something in front of the server limits the size of requests")
            }
            _ => None,
        }
    }
}

/// Whether somebody answered by TLS, but could not prove to be who is wanted.
pub(crate) fn is_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // What is inside an error of input and output is not its source.
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let inside = inside.map(|error| error as &(dyn Error + 'static));
    inside.or_else(|| error.source()).is_some_and(is_certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_statuses_mean() {
        let retry_after = Some(Duration::from_secs(7));
        let trouble = |status| {
            let (call, reason) = ("GET x".to_owned(), String::new());
            HttpError::Answer { call, status, reason, retry_after }.trouble()
        };
        for status in [408, 425, 429, 502, 503, 504, 520] {
            assert_eq!(trouble(status), Trouble::Passing { retry_after }, "{status}");
        }
        for status in [301, 307, 401, 403, 404, 405] {
            assert_eq!(trouble(status), Trouble::Operator, "{status}");
        }
        for status in [400, 409, 415, 422] {
            assert_eq!(trouble(status), Trouble::Final, "{status}");
        }
        assert_eq!((trouble(500), trouble(413)), (Trouble::Doubtful, Trouble::Doubtful));
    }
}
