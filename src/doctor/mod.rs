//! What of this host matters for builds: found, what it is good for, and how to get it.
//!
//! Looking is one thing ([`Facts::probe`]), judging another ([`examine`]), so that hosts that are
//! not here can be judged too.

mod checks;

use std::path::{Path, PathBuf};

use sandbox::cgroup::Obtained;
use sandbox::spec::{IoLimits, Limits, Mount, Namespaces, Network, Root, Stdio, User};
use sandbox::{Exit, HostFacts, IdMapping, Sandbox, SandboxSpec};
use serde::Serialize;

pub use checks::examine;

use crate::buildroot::disk;
use crate::causes::with_causes;
use crate::helper::program;

/// How much something matters as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Builds run, with less than there could be.
    Limited,
    /// Builds cannot run.
    Missing,
}

/// One thing of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What is not possible because of that.
    pub without: Option<String>,
    /// The command that changes it.
    pub fix: Option<String>,
}

/// What was looked at.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The host.
    pub host: HostFacts,
    /// Why the smallest sandbox does not start, and what can be done; none if it does.
    pub sandbox: Option<(String, Option<String>)>,
    /// Why overlayfs cannot be used in one; none if it can.
    pub overlay: Option<String>,
    /// Why a sandbox cannot be limited in all ways; none if it can.
    pub limits: Option<Unlimited>,
    /// Package managers of the host: what is called, what that leads to, and its version.
    pub package_managers: Vec<(PathBuf, PathBuf, Option<String>)>,
    /// The host's rpm, if there is one, and its version.
    pub rpm: Option<(PathBuf, Option<String>)>,
    /// Whether git is there, for sources of the node.
    pub has_git: bool,
    /// Where buildroots are, and the free bytes there.
    pub disk: (PathBuf, Option<u64>),
    /// Why nothing can be written there; none if it can.
    pub unwritable: Option<String>,
    /// Whether /dev/shm is in memory.
    pub has_shared_memory: bool,
    /// Architectures that the kernel has an emulator for.
    pub emulated: Vec<String>,
    /// Where core dumps go (`kernel.core_pattern`), and this program's hard limit on them in bytes.
    pub core: (String, u64),
}

impl Facts {
    /// Looks at this host. `store` is where buildroots are, or will be.
    pub fn probe(store: &Path) -> Facts {
        let mut host = HostFacts::probe();
        // As builds do.
        if let Obtained::Scope(_) = sandbox::cgroup::obtain(&host.cgroup) {
            host = HostFacts::probe();
        }
        let there = store.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let sandbox = try_sandbox(&host, &[], &["true"], &mut |_| {}).err();
        let trial = tempfile::Builder::new().prefix(".albs-node-doctor-").tempdir_in(there);
        let overlay = match (&sandbox, &trial) {
            (Some((why, _)), _) => Some(why.clone()),
            (None, Err(error)) => Some(format!("cannot try in {}: {error}", there.display())),
            (None, Ok(trial)) => try_overlay(&host, trial.path()).err(),
        };
        Facts {
            limits: limits(&host, sandbox::cgroup::disk_below(there)).err(),
            unwritable: trial.as_ref().err().map(ToString::to_string),
            sandbox,
            overlay,
            package_managers: ["/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/dnf5"]
                .iter()
                .map(Path::new)
                .filter_map(|path| Some((path.to_owned(), program(path)?)))
                .map(|(path, leads_to)| {
                    let version = version(&host, &path);
                    (path, leads_to, version)
                })
                .collect(),
            rpm: program(Path::new("/usr/bin/rpm")).map(|path| {
                let version = version(&host, &path);
                (path, version)
            }),
            has_git: program(Path::new("/usr/bin/git")).is_some(),
            disk: (there.to_owned(), Some(disk::free(there).bytes).filter(|free| *free < u64::MAX)),
            has_shared_memory: nix::sys::statfs::statfs("/dev/shm")
                .is_ok_and(|data| data.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC),
            emulated: emulated(Path::new("/proc/sys/fs/binfmt_misc")),
            core: (
                std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default(),
                nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE)
                    .map_or(u64::MAX, |(_, hard)| hard),
            ),
            host,
        }
    }
}

/// Starts the smallest sandbox with the filters of a build. The error is what went wrong, and what
/// can be done.
fn try_sandbox(
    host: &HostFacts,
    more: &[Mount],
    argv: &[&str],
    output: &mut dyn FnMut(&[u8]),
) -> Result<(), (String, Option<String>)> {
    let mut mounts = vec![
        Mount::Proc { destination: "/proc".into() },
        Mount::Dev { destination: "/dev".into() },
        Mount::Tmpfs { destination: "/tmp".into(), mode: 0o1777, size_bytes: None },
    ];
    mounts.extend(more.iter().cloned());
    let spec = SandboxSpec {
        name: "doctor".to_owned(),
        root: Root::Directory { path: "/".into(), read_only: true },
        mounts,
        namespaces: Namespaces::default(),
        ids: IdMapping::choose(host, 0),
        user: User::ROOT,
        capabilities: Vec::new(),
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: "/".into(),
        stdio: Stdio::CAPTURE,
        network: Network::None,
        host_ports: Vec::new(),
        hostname: None,
        limits: Limits::default(),
        accounting: false,
        rlimits: sandbox::spec::no_core_dumps(),
        timeout_ms: Some(20_000),
        silence_ms: None,
        seccomp: ["calls", "base"].map(str::to_owned).to_vec(),
        landlock: Vec::new(),
        linux32: false,
        keep_session: false,
    };
    let failed = |error: sandbox::SandboxError| (with_causes(&error), error.hint());
    let outcome = Sandbox::spawn(&spec, host).and_then(|s| s.wait(output)).map_err(failed)?;
    match outcome.exit {
        Exit::Exited(0) => Ok(()),
        Exit::CouldNotStart(failure) => Err((failure.to_string(), failure.hint)),
        exit => Err((exit.to_string(), None)),
    }
}

/// The version that a program tells. It is asked in a sandbox: dnf leaves a directory behind for
/// every user who asks.
fn version(host: &HostFacts, program: &Path) -> Option<String> {
    let program = program.to_str()?;
    let places = ["/var/log", "/var/cache", "/var/tmp", "/root"];
    let mounts: Vec<Mount> = places
        .iter()
        .filter(|place| Path::new(place).is_dir())
        .map(|place| Mount::Tmpfs { destination: place.into(), mode: 0o1777, size_bytes: None })
        .collect();
    let mut said = Vec::new();
    let asked = try_sandbox(host, &mounts, &[program, "--version"], &mut |bytes| {
        said.extend_from_slice(&bytes[..bytes.len().min(4096)]);
    });
    asked.ok()?;
    checks::version(&String::from_utf8_lossy(&said))
}

fn try_overlay(host: &HostFacts, place: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error: std::io::Error| format!("cannot try in {}: {error}", place.display());
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place, open.clone()).map_err(failed)?;
    for name in ["lower", "upper", "work"] {
        let path = place.join(name);
        std::fs::create_dir(&path).map_err(failed)?;
        std::fs::set_permissions(&path, open.clone()).map_err(failed)?;
    }
    let mount = Mount::Overlay {
        destination: "/mnt".into(),
        layers: vec![place.join("lower")],
        upper: place.join("upper"),
        work: place.join("work"),
        // Its mark would stay, of somebody who does not exist here.
        volatile: false,
    };
    let tried = try_sandbox(host, &[mount], &["true"], &mut |_| {}).map_err(|(why, _)| why);
    // What the kernel has made there belongs to ids that exist inside only, and may not be looked
    // into; it is empty.
    for name in ["work", "index"] {
        let _ = std::fs::remove_dir(place.join("work").join(name));
    }
    tried
}

/// Limits that this host cannot enforce.
#[derive(Debug, Clone)]
pub struct Unlimited {
    /// Why.
    pub why: String,
    /// What can be done.
    pub hint: Option<String>,
    /// What that means.
    pub without: &'static str,
}

/// `disk` is that of the store.
fn limits(host: &HostFacts, disk: Option<String>) -> Result<(), Unlimited> {
    let wanted = Limits {
        memory_bytes: Some(sandbox::spec::Limit::required(1 << 30)),
        pids: Some(sandbox::spec::Limit::required(1000)),
        cpus: Some(sandbox::spec::Limit::required(1.0)),
        ..Limits::default()
    };
    let plan = |limits| sandbox::cgroup::plan("doctor", limits, &host.cgroup);
    let Err(error) = plan(&wanted) else {
        let write_bytes = Some(sandbox::spec::Limit::required(1 << 30));
        let io = IoLimits { disk, write_bytes, ..IoLimits::default() };
        let without = "a build may slow others by what it writes";
        return plan(&Limits { io, ..wanted }).map(drop).map_err(|error| Unlimited {
            why: error.to_string(),
            hint: error.hint(),
            without,
        });
    };
    // systemd gives users memory and processes, but not always processors.
    let without = match plan(&Limits { cpus: None, ..wanted.clone() }) {
        Ok(_) => "a build may use all processors",
        Err(_) => "memory, processes and processors are not limited, and the bill is less exact",
    };
    Err(Unlimited { why: error.to_string(), hint: error.hint(), without })
}

fn emulated(handlers: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(handlers).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().ok();
    let mut found: Vec<String> = entries
        .filter_map(name)
        .filter_map(|name| name.strip_prefix("qemu-").map(str::to_owned))
        .collect();
    found.sort();
    found
}
