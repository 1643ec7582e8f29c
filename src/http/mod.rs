//! What the clients of albs-web-server and Pulp have in common: how they are set up, how an answer
//! that says no becomes one line, and what it means for the next try.

mod error;
mod setup;
mod summary;

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

pub use error::HttpError;
pub(crate) use error::is_certificate;
pub use setup::SetupError;
pub(crate) use setup::{
    builder, certificates, checked, exceptions, redacted, with_certificates, with_proxies,
};
pub use summary::summary;

/// How programs that are asked see this one.
pub const USER_AGENT: &str = concat!("albs-node/", env!("CARGO_PKG_VERSION"));

/// Bytes of an answer that says no.
const MAX_REASON: usize = 64 << 10;

/// Makes the one provider of cryptography that is compiled in the one that is used.
pub fn install_provider() {
    // Whoever comes first; it is always the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client of one server. Proxies are those of the environment.
///
/// # Errors
///
/// The certificates of the host cannot be used.
pub fn client(timeout: Duration) -> Result<Client, HttpError> {
    install_provider();
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(Duration::from_secs(20))
        .timeout(timeout)
        // Servers close idle connections after 5 s; one that is closed just now costs a try.
        .pool_idle_timeout(Duration::from_secs(4))
        // Answers of an API are at its address; whoever sends one elsewhere is no API, and must not
        // be shown passwords.
        .redirect(Policy::none())
        .build()
        .map_err(|source| HttpError::Setup { source })
}

/// An address to be shown: without the password in it.
pub fn without_password(address: &str) -> String {
    match reqwest::Url::parse(address) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.into()
        }
        _ => address.to_owned(),
    }
}

/// Reads an answer of at most `most` bytes.
///
/// # Errors
///
/// It broke off, or is longer.
pub async fn body(call: &str, mut answer: Response, most: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| HttpError::transfer(call, error))?
    {
        if body.len() + chunk.len() > most {
            let what = format!("an answer of more than {most} bytes");
            return Err(HttpError::Content { call: call.to_owned(), what });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An answer that says no, as an error: status, one line of what it says, and when to come back.
pub async fn refusal(call: &str, mut answer: Response) -> HttpError {
    let status = answer.status().as_u16();
    let retry_after = retry_after(answer.headers(), jiff::Timestamp::now());
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = text(CONTENT_TYPE).unwrap_or_default().to_owned();
    let location = text(reqwest::header::LOCATION).map(|to| format!("moved to {to}"));
    let mut bytes = Vec::new();
    // What came until it broke off is enough.
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MAX_REASON {
            bytes.truncate(MAX_REASON);
            break;
        }
    }
    let reason = location.map_or_else(|| summary(&kind, &bytes), |to| crate::run::plain(&to));
    HttpError::Answer { call: call.to_owned(), status, reason, retry_after }
}

/// How long a server asks to be left alone: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_back() {
        let now: jiff::Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|time| time.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Fri, 01 May 2026 10:01:30 GMT"), Some(90));
        assert_eq!(asked("Fri, 01 May 2026 09:00:00 GMT"), Some(0));
        assert_eq!((asked("soon"), asked("-1"), asked("")), (None, None, None));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
