//! The repositories of a config, and how each is reached: plain data, from text alone.
//!
//! Source: dnf.conf(5) and the options of libdnf; a repository's option stands before that of
//! `[main]`, a value that cannot be read does not count.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use crate::buildroot::repositories::with_variables;
use crate::mock_config::repositories::{Section, flag, in_force, words};
use crate::mock_config::{Manager, MockOptions};

/// Seconds for a connection and for an answer, if the config does not say.
const TIMEOUT: u64 = 30;
/// Seconds for which dnf takes metadata for new: two days.
const EXPIRE: u64 = 48 * 3600;
/// The same for yum: six hours.
const EXPIRE_OF_YUM: u64 = 6 * 3600;

/// A repository that is turned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub source: Source,
    /// How it is reached.
    pub access: Access,
    /// Name and password for its server.
    pub login: Option<Login>,
    /// Seconds for which what is known of it needs no request; none if for ever. Zero also where
    /// dnf looks at the age of its configuration file, which is new in every run.
    pub expire: Option<u64>,
    /// Whether installing goes on without it.
    pub skip_if_unavailable: bool,
}

/// Where a repository is. What is first here is first in dnf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A document with the checksum of the index, and addresses of it.
    Metalink(Address),
    /// A list of addresses, and addresses to try when it cannot be had.
    Mirrorlist(Address, Vec<Address>),
    /// Addresses, of which the first that answers is taken.
    Baseurls(Vec<Address>),
}

impl Source {
    /// What is asked first.
    pub fn first(&self) -> Option<&Address> {
        match self {
            Source::Metalink(address) | Source::Mirrorlist(address, _) => Some(address),
            Source::Baseurls(addresses) => addresses.first(),
        }
    }
}

/// What a client is set up with. Equal ones share a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// Whether servers must prove who they are.
    pub sslverify: bool,
    /// The certificates that are trusted, if not those of the host.
    pub sslcacert: Option<PathBuf>,
    /// Our certificate.
    pub sslclientcert: Option<PathBuf>,
    /// The key of our certificate, if that is in another file.
    pub sslclientkey: Option<PathBuf>,
    /// The proxy.
    pub proxy: Proxy,
    /// Name and password for the proxy.
    pub proxy_login: Option<Login>,
    /// How long a connection and an answer may take.
    pub timeout: Duration,
}

/// Which proxy is gone through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proxy {
    /// That of the environment that package managers have, if it has one.
    Environment,
    /// None.
    Direct,
    /// This one.
    At(Address),
}

/// A name with its password, which is never shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    pub(super) name: String,
    pub(super) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// The repositories of a config that are turned on, in their order.
pub fn enabled(options: &MockOptions) -> Vec<Repository> {
    let (main, sections) = in_force(&options.dnf_conf);
    sections.iter().map(|section| Reader { options, main: &main, section }.repository()).collect()
}

struct Reader<'a> {
    options: &'a MockOptions,
    main: &'a Section,
    section: &'a Section,
}

impl Reader<'_> {
    fn repository(&self) -> Repository {
        Repository {
            id: with_variables(self.options, &self.section.name),
            source: self.source(),
            access: self.access(),
            login: self.login("username", "password"),
            expire: self.expire(),
            skip_if_unavailable: self.flag("skip_if_unavailable").unwrap_or(false),
        }
    }

    fn expire(&self) -> Option<u64> {
        let is_yum = self.options.package_manager == Manager::Yum;
        let usual = Seconds::Some(if is_yum { EXPIRE_OF_YUM } else { EXPIRE });
        let own = self.text("metadata_expire").and_then(|text| seconds(&text));
        let is_age_checked = || {
            let checked = self.main.get("check_config_file_age").and_then(flag);
            !is_yum && checked.unwrap_or(true)
        };
        match own.unwrap_or(usual) {
            Seconds::Never => None,
            Seconds::Some(_) if is_age_checked() => Some(0),
            Seconds::Some(seconds) => Some(seconds),
        }
    }

    fn source(&self) -> Source {
        let own = |key| {
            let text = self.section.get(key).filter(|text| !text.is_empty())?;
            Some(Address::new(&with_variables(self.options, text)))
        };
        let value = self.section.get("baseurl").map(|text| with_variables(self.options, text));
        let baseurls = value.iter().flat_map(|text| words(text)).map(Address::new).collect();
        match (own("metalink"), own("mirrorlist")) {
            (Some(metalink), _) => Source::Metalink(metalink),
            // dnf knows a metalink in the wrong option by its name.
            (None, Some(list)) if list.exact().contains("metalink") => Source::Metalink(list),
            (None, Some(list)) => Source::Mirrorlist(list, baseurls),
            (None, None) => Source::Baseurls(baseurls),
        }
    }

    fn access(&self) -> Access {
        let seconds = match self.text("timeout").and_then(|text| seconds(&text)) {
            Some(Seconds::Some(seconds)) if seconds > 0 => seconds,
            _ => TIMEOUT,
        };
        Access {
            sslverify: self.flag("sslverify").unwrap_or(true),
            sslcacert: self.path("sslcacert"),
            sslclientcert: self.path("sslclientcert"),
            sslclientkey: self.path("sslclientkey"),
            proxy: match self.text("proxy") {
                None => Proxy::Environment,
                Some(proxy) if proxy == "_none_" => Proxy::Direct,
                Some(proxy) => Proxy::At(Address::new(&proxy)),
            },
            proxy_login: self.login("proxy_username", "proxy_password"),
            timeout: Duration::from_secs(seconds),
        }
    }

    /// What an option says; none if it is not there or empty.
    fn text(&self, key: &str) -> Option<String> {
        let text = self.section.inherited(self.main, key)?;
        Some(with_variables(self.options, text)).filter(|text| !text.is_empty())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.section.flag(self.main, key)
    }

    fn login(&self, name: &str, password: &str) -> Option<Login> {
        let name = self.text(name)?;
        Some(Login { name, password: self.text(password).unwrap_or_default() })
    }

    /// The file of this host that an option names.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let path = self.text(key)?;
        let path = path.strip_prefix("file://").unwrap_or(&path);
        // In bootstrap roots some are at places of their own.
        let moved = &self.options.network.certificates;
        let source = moved.iter().find(|(_, inside)| self.options.use_bootstrap && inside == path);
        Some(PathBuf::from(source.map_or(path, |(source, _)| source)))
    }
}

/// A length of time in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seconds {
    Some(u64),
    Never,
}

/// `90`, `1.5h`, `2d`, `never`; none for what is no length of time.
fn seconds(text: &str) -> Option<Seconds> {
    if text == "-1" || text == "never" {
        return Some(Seconds::Never);
    }
    let unit = match text.chars().last()?.to_ascii_lowercase() {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => 0,
    };
    let number = if unit > 0 { &text[..text.len() - 1] } else { text };
    let number: f64 = number.parse().ok().filter(|number| (0.0..1e12).contains(number))?;
    Some(Seconds::Some((number * f64::from(unit.max(1))) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let some = |number| Some(Seconds::Some(number));
        let pairs = [
            ("0", some(0)),
            ("90", some(90)),
            ("90S", some(90)),
            ("1.5h", some(5400)),
            ("2d", some(172_800)),
            ("3m", some(180)),
            ("never", Some(Seconds::Never)),
            ("-1", Some(Seconds::Never)),
        ];
        for (text, expected) in pairs {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for bad in ["", "h", "-5", "1w", "1 2", "nan", "inf", "é", "1é"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
