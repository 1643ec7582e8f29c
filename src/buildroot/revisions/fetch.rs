//! Getting one document: from a file, or by a conditional request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use reqwest::StatusCode;
use reqwest::blocking::{Client, ClientBuilder, Response};
use reqwest::header::{
    ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::redirect::Policy;

use super::address::Address;
use super::cache::Validators;
use super::error::AttemptError;
use super::repository::{Access, Login, Proxy};
use crate::http::{self, SetupError};
use crate::mock_config::MockOptions;

/// Bytes of an index, a list of mirrors or a metalink; those of large distributions have some
/// ten thousand.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;
/// How often a server may refer to another one.
const MAX_REDIRECTS: usize = 10;

/// How this config reaches the network, beside the options of its repositories.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    pub proxies: BTreeMap<String, String>,
    pub certificates: Vec<PathBuf>,
}

impl Network {
    pub fn of(options: &MockOptions) -> Network {
        let network = &options.network;
        let own = network.certificates.iter().map(|(source, _)| source.into());
        let bundle = network.ca_bundle.iter().map(PathBuf::from);
        Network {
            proxies: network.proxies.clone(),
            certificates: bundle.chain(own).filter(|path| path.is_file()).collect(),
        }
    }
}

/// What a server gave.
#[derive(Debug)]
pub(super) enum Answer {
    /// What is known.
    NotModified,
    /// A document, and the marks of its version.
    Document(Vec<u8>, Validators),
}

/// The clients for repositories that are reached in the same way, set up when they are needed.
#[derive(Debug)]
pub(super) struct Fetcher {
    access: Access,
    network: Network,
    /// For HTTP alone. Trust in all authorities of the host takes longer to set up than everything
    /// else, and servers in one's own network often speak no TLS.
    plain: OnceLock<Built>,
    secure: OnceLock<Built>,
}

type Built = Result<Client, Arc<SetupError>>;

impl Fetcher {
    pub fn new(access: Access, network: Network) -> Fetcher {
        Fetcher { access, network, plain: OnceLock::new(), secure: OnceLock::new() }
    }

    /// Gets what is at an address, unless it is the version that these marks are of.
    pub fn get(
        &self,
        address: &Address,
        login: Option<&Login>,
        known: &Validators,
        deadline: Instant,
    ) -> Result<Answer, AttemptError> {
        let failed = |source| AttemptError::Transfer { address: address.clone(), source };
        let end = deadline.min(Instant::now() + self.access.timeout);
        let send = |client: &Client| {
            let left = end.saturating_duration_since(Instant::now());
            let mut request = client.get(address.exact()).timeout(left);
            if let Some(login) = login {
                request = request.basic_auth(&login.name, Some(&login.password));
            }
            let marks = [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)];
            for (name, value) in marks {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            request.send().map_err(|error| failed(error.without_url().into()))
        };
        let plain = self.is_plain(address);
        let mut answer = send(self.client(plain)?)?;
        if plain && answer.headers().contains_key(LOCATION) {
            // It leads to where TLS is spoken.
            answer = send(self.client(false)?)?;
        }
        let status = answer.status();
        if status == StatusCode::NOT_MODIFIED && *known != Validators::default() {
            return Ok(Answer::NotModified);
        }
        if status != StatusCode::OK {
            return Err(AttemptError::Answer { address: address.clone(), status });
        }
        if answer.content_length().is_some_and(|length| length > MAX_DOCUMENT) {
            return Err(AttemptError::Size(address.clone()));
        }
        let header = |name: HeaderName| answer.headers().get(name)?.to_str().ok();
        let validators = Validators::new(header(ETAG), header(LAST_MODIFIED));
        let bytes = read(answer, end).map_err(|error| failed(error.into()))?;
        Ok(Answer::Document(small(bytes, address)?, validators))
    }

    /// Whether no TLS is needed to ask there.
    fn is_plain(&self, address: &Address) -> bool {
        let is_http = |text: &str| !text.to_ascii_lowercase().starts_with("https:");
        let proxy = match &self.access.proxy {
            Proxy::Direct => None,
            Proxy::Environment => self.network.proxies.get("http_proxy").map(String::as_str),
            Proxy::At(proxy) => Some(proxy.exact()),
        };
        is_http(address.exact()) && proxy.is_none_or(is_http)
    }

    fn client(&self, plain: bool) -> Result<&Client, Arc<SetupError>> {
        let cell = if plain { &self.plain } else { &self.secure };
        let built = cell.get_or_init(|| self.build(plain).map_err(Arc::new));
        built.as_ref().map_err(Arc::clone)
    }

    fn build(&self, plain: bool) -> Result<Client, SetupError> {
        // What our own environment says is not what package managers see.
        let builder = http::builder().no_proxy().connect_timeout(self.access.timeout);
        let builder = self.with_proxy(builder.redirect(policy(plain)))?;
        let builder = match plain {
            true => builder.tls_certs_only([]),
            false => self.with_certificates(builder)?,
        };
        builder.build().map_err(|error| SetupError::new("the client of HTTP", error))
    }

    fn with_proxy(&self, builder: ClientBuilder) -> Result<ClientBuilder, SetupError> {
        let address = match &self.access.proxy {
            Proxy::Direct => return Ok(builder),
            Proxy::Environment => return http::with_proxies(builder, &self.network.proxies),
            Proxy::At(address) => address.exact(),
        };
        let proxy = http::checked(reqwest::Proxy::all(address), address)?;
        let proxy = proxy.no_proxy(http::exceptions(&self.network.proxies));
        Ok(builder.proxy(match &self.access.proxy_login {
            Some(login) => proxy.basic_auth(&login.name, &login.password),
            None => proxy,
        }))
    }

    fn with_certificates(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, SetupError> {
        let access = &self.access;
        // A file that is only in a bootstrap root holds what the host's own store holds.
        let only = access.sslcacert.as_ref().filter(|path| path.exists());
        builder = match only {
            _ if !access.sslverify => builder.tls_danger_accept_invalid_certs(true),
            Some(path) => builder.tls_certs_only(http::certificates(path)?),
            None => http::with_certificates(builder, &self.network.certificates)?,
        };
        let Some(certificate) = &access.sslclientcert else { return Ok(builder) };
        let what = || format!("the certificate {}", certificate.display());
        let mut pem = std::fs::read(certificate).map_err(|e| SetupError::new(what(), e))?;
        if let Some(key) = &access.sslclientkey {
            let what = format!("the key {}", key.display());
            pem.push(b'\n');
            pem.extend(std::fs::read(key).map_err(|error| SetupError::new(what, error))?);
        }
        let identity = reqwest::Identity::from_pem(&pem);
        Ok(builder.identity(identity.map_err(|e| SetupError::new(what(), e))?))
    }
}

/// Which redirections are followed: as in dnf, from HTTP to HTTP and no other protocol.
/// A client for plain HTTP stops before TLS.
fn policy(plain: bool) -> Policy {
    Policy::custom(move |attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error(format!("it leads on more than {MAX_REDIRECTS} times"));
        }
        match attempt.url().scheme() {
            "https" if plain => attempt.stop(),
            "http" | "https" => attempt.follow(),
            _ => {
                let place = http::redacted(attempt.url().as_str());
                attempt.error(format!("it leads to {place}, which is not followed"))
            }
        }
    })
}

/// Reads until the end, one byte more than allowed, or the time is over. The client's own limit is
/// one of each read: it does not end what comes drop by drop.
fn read(answer: Response, end: Instant) -> io::Result<Vec<u8>> {
    let mut answer = answer.take(MAX_DOCUMENT + 1);
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match answer.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"));
        }
    }
}

/// The content of a file of this host.
pub(super) fn local(address: &Address) -> Result<Vec<u8>, AttemptError> {
    let path = address.path().ok_or_else(|| AttemptError::Unsupported(address.clone()))?;
    let read = || {
        // A pipe must not be waited for.
        let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let file = File::options().read(true).custom_flags(flags).open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read();
    let bytes = bytes.map_err(|source| AttemptError::Read { address: address.clone(), source })?;
    small(bytes, address)
}

fn small(bytes: Vec<u8>, address: &Address) -> Result<Vec<u8>, AttemptError> {
    match bytes.len() as u64 > MAX_DOCUMENT {
        true => Err(AttemptError::Size(address.clone())),
        false => Ok(bytes),
    }
}
