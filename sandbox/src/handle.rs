//! Starting a sandbox and watching it from the parent.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags};
use nix::sys::signal::SigSet;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::cgroup::{Cgroup, CgroupPlan};
use crate::error::SandboxError;
use crate::host::HostFacts;
use crate::outcome::{Enforcement, Exit, Layer, Outcome, Rusage, StartFailure};
use crate::plan::{Plan, plan};
use crate::spec::{SandboxSpec, Stdin, Stdio, Stdout};
use crate::watch::Watch;
use crate::wire::{CONTROL_FD, End, LAUNCH_FD, Launch, Report, Request};

/// A running sandbox. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Sandbox {
    init: Pid,
    control: Arc<UnixStream>,
    capture: Option<File>,
    cgroup: Option<Cgroup>,
    plan: Plan,
    host: HostFacts,
    started: Instant,
    watch: Watch,
    reaped: bool,
}

/// Ends or signals a sandbox from any thread.
#[derive(Debug, Clone)]
pub struct Killer(Arc<UnixStream>);

impl Killer {
    /// Kills everything inside. The outcome is [`Exit::Cancelled`].
    pub fn kill(&self) {
        self.send(Request::Kill);
    }

    /// Sends a signal to the command.
    pub fn signal(&self, number: i32) {
        self.send(Request::Signal(number));
    }

    fn send(&self, request: Request) {
        if let Ok(mut line) = serde_json::to_vec(&request) {
            line.push(b'\n');
            // A sandbox that has ended needs no request.
            let _ = (&*self.0).write_all(&line);
        }
    }
}

impl Sandbox {
    /// Starts a sandbox. Errors of setting it up come with the outcome; only what fails before
    /// that is an error here.
    ///
    /// # Errors
    ///
    /// The specification cannot be carried out on this host, a policy or control group is not
    /// usable, or `sandbox-init` cannot be started.
    pub fn spawn(spec: &SandboxSpec, host: &HostFacts) -> Result<Sandbox, SandboxError> {
        let started = Instant::now();
        let init = find_init()?;
        let mut plan = plan(spec, host)
            .map_err(|source| SandboxError::Plan { name: spec.name.clone(), source })?;
        let filters = crate::seccomp::filters(&plan.seccomp)?;
        let cgroup = match Cgroup::create(&plan.cgroup) {
            // Without limits, only the bill is less exact.
            Err(error) if !spec.limits.any() => {
                plan.set_enforcement(Layer::Cgroup, Enforcement::Off(error.to_string()));
                Cgroup::create(&CgroupPlan::none())?
            }
            result => result?,
        };
        if !cgroup.unenforced().is_empty() {
            let missing = format!("not enforced here: {}", cgroup.unenforced().join(", "));
            plan.set_enforcement(Layer::Cgroup, Enforcement::Partial(missing));
        }
        let launch = plan.finish(filters.to_vec(), &cgroup);
        let (ours, theirs) = UnixStream::pair()
            .map_err(|source| SandboxError::system("make a control socket", source))?;
        let (capture, pid) = start_init(&init, &launch, &spec.stdio, spec.keep_session, &theirs)?;
        Ok(Sandbox {
            init: pid,
            control: Arc::new(ours),
            capture,
            cgroup: Some(cgroup),
            plan,
            host: host.clone(),
            started,
            watch: Watch::new(
                started,
                spec.limits.memory_bytes.map(|limit| limit.value),
                spec.silence_ms.map(Duration::from_millis),
            ),
            reaped: false,
        })
    }

    /// A handle that ends this sandbox from another thread.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.control))
    }

    /// Waits for the end. `output` gets what the command writes to captured descriptors, in
    /// chunks of any length.
    ///
    /// # Errors
    ///
    /// A system call of the parent fails.
    pub fn wait(mut self, output: &mut dyn FnMut(&[u8])) -> Result<Outcome, SandboxError> {
        let mut reports = Reports::default();
        let mut capture = self.capture.take();
        let mut control = &*self.control;
        let mut control_open = true;
        let mut buffer = vec![0; 64 * 1024];
        while control_open || capture.is_some() {
            let (control_ready, capture_ready) = self.poll(control_open, capture.as_ref())?;
            let now = Instant::now();
            if capture_ready {
                self.watch.output(now);
            }
            if self.watch.tick(now, self.cgroup.as_ref()) {
                self.killer().kill();
            }
            if control_ready {
                match read_chunk(&mut control, &mut buffer, "read the control socket")? {
                    0 => control_open = false,
                    count => {
                        reports.add(&buffer[..count]);
                        // It ends after that, which waiting for it shows as well.
                        control_open = !reports.are_complete();
                    }
                }
            }
            if let Some(file) = capture.as_mut().filter(|_| capture_ready) {
                match read_chunk(file, &mut buffer, "read the output of the sandbox")? {
                    0 => capture = None,
                    count => output(&buffer[..count]),
                }
            }
        }
        self.reap();
        self.conclude(reports)
    }

    fn poll(&self, control: bool, capture: Option<&File>) -> Result<(bool, bool), SandboxError> {
        let mut fds = Vec::with_capacity(2);
        if control {
            fds.push(PollFd::new(self.control.as_fd(), PollFlags::POLLIN));
        }
        if let Some(file) = capture {
            fds.push(PollFd::new(file.as_fd(), PollFlags::POLLIN));
        }
        // Rounded up, so that what is waited for is due when poll returns.
        let millis = self.watch.timeout(Instant::now()).as_millis().min(60_000) as u16 + 1;
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok((false, false)),
            Err(error) => return Err(SandboxError::system("wait for the sandbox", error)),
        }
        let mut ready = fds.iter().map(|fd| fd.revents().is_some_and(|r| !r.is_empty()));
        Ok((
            control && ready.next().unwrap_or(false),
            capture.is_some() && ready.next().unwrap_or(false),
        ))
    }

    fn reap(&mut self) {
        if !self.reaped {
            self.reaped = true;
            while waitpid(self.init, None) == Err(nix::errno::Errno::EINTR) {}
        }
    }

    fn conclude(mut self, reports: Reports) -> Result<Outcome, SandboxError> {
        let mut enforcement = std::mem::take(&mut self.plan.enforcement);
        enforcement.push((Layer::Mounts, mounts_enforcement(&reports.skipped)));
        enforcement.sort_by_key(|(layer, _)| *layer);
        let seconds = self.started.elapsed().as_secs_f64();
        let (end, leftovers, rusage) = match reports.last {
            Some(Report::Finished { end, leftovers, rusage }) => (Ok(end), leftovers, rusage),
            Some(Report::Failed { step, errno, detail }) => {
                let hint = crate::hint::hint(&step, errno, &self.host);
                (Err(StartFailure { step, errno, detail, hint }), 0, Rusage::default())
            }
            // Killed from outside, and with it the command (PR_SET_PDEATHSIG of pid 1).
            Some(Report::Started) => (Ok(End::Signaled(libc::SIGKILL)), 0, Rusage::default()),
            _ => {
                let detail = Some("sandbox-init ended without a report".to_owned());
                let step = "run sandbox-init".to_owned();
                let failure = StartFailure { step, errno: 0, detail, hint: None };
                (Err(failure), 0, Rusage::default())
            }
        };
        let usage = match &self.cgroup {
            Some(cgroup) => cgroup.usage(&rusage),
            None => Default::default(),
        };
        // A group that cannot be removed yet is swept at a later start; the command's end counts
        // more.
        drop(self.cgroup.take());
        let exit = match end {
            Ok(End::Signaled(libc::SIGKILL)) if usage.oom_kills > 0 => Exit::OomKilled,
            Ok(End::Exited(status)) => Exit::Exited(status),
            Ok(End::Signaled(signal)) => Exit::Signaled(signal),
            Ok(End::TimedOut) => Exit::TimedOut,
            Ok(End::Cancelled) if self.watch.is_silent() => Exit::Silent,
            Ok(End::Cancelled) => Exit::Cancelled,
            Err(failure) => Exit::CouldNotStart(failure),
        };
        let unwatched = Watch::new(self.started, None, None);
        let (samples, largest) = std::mem::replace(&mut self.watch, unwatched).into_seen();
        Ok(Outcome { exit, seconds, usage, leftovers, enforcement, samples, largest })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.reaped {
            self.killer().kill();
            self.reap();
        }
    }
}

/// The reports of `sandbox-init`, as they arrive.
#[derive(Debug, Default)]
struct Reports {
    buffer: Vec<u8>,
    skipped: Vec<String>,
    last: Option<Report>,
}

impl Reports {
    /// Whether there will be no others.
    fn are_complete(&self) -> bool {
        matches!(self.last, Some(Report::Finished { .. } | Report::Failed { .. }))
    }

    fn add(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Report::Skipped { step, errno }) => {
                    let cause = nix::errno::Errno::from_raw(errno).desc();
                    self.skipped.push(format!("{step}: {cause}"));
                }
                Ok(report) => self.last = Some(report),
                Err(_) => {}
            }
        }
    }
}

fn mounts_enforcement(skipped: &[String]) -> Enforcement {
    if skipped.is_empty() {
        Enforcement::Full
    } else {
        Enforcement::Partial(format!("left out: {}", skipped.join("; ")))
    }
}

fn read_chunk(
    source: &mut impl Read,
    buffer: &mut [u8],
    action: &str,
) -> Result<usize, SandboxError> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The other end closed while something was unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
            result => return result.map_err(|source| SandboxError::system(action, source)),
        }
    }
}

/// `sandbox-init` beside this program, or in the libexec directory of its prefix.
fn find_init() -> Result<PathBuf, SandboxError> {
    let own = std::env::current_exe()
        .map_err(|source| SandboxError::system("find this program's own path", source))?;
    let dir = own.parent().unwrap_or(Path::new("/"));
    let above = dir.parent().unwrap_or(Path::new("/"));
    let tried = [
        dir.join("sandbox-init"),
        above.join("libexec/albs-node/sandbox-init"),
        // Test programs of cargo lie one directory deeper.
        above.join("sandbox-init"),
    ];
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(SandboxError::NoInit { tried: tried.to_vec() }),
    }
}

/// Starts `sandbox-init` with the launch and the control socket on their descriptors. Gives the
/// reading end of the output pipe, if there is one, and the process id.
fn start_init(
    program: &Path,
    launch: &Launch,
    stdio: &Stdio,
    keep_session: bool,
    control: &UnixStream,
) -> Result<(Option<File>, Pid), SandboxError> {
    let system = |action: &str, error: nix::errno::Errno| SandboxError::system(action, error);
    let launch_file = launch_file(launch)?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|source| SandboxError::system("open /dev/null", source))?;
    let captures = stdio.stdout == Stdout::Capture || stdio.stderr == Stdout::Capture;
    let pipe = match captures {
        true => Some(
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
                .map_err(|error| system("make a pipe for the output", error))?,
        ),
        false => None,
    };
    let writer = pipe.as_ref().map_or(-1, |(_, writer)| writer.as_raw_fd());
    let out = |which: Stdout, own: i32| match which {
        Stdout::Null => null.as_raw_fd(),
        Stdout::Inherit => own,
        Stdout::Capture => writer,
    };
    let stdin = match stdio.stdin {
        Stdin::Null => null.as_raw_fd(),
        Stdin::Inherit => 0,
    };
    let pairs = [
        (stdin, 0),
        (out(stdio.stdout, 1), 1),
        (out(stdio.stderr, 2), 2),
        (launch_file.as_raw_fd(), LAUNCH_FD),
        (control.as_raw_fd(), CONTROL_FD),
    ];
    // Dups happen in order, so no source may be a number that an earlier dup overwrites.
    let high = pairs
        .iter()
        .map(|(from, _)| crate::sys::duplicate_above(*from, CONTROL_FD))
        .collect::<Result<Vec<OwnedFd>, _>>()
        .map_err(|error| system("duplicate a descriptor", error))?;

    let spawn = || -> nix::Result<Pid> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (fd, (_, to)) in high.iter().zip(pairs) {
            actions.add_dup2(fd.as_raw_fd(), to)?;
        }
        let mut attributes = PosixSpawnAttr::init()?;
        let mut flags =
            PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attributes.set_sigdefault(&SigSet::all())?;
        attributes.set_sigmask(&SigSet::empty())?;
        if !keep_session {
            // Keys of the terminal are for this program, which ends its sandboxes itself.
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            attributes.set_pgroup(Pid::from_raw(0))?;
        }
        attributes.set_flags(flags)?;
        let argv = [c"sandbox-init"];
        nix::spawn::posix_spawn(program, &actions, &attributes, &argv, &[] as &[CString])
    };
    let pid = spawn().map_err(|error| system(&format!("start {}", program.display()), error))?;
    Ok((pipe.map(|(reader, _)| File::from(reader)), pid))
}

fn launch_file(launch: &Launch) -> Result<File, SandboxError> {
    let failed = |source: io::Error| SandboxError::system("hand over the launch", source);
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let memfd =
        nix::sys::memfd::memfd_create(c"launch", flags).map_err(|error| failed(error.into()))?;
    let mut file = File::from(memfd);
    let text = serde_json::to_vec(launch).map_err(|error| failed(error.into()))?;
    file.write_all(&text).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}
