//! From the mounts of a specification to single operations.

use std::path::{Component, Path, PathBuf};

use crate::error::PlanError;
use crate::host::HostFacts;
use crate::network::NetworkPlan;
use crate::spec::{Mount, Root, SandboxSpec};
use crate::wire::{Child, Op, Step, Tolerance};

/// Host paths that must be opened before the root is put together, each once.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<PathBuf>);

impl Sources {
    /// Index of `path`, which is added if it is new.
    fn index(&mut self, path: &Path) -> usize {
        match self.0.iter().position(|known| known == path) {
            Some(index) => index,
            None => {
                self.0.push(path.to_owned());
                self.0.len() - 1
            }
        }
    }

    /// A directory that may be missing, by the one that it is in.
    fn child(&mut self, path: &Path) -> Child {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        Child { source: self.index(path.parent().unwrap_or(path)), name }
    }

    pub(super) fn into_paths(self) -> Vec<PathBuf> {
        self.0
    }
}

/// Files of /proc that tell about the host or act on it. Bound to /dev/null, or covered by an
/// empty directory, where they exist. The list is that of the OCI runtimes' default masked paths.
const PROC_MASKED: [&str; 10] = [
    "acpi",
    "asound",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
    "kpagecount",
];
/// Directories of /proc that stay visible, read-only.
const PROC_READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// Device nodes bound from the host. Never made with mknod(2), which a user namespace forbids.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links that udev makes on every system.
const DEV_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// What of /sys tells one machine from another, by serial number or by how much power it uses, and
/// is of no use to builds.
const SYS_MASKED: [&str; 3] = ["firmware", "devices/virtual/dmi", "devices/virtual/powercap"];
/// The part of what a user may have that each sandbox gets.
const USER_SHARE: u64 = 4;
/// What limits are in user namespaces that nobody has set them in (namespaces(7)).
const UNLIMITED: u64 = i32::MAX as u64;
/// Kernel with volatile overlays.
const VOLATILE: (u32, u32) = (5, 10);
/// Group `tty` of every distribution, which owns pseudo terminals.
const TTY_GID: u32 = 5;

/// `only_sizes`: no control group limits memory, so that nothing limits files in it but their file
/// system.
pub(super) fn steps(
    spec: &SandboxSpec,
    host: &HostFacts,
    network: &NetworkPlan,
    only_sizes: bool,
    sources: &mut Sources,
) -> Vec<Step> {
    let has_volatile = host.kernel_is(VOLATILE);
    let memory = spec.limits.memory_bytes.filter(|_| only_sizes).map(|limit| limit.value);
    let mut steps = Steps { steps: user_limits(host), has_volatile, memory };
    steps.required(match &spec.root {
        Root::Directory { path, read_only } => {
            Op::RootBind { source: sources.index(path), read_only: *read_only }
        }
        Root::Overlay { layers, upper, work, volatile } => Op::RootOverlay {
            layers: layers.iter().map(|path| sources.index(path)).collect(),
            upper: sources.child(upper),
            work: sources.child(work),
            volatile: *volatile && has_volatile,
        },
        Root::Empty { size_bytes } => Op::RootTmpfs { size_bytes: *size_bytes },
    });
    for mount in &spec.mounts {
        steps.mount(mount, spec, network, sources);
    }
    if let (true, Some(name)) = (spec.namespaces.uts, &spec.hostname) {
        steps.required(Op::Hostname { name: name.clone() });
    }
    match network {
        NetworkPlan::None => steps.required(Op::Loopback),
        NetworkPlan::Filtered(filtered) => {
            steps.required(Op::Loopback);
            for prefix in &filtered.closed {
                steps.required(Op::Close { prefix: *prefix });
            }
        }
        NetworkPlan::Host(_) => {}
    }
    steps.steps
}

/// Inotify, fanotify and namespaces are counted for whoever made the user namespace as well (user.*
/// in namespaces(7)), so that one sandbox could leave nothing to the others of its user.
fn user_limits(host: &HostFacts) -> Vec<Step> {
    let limit = |(name, number): (&String, &u64)| {
        let op = Op::UserLimit { name: name.clone(), number: (number / USER_SHARE).max(1) };
        Step { op, tolerance: Tolerance::Any }
    };
    // In a user namespace of a container, what holds is not told.
    let known = |(_, number): &(&String, &u64)| (1..UNLIMITED).contains(*number);
    host.user_limits.iter().filter(known).map(limit).collect()
}

struct Steps {
    steps: Vec<Step>,
    /// Whether the kernel has volatile overlays.
    has_volatile: bool,
    /// The limit on memory, in bytes, if it is only for file systems to keep.
    memory: Option<u64>,
}

impl Steps {
    fn required(&mut self, op: Op) {
        self.steps.push(Step { op, tolerance: Tolerance::Strict });
    }

    fn if_present(&mut self, op: Op) {
        self.steps.push(Step { op, tolerance: Tolerance::Missing });
    }

    fn mount(
        &mut self,
        mount: &Mount,
        spec: &SandboxSpec,
        network: &NetworkPlan,
        sources: &mut Sources,
    ) {
        match mount {
            Mount::Bind { source, destination, read_only } => self.required(Op::Bind {
                source: sources.index(source),
                at: destination.clone(),
                read_only: *read_only,
            }),
            Mount::Overlay { destination, layers, upper, work, volatile } => {
                self.required(Op::Overlay {
                    at: destination.clone(),
                    layers: layers.iter().map(|path| sources.index(path)).collect(),
                    upper: sources.child(upper),
                    work: sources.child(work),
                    volatile: *volatile && self.has_volatile,
                })
            }
            Mount::Tmpfs { destination, mode, size_bytes } => self.required(Op::Tmpfs {
                at: destination.clone(),
                mode: *mode,
                size_bytes: size_bytes.or(self.half_of_memory()),
            }),
            Mount::Proc { destination } => self.proc(destination, sources),
            // With the host's network, sysfs would belong to a namespace that is not ours.
            Mount::Sys { destination } if matches!(network, NetworkPlan::Host(_)) => {
                self.required(Op::Empty { at: destination.clone() })
            }
            Mount::Sys { destination } => {
                self.required(Op::Empty { at: destination.clone() });
                let op = Op::Sysfs { at: destination.clone() };
                self.steps.push(Step { op, tolerance: Tolerance::Any });
                let null = sources.index(Path::new("/dev/null"));
                for name in SYS_MASKED {
                    self.if_present(Op::Mask { at: destination.join(name), null });
                }
            }
            Mount::Dev { destination } => self.dev(destination, spec, sources),
            Mount::Directory { destination, mode } => {
                self.required(Op::Mkdir { at: destination.clone(), mode: *mode })
            }
            Mount::File { destination, content, mode } => self.required(Op::Write {
                at: destination.clone(),
                content: content.clone(),
                mode: *mode,
            }),
            Mount::Symlink { destination, target } => {
                self.required(Op::Symlink { at: destination.clone(), target: target.clone() })
            }
        }
    }

    fn proc(&mut self, at: &Path, sources: &mut Sources) {
        self.required(Op::Proc { at: at.to_owned() });
        let null = sources.index(Path::new("/dev/null"));
        for name in PROC_READ_ONLY {
            self.if_present(Op::ReadOnly { at: at.join(name) });
        }
        for name in PROC_MASKED {
            self.if_present(Op::Mask { at: at.join(name), null });
        }
    }

    fn dev(&mut self, at: &Path, spec: &SandboxSpec, sources: &mut Sources) {
        // 0755: in a sticky world-writable directory the kernel refuses O_CREAT opens of foreign
        // files, which /dev/null would be (sysctl fs.protected_regular).
        self.required(Op::Tmpfs { at: at.to_owned(), mode: 0o755, size_bytes: Some(1 << 20) });
        for name in DEVICES {
            self.required(Op::Bind {
                source: sources.index(&Path::new("/dev").join(name)),
                at: at.join(name),
                read_only: false,
            });
        }
        for (name, target) in DEV_LINKS {
            self.required(Op::Symlink { at: at.join(name), target: target.into() });
        }
        let tty_gid = spec.ids.contains(0, TTY_GID).then_some(TTY_GID);
        self.required(Op::Devpts { at: at.join("pts"), tty_gid });
        self.required(Op::Tmpfs {
            at: at.join("shm"),
            mode: 0o1777,
            size_bytes: self.half_of_memory(),
        });
    }

    /// What the kernel gives a tmpfs without a size, of the memory of the sandbox instead of the
    /// host's.
    fn half_of_memory(&self) -> Option<u64> {
        self.memory.map(|bytes| bytes / 2)
    }
}

pub(super) fn check(spec: &SandboxSpec) -> Result<(), PlanError> {
    for mount in &spec.mounts {
        let (source, destination) = match mount {
            Mount::Bind { source, destination, .. } => (Some(source), destination),
            Mount::Overlay { destination, layers, upper, work, .. } => {
                check_overlay(layers, upper, work)?;
                (None, destination)
            }
            Mount::Tmpfs { destination, .. }
            | Mount::Proc { destination }
            | Mount::Sys { destination }
            | Mount::Dev { destination }
            | Mount::Directory { destination, .. }
            | Mount::File { destination, .. }
            | Mount::Symlink { destination, .. } => (None, destination),
        };
        let climbs = destination.components().any(|part| part == Component::ParentDir);
        if !destination.is_absolute() || climbs || destination.parent().is_none() {
            return Err(PlanError::Destination(destination.clone()));
        }
        check_source(source)?;
    }
    match &spec.root {
        Root::Directory { path, .. } => check_source(Some(path)),
        Root::Overlay { layers, upper, work, .. } => check_overlay(layers, upper, work),
        Root::Empty { .. } => Ok(()),
    }
}

fn check_overlay(layers: &[PathBuf], upper: &PathBuf, work: &PathBuf) -> Result<(), PlanError> {
    if layers.is_empty() {
        return Err(PlanError::NoLayers);
    }
    // They are found by their names.
    if let Some(path) = [upper, work].into_iter().find(|path| path.file_name().is_none()) {
        return Err(PlanError::Source(path.clone()));
    }
    layers.iter().chain([upper, work]).try_for_each(|path| check_source(Some(path)))
}

fn check_source(source: Option<&PathBuf>) -> Result<(), PlanError> {
    match source {
        Some(path) if !path.is_absolute() || path.to_str().is_none() => {
            Err(PlanError::Source(path.clone()))
        }
        _ => Ok(()),
    }
}
