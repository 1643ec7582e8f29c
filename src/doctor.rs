//! What of this host matters for builds: found, what it is good for, and how to get it.
//!
//! Looking is one thing ([`Facts::probe`]), judging another ([`examine`]), so that hosts that are
//! not here can be judged too.

use std::path::{Path, PathBuf};

use sandbox::spec::{Limits, Mount, Namespaces, Network, Root, Stdio, User};
use sandbox::{Exit, HostFacts, IdMapping, Sandbox, SandboxSpec};
use serde::Serialize;

use crate::helper::program;

/// Bytes below which a disk is too full for a buildroot and a build of some size.
const LITTLE_DISK: u64 = 10 << 30;
/// The oldest kernel that is supported: that of Enterprise Linux 8.
const OLDEST_KERNEL: (u32, u32) = (4, 18);

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
    /// Why a sandbox cannot be limited, and what can be done; none if it can.
    pub limits: Option<(String, Option<String>)>,
    /// Package managers of the host: what is called, and what that leads to. They are not asked
    /// for their version, since dnf leaves a directory behind for every user who asks.
    pub package_managers: Vec<(PathBuf, PathBuf)>,
    /// Where buildroots are, and the free bytes there.
    pub disk: (PathBuf, Option<u64>),
    /// Whether /dev/shm is in memory.
    pub has_shared_memory: bool,
    /// Architectures that the kernel has an emulator for.
    pub emulated: Vec<String>,
}

impl Facts {
    /// Looks at this host. `store` is where buildroots are, or will be.
    pub fn probe(store: &Path) -> Facts {
        let host = HostFacts::probe();
        let there = store.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let sandbox = try_sandbox(&host, &[]).err();
        let overlay = match &sandbox {
            Some((why, _)) => Some(why.clone()),
            None => try_overlay(&host, there).err(),
        };
        Facts {
            limits: limits(&host).err(),
            sandbox,
            overlay,
            package_managers: ["/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/dnf5"]
                .iter()
                .map(Path::new)
                .filter_map(|path| Some((path.to_owned(), program(path)?)))
                .collect(),
            disk: (there.to_owned(), free(there)),
            has_shared_memory: nix::sys::statfs::statfs("/dev/shm")
                .is_ok_and(|data| data.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC),
            emulated: emulated(Path::new("/proc/sys/fs/binfmt_misc")),
            host,
        }
    }
}

/// Starts the smallest sandbox with the filters of a build. The error is what went wrong, and what
/// can be done.
fn try_sandbox(host: &HostFacts, more: &[Mount]) -> Result<(), (String, Option<String>)> {
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
        argv: vec!["true".to_owned()],
        cwd: "/".into(),
        stdio: Stdio { stdout: sandbox::spec::Stdout::Null, ..Stdio::CAPTURE },
        network: Network::None,
        hostname: None,
        limits: Limits::default(),
        accounting: false,
        rlimits: sandbox::spec::no_core_dumps(),
        timeout_ms: Some(20_000),
        silence_ms: None,
        seccomp: ["calls", "base"].map(str::to_owned).to_vec(),
        linux32: false,
        keep_session: false,
    };
    let failed = |error: sandbox::SandboxError| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        (text, error.hint())
    };
    let outcome = Sandbox::spawn(&spec, host).and_then(|s| s.wait(&mut |_| {})).map_err(failed)?;
    match outcome.exit {
        Exit::Exited(0) => Ok(()),
        Exit::CouldNotStart(failure) => Err((failure.to_string(), failure.hint)),
        exit => Err((exit.to_string(), None)),
    }
}

fn try_overlay(host: &HostFacts, place: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error: std::io::Error| format!("cannot try in {}: {error}", place.display());
    let dir = tempfile::Builder::new().prefix(".albs-node-doctor-").tempdir_in(place);
    let dir = dir.map_err(failed)?;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.path(), open.clone()).map_err(failed)?;
    for name in ["lower", "upper", "work"] {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).map_err(failed)?;
        std::fs::set_permissions(&path, open.clone()).map_err(failed)?;
    }
    let mount = Mount::Overlay {
        destination: "/mnt".into(),
        layers: vec![dir.path().join("lower")],
        upper: dir.path().join("upper"),
        work: dir.path().join("work"),
    };
    let tried = try_sandbox(host, &[mount]).map_err(|(why, _)| why);
    // What the kernel has made there belongs to ids that exist inside only, and may not be looked
    // into; it is empty.
    for name in ["work", "index"] {
        let _ = std::fs::remove_dir(dir.path().join("work").join(name));
    }
    tried
}

fn limits(host: &HostFacts) -> Result<(), (String, Option<String>)> {
    let wanted = Limits {
        memory_bytes: Some(sandbox::spec::Limit::required(1 << 30)),
        pids: Some(sandbox::spec::Limit::required(1000)),
        cpus: Some(sandbox::spec::Limit::required(1.0)),
        ..Limits::default()
    };
    sandbox::cgroup::plan("doctor", &wanted, &host.cgroup)
        .map(drop)
        .map_err(|error| (error.to_string(), error.hint()))
}

fn free(path: &Path) -> Option<u64> {
    let data = nix::sys::statvfs::statvfs(path).ok()?;
    Some(data.blocks_available().saturating_mul(data.fragment_size()))
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

/// Judges a host.
pub fn examine(facts: &Facts) -> Vec<Check> {
    vec![
        kernel(facts),
        namespaces(facts),
        ids(facts),
        overlay(facts),
        control_groups(facts),
        package_managers(facts),
        disk(facts),
        memory(facts),
        emulators(facts),
    ]
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), without: None, fix: None }
}

fn kernel(facts: &Facts) -> Check {
    let release = &facts.host.kernel;
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = OLDEST_KERNEL;
    let check = ok("kernel", format!("Linux {release} on {}", facts.host.machine));
    if version >= OLDEST_KERNEL {
        return check;
    }
    Check {
        state: State::Missing,
        without: Some(format!("Linux {major}.{minor} is the oldest that sandboxes work on")),
        ..check
    }
}

fn namespaces(facts: &Facts) -> Check {
    let name = "sandbox";
    let Some((why, hint)) = &facts.sandbox else {
        return ok(name, "namespaces, mounts and the system call filter work");
    };
    let setting = facts.host.userns_forbidden_by();
    Check {
        name,
        state: State::Missing,
        found: why.clone(),
        without: Some("nothing can be built".to_owned()),
        fix: setting.map(|setting| format!("sysctl -w {setting}")).or_else(|| hint.clone()),
    }
}

fn ids(facts: &Facts) -> Check {
    let host = &facts.host;
    let name = "user ids";
    let mapping = IdMapping::choose(host, 0);
    if !mapping.is_single() {
        let range = mapping.uids.first().map(|r| format!("{} from {}", r.count, r.outside));
        return ok(name, format!("a range of {}", range.unwrap_or_default()));
    }
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(host.uid)).ok().flatten();
    let user = user.map_or_else(|| host.uid.to_string(), |user| user.name);
    let has_ranges = [&host.subuid, &host.subgid]
        .iter()
        .all(|ranges| ranges.iter().any(|(_, count)| *count >= sandbox::ids::RANGE_LENGTH));
    let (found, fix) = if !has_ranges {
        let fix = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}");
        ("no range of 65536 ids in /etc/subuid and /etc/subgid", fix)
    } else {
        let fix = "apt-get install uidmap, or dnf install shadow-utils".to_owned();
        ("newuidmap or newgidmap is not installed", fix)
    };
    Check {
        name,
        state: State::Limited,
        found: found.to_owned(),
        without: Some(
            "only the user's own id exists inside: changes of owner have no effect".to_owned(),
        ),
        fix: Some(fix),
    }
}

fn overlay(facts: &Facts) -> Check {
    let name = "overlayfs";
    match &facts.overlay {
        None => ok(name, "works in user namespaces"),
        Some(why) => Check {
            name,
            state: if facts.sandbox.is_some() { State::Missing } else { State::Limited },
            found: why.clone(),
            without: Some("buildroots are copied for each build".to_owned()),
            fix: Some("use kernel 5.11 or later, and --store DIR on ext4, xfs or btrfs".to_owned()),
        },
    }
}

fn control_groups(facts: &Facts) -> Check {
    let name = "limits";
    match &facts.limits {
        None => {
            let version = if facts.host.cgroup.v1.is_empty() { "2" } else { "1" };
            ok(name, format!("control groups of version {version} can be used"))
        }
        Some((why, hint)) => Check {
            name,
            state: State::Limited,
            found: why.clone(),
            without: Some(
                "memory, processes and processors are not limited, and the bill is less exact"
                    .to_owned(),
            ),
            fix: hint.clone(),
        },
    }
}

fn package_managers(facts: &Facts) -> Check {
    let name = "package manager";
    let found: Vec<String> = facts
        .package_managers
        .iter()
        .map(|(program, path)| match program == path {
            true => program.display().to_string(),
            false => format!("{} ({})", program.display(), path.display()),
        })
        .collect();
    if !found.is_empty() {
        return ok(name, found.join(", "));
    }
    Check {
        name,
        state: State::Limited,
        found: "no dnf".to_owned(),
        without: Some("only configs with use_bootstrap_image can be built".to_owned()),
        fix: Some("apt-get install dnf dnf-plugins-core, or dnf install dnf".to_owned()),
    }
}

fn disk(facts: &Facts) -> Check {
    let (path, free) = &facts.disk;
    let place = path.display();
    let Some(free) = free else { return ok("disk", format!("{place} tells no size")) };
    let check = ok("disk", format!("{} free in {place}", crate::run::bill::size(*free)));
    if *free >= LITTLE_DISK {
        return check;
    }
    Check {
        state: State::Limited,
        without: Some("larger builds will not fit".to_owned()),
        fix: Some("albs-node clean, or --store DIR in another place".to_owned()),
        ..check
    }
}

fn memory(facts: &Facts) -> Check {
    if facts.has_shared_memory {
        return ok("memory", "/dev/shm is in memory");
    }
    Check {
        name: "memory",
        state: State::Limited,
        found: "/dev/shm is not in memory".to_owned(),
        without: Some("the plugin tmpfs has no effect".to_owned()),
        fix: Some("mount -t tmpfs tmpfs /dev/shm".to_owned()),
    }
}

fn emulators(facts: &Facts) -> Check {
    match facts.emulated.is_empty() {
        true => ok("emulators", "none, which only --forcearch needs"),
        false => ok("emulators", facts.emulated.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host on which everything works.
    fn good() -> Facts {
        let mut host = HostFacts::probe_at(Path::new("/nonexistent"));
        host.uid = 1000;
        host.kernel = "6.1.0-13-amd64".to_owned();
        host.machine = "x86_64".to_owned();
        host.subuid = vec![(100_000, 65536)];
        host.subgid = vec![(100_000, 65536)];
        host.newuidmap = Some("/usr/bin/newuidmap".into());
        host.newgidmap = Some("/usr/bin/newgidmap".into());
        Facts {
            host,
            sandbox: None,
            overlay: None,
            limits: None,
            package_managers: vec![("/usr/bin/dnf".into(), "/usr/bin/dnf5".into())],
            disk: ("/var/lib".into(), Some(100 << 30)),
            has_shared_memory: true,
            emulated: vec!["aarch64".to_owned()],
        }
    }

    #[test]
    fn a_good_host() {
        let checks = examine(&good());
        assert!(checks.iter().all(|check| check.state == State::Ok), "{checks:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_helps() {
        let mut facts = good();
        facts.host.kernel = "3.10.0-1160.el7.x86_64".to_owned();
        facts.host.subuid = Vec::new();
        facts.host.userns_settings = vec![("user/max_user_namespaces".into(), "0".into())];
        facts.sandbox = Some(("clone: no space".to_owned(), None));
        facts.overlay = Some("no".to_owned());
        facts.limits = Some(("not writable".to_owned(), Some("run as root".to_owned())));
        facts.package_managers = Vec::new();
        facts.disk.1 = Some(1 << 30);
        facts.has_shared_memory = false;
        let mut checks = examine(&facts);
        // The name of the user who runs the tests is in it.
        checks[2].fix = None;
        insta::assert_json_snapshot!(checks);
    }
}
