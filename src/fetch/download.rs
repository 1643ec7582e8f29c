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
use super::allowance::{Allowance, Body, Taken};
use super::sums::Sum;
use super::{DownloadError, ftp};
use crate::http::{self, redacted};
use crate::retry::{Backoff, Next};

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

/// A client for sources.
#[derive(Debug)]
pub struct Downloads {
    client: Client,
    addresses: Addresses,
    allowance: Allowance,
}

impl Downloads {
    /// A client that keeps to these rules, also where it is redirected, and gets no more than is
    /// allowed.
    ///
    /// # Errors
    ///
    /// It cannot be set up.
    pub fn new(addresses: &Addresses, allowance: Allowance) -> reqwest::Result<Downloads> {
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
        Ok(Downloads { client, addresses: addresses.clone(), allowance })
    }

    /// What may still come.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
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
            let mut taken = self.allowance.taken();
            let got = self.once(from, place, sum, wait, &mut taken);
            match got {
                Ok(_) => taken.keep(),
                Err(_) => drop(std::fs::remove_file(place)),
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
            // It is on no disk.
            let mut taken = self.allowance.taken();
            Body { from: &mut from, left: LONGEST_ANSWER, taken: &mut taken, wait }
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
        self.in_time(url)?;
        self.addresses.check(url)?;
        let answer = request.send().map_err(|error| transfer(shown(), error))?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            return Err(DownloadError::Status { url: shown(), status });
        }
        Ok(answer)
    }

    /// Each try asks this.
    fn in_time(&self, url: &Url) -> Result<(), DownloadError> {
        let exceeded = |source| DownloadError::Exceeded { what: redacted(url.as_str()), source };
        self.allowance.in_time().map_err(exceeded)
    }

    fn once(
        &self,
        from: &Download,
        place: &Path,
        sum: Option<&Sum>,
        wait: &Wait<'_>,
        taken: &mut Taken<'_>,
    ) -> Result<u64, DownloadError> {
        let url = parse(&from.url)?;
        let mut take = |data: &mut dyn Read| write(data, from, place, sum, wait, taken);
        if url.scheme() == "ftp" {
            self.in_time(&url)?;
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
    taken: &mut Taken<'_>,
) -> Result<u64, DownloadError> {
    let write = |source| DownloadError::Write { path: place.to_owned(), source };
    let mut file = File::create(place).map_err(write)?;
    let mut body = Body { from: data, left: from.most, taken, wait };
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
    match error.downcast() {
        Ok(source) => DownloadError::Exceeded { what: url, source },
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            DownloadError::TooLarge { url, most }
        }
        Err(error) => DownloadError::Transfer { url, source: error.into() },
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::Exceeded;
    use super::*;
    use crate::retry::Trouble;

    fn get(url: &str) -> DownloadError {
        get_until(url, Instant::now() + Duration::from_secs(60))
    }

    fn get_until(url: &str, until: Instant) -> DownloadError {
        let allowance = Allowance::new(0, until);
        let downloads = Downloads::new(&Addresses::new(Vec::new(), &[]), allowance).unwrap();
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

    #[test]
    fn nothing_is_asked_after_the_time() {
        for url in ["https://192.0.2.1/x", "ftp://192.0.2.1/x"] {
            let error = get_until(url, Instant::now());
            assert_eq!(error.trouble(), Trouble::Final);
            let is_time = matches!(error, DownloadError::Exceeded { source: Exceeded::Time, .. });
            assert!(is_time, "{url}: {error:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_allowance_is_no_transfer_that_broke_off() {
        let dir = tempfile::tempdir().unwrap();
        let allowance = Allowance::new(5, Instant::now() + Duration::from_secs(60));
        let from = Download::from("https://h/x");
        let place = dir.path().join("x");
        let mut data: &[u8] = b"123456";
        let error =
            write(&mut data, &from, &place, None, &|_| true, &mut allowance.taken()).unwrap_err();
        let is_bytes =
            matches!(error, DownloadError::Exceeded { source: Exceeded::Bytes { most: 5 }, .. });
        assert!(is_bytes && error.trouble() == Trouble::Final, "{error:?}");
        assert_eq!(allowance.left(), 5);
    }
}
