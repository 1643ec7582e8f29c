//! What the parent and `sandbox-init` say to each other.
//!
//! The parent writes one [`Launch`] to descriptor 3; on the socket at descriptor 4, `sandbox-init`
//! answers with [`Report`]s, one JSON object a line, and the parent sends [`Request`]s. Either end
//! closing the socket means that it is gone. If the command gets a terminal, its controlling side
//! is sent over the socket at descriptor 5, and the command starts when one byte has come back.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::IdMapping;
use crate::landlock::Restriction;
use crate::network::{Carrier, Prefix};
use crate::outcome::Rusage;

/// Descriptor from which `sandbox-init` reads the launch.
pub const LAUNCH_FD: i32 = 3;
/// Descriptor of the socket to the parent.
pub const CONTROL_FD: i32 = 4;
/// Descriptor of the socket over which a terminal is handed to the parent.
pub const TERMINAL_FD: i32 = 5;

/// Everything that `sandbox-init` does, in the order in which it does it. It decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Namespaces to make, as clone(2) flags by name: `user`, `mount`, `pid`, …
    pub namespaces: Vec<Namespace>,
    /// The id maps and how they are written.
    pub ids: IdMapping,
    /// Control group in which pid 1 is started, where the kernel can do that; then it need not
    /// join.
    pub born_in: Option<PathBuf>,
    /// `cgroup.procs` files that the sandbox joins before it does anything.
    pub cgroup_procs: Vec<PathBuf>,
    /// Control group directories to remove if the parent disappears.
    pub cgroup_dirs: Vec<PathBuf>,
    /// Who carries packets for the network namespace: the first that starts; nobody if there are
    /// none.
    pub carriers: Vec<Carrier>,
    /// Host paths opened with the caller's rights before anything is mounted.
    pub sources: Vec<PathBuf>,
    /// User and group inside under which the root is put together; none where the caller's own
    /// id is the only one.
    pub become_ids: Option<(u32, u32)>,
    /// Existing directory of the host over which the new root is mounted.
    pub stage: PathBuf,
    /// What to set and mount, in this order; nothing is mounted before there is a root.
    pub steps: Vec<Step>,
    /// What the kernel can be asked for.
    pub calls: Calls,
    /// The command.
    pub payload: Payload,
    /// Wall-clock limit in milliseconds from the start of the command.
    pub timeout_ms: Option<u64>,
}

/// System calls that not every kernel has. Without them the same is done by more calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// openat2(2), since Linux 5.6.
    pub openat2: bool,
    /// mount_setattr(2), since Linux 5.12.
    pub mount_setattr: bool,
}

/// Namespaces of clone(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of namespaces(7)")]
pub enum Namespace {
    User,
    Mount,
    Pid,
    Ipc,
    Uts,
    Cgroup,
    Net,
}

/// One step with what happens if the kernel refuses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What to do.
    pub op: Op,
    /// Which failures do not keep the sandbox from starting.
    pub tolerance: Tolerance,
}

/// Which failures of a step do not keep the sandbox from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// None.
    Strict,
    /// That what it is about does not exist: what is not there need not be hidden.
    Missing,
    /// All. The parent is told.
    Any,
}

/// The closed list of operations that put a sandbox together. `source` is an index into
/// [`Launch::sources`]; `at` is a path inside the new root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what the text of its variant says")]
pub enum Op {
    /// A host directory becomes the root.
    RootBind { source: usize, read_only: bool },
    /// Overlay layers become the root; lowest layer first.
    RootOverlay { layers: Vec<usize>, upper: Child, work: Child, volatile: bool },
    /// An empty tmpfs becomes the root.
    RootTmpfs { size_bytes: u64 },
    /// Bind mount of a host path with everything below it.
    Bind { source: usize, at: PathBuf, read_only: bool },
    /// Overlay layers at a place inside; lowest layer first.
    Overlay { at: PathBuf, layers: Vec<usize>, upper: Child, work: Child, volatile: bool },
    /// Read-only bind mount of a path inside over itself.
    ReadOnly { at: PathBuf },
    /// New tmpfs.
    Tmpfs { at: PathBuf, mode: u32, size_bytes: Option<u64> },
    /// Empty directory, read-only.
    Empty { at: PathBuf },
    /// New proc.
    Proc { at: PathBuf },
    /// New read-only sysfs.
    Sysfs { at: PathBuf },
    /// New devpts.
    Devpts { at: PathBuf, tty_gid: Option<u32> },
    /// Directory, if missing.
    Mkdir { at: PathBuf, mode: u32 },
    /// Regular file with content.
    Write { at: PathBuf, content: String, mode: u32 },
    /// Symbolic link.
    Symlink { at: PathBuf, target: PathBuf },
    /// Hide a file behind the null device, or a directory behind an empty tmpfs.
    Mask { at: PathBuf, null: usize },
    /// How much of something of the kernel's this sandbox may have, by a name in `/proc/sys/user`.
    UserLimit { name: String, number: u64 },
    /// Host name.
    Hostname { name: String },
    /// Bring the loopback interface up.
    Loopback,
    /// Refuse to send to these addresses.
    Close { prefix: Prefix },
}

/// A directory in one of [`Launch::sources`], made if it is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Index of the directory that it is in.
    pub source: usize,
    /// Its name.
    pub name: PathBuf,
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.name.display())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let volatile_word = |volatile: &bool| if *volatile { ", volatile" } else { "" };
        let mode_word = |ro: &bool| if *ro { "read-only" } else { "writable" };
        match self {
            Op::RootBind { source, read_only } => {
                write!(f, "root: bind source {source}, {}", mode_word(read_only))
            }
            Op::RootOverlay { layers, upper, work, volatile } => {
                let word = volatile_word(volatile);
                write!(f, "root: overlay of sources {layers:?}, upper {upper}, work {work}{word}")
            }
            Op::RootTmpfs { size_bytes } => write!(f, "root: tmpfs of {size_bytes} bytes"),
            Op::Bind { source, at, read_only } => {
                write!(f, "bind source {source} at {}, {}", at.display(), mode_word(read_only))
            }
            Op::Overlay { at, layers, upper, work, volatile } => write!(
                f,
                "overlay at {} of sources {layers:?}, upper {upper}, work {work}{}",
                at.display(),
                volatile_word(volatile)
            ),
            Op::ReadOnly { at } => write!(f, "make {} read-only", at.display()),
            Op::Tmpfs { at, mode, size_bytes } => {
                write!(f, "tmpfs at {}, mode {mode:o}", at.display())?;
                size_bytes.map_or(Ok(()), |size| write!(f, ", {size} bytes"))
            }
            Op::Empty { at } => write!(f, "empty directory at {}, read-only", at.display()),
            Op::Proc { at } => write!(f, "proc at {}", at.display()),
            Op::Sysfs { at } => write!(f, "sysfs at {}, read-only", at.display()),
            Op::Devpts { at, .. } => write!(f, "devpts at {}", at.display()),
            Op::Mkdir { at, mode } => write!(f, "directory {}, mode {mode:o}", at.display()),
            Op::Write { at, content, mode } => {
                write!(f, "file {}, {} bytes, mode {mode:o}", at.display(), content.len())
            }
            Op::Symlink { at, target } => {
                write!(f, "symlink {} to {}", at.display(), target.display())
            }
            Op::Mask { at, .. } => write!(f, "mask {}", at.display()),
            Op::UserLimit { name, number } => write!(f, "set user/{name} to {number}"),
            Op::Hostname { name } => write!(f, "host name {name}"),
            Op::Loopback => write!(f, "loopback interface up"),
            Op::Close { prefix } => write!(f, "close {}/{}", prefix.address, prefix.length),
        }
    }
}

/// The command and how it is confined; applied in the order of the fields after the ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Paths tried for the program, in this order.
    pub programs: Vec<String>,
    /// Environment as `NAME=value`.
    pub environment: Vec<String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Whether the command gets a session of its own.
    pub new_session: bool,
    /// Standard descriptors that are a pseudo terminal of the sandbox's own, which controls the
    /// session; none if it has no terminal.
    pub terminal: Vec<i32>,
    /// Whether it sees a 32-bit machine.
    pub linux32: bool,
    /// Per-process limits by name of setrlimit(2), without `RLIMIT_`.
    pub rlimits: BTreeMap<String, u64>,
    /// Capabilities that stay, by name.
    pub capabilities: Vec<String>,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// What it gives up by Landlock.
    pub landlock: Vec<Restriction>,
    /// The compiled filter; one u64 is one `struct sock_filter`.
    pub filter: Vec<u64>,
}

/// From `sandbox-init` to the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is what the text of its variant says")]
pub enum Report {
    /// An optional step did not work.
    Skipped { step: String, errno: i32 },
    /// A step failed; the command never started.
    Failed { step: String, errno: i32, detail: Option<String> },
    /// The command was executed.
    Started,
    /// The command has ended and nothing of the sandbox is left.
    Finished { end: End, leftovers: u32, rusage: Rusage },
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// Killed at the time limit.
    TimedOut,
    /// Killed because the parent asked for it.
    Cancelled,
}

/// From the parent to `sandbox-init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Kill everything now.
    Kill,
    /// Forward this signal to the command.
    Signal(i32),
}
