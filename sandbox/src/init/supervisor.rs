//! The process outside: starts pid 1, gives it ids and control groups, watches, reports.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::pid1::{self, Inherited, Supervisor};
use super::{Attempt, Failure};
use super::{carrier, groups, maps};
use crate::outcome::Rusage;
use crate::sys::SignalOrigin;
use crate::wire::{CONTROL_FD, End, LAUNCH_FD, Launch, Namespace, Report, Request, TERMINAL_FD};

pub(super) fn run() -> i32 {
    let Ok(control) = crate::sys::adopt_fd(CONTROL_FD) else {
        eprintln!("sandbox-init: it is started by albs-node and is of no use by itself");
        return 125;
    };
    let mut control = Control { socket: UnixStream::from(control), buffer: Vec::new() };
    match supervise(&mut control) {
        Ok(()) => 0,
        Err(failure) => {
            control.report(&failure.into_report());
            1
        }
    }
}

/// The socket to the parent.
struct Control {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl Control {
    fn report(&mut self, report: &Report) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            // A parent that is gone shows when the socket is read.
            let _ = self.socket.write_all(&line);
        }
    }

    /// The requests that have arrived; none when the parent is gone.
    fn requests(&mut self) -> Option<Vec<Request>> {
        let mut chunk = [0; 512];
        match self.socket.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        let mut requests = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            requests.extend(serde_json::from_slice::<Request>(&line).ok());
        }
        Some(requests)
    }
}

fn supervise(control: &mut Control) -> Result<(), Failure> {
    let launch = read_launch()?;
    let mut terminal = match launch.payload.terminal.is_empty() {
        true => None,
        false => Some(crate::sys::adopt_fd(TERMINAL_FD).step("find the socket for the terminal")?),
    };
    let last = if terminal.is_some() { TERMINAL_FD } else { CONTROL_FD };
    close_foreign_descriptors(last).step("close inherited descriptors")?;
    set_cloexec(control.socket.as_fd()).step("mark the control socket")?;
    if let Some(socket) = &terminal {
        set_cloexec(socket.as_fd()).step("mark the socket for the terminal")?;
    }
    // Forwarded or looked at when poll says so; blocked in pid 1 too, which waits for them.
    SigSet::all().thread_block().step("block signals")?;
    let signals =
        SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .step("make a signal descriptor")?;

    // Where it does not go, filters are all that hides the caller's keys.
    let _ = crate::sys::leave_session_keyring();

    let (ours, theirs) = UnixStream::pair().step("make the socket to pid 1")?;
    let (mut ours, theirs) = (Some(File::from(OwnedFd::from(ours))), OwnedFd::from(theirs));
    let mut theirs = Some(theirs);
    let mut joined = groups::open(&launch)?;
    let joins_itself = !joined.is_empty();
    let flags = clone_flags(&launch.namespaces);
    let mut child = || {
        // The supervisor's end in this copy would keep the socket open after its death.
        drop(ours.take());
        match theirs.take() {
            Some(socket) => {
                let inherited = Inherited {
                    groups: std::mem::take(&mut joined),
                    terminal: terminal.take().map(UnixStream::from),
                };
                pid1::run(&launch, Supervisor(File::from(socket)), inherited)
            }
            None => 1,
        }
    };
    let step = format!("clone a process with new namespaces ({})", namespace_names(&launch));
    let pid1 = match &launch.born_in {
        Some(group) => {
            let group = File::open(group).step(format!("open {}", group.display()))?;
            crate::sys::clone_into_group(flags, group.as_fd(), &mut child)
        }
        None => crate::sys::clone_process(flags, &mut child),
    }
    .step(step)?;
    drop((theirs, terminal));
    let Some(mut socket) = ours else {
        return Err(Failure::new("make the socket to pid 1", Errno::EBADF));
    };

    let mut watch = Watch { pid1, control, signals, deadline: None, ended_by: None };
    let prepared = prepare(&launch, pid1, joins_itself).and_then(|carrier| {
        socket.write_all(b"g").step("start pid 1")?;
        Ok(carrier)
    });
    let (last, carrier) = match prepared {
        Ok(carrier) => (watch.until_the_end(&launch, &mut socket), carrier),
        Err(failure) => (Some(failure.into_report()), None),
    };
    let _ = kill(pid1, Signal::SIGKILL);
    let status = wait(pid1);
    drop(carrier);
    let parent_is_gone = watch.ended_by == Some(Ending::ParentGone);
    let end = watch.ended_by;
    if parent_is_gone {
        // Nobody else is left to do it.
        for dir in &launch.cgroup_dirs {
            let _ = crate::cgroup::remove_dir(dir);
            // The last one of a build takes away what was around all of them.
            let _ = crate::cgroup::subtree_of(dir).map(std::fs::remove_dir);
        }
        return Ok(());
    }
    control.report(&conclude(last, end, status));
    Ok(())
}

/// Gives pid 1 its ids, the control groups that it does not join by itself, and its network.
fn prepare(
    launch: &Launch,
    pid1: Pid,
    joins_itself: bool,
) -> Result<Option<carrier::Running>, Failure> {
    maps::write(&launch.ids, pid1)?;
    if launch.born_in.is_none() && !joins_itself {
        groups::join(launch, pid1)?;
    }
    let running = carrier::Running::start_first(&launch.carriers, pid1)?;
    if let Some(running) = &running {
        // What it does for the sandbox is on the sandbox's bill.
        groups::join(launch, running.pid())?;
    }
    Ok(running)
}

/// Why the supervisor killed pid 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    TimedOut,
    Cancelled,
    ParentGone,
}

struct Watch<'a> {
    pid1: Pid,
    control: &'a mut Control,
    signals: SignalFd,
    deadline: Option<Instant>,
    ended_by: Option<Ending>,
}

impl Watch<'_> {
    /// Relays reports and requests until pid 1 has told its end or closed its socket. Gives the
    /// last report, which the parent gets only after everything has ended.
    fn until_the_end(&mut self, launch: &Launch, socket: &mut File) -> Option<Report> {
        let mut buffer = Vec::new();
        loop {
            let (from_pid1, from_parent, signalled) = self.poll(socket);
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.end(Ending::TimedOut);
            }
            if signalled {
                self.forward_signals();
            }
            if from_parent {
                self.serve_parent();
            }
            if from_pid1 {
                let mut chunk = [0; 4096];
                match socket.read(&mut chunk) {
                    Ok(0) => return None,
                    Ok(count) => buffer.extend_from_slice(&chunk[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => return None,
                }
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    match serde_json::from_slice::<Report>(&line) {
                        Ok(report @ (Report::Started | Report::Skipped { .. })) => {
                            if report == Report::Started {
                                self.deadline = launch
                                    .timeout_ms
                                    .map(|ms| Instant::now() + Duration::from_millis(ms));
                            }
                            self.control.report(&report);
                        }
                        // Pid 1 has nothing more to say, and ends.
                        Ok(report) => return Some(report),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// Waits for pid 1, the parent, a signal or the deadline; tells which of the first three.
    fn poll(&self, socket: &File) -> (bool, bool, bool) {
        let timeout = match self.deadline {
            // Rounded up, so that the deadline has passed when poll returns for it.
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
                PollTimeout::try_from(left.min(60_000) as i32).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        // A parent that is gone would be reported again and again.
        let parent = match self.ended_by {
            Some(Ending::ParentGone) => PollFlags::empty(),
            _ => PollFlags::POLLIN,
        };
        let mut fds = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.control.socket.as_fd(), parent),
        ];
        let count = if parent.is_empty() { 2 } else { 3 };
        if poll(&mut fds[..count], timeout).is_err() {
            return (false, false, false);
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        (ready(&fds[0]), count == 3 && ready(&fds[2]), ready(&fds[1]))
    }

    fn serve_parent(&mut self) {
        match self.control.requests() {
            None => self.end(Ending::ParentGone),
            Some(requests) => {
                for request in requests {
                    match request {
                        Request::Kill => self.end(Ending::Cancelled),
                        Request::Signal(number) => {
                            if let Ok(signal) = Signal::try_from(number) {
                                let _ = kill(self.pid1, signal);
                            }
                        }
                    }
                }
            }
        }
    }

    fn forward_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                // Pid 1's end shows on its socket.
                Ok(Signal::SIGCHLD) | Err(_) => {}
                // A key of the terminal has reached the payload as well.
                Ok(_) if SignalOrigin::of(info.ssi_code, 0) == SignalOrigin::Kernel => {}
                Ok(signal) => {
                    let _ = kill(self.pid1, signal);
                }
            }
        }
    }

    /// Kills pid 1, for the first reason that comes up.
    fn end(&mut self, reason: Ending) {
        if self.ended_by.is_none() || reason == Ending::ParentGone {
            self.ended_by = Some(reason);
        }
        self.deadline = None;
        let _ = kill(self.pid1, Signal::SIGKILL);
    }
}

/// The last report, completed by what is known only now.
fn conclude(reported: Option<Report>, ended_by: Option<Ending>, status: Option<End>) -> Report {
    let rusage = children_usage();
    let finished = |end, leftovers| Report::Finished { end, leftovers, rusage };
    let killed = match ended_by {
        Some(Ending::TimedOut) => Some(End::TimedOut),
        Some(Ending::Cancelled) => Some(End::Cancelled),
        Some(Ending::ParentGone) | None => None,
    };
    match (reported, killed) {
        (Some(Report::Finished { end, leftovers, .. }), _) => finished(end, leftovers),
        (_, Some(end)) => finished(end, 0),
        (Some(report), None) => report,
        // Pid 1 was killed from outside or by the kernel.
        (None, None) => finished(status.unwrap_or(End::Signaled(libc::SIGKILL)), 0),
    }
}

fn children_usage() -> Rusage {
    let micros = |time: nix::sys::time::TimeVal| {
        (time.tv_sec() as u64).saturating_mul(1_000_000) + time.tv_usec() as u64
    };
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Rusage::default(), |usage| Rusage {
        user_us: micros(usage.user_time()),
        system_us: micros(usage.system_time()),
        max_rss_bytes: (usage.max_rss() as u64).saturating_mul(1024),
    })
}

fn wait(pid: Pid) -> Option<End> {
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, status)) => return Some(End::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Some(End::Signaled(signal as i32)),
            Err(Errno::EINTR) | Ok(_) => {}
            Err(_) => return None,
        }
    }
}

fn read_launch() -> Result<Launch, Failure> {
    let step = "read the launch";
    let mut file = File::from(crate::sys::adopt_fd(LAUNCH_FD).step(step)?);
    let mut text = Vec::new();
    file.read_to_end(&mut text).step(step)?;
    serde_json::from_slice(&text).map_err(|error| Failure {
        step: step.to_owned(),
        errno: Errno::EINVAL,
        detail: Some(format!("{error}; albs-node and sandbox-init must be of the same version")),
    })
}

/// Closes everything above the last descriptor that is wanted. Walks /proc/self/fd,
/// since close_range(2) is newer than the oldest supported kernel.
fn close_foreign_descriptors(last: i32) -> std::io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > last) {
        // The descriptor of the walk itself is among them and closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

fn set_cloexec(fd: std::os::fd::BorrowedFd<'_>) -> nix::Result<()> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map(drop)
}

fn clone_flags(namespaces: &[Namespace]) -> CloneFlags {
    namespaces.iter().fold(CloneFlags::empty(), |flags, namespace| {
        flags
            | match namespace {
                Namespace::User => CloneFlags::CLONE_NEWUSER,
                Namespace::Mount => CloneFlags::CLONE_NEWNS,
                Namespace::Pid => CloneFlags::CLONE_NEWPID,
                Namespace::Ipc => CloneFlags::CLONE_NEWIPC,
                Namespace::Uts => CloneFlags::CLONE_NEWUTS,
                // Made by pid 1, once it is in the group that becomes its root.
                Namespace::Cgroup => CloneFlags::empty(),
                Namespace::Net => CloneFlags::CLONE_NEWNET,
            }
    })
}

fn namespace_names(launch: &Launch) -> String {
    let names: Vec<_> = launch.namespaces.iter().map(|n| format!("{n:?}").to_lowercase()).collect();
    names.join(", ")
}
