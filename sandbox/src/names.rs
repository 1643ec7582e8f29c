//! Names of what the kernel has, for those who read them from configurations.

/// Whether there is a limit of that name, without `RLIMIT_`, that a sandbox can set.
pub fn is_rlimit(name: &str) -> bool {
    crate::rlimit::resource(name).is_some()
}

/// Whether there is a capability of that name, `CAP_CHOWN` for example.
pub fn is_capability(name: &str) -> bool {
    name.parse::<caps::Capability>().is_ok()
}
