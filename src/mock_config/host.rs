//! What a config may know of the machine. Everything else is closed to it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The facts about the host that shape a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostView {
    /// The machine's architecture, as `uname -m` says it.
    pub arch: String,
    /// The user who builds.
    pub uid: u32,
    /// The group who builds.
    pub gid: u32,
    /// The full host name, for `%_buildhost`.
    pub hostname: String,
    /// The release of the kernel, as `uname -r` says it.
    #[serde(default)]
    pub kernel: String,
    /// Processors that this process may use, for configs that ask.
    #[serde(default)]
    pub cpus: usize,
    /// The number of this host's subscription of Red Hat, if it has one.
    #[serde(default)]
    pub subscription: Option<String>,
    /// The variables of the environment that a config may see.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// Variables whose values shape builds or name the user; everything else, secrets of a CI job for
/// example, is none of a config's business. Names that begin with `MOCK_` are for configs anyway.
const VISIBLE: &[&str] = &[
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SUDO_USER",
    "TERM",
    "TZ",
    "USER",
    "USERNAME",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "FTP_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "SOURCE_DATE_EPOCH",
];

impl HostView {
    /// The facts about this process and the machine it runs on.
    pub fn of_this_process() -> std::io::Result<Self> {
        let uname = nix::sys::utsname::uname()?;
        Ok(HostView {
            arch: uname.machine().to_string_lossy().into_owned(),
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            subscription: subscription(Path::new("/etc/pki/entitlement")),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| name.starts_with("MOCK_") || VISIBLE.contains(&name.as_str()))
                .filter_map(|(name, value)| Some((name, value.into_string().ok()?)))
                .collect(),
        })
    }
}

/// The number in the name of the certificate, `1234.pem`; the first of several.
fn subscription(directory: &Path) -> Option<String> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = names.filter_map(|name| {
        let number = name.strip_suffix(".pem")?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| number.to_owned())
    });
    numbers.min()
}
