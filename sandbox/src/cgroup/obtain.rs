//! Asking systemd for a control group that may be divided.
//!
//! A shell's own group belongs to the session manager. Its scope may be divided after systemd has
//! been asked for one with `Delegate=`, which it gives to any user in their own slice
//! (systemd's document on control group delegation). busctl(1) asks: it comes with systemd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::CgroupFacts;

/// Longest time that systemd gets to move us, in milliseconds.
const PATIENCE_MS: u64 = 2000;

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obtained {
    /// This process is in a scope of its own now; facts have to be probed again.
    Scope(String),
    /// There was nothing to ask for, or nobody to be asked.
    NotAsked,
    /// It was refused, and why.
    Refused(String),
}

/// Moves this process into a delegated scope, if it has no group that it may divide and there is
/// a systemd that gives one.
pub fn obtain(facts: &CgroupFacts) -> Obtained {
    let bus = Bus::find(
        nix::unistd::geteuid().is_root(),
        Path::new("/run"),
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    );
    let Some(request) = request(facts, bus, std::process::id()) else { return Obtained::NotAsked };
    match ask(&request) {
        Ok(()) => Obtained::Scope(request.unit),
        Err(why) => Obtained::Refused(why),
    }
}

/// The manager to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bus {
    System,
    User { runtime: PathBuf },
}

impl Bus {
    /// The system's for root, the user's own otherwise, if it runs.
    fn find(is_root: bool, run: &Path, runtime: Option<PathBuf>) -> Option<Bus> {
        match is_root {
            true => run.join("systemd/system").exists().then_some(Bus::System),
            false => runtime
                .filter(|dir| dir.join("bus").exists() && dir.join("systemd").exists())
                .map(|runtime| Bus::User { runtime }),
        }
    }
}

/// A call of busctl(1).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    unit: String,
    argv: Vec<String>,
    runtime: Option<PathBuf>,
}

/// What to ask, if anything.
fn request(facts: &CgroupFacts, bus: Option<Bus>, pid: u32) -> Option<Request> {
    let v2 = facts.v2.as_ref()?;
    // On a hybrid host the controllers are with version 1, of which nothing can be delegated.
    if facts.usable_v2().is_some() || facts.v1.iter().any(|(name, _)| name == "memory") {
        return None;
    }
    // A group that is ours already has all that there is to get.
    if v2.writable {
        return None;
    }
    let (bus, runtime) = match bus? {
        Bus::System => ("--system", None),
        Bus::User { runtime } => ("--user", Some(runtime)),
    };
    let unit = format!("albs-node-{pid}.scope");
    let pid = pid.to_string();
    let argv = [
        "busctl",
        bus,
        "--quiet",
        "--timeout=2",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        &unit,
        "fail",
        // The properties: how many, then name, type and value of each.
        "5",
        "Description",
        "s",
        "Builds of albs-node",
        "Delegate",
        "b",
        "true",
        // Builds have limits of their own; all of them are more than a scope gets by itself.
        "TasksMax",
        "t",
        "18446744073709551615",
        "CollectMode",
        "s",
        "inactive-or-failed",
        "PIDs",
        "au",
        "1",
        &pid,
        // No units besides.
        "0",
    ];
    let argv = argv.map(str::to_owned).to_vec();
    Some(Request { unit, argv, runtime })
}

fn ask(request: &Request) -> Result<(), String> {
    let mut command = Command::new(&request.argv[0]);
    command.args(&request.argv[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(runtime) = &request.runtime {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    let output = command.output().map_err(|error| format!("busctl cannot be run: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().next().unwrap_or("no reason given");
        return Err(line.chars().filter(|c| !c.is_control()).collect());
    }
    // The answer is a job's name; we are moved when it is done.
    let end = Instant::now() + Duration::from_millis(PATIENCE_MS);
    while Instant::now() < end {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if own.contains(&request.unit) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(format!("systemd did not start {} in {PATIENCE_MS} ms", request.unit))
}

#[cfg(test)]
mod tests {
    use super::super::Hierarchy;
    use super::*;

    fn facts(writable: bool) -> CgroupFacts {
        let v2 = Hierarchy {
            mount: "/sys/fs/cgroup".into(),
            own: "/user.slice/session-1.scope".into(),
            writable,
            controllers: vec!["memory".to_owned(), "pids".to_owned()],
        };
        CgroupFacts { v2: Some(v2), ..CgroupFacts::default() }
    }

    #[test]
    fn a_session_asks_its_own_manager() {
        let bus = Bus::User { runtime: "/run/user/1000".into() };
        let request = request(&facts(false), Some(bus), 42).unwrap();
        insta::assert_snapshot!(request.argv.join(" "));
    }

    #[test]
    fn nobody_is_asked_without_need() {
        assert_eq!(request(&facts(true), Some(Bus::System), 42), None);
        assert_eq!(request(&facts(false), None, 42), None);
        assert_eq!(request(&CgroupFacts::default(), Some(Bus::System), 42), None);
        let mut hybrid = facts(false);
        hybrid.v1.push(("memory".to_owned(), Hierarchy::default()));
        assert_eq!(request(&hybrid, Some(Bus::System), 42), None);
    }

    #[test]
    fn a_manager_that_does_not_run_is_none() {
        let run = tempfile::tempdir().unwrap();
        let runtime = run.path().join("user");
        assert_eq!(Bus::find(true, run.path(), None), None);
        assert_eq!(Bus::find(false, run.path(), Some(runtime.clone())), None);
        for dir in ["systemd/system", "user/systemd", "user/bus"] {
            std::fs::create_dir_all(run.path().join(dir)).unwrap();
        }
        assert_eq!(Bus::find(true, run.path(), None), Some(Bus::System));
        assert_eq!(
            Bus::find(false, run.path(), Some(runtime.clone())),
            Some(Bus::User { runtime })
        );
    }
}
