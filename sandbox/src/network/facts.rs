//! What this host has for filtered networks.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Names;
use crate::host::find_program;

/// What this host has for filtered networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// pasta, if installed.
    pub pasta: Option<PathBuf>,
    /// slirp4netns, if installed.
    pub slirp4netns: Option<PathBuf>,
    /// Why `/dev/net/tun` cannot be opened; none if it can.
    pub no_tunnel: Option<String>,
    /// The host's own addresses, without those of loopback interfaces and links.
    pub addresses: Vec<IpAddr>,
    /// Name servers of `/etc/resolv.conf`.
    pub name_servers: Vec<IpAddr>,
    /// What else `/etc/resolv.conf` says: `search` and `options`, one a line.
    pub search: String,
    /// Servers that systemd-resolved(8) asks, where it is what answers.
    pub upstream: Vec<IpAddr>,
}

impl NetworkFacts {
    pub(crate) fn probe_at(root: &Path) -> NetworkFacts {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let tunnel = fs::File::options().read(true).write(true).open(root.join("dev/net/tun"));
        let resolver = text("etc/resolv.conf");
        let other = |line: &&str| line.starts_with("search ") || line.starts_with("options ");
        NetworkFacts {
            addresses: addresses(),
            pasta: find_program(root, "pasta"),
            slirp4netns: find_program(root, "slirp4netns"),
            no_tunnel: tunnel.err().map(|error| error.to_string()),
            name_servers: servers(&resolver),
            search: resolver.lines().filter(other).flat_map(|line| [line, "\n"]).collect(),
            upstream: servers(&text("run/systemd/resolve/resolv.conf")),
        }
    }

    /// Why there can be no filtered network on this host; none if there can be one.
    pub fn unusable(&self) -> Option<String> {
        if self.pasta.is_none() && self.slirp4netns.is_none() {
            return Some("neither pasta nor slirp4netns is installed".to_owned());
        }
        let why = self.no_tunnel.as_ref()?;
        Some(format!("/dev/net/tun cannot be opened: {why}"))
    }

    /// The resolv.conf(5) for inside a filtered network; none if the host's own does.
    pub(crate) fn resolver_configuration(&self) -> Option<String> {
        self.names().configuration(&self.search)
    }

    pub(crate) fn names(&self) -> Names {
        // slirp4netns asks the host's servers itself, pasta the one that it is told.
        // What the host answers itself is closed, as its other ports are. If that is the first, the
        // others may not know all names.
        let own = |address: &IpAddr| self.addresses.contains(address);
        let direct =
            |address: &IpAddr| !address.is_loopback() && !is_link_local(address) && !own(address);
        let first_is_own =
            self.name_servers.first().is_some_and(|first| own(first) && first.is_ipv4());
        if !first_is_own && self.name_servers.iter().any(direct) {
            return Names::Reachable;
        }
        let others = self.name_servers.iter().chain(&self.upstream);
        let forwarded = others.filter(|address| !address.is_loopback() && address.is_ipv4());
        match (forwarded.copied().next(), self.name_servers.first(), &self.pasta) {
            (Some(server), ..) => Names::Forwarded(server),
            (None, Some(server), None) => Names::Forwarded(*server),
            (None, Some(_), Some(_)) => Names::Loopback,
            (None, None, _) => Names::Reachable,
        }
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Servers of a resolv.conf(5). What comes after a `%` names an interface.
fn servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|server| server.trim().split('%').next()?.parse().ok()).collect()
}

fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let four = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        four.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    let mut found: Vec<IpAddr> = interfaces
        .filter_map(address)
        .filter(|address| !address.is_loopback() && !is_link_local(address))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_configuration() {
        let text = "# of the site\nnameserver 192.0.2.53\n nameserver fe80::1%eth0\nnameserver x\n";
        let expected: [IpAddr; 2] = ["192.0.2.53".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(servers(text), expected);
    }
}
