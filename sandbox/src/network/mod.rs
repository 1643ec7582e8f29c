//! A network of its own that reaches what the host reaches, without the host itself: who carries
//! the packets, and what is closed.
//!
//! The programs that carry packets between a network namespace and ordinary sockets of the host
//! are passt's pasta(1) and slirp4netns(1). Both need no privileges. Neither can be asked to keep
//! addresses out of reach, so the namespace's own routing does that: the command has no
//! `CAP_NET_ADMIN` to change it.

mod facts;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::host::HostFacts;
use crate::spec::{Network, SandboxSpec};

pub use facts::NetworkFacts;

/// Link-local addresses (RFC 3927, RFC 4291): services of the machine or of its cloud that trust
/// whoever can reach them.
const LINK_LOCAL: [Prefix; 2] = [
    Prefix { address: IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), length: 16 },
    Prefix { address: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), length: 10 },
];
/// The network between slirp4netns and a sandbox. Its own default may be in use on the host; this
/// one is for tests of devices (RFC 2544) and on no network.
const SLIRP_NETWORK: &str = "198.18.0.0/24";
/// Where name servers that cannot be reached directly are found inside: the third address of
/// [`SLIRP_NETWORK`] is what slirp4netns answers at.
const FORWARDED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 3));
/// Port of name servers.
const DNS: u16 = 53;

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The first address.
    pub address: IpAddr,
    /// Leading bits that all have in common.
    pub length: u8,
}

/// What becomes of the network of a sandbox on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetworkPlan {
    /// A namespace with a loopback interface only.
    None,
    /// A namespace with a carrier.
    Filtered(Filtered),
    /// The host's network, with the reason if it was not asked for.
    Host(Option<String>),
}

/// A filtered network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filtered {
    /// Who carries packets: the first that starts.
    pub(crate) carriers: Vec<Carrier>,
    /// What is out of reach.
    pub(crate) closed: Vec<Prefix>,
}

/// A program that carries packets, with all but the last argument: the process whose namespaces
/// it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carrier {
    /// Which of them.
    pub kind: CarrierKind,
    /// The program.
    pub program: PathBuf,
    /// Arguments before the process id.
    pub arguments: Vec<String>,
    /// Arguments after it.
    pub last: Vec<String>,
    /// Whether it is started where nothing that it mounts reaches the host.
    pub apart: bool,
}

/// How a carrier is started and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierKind {
    /// Goes to the background when it is ready, and has written its process id to its output.
    Pasta,
    /// Writes to its output when it is ready, and ends when its input does.
    Slirp4netns,
}

/// Works out the network of a sandbox. `host_ports` are TCP ports of the host's loopback interface
/// that stay reachable at the one inside.
pub(crate) fn plan(
    wanted: Network,
    host_ports: &[u16],
    facts: &NetworkFacts,
    is_root: bool,
) -> Result<NetworkPlan, PlanError> {
    let filtered = || filtered(host_ports, facts, is_root);
    match wanted {
        Network::None => Ok(NetworkPlan::None),
        Network::Host => Ok(NetworkPlan::Host(None)),
        Network::Filtered => {
            filtered().map(NetworkPlan::Filtered).map_err(PlanError::NoFilteredNetwork)
        }
        Network::FilteredOrHost => Ok(match filtered() {
            Ok(network) => NetworkPlan::Filtered(network),
            Err(reason) => NetworkPlan::Host(Some(reason)),
        }),
    }
}

/// The resolv.conf(5) that a sandbox needs instead of the host's; none if that one does.
pub fn resolver_configuration(spec: &SandboxSpec, host: &HostFacts) -> Option<String> {
    match plan(spec.network, &spec.host_ports, &host.network, host.uid == 0) {
        Ok(NetworkPlan::Filtered(_)) => host.network.resolver_configuration(),
        _ => None,
    }
}

fn filtered(host_ports: &[u16], facts: &NetworkFacts, is_root: bool) -> Result<Filtered, String> {
    if let Some(reason) = facts.unusable() {
        return Err(reason);
    }
    let mut closed = LINK_LOCAL.to_vec();
    // Those that pasta copies into the namespace lead back to it, whatever else is said of them:
    // the table of local addresses is asked first (ip-rule(8)).
    closed.extend(facts.addresses.iter().map(|address| Prefix {
        address: *address,
        length: if address.is_ipv4() { 32 } else { 128 },
    }));
    let mut carriers = Vec::new();
    if let Some(program) = &facts.pasta {
        carriers.push(pasta(program.clone(), host_ports, &facts.names(), is_root));
    }
    // Without a default route, older versions of pasta do not start.
    if let Some(program) = facts.slirp4netns.as_ref().filter(|_| host_ports.is_empty()) {
        carriers.push(slirp4netns(program.clone(), is_root));
    }
    match (carriers.is_empty(), host_ports.first()) {
        (true, Some(port)) => Err(format!(
            "port {port} of the host's loopback interface is needed, which slirp4netns cannot \
             give; pasta can"
        )),
        _ => Ok(Filtered { carriers, closed }),
    }
}

fn pasta(program: PathBuf, host_ports: &[u16], names: &Names, is_root: bool) -> Carrier {
    let mut tcp: Vec<u16> = host_ports.to_vec();
    let mut udp = Vec::new();
    let mut arguments = words(&[
        "--quiet",
        "--config-net",
        "--no-map-gw",
        "--no-dhcp",
        "--no-dhcpv6",
        "--no-ra",
        "--tcp-ports=none",
        "--udp-ports=none",
        "--pid=/dev/stdout",
    ]);
    match names {
        Names::Reachable => {}
        Names::Forwarded(server) => {
            arguments.push(format!("--dns-forward={FORWARDED}"));
            arguments.push(format!("--dns={server}"));
        }
        Names::Loopback => {
            tcp.push(DNS);
            udp.push(DNS);
        }
    }
    tcp.sort_unstable();
    tcp.dedup();
    let list = |ports: &[u16]| match ports {
        [] => "none".to_owned(),
        ports => ports.iter().map(u16::to_string).collect::<Vec<_>>().join(","),
    };
    arguments.push(format!("--tcp-ns={}", list(&tcp)));
    arguments.push(format!("--udp-ns={}", list(&udp)));
    if is_root {
        // It becomes nobody by itself, who may not join a namespace of root's. It gives up all of
        // its capabilities and the host's files in any case.
        arguments.push("--runas=0".to_owned());
    }
    Carrier { kind: CarrierKind::Pasta, program, arguments, last: Vec::new(), apart: false }
}

fn slirp4netns(program: PathBuf, is_root: bool) -> Carrier {
    let mut arguments = words(&[
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        "--enable-sandbox",
        "--enable-seccomp",
        "--ready-fd=1",
        "--exit-fd=0",
    ]);
    arguments.push(format!("--cidr={SLIRP_NETWORK}"));
    // It mounts a root of its own on /tmp. Where that is a shared mount, as systemd makes it, root's
    // would be the host's /tmp from then on. An ordinary user's mounts never get to the host.
    let apart = is_root;
    Carrier { kind: CarrierKind::Slirp4netns, program, arguments, last: words(&["tap0"]), apart }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Where names are resolved in a filtered network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// By the servers that the host uses.
    Reachable,
    /// By this server, which only the host reaches, at [`FORWARDED`].
    Forwarded(IpAddr),
    /// By a server on the host's loopback interface, at that of the namespace.
    Loopback,
}

impl Names {
    /// A resolv.conf(5) for inside; none if the host's own does.
    fn configuration(&self, search: &str) -> Option<String> {
        let server = match self {
            Names::Reachable => return None,
            Names::Forwarded(_) => FORWARDED,
            Names::Loopback => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        Some(format!("nameserver {server}\n{search}"))
    }
}

#[cfg(test)]
mod tests;
