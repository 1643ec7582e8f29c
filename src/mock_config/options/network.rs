//! What programs need to reach repositories: proxies and certificates.

use std::collections::BTreeMap;

use serde::Serialize;

use super::read::Reader;
use crate::mock_config::error::ConfigError;

/// How the network is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NetworkOptions {
    /// Proxies, by the names of the variables that programs read.
    pub proxies: BTreeMap<String, String>,
    /// The file of trusted certificates, at the same path on the host and inside.
    pub ca_bundle: Option<String>,
    /// Certificates and keys: from the host's path to the path inside.
    pub certificates: Vec<(String, String)>,
    /// Directories of trust, likewise.
    pub trust: Vec<(String, String)>,
}

impl NetworkOptions {
    pub(super) fn read(read: &Reader<'_>) -> Result<Self, ConfigError> {
        let mut proxies: BTreeMap<String, String> = read
            .string_map("environment")?
            .into_iter()
            .filter(|(name, value)| name.ends_with("_proxy") && !value.is_empty())
            .collect();
        for name in ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"] {
            if let Some(value) = read.optional_string(name)?.filter(|value| !value.is_empty()) {
                proxies.insert(name.to_owned(), value);
            }
        }
        let flat = read.strings("ssl_extra_certs")?;
        Ok(NetworkOptions {
            proxies,
            ca_bundle: read.optional_string("ssl_ca_bundle_path")?.filter(|path| !path.is_empty()),
            // A list in which source and destination follow each other.
            certificates: flat
                .chunks_exact(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            trust: read.pairs("ssl_copied_ca_trust_dirs")?,
        })
    }
}
