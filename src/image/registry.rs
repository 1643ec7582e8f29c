//! A client of registries, which only reads.
//!
//! Source: the OCI distribution specification, and "Token Authentication Specification" of the
//! distribution project.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::manifest::ACCEPTED;
use crate::http::{self, SetupError};

/// Bytes of an error's text that are read.
const MAX_REASON: u64 = 64 << 10;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Proxies by the names of their variables, `https_proxy` and so on.
    pub proxies: BTreeMap<String, String>,
    /// Files of certificates that are trusted besides the host's.
    pub certificates: Vec<PathBuf>,
    /// How long all transfers of one attempt may take together.
    pub timeout: Duration,
    /// Set when transfers are to stop.
    pub stop: Arc<AtomicBool>,
}

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The client could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The registry was not reached, or the transfer broke off.
    #[error("cannot get {url}")]
    Transfer {
        /// What was asked for.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered something else.
    #[error("{url} gives {status}{reason}")]
    Answer {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: StatusCode,
        /// What it says about it: nothing, or text that starts with a colon.
        reason: String,
    },
}

impl RegistryError {
    /// Whether it may work later.
    pub fn is_passing(&self) -> bool {
        match self {
            RegistryError::Setup(_) => false,
            RegistryError::Transfer { .. } => true,
            RegistryError::Answer { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// One repository of a registry.
pub(super) struct Registry {
    client: Client,
    /// `https://host/v2/name`
    base: String,
    deadline: Instant,
    token: std::cell::RefCell<Option<String>>,
    stop: Arc<AtomicBool>,
}

/// What a token server answers; both names are in use.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// What registries answer to what they refuse.
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalError>,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Registry {
    pub fn new(host: &str, repository: &str, access: &Access) -> Result<Registry, RegistryError> {
        // The name that everybody writes is not that of the machine.
        let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let deadline = Instant::now() + access.timeout;
        let registry = |scheme: &str| {
            Ok(Registry {
                client: client(access, scheme == "https")?,
                base: format!("{scheme}://{host}/v2/{repository}"),
                deadline,
                token: None.into(),
                stop: access.stop.clone(),
            })
        };
        let secure = registry("https")?;
        if !is_loopback(host) {
            return Ok(secure);
        }
        // On this machine registries without TLS are usual.
        match secure.client.get(format!("https://{host}/v2/")).send() {
            Err(error) if error.is_connect() && !crate::http::is_certificate(&error) => {
                registry("http")
            }
            _ => Ok(secure),
        }
    }

    /// A manifest by a tag or digest.
    pub fn manifest(&self, reference: &str) -> Result<Vec<u8>, RegistryError> {
        let url = format!("{}/manifests/{reference}", self.base);
        let answer = self.get(&url, Some(ACCEPTED))?;
        super::read_document(answer).map_err(|error| broken(&url, error))
    }

    /// The content of a blob.
    pub fn blob(&self, digest: &str) -> Result<Box<dyn Read>, RegistryError> {
        let content = self.get(&format!("{}/blobs/{digest}", self.base), None)?;
        Ok(Box::new(Stoppable { content, stop: self.stop.clone() }))
    }

    fn get(&self, url: &str, accept: Option<&str>) -> Result<Response, RegistryError> {
        let answer = self.send(url, accept)?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return checked(url, answer);
        }
        // There may be several ways in.
        let challenges = answer.headers().get_all(WWW_AUTHENTICATE);
        let address = challenges.iter().find_map(|text| token_address(text.to_str().ok()?));
        match address {
            Some(address) => {
                let answer = checked(&address, self.send(&address, None)?)?;
                let token: Token = super::read_document(answer)
                    .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from))
                    .map_err(|error| broken(&address, error))?;
                *self.token.borrow_mut() = token.token.or(token.access_token);
                checked(url, self.send(url, accept)?)
            }
            None => checked(url, answer),
        }
    }

    fn send(&self, url: &str, accept: Option<&str>) -> Result<Response, RegistryError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut request = self.client.get(url).timeout(left);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if let (Some(token), true) = (&*self.token.borrow(), url.starts_with(&self.base)) {
            // Redirects to other hosts go without it.
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        // The address is part of our own sentence.
        request.send().map_err(|error| broken(url, error.without_url()))
    }
}

fn broken(url: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RegistryError {
    RegistryError::Transfer { url: url.to_owned(), source: source.into() }
}

fn checked(url: &str, answer: Response) -> Result<Response, RegistryError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let refusal: Option<Refusal> = serde_json::from_reader(answer.take(MAX_REASON)).ok();
    let first = refusal.and_then(|refusal| refusal.errors.into_iter().next());
    let reason = first.map_or_else(String::new, |error| {
        let text = if error.message.is_empty() { error.code } else { error.message };
        format!(": {}", crate::run::plain(&text))
    });
    Err(RegistryError::Answer { url: url.to_owned(), status, reason })
}

fn client(access: &Access, secure: bool) -> Result<Client, SetupError> {
    let builder = http::builder().https_only(secure);
    let builder = http::with_certificates(builder, &access.certificates)?;
    let builder = http::with_proxies(builder, &access.proxies)?;
    builder.build().map_err(|error| SetupError::new("the client of registries", error))
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Where a token is to be had: `Bearer realm="…",service="…",scope="…"`.
fn token_address(header: &str) -> Option<String> {
    let rest = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer "))?;
    let mut parameters = BTreeMap::new();
    let mut rest = rest.trim_start();
    while let Some((name, value)) = rest.split_once("=\"") {
        let (value, more) = value.split_once('"')?;
        parameters.insert(name.trim_matches([',', ' ']), value);
        rest = more;
    }
    let mut address = reqwest::Url::parse(parameters.get("realm")?).ok()?;
    for name in ["service", "scope"] {
        if let Some(value) = parameters.get(name) {
            address.query_pairs_mut().append_pair(name, value);
        }
    }
    Some(address.into())
}

/// Content that ends with an error when it is to stop.
struct Stoppable {
    content: Response,
    stop: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        self.content.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tokens_are() {
        let header =
            r#"Bearer realm="https://h/token",service="a b",scope="repository:x/y:pull,push""#;
        assert_eq!(
            token_address(header).unwrap(),
            "https://h/token?service=a+b&scope=repository%3Ax%2Fy%3Apull%2Cpush"
        );
        for bad in ["", "Basic realm=\"x\"", "Bearer", "Bearer realm=\"", "Bearer realm=\"x y\""] {
            assert_eq!(token_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_machine() {
        let known = |host| is_loopback(host);
        assert!(known("localhost:5000") && known("127.0.0.1:1") && known("127.1.2.3"));
        assert!(!known("localhost.example.org") && !known("10.0.0.1:5000"));
    }
}
