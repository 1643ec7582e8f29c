//! Downloading sources: streamed to the disk, within bounds, from where they may come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::{Addresses, Refused};
use super::ftp;
use super::sums::Sum;
use crate::http::{self, redacted};
use crate::retry::{Backoff, Next, Trouble};

/// Bytes of one source; the largest, of browsers and language models, are some gigabytes.
pub const MOST: u64 = 16 << 30;
/// Redirections that are followed.
const REDIRECTIONS: usize = 10;
/// How long a server may say nothing.
pub const SILENCE: Duration = Duration::from_secs(120);

/// How tries follow each other.
const TRIES: Backoff = Backoff {
    first: Duration::from_secs(1),
    most: Duration::from_secs(20),
    lost: Duration::ZERO,
    doubtful: 3,
};
/// How many there are.
const MOST_TRIES: u32 = 5;

/// Bytes of an answer that is read at once.
const LONGEST_ANSWER: u64 = 4 << 20;

/// Waits, and says whether the work is to go on. Threads ask it.
pub type Wait<'a> = dyn Fn(Duration) -> bool + Sync + 'a;

/// What is asked for a file.
#[derive(Debug, Clone)]
pub struct Download {
    /// Where it is.
    pub url: String,
    /// What HTTP servers are told besides.
    pub headers: HeaderMap,
    /// The most bytes that it may have.
    pub most: u64,
}

impl From<&str> for Download {
    fn from(url: &str) -> Download {
        Download { url: url.to_owned(), headers: HeaderMap::new(), most: MOST }
    }
}

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

/// A client for sources.
#[derive(Debug)]
pub struct Downloads {
    client: Client,
    addresses: Addresses,
}

impl Downloads {
    /// A client that keeps to these rules, also where it is redirected.
    ///
    /// # Errors
    ///
    /// It cannot be set up.
    pub fn new(addresses: &Addresses) -> reqwest::Result<Downloads> {
        let rules = addresses.clone();
        let redirect = Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTIONS {
                return attempt.error("it is redirected too often");
            }
            match rules.check(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(refused) => attempt.error(refused),
            }
        });
        let client = http::builder()
            .dns_resolver(std::sync::Arc::new(addresses.clone()))
            .redirect(redirect)
            .timeout(SILENCE)
            .build()?;
        Ok(Downloads { client, addresses: addresses.clone() })
    }

    /// Downloads a file to `place`, which is complete or absent then. `wait` waits, and says
    /// whether the work is to go on.
    ///
    /// # Errors
    ///
    /// See [`DownloadError`].
    pub fn get(
        &self,
        from: &Download,
        place: &Path,
        sum: Option<&Sum>,
        wait: &Wait<'_>,
    ) -> Result<u64, DownloadError> {
        tried(wait, || {
            let got = self.once(from, place, sum, wait);
            if got.is_err() {
                let _ = std::fs::remove_file(place);
            }
            got
        })
    }

    /// Where an address leads that is there.
    ///
    /// # Errors
    ///
    /// As [`Downloads::get`].
    pub fn end_of(&self, url: &str, wait: &Wait<'_>) -> Result<String, DownloadError> {
        let url = parse(url)?;
        let ask = || self.ask(&url, self.client.get(url.clone()));
        tried(wait, || ask().map(|answer| answer.url().to_string()))
    }

    /// Puts a question to a server; `kind` is that of both the question and the answer.
    ///
    /// # Errors
    ///
    /// As [`Downloads::get`].
    pub fn ask_json<T: DeserializeOwned>(
        &self,
        url: &Url,
        kind: &str,
        question: &impl Serialize,
        wait: &Wait<'_>,
    ) -> Result<T, DownloadError> {
        let shown = || redacted(url.as_str());
        let understood = |source| DownloadError::Answer { url: shown(), source };
        let question = serde_json::to_vec(question).map_err(understood)?;
        tried(wait, || {
            let request = self.client.post(url.clone()).header(ACCEPT, kind);
            let request = request.header(CONTENT_TYPE, kind).body(question.clone());
            let mut from = self.ask(url, request)?;
            let mut answer = Vec::new();
            Body { from: &mut from, left: LONGEST_ANSWER, wait }
                .read_to_end(&mut answer)
                .map_err(|error| broken(error, url.as_str(), LONGEST_ANSWER))?;
            serde_json::from_slice(&answer).map_err(understood)
        })
    }

    fn ask(&self, url: &Url, request: RequestBuilder) -> Result<Response, DownloadError> {
        let shown = || redacted(url.as_str());
        if !["http", "https"].contains(&url.scheme()) {
            return Err(DownloadError::Address(shown()));
        }
        self.addresses.check(url)?;
        let answer = request.send().map_err(|error| transfer(shown(), error))?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            return Err(DownloadError::Status { url: shown(), status });
        }
        Ok(answer)
    }

    fn once(
        &self,
        from: &Download,
        place: &Path,
        sum: Option<&Sum>,
        wait: &Wait<'_>,
    ) -> Result<u64, DownloadError> {
        let url = parse(&from.url)?;
        let take = |data: &mut dyn Read| write(data, from, place, sum, wait);
        if url.scheme() == "ftp" {
            return ftp::retrieve(&url, &self.addresses, wait, take);
        }
        let request = self.client.get(url.clone()).headers(from.headers.clone());
        take(&mut self.ask(&url, request)?)
    }
}

fn parse(url: &str) -> Result<Url, DownloadError> {
    Url::parse(url).map_err(|_| DownloadError::Address(redacted(url)))
}

/// Writes what comes from an address to its place.
fn write(
    data: &mut dyn Read,
    from: &Download,
    place: &Path,
    sum: Option<&Sum>,
    wait: &Wait<'_>,
) -> Result<u64, DownloadError> {
    let write = |source| DownloadError::Write { path: place.to_owned(), source };
    let mut file = File::create(place).map_err(write)?;
    let mut body = Body { from: data, left: from.most, wait };
    let copied = match sum {
        Some(sum) => sum.copy(&mut body, &mut file),
        None => io::copy(&mut body, &mut file).map(|bytes| (bytes, None)),
    };
    match copied {
        Ok((bytes, None)) => Ok(bytes),
        Ok((_, Some(found))) => Err(DownloadError::Checksum {
            url: redacted(&from.url),
            found,
            wanted: sum.map(|sum| sum.hex.clone()).unwrap_or_default(),
        }),
        Err(error) if error.raw_os_error().is_some() => Err(write(error)),
        Err(error) => Err(broken(error, &from.url, from.most)),
    }
}

/// A body that did not come to its end.
fn broken(error: io::Error, url: &str, most: u64) -> DownloadError {
    let url = redacted(url);
    match error.kind() {
        io::ErrorKind::FileTooLarge => DownloadError::TooLarge { url, most },
        _ => DownloadError::Transfer { url, source: error.into() },
    }
}

/// Tries as long as it makes sense.
fn tried<T>(
    wait: &Wait<'_>,
    mut once: impl FnMut() -> Result<T, DownloadError>,
) -> Result<T, DownloadError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match once() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match TRIES.next(attempt, error.trouble(), fastrand::f64()) {
            Next::Wait(time) if attempt < MOST_TRIES => {
                if !wait(time) {
                    return Err(DownloadError::Cancelled);
                }
            }
            _ => return Err(error),
        }
    }
}

/// A refusal of an address is found inside the client's error.
fn transfer(url: String, error: reqwest::Error) -> DownloadError {
    let error = error.without_url();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inside) = cause {
        if let Some(refused) = inside.downcast_ref::<Refused>() {
            return DownloadError::Refused(refused.clone());
        }
        cause = inside.source();
    }
    DownloadError::Transfer { url, source: error.into() }
}

/// A body that ends when it is too large, or when the work is to end.
struct Body<'a> {
    from: &'a mut dyn Read,
    left: u64,
    wait: &'a Wait<'a>,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.wait)(Duration::ZERO) {
            // The wait before the next try ends it then.
            return Err(io::Error::other("cancelled"));
        }
        let count = self.from.read(buffer).map_err(io::Error::other)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str) -> DownloadError {
        let downloads = Downloads::new(&Addresses::new(Vec::new(), &[])).unwrap();
        let dir = tempfile::tempdir().unwrap();
        downloads.get(&url.into(), &dir.path().join("x"), None, &|_| true).unwrap_err()
    }

    #[test]
    fn what_is_refused_is_not_asked() {
        for url in [
            "http://127.0.0.1:1/x",
            "http://[::1]/x",
            "http://localhost:1/x",
            "ftp://127.0.0.1:1/x",
            "ftp://localhost:1/x",
        ] {
            let error = get(url);
            assert!(matches!(error, DownloadError::Refused(_)), "{url}: {error:?}");
        }
        for url in
            ["ftp://example.org/", "ftp://9.9.9.9/x%0dy", "file:///etc/passwd", "x", "http://"]
        {
            assert!(matches!(get(url), DownloadError::Address(_)), "{url}");
        }
    }
}
