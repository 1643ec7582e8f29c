//! Where a repository is, before git goes there: whether its server may be asked, and where it
//! leads.

use std::net::IpAddr;

use super::remote::Remote;
use crate::fetch::DownloadError;
use crate::fetch::address::Addresses;
use crate::fetch::download::Downloads;
use crate::run::StageRun;
use crate::verdict::Failure;

/// A repository whose server may be asked.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The repository, at the end of all redirections.
    pub remote: Remote,
    /// Addresses of its server.
    pub addresses: Vec<IpAddr>,
    /// Whether that is this host, as the config allows.
    pub is_local: bool,
}

/// Finds a repository.
///
/// # Errors
///
/// Its address is refused, its server away, or it is not there.
pub fn reach(
    stage: &StageRun<'_>,
    remote: &Remote,
    rules: &Addresses,
    downloads: &Downloads,
) -> Result<Reached, Failure> {
    let failed = |error| crate::fetch::failure(stage, "the repository cannot be reached", error);
    let cancel = stage.cancel();
    let wait = |time| cancel.wait(time);
    let remote = match remote.is_http() {
        false => remote.clone(),
        true => {
            let end = downloads.end_of(&remote.question(), &wait).map_err(failed)?;
            let there = |remote: &Remote| crate::http::redacted(remote.url.trim_end_matches('/'));
            // Names and passwords of the address are not part of the answer's.
            Remote::of_answer(&end)
                .filter(|found| there(found) != there(remote))
                .unwrap_or_else(|| remote.clone())
        }
    };
    let addresses = rules
        .of(&remote.host)
        .map_err(|error| failed(DownloadError::unresolved(&remote.url, error)))?;
    let is_local = addresses.iter().any(|address| {
        address.is_loopback() || crate::fetch::address::inner(*address).is_loopback()
    });
    Ok(Reached { remote, addresses, is_local })
}
