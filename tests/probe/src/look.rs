//! What is visible.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd;
use serde_json::{Value, json};

/// Files of /proc that tell about the host or act on it.
const PROC_FILES: [&str; 16] = [
    "acpi",
    "asound",
    "bus",
    "interrupts",
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "kpagecount",
    "latency_stats",
    "sched_debug",
    "scsi",
    "slabinfo",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
];

/// Everything.
pub fn around() -> Value {
    let status = status();
    let field = |name: &str| status.get(name).cloned().unwrap_or_default();
    let bits = |name: &str| u64::from_str_radix(&field(name), 16).ok();
    let number = |name: &str| field(name).parse::<u64>().ok();
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    json!({
        "uids": numbers(&field("Uid")),
        "gids": numbers(&field("Gid")),
        "groups": numbers(&field("Groups")),
        "uid_map": ranges("/proc/self/uid_map"),
        "gid_map": ranges("/proc/self/gid_map"),
        "setgroups": text("/proc/self/setgroups"),
        "capabilities": {
            "inheritable": bits("CapInh"),
            "permitted": bits("CapPrm"),
            "effective": bits("CapEff"),
            "bounding": bits("CapBnd"),
            "ambient": bits("CapAmb"),
        },
        "no_new_privs": number("NoNewPrivs"),
        "seccomp": { "mode": number("Seccomp"), "filters": number("Seccomp_filters") },
        "dumpable": nix::sys::prctl::get_dumpable().ok(),
        "pid": std::process::id(),
        "parent": unistd::getppid().as_raw(),
        "session": unistd::getsid(None).map(|pid| pid.as_raw()).ok(),
        "process_group": unistd::getpgrp().as_raw(),
        "processes": processes(),
        "namespaces": links("/proc/self/ns"),
        "hostname": unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).ok(),
        "descriptors": descriptors(),
        "environment": environment(),
        "cwd": std::env::current_dir().ok(),
        "umask": field("Umask"),
        "limits": {
            "core": getrlimit(Resource::RLIMIT_CORE).ok(),
            "nofile": getrlimit(Resource::RLIMIT_NOFILE).ok(),
        },
        "signals": { "blocked": bits("SigBlk"), "ignored": bits("SigIgn") },
        "mounts": mounts(),
        "interfaces": interfaces(),
        "devices": devices(),
        "directories": directories(),
        "proc": PROC_FILES.iter().map(|name| ((*name).to_owned(), content(name))).collect::<Value>(),
        "cgroups": text("/proc/self/cgroup"),
    })
}

/// The fields of /proc/self/status.
fn status() -> BTreeMap<String, String> {
    fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn ranges(path: &str) -> Vec<Vec<u32>> {
    fs::read_to_string(path).unwrap_or_default().lines().map(numbers).collect()
}

/// Names and programs of all processes that can be seen.
fn processes() -> BTreeMap<String, String> {
    names("/proc")
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, comm.trim().to_owned())
        })
        .collect()
}

fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The links of a directory and where they lead.
fn links(dir: &str) -> BTreeMap<String, String> {
    names(dir)
        .into_iter()
        .filter_map(|name| {
            let target = fs::read_link(Path::new(dir).join(&name)).ok()?;
            Some((name, target.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Open descriptors, without the one that reads the list: it is closed when its name is resolved.
fn descriptors() -> BTreeMap<String, String> {
    links("/proc/self/fd")
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect()
}

/// proc_pid_mountinfo(5).
fn mounts() -> Vec<Value> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let before: Vec<&str> = before.split(' ').collect();
            let after: Vec<&str> = after.split(' ').collect();
            let propagation: Vec<&str> = before.get(6..)?.to_vec();
            Some(json!({
                "root": before.get(3)?,
                "at": before.get(4)?,
                "options": before.get(5)?.split(',').collect::<Vec<_>>(),
                "propagation": propagation,
                "type": after.first()?,
                "super_options": after.get(2)?.split(',').collect::<Vec<_>>(),
            }))
        })
        .collect()
}

/// Network interfaces and whether they are up.
fn interfaces() -> BTreeMap<String, bool> {
    use nix::net::if_::InterfaceFlags;
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    addresses.map(|a| (a.interface_name, a.flags.contains(InterfaceFlags::IFF_UP))).collect()
}

/// What lies directly in /dev.
fn devices() -> Value {
    names("/dev")
        .into_iter()
        .map(|name| {
            let path = Path::new("/dev").join(&name);
            let entry = match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => {
                    json!({ "kind": "link", "target": fs::read_link(&path).ok() })
                }
                Ok(meta) if meta.file_type().is_char_device() => json!({
                    "kind": "character",
                    "major": libc::major(meta.rdev()),
                    "minor": libc::minor(meta.rdev()),
                }),
                Ok(meta) if meta.is_dir() => json!({ "kind": "directory" }),
                Ok(_) => json!({ "kind": "other" }),
                Err(error) => json!({ "kind": error.to_string() }),
            };
            (name, entry)
        })
        .collect()
}

/// Entries, owner and permission bits of directories that a sandbox gets fresh.
fn directories() -> Value {
    ["/tmp", "/var/tmp", "/dev/shm", "/dev/pts", "/run", "/sys", "/sys/fs/cgroup"]
        .into_iter()
        .map(|path| {
            let value = match fs::metadata(path) {
                Ok(meta) => json!({
                    "mode": format!("{:o}", meta.mode() & 0o7777),
                    "uid": meta.uid(),
                    "entries": names(path),
                }),
                Err(error) => json!({ "error": error.to_string() }),
            };
            (path.to_owned(), value)
        })
        .collect()
}

/// How much a file of /proc tells: the number of bytes that can be read (at most 4096), or of
/// entries of a directory, or the error.
fn content(name: &str) -> Value {
    let path = Path::new("/proc").join(name);
    // Reading the kernel's log would wait for the next message.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let open = |path: &Path| {
        use std::os::unix::fs::OpenOptionsExt;
        fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let failed = |error: std::io::Error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        json!({ "error": format!("{errno:?}") })
    };
    if path.is_dir() {
        return json!({ "entries": names(&path.to_string_lossy()).len() });
    }
    let mut buffer = [0; 4096];
    match open(&path).and_then(|mut file| file.read(&mut buffer)) {
        Ok(count) => json!({ "bytes": count }),
        Err(error) => failed(error),
    }
}
