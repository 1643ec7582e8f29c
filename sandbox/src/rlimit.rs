//! Names of setrlimit(2).

use nix::sys::resource::Resource;

/// The resource of that name, without `RLIMIT_`; none if there is no such limit.
pub(crate) fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "AS" => Resource::RLIMIT_AS,
        "CORE" => Resource::RLIMIT_CORE,
        "CPU" => Resource::RLIMIT_CPU,
        "DATA" => Resource::RLIMIT_DATA,
        "FSIZE" => Resource::RLIMIT_FSIZE,
        "MEMLOCK" => Resource::RLIMIT_MEMLOCK,
        "NOFILE" => Resource::RLIMIT_NOFILE,
        "NPROC" => Resource::RLIMIT_NPROC,
        "STACK" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}
