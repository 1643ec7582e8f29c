//! Processes and what sandboxes could leave behind: told from /proc and from the control groups.

use std::collections::HashSet;
use std::fs;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// One line of the table of processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub name: String,
    /// Start time, which tells it from a later process with the same number.
    start: String,
    zombie: bool,
}

/// Processes that tests have started and wait for themselves.
static STARTED: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(|| {
    // What loses its parent becomes a child of this process and is found, instead of vanishing
    // among the children of the host's pid 1.
    nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
    Mutex::new(HashSet::new())
});

/// Held while a process is started, so that nobody takes it for an orphan.
pub fn started() -> MutexGuard<'static, HashSet<i32>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All processes.
pub fn table() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // proc_pid_stat(5): pid (name) state parent …, the start time being field 22.
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (head, tail) = stat.rsplit_once(") ")?;
            let fields: Vec<&str> = tail.split(' ').collect();
            Some(Process {
                pid,
                parent: fields.get(1)?.parse().ok()?,
                name: head.split_once('(')?.1.to_owned(),
                start: (*fields.get(19)?).to_owned(),
                zombie: *fields.first()? == "Z",
            })
        })
        .collect()
}

/// A process and all that descends from it.
pub fn tree(top: i32) -> Vec<Process> {
    let table = table();
    let mut found: Vec<Process> = table.iter().filter(|p| p.pid == top).cloned().collect();
    let mut at = 0;
    while at < found.len() {
        let parent = found[at].pid;
        found.extend(table.iter().filter(|p| p.parent == parent).cloned());
        at += 1;
    }
    found
}

/// Waits for a condition; whether it came true in time.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Panics if anything of a sandbox is left: the processes seen while it ran, orphans, mounts,
/// control groups of `maker`.
pub fn assert_nothing_is_left(seen: &[Process], maker: i32) {
    let alive = || -> Vec<Process> {
        table()
            .into_iter()
            .filter(|p| !p.zombie && seen.iter().any(|s| s.pid == p.pid && s.start == p.start))
            .collect()
    };
    assert!(eventually(|| alive().is_empty()), "still running: {:?}", end(alive()));
    assert!(eventually(|| orphans().is_empty()), "lost their parents: {:?}", end(orphans()));
    assert!(eventually(|| cgroups(maker).is_empty()), "left: {:?}", cgroups(maker));
    assert_eq!(mounts(), *MOUNTS, "mounts of a sandbox reached the host");
}

/// Kills what should not be there, so that the next test does not find it again.
fn end(processes: Vec<Process>) -> Vec<Process> {
    processes.iter().for_each(|p| super::harness::send(p.pid, Signal::SIGKILL));
    processes
}

/// Children of this process that no test has started, after having waited for the dead ones.
fn orphans() -> Vec<Process> {
    let started = started();
    let own = std::process::id() as i32;
    let mut orphans = table();
    orphans.retain(|p| p.parent == own && !started.contains(&p.pid));
    orphans.retain(|p| {
        let _ = waitpid(Pid::from_raw(p.pid), Some(WaitPidFlag::WNOHANG));
        !p.zombie
    });
    orphans
}

/// Control groups that the process `maker` has made.
pub fn cgroups(maker: i32) -> Vec<String> {
    let prefix = format!("{}{maker}.", sandbox::cgroup::PREFIX);
    let facts = sandbox::HostFacts::probe().cgroup;
    let hierarchies = facts.v1.into_iter().map(|(_, hierarchy)| hierarchy).chain(facts.v2);
    hierarchies
        .map(|hierarchy| hierarchy.own_directory())
        // The first sandbox with limits has moved the tests aside, and made its group beside them.
        .map(|own| match own.file_name() {
            Some(name) if name == "albs-node-supervisor" => own.join(".."),
            _ => own,
        })
        .flat_map(|own| fs::read_dir(own).into_iter().flatten())
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with(&prefix)))
        .collect()
}

/// What is mounted where sandboxes put their roots together, before any was started.
static MOUNTS: LazyLock<Vec<String>> = LazyLock::new(mounts);

/// Makes sure that the mounts of before are known.
pub fn remember_mounts() {
    LazyLock::force(&MOUNTS);
}

fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    text.lines()
        .filter(|line| {
            let at = line.split(' ').nth(4).unwrap_or_default();
            at == "/tmp" || at.contains(super::harness::PREFIX)
        })
        .map(str::to_owned)
        .collect()
}
