//! What a sandbox is, as data: everything the parent asks for, nothing about how it is done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::IdMapping;
use crate::landlock::Restriction;

/// The complete description of one sandboxed command. Printable, storable, replayable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSpec {
    /// Short name for logs and for the control group; `[A-Za-z0-9._-]`.
    pub name: String,
    /// What becomes `/`.
    pub root: Root,
    /// Mounts and files placed into the root, in this order.
    pub mounts: Vec<Mount>,
    /// Namespaces besides those that are always new.
    pub namespaces: Namespaces,
    /// Which ids of the host exist inside.
    pub ids: IdMapping,
    /// Who runs the command.
    pub user: User,
    /// Capabilities that the command keeps inside its user namespace, as named in
    /// capabilities(7), for example `CAP_CHOWN`. Everything else leaves the bounding set.
    pub capabilities: Vec<String>,
    /// The whole environment of the command.
    pub environment: BTreeMap<String, String>,
    /// Program and arguments. A program without a slash is searched in `PATH` of `environment`.
    pub argv: Vec<String>,
    /// Working directory inside the sandbox.
    pub cwd: PathBuf,
    /// Where the standard descriptors go.
    pub stdio: Stdio,
    /// What of the network is visible.
    pub network: Network,
    /// TCP ports of the host's loopback interface that are at the loopback interface of a filtered
    /// network, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<u16>,
    /// Host name inside; needs the uts namespace.
    pub hostname: Option<String>,
    /// Limits on what the command and its descendants use together.
    pub limits: Limits,
    /// Whether control groups count what is used even if nothing is limited. Joining them takes
    /// milliseconds; without them, usage is what wait4(2) tells.
    pub accounting: bool,
    /// Per-process limits by setrlimit(2) name without `RLIMIT_`, for example `NOFILE`.
    pub rlimits: BTreeMap<String, u64>,
    /// Wall-clock limit in milliseconds, after which everything is killed.
    pub timeout_ms: Option<u64>,
    /// Longest time in milliseconds without any output to captured descriptors, after which
    /// everything is killed.
    pub silence_ms: Option<u64>,
    /// Names of the seccomp policies that apply together; see `policies/seccomp`.
    pub seccomp: Vec<String>,
    /// What the command gives up by Landlock, as far as the kernel has it.
    #[serde(default)]
    pub landlock: Vec<Restriction>,
    /// Whether the command sees a 32-bit machine, as with setarch(8): `uname -m` says i686 on
    /// x86_64. What it may execute does not change.
    pub linux32: bool,
    /// Whether the command keeps the caller's session and controlling terminal, as the rest of a
    /// pipeline does. Otherwise it gets a session of its own, whose terminal, if `stdio` has one,
    /// is the sandbox's.
    pub keep_session: bool,
}

/// What becomes `/` of the sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Root {
    /// A directory of the host, with everything mounted below it.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether it and all mounts below are read-only.
        read_only: bool,
    },
    /// Overlay layers. Writes go to `upper`; `work` must be an empty directory beside it. Both are
    /// made if they are missing, so that they belong to the sandbox.
    Overlay {
        /// Read-only layers, the lowest first.
        layers: Vec<PathBuf>,
        /// Receives all changes.
        upper: PathBuf,
        /// Scratch directory of overlayfs, on the file system of `upper`.
        work: PathBuf,
        /// Whether what is written need not survive a crash of the host: nothing waits for the
        /// disk then, from kernel 5.10 on.
        #[serde(default)]
        volatile: bool,
    },
    /// An empty tmpfs, to be filled by mounts.
    Empty {
        /// Size limit in bytes.
        size_bytes: u64,
    },
}

/// One thing placed into the root. Destinations are absolute paths inside the sandbox; symbolic
/// links in them are followed inside the root only, and missing directories are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mount {
    /// A file or directory of the host, with everything mounted below it.
    Bind {
        /// Path on the host.
        source: PathBuf,
        /// Path inside.
        destination: PathBuf,
        /// Whether it and all mounts below are read-only.
        read_only: bool,
    },
    /// Overlay layers, as in [`Root::Overlay`].
    Overlay {
        /// Path inside.
        destination: PathBuf,
        /// Read-only layers, the lowest first.
        layers: Vec<PathBuf>,
        /// Receives all changes.
        upper: PathBuf,
        /// Scratch directory of overlayfs, on the file system of `upper`.
        work: PathBuf,
        /// Whether what is written need not survive a crash of the host: nothing waits for the
        /// disk then, from kernel 5.10 on.
        #[serde(default)]
        volatile: bool,
    },
    /// A private, empty, writable file system in memory.
    Tmpfs {
        /// Path inside.
        destination: PathBuf,
        /// Permission bits of its root directory.
        mode: u32,
        /// Size limit in bytes; without it the kernel's default, half of the memory.
        size_bytes: Option<u64>,
    },
    /// proc of the sandbox's pid namespace, with the files that tell about the host masked.
    Proc {
        /// Path inside.
        destination: PathBuf,
    },
    /// sysfs, read-only. Possible with an own network namespace only; left empty where the
    /// kernel refuses, which is reported.
    Sys {
        /// Path inside.
        destination: PathBuf,
    },
    /// A minimal /dev: null, zero, full, random, urandom, tty, a new devpts, shm.
    Dev {
        /// Path inside.
        destination: PathBuf,
    },
    /// A directory, made if missing.
    Directory {
        /// Path inside.
        destination: PathBuf,
        /// Permission bits, when it is made.
        mode: u32,
    },
    /// A regular file with this content; an existing one is replaced.
    File {
        /// Path inside.
        destination: PathBuf,
        /// The whole content.
        content: String,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link; an existing file of that name is left as it is.
    Symlink {
        /// Path inside.
        destination: PathBuf,
        /// Text of the link.
        target: PathBuf,
    },
}

/// Namespaces that may be new or shared with the host. User, mount and pid namespaces are always
/// new, and so is the network namespace unless [`Network::Host`] is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespaces {
    /// System V IPC and POSIX message queues.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
    /// View of the control group hierarchy.
    pub cgroup: bool,
}

impl Default for Namespaces {
    /// All of them new.
    fn default() -> Self {
        Self { ipc: true, uts: true, cgroup: true }
    }
}

/// Ids of the command, as seen inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
}

impl User {
    /// The superuser of the sandbox, which is nobody of importance on the host.
    pub const ROOT: User = User { uid: 0, gid: 0 };
}

/// Where the standard descriptors of the command go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output.
    pub stdout: Stdout,
    /// Standard error.
    pub stderr: Stdout,
}

impl Stdio {
    /// The caller's own descriptors.
    pub const INHERIT: Stdio =
        Stdio { stdin: Stdin::Inherit, stdout: Stdout::Inherit, stderr: Stdout::Inherit };
    /// A terminal of the sandbox's own.
    pub const TERMINAL: Stdio =
        Stdio { stdin: Stdin::Terminal, stdout: Stdout::Terminal, stderr: Stdout::Terminal };
    /// No input; output and errors together to the parent.
    pub const CAPTURE: Stdio =
        Stdio { stdin: Stdin::Null, stdout: Stdout::Capture, stderr: Stdout::Capture };

    /// Whether any of them is a terminal of the sandbox's own.
    pub fn has_terminal(&self) -> bool {
        self.stdin == Stdin::Terminal || [self.stdout, self.stderr].contains(&Stdout::Terminal)
    }
}

/// Source of standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// The caller's.
    Inherit,
    /// A pseudo terminal of the sandbox's own; what is typed at the caller's arrives there.
    Terminal,
}

/// Destination of standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdout {
    /// `/dev/null`.
    Null,
    /// The caller's.
    Inherit,
    /// The one pipe that the parent reads.
    Capture,
    /// The pseudo terminal of the sandbox's own; the caller's standard output shows it.
    Terminal,
}

/// What of the network the command sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A network namespace with a loopback interface and nothing else.
    None,
    /// A network namespace from which the host's network is reached, but neither the host nor
    /// link-local addresses; see [`crate::network`].
    Filtered,
    /// The same where this host has what it takes, otherwise the host's network, with a report.
    FilteredOrHost,
    /// The host's network.
    Host,
}

/// Limits on all processes of the sandbox together, enforced by control groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory in bytes, page cache and tmpfs included.
    pub memory_bytes: Option<Limit<u64>>,
    /// Memory in bytes from which on processes are slowed down and their memory is reclaimed.
    /// Only version 2 of control groups has it.
    #[serde(default)]
    pub memory_high_bytes: Option<Limit<u64>>,
    /// Swap in bytes, on top of memory.
    pub swap_bytes: Option<Limit<u64>>,
    /// Number of processes and threads.
    pub pids: Option<Limit<u64>>,
    /// Processor time per wall-clock time; 1.5 is one and a half processors.
    pub cpus: Option<Limit<f64>>,
    /// Share of the processors where several sandboxes want them, from 1 to 10000; 100 is what
    /// everybody has otherwise.
    #[serde(default)]
    pub cpu_weight: Option<Limit<u64>>,
    /// How fast one disk may be read and written.
    #[serde(default)]
    pub io: IoLimits,
}

/// How fast a disk may be read and written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoLimits {
    /// The whole disk as `MAJOR:MINOR`, as [`crate::cgroup::disk_below`] finds it; without it,
    /// nothing can be limited.
    pub disk: Option<String>,
    /// Bytes read in a second.
    pub read_bytes: Option<Limit<u64>>,
    /// Bytes written in a second. Version 1 of control groups sees only what is written past the
    /// page cache.
    pub write_bytes: Option<Limit<u64>>,
}

/// A limit and what happens when this host cannot enforce it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit<T> {
    /// The limit.
    pub value: T,
    /// Whether the sandbox must not start without it. Otherwise the outcome reports it as off.
    pub required: bool,
}

/// A limit that keeps core dumps off the host. 1, not 0: with 0 the kernel still hands them to a
/// handler that core_pattern names on the host; 1 is what it gives its own handlers to prevent
/// that (core(5), fs/coredump.c).
pub fn no_core_dumps() -> BTreeMap<String, u64> {
    BTreeMap::from([("CORE".to_owned(), 1)])
}

impl Limits {
    /// Whether there is any limit.
    pub fn any(&self) -> bool {
        let Limits { memory_bytes, memory_high_bytes, swap_bytes, pids, cpus, cpu_weight, io } =
            self;
        [memory_bytes, memory_high_bytes, swap_bytes, pids, cpu_weight]
            .into_iter()
            .chain([&io.read_bytes, &io.write_bytes])
            .any(Option::is_some)
            || cpus.is_some()
    }
}

impl<T> Limit<T> {
    /// A limit without which the sandbox must not start.
    pub fn required(value: T) -> Self {
        Self { value, required: true }
    }

    /// A limit that is left out, and reported, where it cannot be enforced.
    pub fn optional(value: T) -> Self {
        Self { value, required: false }
    }
}
