//! `nspawn_args`: what configs tell systemd-nspawn, as far as a sandbox has the same.
//!
//! Source: systemd-nspawn(1).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::mock_config::error::{ConfigError, ErrorKind};
use crate::mock_config::load::LoadedConfig;

/// What the arguments ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NspawnOptions {
    /// Limits of each process, by name without `RLIMIT_`.
    pub rlimits: BTreeMap<String, u64>,
    /// Capabilities that the root of a shell has besides. A build runs without any, in mock too:
    /// its user is not root.
    pub capabilities: Vec<String>,
    /// Whether builds see no network, whatever else the config says.
    pub private_network: bool,
    /// What of the host is visible.
    pub binds: Vec<BindOption>,
    /// Places that are in memory.
    pub tmpfs: Vec<String>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
}

/// A path of the host inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindOption {
    /// On the host.
    pub source: String,
    /// Inside.
    pub destination: String,
    /// Whether it can be changed from inside.
    pub read_only: bool,
}

/// What a sandbox is like anyway, or what only concerns systemd.
const NO_EFFECT: &[&str] = &[
    "as-pid2",
    "console",
    "keep-unit",
    "link-journal",
    "machine",
    "no-new-privileges",
    "private-users",
    "quiet",
    "register",
    "settings",
    "slice",
    "suppress-sync",
    "timezone",
    "resolv-conf",
    "drop-capability",
    "no-pager",
];

/// Arguments that have a value of their own, or may have it in the next word.
const WITH_VALUE: &[&str] = &[
    "bind",
    "bind-ro",
    "capability",
    "console",
    "drop-capability",
    "link-journal",
    "machine",
    "register",
    "resolv-conf",
    "rlimit",
    "setenv",
    "settings",
    "slice",
    "timezone",
    "tmpfs",
    "no-new-privileges",
    "suppress-sync",
];

impl NspawnOptions {
    /// Reads the arguments.
    pub(super) fn read(config: &LoadedConfig, args: &[String]) -> Result<Self, ConfigError> {
        let mut out = NspawnOptions::default();
        let mut rest = args.iter().enumerate();
        while let Some((at, arg)) = rest.next() {
            let (name, mut value) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (arg.as_str(), None),
            };
            let name = match name {
                "-E" => "setenv",
                "-q" => "quiet",
                "-M" => "machine",
                name => name.strip_prefix("--").unwrap_or(name),
            };
            if value.is_none() && WITH_VALUE.contains(&name) {
                value = rest.next().map(|(_, value)| value.as_str());
            }
            out.add(name, value).map_err(|reason| {
                let message = format!("the nspawn argument {arg} {reason}");
                ConfigError::new(ErrorKind::Value, message)
                    .with_location(config.place(&["nspawn_args", &at.to_string()]))
                    .with_hint(
                        "there is --rlimit, --capability, --bind, --bind-ro, --tmpfs and --setenv",
                    )
            })?;
        }
        Ok(out)
    }

    fn add(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        if NO_EFFECT.contains(&name) {
            return Ok(());
        }
        if name == "private-network" {
            self.private_network = true;
            return Ok(());
        }
        let value = match value {
            Some(value) if WITH_VALUE.contains(&name) => value,
            _ if WITH_VALUE.contains(&name) => return Err("needs a value".to_owned()),
            _ => return Err("has no equivalent in this sandbox".to_owned()),
        };
        match name {
            "rlimit" => {
                let (limit, number) = value.split_once('=').ok_or("is no NAME=NUMBER")?;
                let limit = limit.strip_prefix("RLIMIT_").unwrap_or(limit);
                // The sandbox has one number for both limits.
                let number = number.split(':').next().unwrap_or(number);
                let number = match number {
                    "infinity" => u64::MAX,
                    number => number.parse().map_err(|_| "is no NAME=NUMBER")?,
                };
                if !sandbox::is_rlimit(limit) {
                    return Err(format!("names a limit that does not exist: {limit}"));
                }
                self.rlimits.insert(limit.to_owned(), number);
            }
            "capability" => {
                for capability in value.split(',').filter(|name| !name.is_empty()) {
                    let capability = capability.to_ascii_uppercase();
                    let capability = match capability.strip_prefix("CAP_") {
                        Some(_) => capability,
                        None => format!("CAP_{capability}"),
                    };
                    if !sandbox::is_capability(&capability) {
                        return Err(format!(
                            "names a capability that does not exist: {capability}"
                        ));
                    }
                    self.capabilities.push(capability);
                }
            }
            "bind" | "bind-ro" => {
                let mut parts = value.split(':');
                let source = parts.next().unwrap_or_default().trim_start_matches('+').to_owned();
                let destination = parts.next().filter(|path| !path.is_empty());
                let destination = destination.map_or_else(|| source.clone(), str::to_owned);
                if !source.starts_with('/') || !destination.starts_with('/') {
                    return Err("needs absolute paths".to_owned());
                }
                self.binds.push(BindOption { source, destination, read_only: name == "bind-ro" });
            }
            "tmpfs" => {
                let path = value.split(':').next().unwrap_or_default();
                if !path.starts_with('/') || path == "/" {
                    return Err("needs an absolute path".to_owned());
                }
                self.tmpfs.push(path.to_owned());
            }
            _ => {
                let (variable, value) = value.split_once('=').ok_or("is no NAME=VALUE")?;
                self.environment.insert(variable.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }
}
