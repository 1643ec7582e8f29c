//! Pid 1 of the sandbox: puts the root together, starts the payload, reaps, and ends everything.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid};

use super::{Attempt, Failure, groups, mounts, payload};
use crate::sys::SignalOrigin;
use crate::wire::{End, Launch, Namespace, Report, Tolerance};

/// The socket to the supervisor: reports go out; one byte comes in when the id maps are written.
pub(super) struct Supervisor(pub(super) File);

impl Supervisor {
    pub(super) fn report(&mut self, report: &Report) {
        // If the supervisor is gone, so is this process in a moment.
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.0.write_all(&line);
        }
    }

    /// Whether the supervisor has ended already: no signal comes for an end before it was asked
    /// for. Its number cannot tell, since a process outside has none in this namespace.
    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        // Nothing is said on this socket any more, so all that can be read is its end.
        !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0))
    }
}

/// What pid 1 has from the supervisor.
pub(super) struct Inherited {
    /// Files through which it joins control groups.
    pub(super) groups: Vec<File>,
    /// The socket over which a terminal goes to the parent.
    pub(super) terminal: Option<UnixStream>,
}

/// Runs pid 1; gives its exit status, which nobody looks at: what happened is reported.
pub(super) fn run(launch: &Launch, mut supervisor: Supervisor, inherited: Inherited) -> isize {
    match start(launch, &mut supervisor, inherited) {
        Ok(payload) => {
            let (end, leftovers) = reap(payload);
            // The supervisor adds the usage, which is complete only after this process's end.
            supervisor.report(&Report::Finished { end, leftovers, rusage: Default::default() });
            0
        }
        Err(failure) => {
            supervisor.report(&failure.into_report());
            1
        }
    }
}

fn start(
    launch: &Launch,
    supervisor: &mut Supervisor,
    inherited: Inherited,
) -> Result<Pid, Failure> {
    let Inherited { groups, terminal } = inherited;
    if supervisor.0.read(&mut [0]).step("wait for the id maps")? == 0 {
        return Err(Failure::new("wait for the id maps: the supervisor has ended", Errno::EPIPE));
    }
    groups::enter(groups, launch)?;
    if launch.namespaces.contains(&Namespace::Cgroup) {
        nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).step("make a cgroup namespace")?;
    }
    let sources = mounts::open_sources(launch)?;
    if let Some((uid, gid)) = launch.become_ids {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        nix::unistd::setgroups(&[]).step("drop the caller's groups")?;
        nix::unistd::setresgid(gid, gid, gid).step("become group 0 of the sandbox")?;
        nix::unistd::setresuid(uid, uid, uid).step("become user 0 of the sandbox")?;
    }
    // After the change of ids, which clears it. Not dumpable: nothing inside may look into this
    // process, which is still a copy of a program of the host.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).step("die with the supervisor")?;
    if supervisor.is_gone() {
        return Err(Failure::new("die with the supervisor: it has ended", Errno::EPIPE));
    }
    nix::sys::prctl::set_dumpable(false).step("become undumpable")?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());

    let mut builder = mounts::Builder::new(launch, &sources)?;
    for step in &launch.steps {
        match builder.apply(&step.op) {
            Ok(()) => {}
            Err(Errno::ENOENT) if step.tolerance != Tolerance::Strict => {}
            Err(errno) if step.tolerance == Tolerance::Any => supervisor
                .report(&Report::Skipped { step: step.op.to_string(), errno: errno as i32 }),
            Err(errno) => return Err(Failure::new(step.op.to_string(), errno)),
        }
    }
    builder.enter()?;
    drop(sources);

    let payload = start_payload(launch, terminal)?;
    supervisor.report(&Report::Started);
    payload::keep_only_kill()?;
    nix::sys::prctl::set_no_new_privs().step("set no_new_privs")?;
    Ok(payload)
}

/// Starts the payload; it has become the command when this returns.
fn start_payload(launch: &Launch, terminal: Option<UnixStream>) -> Result<Pid, Failure> {
    let mut failure = None;
    let started = crate::sys::spawn(|| {
        let keeps_ids = launch.become_ids.is_none();
        let Err(error) = payload::execute(&launch.payload, keeps_ids, terminal.as_ref());
        failure = Some(error);
        125
    });
    let child = started.step("start the command")?;
    // The parent sees the end of the socket when the command has started.
    drop(terminal);
    // It was in this memory when it changed its user, which sets this anew.
    nix::sys::prctl::set_dumpable(false).step("become undumpable")?;
    match failure {
        None => Ok(child),
        Some(failure) => {
            let _ = waitpid(child, None);
            Err(failure)
        }
    }
}

/// Waits for the command and forwards signals to it; then kills what it has left behind.
/// Gives its end and how many processes were left.
fn reap(payload: Pid) -> (End, u32) {
    let signals = SigSet::all();
    loop {
        match next_signal(&signals) {
            Some((Signal::SIGCHLD, _)) => {
                if let Some(end) = collect(payload) {
                    return (end, kill_all());
                }
            }
            // The supervisor's. The payload gets those of the terminal by itself.
            Some((signal, SignalOrigin::Outside)) => {
                let _ = kill(payload, signal);
            }
            _ => {}
        }
    }
}

/// The next signal and where it came from.
fn next_signal(signals: &SigSet) -> Option<(Signal, SignalOrigin)> {
    crate::sys::wait_for_signal(signals).ok()
}

/// Reaps whatever has ended; gives the end of the payload if it was among them.
fn collect(payload: Pid) -> Option<End> {
    let mut end = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == payload => {
                end = Some(End::Exited(status));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == payload => {
                end = Some(End::Signaled(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return end,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return end,
        }
    }
}

/// Kills and reaps all other processes of the sandbox. Gives how many there were.
fn kill_all() -> u32 {
    let mut count = 0;
    // -1 is every process of the namespace but this one (kill(2)). Processes can start others
    // between the signal and their end, so it is sent until none is left.
    while kill(Pid::from_raw(-1), Signal::SIGKILL).is_ok() {
        while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) = waitpid(None, None) {
            count += 1;
        }
    }
    count
}
