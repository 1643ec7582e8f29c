//! What the parent learns of a sandbox that has ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything known about a sandbox after its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// How the command ended.
    pub exit: Exit,
    /// Wall-clock time from the start of `sandbox-init` to its end, in seconds.
    pub seconds: f64,
    /// What was used.
    pub usage: Usage,
    /// Processes that the command had left behind and that were killed.
    pub leftovers: u32,
    /// How far each layer of isolation was enforced.
    pub enforcement: Vec<(Layer, Enforcement)>,
    /// What was used over time; empty without control groups, or of a command that ended soon.
    pub samples: Vec<Sample>,
    /// The largest process that was seen when memory was short.
    pub largest: Option<Largest>,
}

/// What the processes of a sandbox used up to a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the start of the sandbox.
    pub seconds: f64,
    /// Processor time so far, in µs.
    pub cpu_us: u64,
    /// Memory in use at this moment, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads at this moment.
    pub pids: u64,
    /// Bytes read from block devices so far.
    pub io_read_bytes: u64,
    /// Bytes written to block devices so far.
    pub io_write_bytes: u64,
}

/// A process, by what it took of the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Largest {
    /// Its name, as in /proc/PID/comm, without control characters.
    pub name: String,
    /// Its resident memory in bytes.
    pub bytes: u64,
}

/// How the command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal, which came from inside.
    Signaled(i32),
    /// Killed at the time limit.
    TimedOut,
    /// Killed because it had written nothing for too long.
    Silent,
    /// Killed by the kernel at the memory limit.
    OomKilled,
    /// Killed because the caller asked for it.
    Cancelled,
    /// The command never ran.
    CouldNotStart(StartFailure),
}

impl Exit {
    /// Whether the command ended by itself with status 0.
    pub fn success(&self) -> bool {
        *self == Exit::Exited(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Exited(status) => write!(f, "exit status {status}"),
            Exit::Signaled(signal) => write!(f, "killed by signal {signal}"),
            Exit::TimedOut => write!(f, "killed at the time limit"),
            Exit::Silent => write!(f, "killed for its silence"),
            Exit::OomKilled => write!(f, "killed at the memory limit"),
            Exit::Cancelled => write!(f, "cancelled"),
            Exit::CouldNotStart(failure) => write!(f, "could not start: {failure}"),
        }
    }
}

/// Which step of setting up a sandbox failed, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartFailure {
    /// The step, as the plan prints it.
    pub step: String,
    /// Error number of the kernel; 0 if the failure was not one of a system call.
    pub errno: i32,
    /// What is known beyond the error number.
    pub detail: Option<String>,
    /// What an operator can do.
    pub hint: Option<String>,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        if self.errno != 0 {
            write!(f, ": {}", nix::errno::Errno::from_raw(self.errno).desc())?;
        }
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StartFailure {}

/// A layer of isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// User and group ids.
    Ids,
    /// Mounts.
    Mounts,
    /// Network.
    Network,
    /// System call filter.
    Seccomp,
    /// What the command has given up by Landlock.
    Landlock,
    /// Limits by control groups.
    Cgroup,
}

/// How far a layer was enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// As asked for.
    Full,
    /// Less than asked for, and why.
    Partial(String),
    /// Not at all, and why.
    Off(String),
}

/// What the processes of a sandbox used together. A value that the kernel does not tell is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode, in µs.
    pub cpu_user_us: u64,
    /// Processor time in the kernel, in µs.
    pub cpu_system_us: u64,
    /// Highest memory use in bytes: of the whole sandbox where a control group counts, else of
    /// its largest process.
    pub memory_peak_bytes: Option<u64>,
    /// Highest number of processes and threads.
    pub pids_peak: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
    /// Reads from block devices.
    #[serde(default)]
    pub io_read_ops: Option<u64>,
    /// Writes to block devices.
    #[serde(default)]
    pub io_write_ops: Option<u64>,
    /// How long processes were held up; of version 2 only, and where the kernel counts it.
    #[serde(default)]
    pub pressure: Option<Pressure>,
    /// Processes killed at the memory limit.
    pub oom_kills: u64,
    /// Processes killed for want of memory though no limit of the sandbox was hit: the host, or
    /// what this program runs in, has run out of it.
    #[serde(default)]
    pub host_oom_kills: u64,
    /// Attempts to make a process that the pids limit refused.
    pub pids_refused: u64,
    /// Where the numbers come from.
    pub source: UsageSource,
}

/// Time in which at least one process waited for something, in µs (the `some` line of the
/// kernel's pressure stall information).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// For a processor.
    pub cpu_us: u64,
    /// For memory: reclaim, swapping in, refaults.
    pub memory_us: u64,
    /// For a block device.
    pub io_us: u64,
}

/// Who counted. In their order: the later, the more is counted, and sums name the best of theirs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// wait4(2): processes that have been waited for.
    #[default]
    Rusage,
    /// Control groups, version 1.
    CgroupV1,
    /// Control groups, version 2.
    CgroupV2,
}

/// The parts of getrusage(2) that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rusage {
    /// User time in µs.
    pub user_us: u64,
    /// System time in µs.
    pub system_us: u64,
    /// Largest resident set of any process, in bytes.
    pub max_rss_bytes: u64,
}

impl Usage {
    /// Counts processes that the kernel has killed for want of memory.
    pub(crate) fn killed(&mut self, processes: u64, at_own_limit: bool) {
        match at_own_limit {
            true => self.oom_kills = processes,
            false => self.host_oom_kills = processes,
        }
    }

    /// Adds up two stages: times and counts are summed, peaks are the higher of the two.
    pub fn plus(&self, other: &Usage) -> Usage {
        let higher = |a: Option<u64>, b: Option<u64>| a.max(b);
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Usage {
            cpu_user_us: self.cpu_user_us + other.cpu_user_us,
            cpu_system_us: self.cpu_system_us + other.cpu_system_us,
            memory_peak_bytes: higher(self.memory_peak_bytes, other.memory_peak_bytes),
            pids_peak: higher(self.pids_peak, other.pids_peak),
            io_read_bytes: sum(self.io_read_bytes, other.io_read_bytes),
            io_write_bytes: sum(self.io_write_bytes, other.io_write_bytes),
            io_read_ops: sum(self.io_read_ops, other.io_read_ops),
            io_write_ops: sum(self.io_write_ops, other.io_write_ops),
            pressure: match (self.pressure, other.pressure) {
                (Some(a), Some(b)) => Some(Pressure {
                    cpu_us: a.cpu_us + b.cpu_us,
                    memory_us: a.memory_us + b.memory_us,
                    io_us: a.io_us + b.io_us,
                }),
                (a, b) => a.or(b),
            },
            oom_kills: self.oom_kills + other.oom_kills,
            host_oom_kills: self.host_oom_kills + other.host_oom_kills,
            pids_refused: self.pids_refused + other.pids_refused,
            source: self.source.max(other.source),
        }
    }
}
