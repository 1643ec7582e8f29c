//! What clients that wait for their answers have in common: TLS by rustls, and proxies and
//! certificates of configs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::blocking::{Client, ClientBuilder};

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Parameters of a query that name things and open nothing; those of mirror managers.
const PLAIN_PARAMETERS: [&str; 8] =
    ["arch", "basearch", "cc", "country", "protocol", "release", "releasever", "repo"];

/// A client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {what}")]
pub struct SetupError {
    /// What was wanted for it.
    what: String,
    /// The cause.
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl SetupError {
    /// What was wanted, and why it cannot be used.
    pub(crate) fn new(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SetupError {
        SetupError { what: what.into(), source: source.into() }
    }
}

/// A client to be set up further.
pub(crate) fn builder() -> ClientBuilder {
    super::install_provider();
    Client::builder().user_agent(super::USER_AGENT).connect_timeout(CONNECT_TIMEOUT)
}

/// The certificates of a file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, SetupError> {
    let file = || format!("the certificates of {}", path.display());
    let pem = std::fs::read(path).map_err(|error| SetupError::new(file(), error))?;
    reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| SetupError::new(file(), error))
}

/// Trusts the certificates of these files besides those of the host.
pub(crate) fn with_certificates(
    mut builder: ClientBuilder,
    files: &[PathBuf],
) -> Result<ClientBuilder, SetupError> {
    for path in files {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    Ok(builder)
}

/// Goes through these proxies, by the names of their variables, `https_proxy` and so on.
pub(crate) fn with_proxies(
    mut builder: ClientBuilder,
    proxies: &BTreeMap<String, String>,
) -> Result<ClientBuilder, SetupError> {
    for (name, address) in proxies {
        let proxy = match name.as_str() {
            "http_proxy" => reqwest::Proxy::http(address),
            "https_proxy" => reqwest::Proxy::https(address),
            _ => continue,
        };
        builder = builder.proxy(checked(proxy, address)?.no_proxy(exceptions(proxies)));
    }
    Ok(builder)
}

/// A proxy, if its address can be one.
pub(crate) fn checked(
    proxy: reqwest::Result<reqwest::Proxy>,
    address: &str,
) -> Result<reqwest::Proxy, SetupError> {
    let what = || format!("the proxy {}", redacted(address));
    proxy.map_err(|error| SetupError::new(what(), error.without_url()))
}

/// The hosts that are reached without a proxy.
pub(crate) fn exceptions(proxies: &BTreeMap<String, String>) -> Option<reqwest::NoProxy> {
    let except = proxies.get("no_proxy").map(String::as_str).unwrap_or_default();
    reqwest::NoProxy::from_string(except)
}

/// An address without what opens something: name and password, values of its query.
pub(crate) fn redacted(address: &str) -> String {
    let address = address.split('#').next().unwrap_or_default();
    let (place, query) = match address.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (address, None),
    };
    let (scheme, rest) = match place.find("://") {
        Some(at) => place.split_at(at + 3),
        None => ("", place),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut out = format!("{scheme}{host}{path}");
    for (index, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if PLAIN_PARAMETERS.contains(&name) => out.push_str(parameter),
            Some((name, _)) => out.push_str(&format!("{name}=...")),
            None => out.push_str("..."),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_secrets() {
        let pairs = [
            ("https://h/a?repo=x&arch=y", "https://h/a?repo=x&arch=y"),
            ("https://u:p@h:8/a/?token=t&repo=x&t#u", "https://h:8/a/?token=...&repo=x&..."),
            ("http://u:p@ss@h", "http://h"),
            ("http://h/a@b", "http://h/a@b"),
            ("file:///srv/a", "file:///srv/a"),
            ("/srv/a", "/srv/a"),
            ("u:p@proxy:3128", "proxy:3128"),
        ];
        for (address, expected) in pairs {
            assert_eq!(redacted(address), expected);
        }
    }
}
