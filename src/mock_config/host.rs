//! What a config may know of the machine. Everything else is closed to it.

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
}

impl HostView {
    /// The facts about this process and the machine it runs on.
    pub fn of_this_process() -> std::io::Result<Self> {
        let uname = nix::sys::utsname::uname()?;
        Ok(HostView {
            arch: uname.machine().to_string_lossy().into_owned(),
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            hostname: uname.nodename().to_string_lossy().into_owned(),
        })
    }
}
