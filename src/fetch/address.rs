//! Where sources may come from: not from this host, nor from what only this host reaches, unless
//! the config lists its network. Otherwise a package could ask a build host for what is behind its
//! firewall, or for the credentials that clouds give their machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Name, Resolve, Resolving};

/// Networks that are not part of the internet (IANA's registries of special-purpose addresses).
const SPECIAL: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "::/127",
    "100::/64",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Rules for addresses.
#[derive(Debug, Clone)]
pub struct Addresses {
    private: Vec<IpNet>,
    special: Vec<IpNet>,
    own: Vec<IpAddr>,
}

/// An address that sources may not come from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {address}, which is {what}; sources may not come from there")]
pub struct Refused {
    host: String,
    address: IpAddr,
    what: &'static str,
}

impl Refused {
    /// What an operator can do.
    pub const HINT: &'static str =
        "if that is meant to be, list its network in albs_node.private_networks";
}

impl Addresses {
    /// The internet without this host's `own` addresses, which are behind its firewall however
    /// public they are, and these networks.
    pub fn new(private: Vec<IpNet>, own: &[IpAddr]) -> Addresses {
        let special = SPECIAL.iter().filter_map(|text| text.parse().ok()).collect();
        Addresses { private, special, own: own.iter().map(|address| inner(*address)).collect() }
    }

    /// Whether sources may come from this address.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.refusal("", address).is_none()
    }

    /// Why sources may not come from an address of this host.
    fn refusal(&self, host: &str, address: IpAddr) -> Option<Refused> {
        let plain = inner(address);
        let among = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&plain));
        let what = match among(&self.special) {
            true => "not on the internet",
            false if self.own.contains(&plain) => "this host",
            false => return None,
        };
        (!among(&self.private)).then(|| Refused { host: host.to_owned(), address, what })
    }

    /// The addresses of a host.
    ///
    /// # Errors
    ///
    /// There are none, or one of them is refused.
    pub fn of(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|place| place.ip()).collect();
        match found.iter().find_map(|address| self.refusal(host, *address)) {
            Some(refused) => Err(refused.into()),
            None => Ok(found),
        }
    }

    /// Refuses an address that is written as a number: those are never looked up.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let Ok(address) = number else { return Ok(()) };
        self.refusal(host, address).map_or(Ok(()), Err)
    }
}

/// An address of version 4 that is written as one of version 6, as the former.
pub(super) fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let parts = six.segments();
    let four = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if six != Ipv6Addr::LOCALHOST && high != 0 => four(high, low),
        // NAT64 and 6to4 lead there, too.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

/// Looks names up for a client of HTTP; what is refused is not connected to.
impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.clone();
        Box::pin(async move {
            let look = move || rules.of(name.as_str());
            let found = tokio::task::spawn_blocking(look).await??;
            let places = found.into_iter().map(|address| (address, 0_u16).into());
            Ok(Box::new(places) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_allowed() {
        let rules = Addresses::new(Vec::new(), &[]);
        let allows = |text: &str| rules.allows(text.parse().unwrap());
        for good in ["8.8.8.8", "172.15.0.1", "2600::1", "2002:808:808::1", "::ffff:9.9.9.9"] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.255.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
        ] {
            assert!(!allows(bad), "{bad}");
        }
    }

    #[test]
    fn this_host_is_behind_its_firewall() {
        let own: IpAddr = "9.9.9.9".parse().unwrap();
        let rules = Addresses::new(Vec::new(), &[own]);
        assert!(rules.allows("9.9.9.8".parse().unwrap()) && !rules.allows(own));
        let error = rules.of("::ffff:9.9.9.9").unwrap_err().to_string();
        assert!(error.contains("is ::ffff:9.9.9.9, which is this host; sources"), "{error}");
        assert!(Addresses::new(vec!["9.0.0.0/8".parse().unwrap()], &[own]).allows(own));
    }

    #[test]
    fn networks_of_the_config_are_allowed() {
        let rules = Addresses::new(vec!["10.1.0.0/16".parse().unwrap()], &[]);
        assert!(rules.allows("10.1.255.255".parse().unwrap()));
        assert!(rules.allows("::ffff:10.1.0.1".parse().unwrap()));
        assert!(!rules.allows("10.2.0.1".parse().unwrap()));
    }

    #[test]
    fn numbers_in_addresses_are_looked_at() {
        let rules = Addresses::new(Vec::new(), &[]);
        let check = |text: &str| rules.check(&Url::parse(text).unwrap());
        assert!(check("http://example.org/").is_ok() && check("http://9.9.9.9/").is_ok());
        // Browsers and curl take all of these for 127.0.0.1.
        for bad in ["http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]:8/x"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(rules.of("localhost").is_err());
    }
}
