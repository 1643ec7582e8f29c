//! Starting a sandbox and watching it from the parent.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::cgroup::{Cgroup, CgroupPlan};
use crate::error::SandboxError;
use crate::host::HostFacts;
use crate::outcome::{Enforcement, Exit, Layer, Outcome, Rusage, StartFailure};
use crate::plan::{Plan, plan};
use crate::spec::SandboxSpec;
use crate::start::{find_init, start_init};
use crate::terminal::{Event, Events, Relay};
use crate::watch::Watch;
use crate::wire::{End, Report, Request};

/// A running sandbox. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Sandbox {
    init: Pid,
    control: Arc<UnixStream>,
    capture: Option<File>,
    terminal: Option<Relay>,
    cgroup: Option<Cgroup>,
    plan: Plan,
    host: HostFacts,
    started: Instant,
    watch: Watch,
    reaped: bool,
}

/// Ends or signals a sandbox from any thread.
#[derive(Debug, Clone)]
pub struct Killer {
    control: Arc<UnixStream>,
    terminal: Option<Events>,
}

impl Killer {
    /// Kills everything inside. The outcome is [`Exit::Cancelled`].
    pub fn kill(&self) {
        self.send(Request::Kill);
    }

    /// Sends a signal to the command.
    pub fn signal(&self, number: i32) {
        self.send(Request::Signal(number));
    }

    /// Tells what has happened to the caller's terminal; of no effect if the sandbox has none of
    /// its own.
    pub fn terminal(&self, event: Event) {
        if let Some(events) = &self.terminal {
            events.send(event);
        }
    }

    fn send(&self, request: Request) {
        if let Ok(mut line) = serde_json::to_vec(&request) {
            line.push(b'\n');
            // A sandbox that has ended needs no request.
            let _ = (&*self.control).write_all(&line);
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
        let filter = crate::seccomp::filter(&plan.seccomp)?;
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
        let launch = plan.finish(filter.to_vec(), &cgroup);
        let (ours, theirs) = UnixStream::pair()
            .map_err(|source| SandboxError::system("make a control socket", source))?;
        let (relay, terminal) = match spec.stdio.has_terminal() {
            true => {
                let failed = |source| SandboxError::system("prepare a terminal", source);
                let (ours, theirs) = UnixStream::pair().map_err(failed)?;
                (Some(Relay::new(ours).map_err(failed)?), Some(theirs))
            }
            false => (None, None),
        };
        let (capture, pid) =
            start_init(&init, &launch, &spec.stdio, spec.keep_session, &theirs, terminal.as_ref())?;
        // The other ends are sandbox-init's alone now: their closing means its end.
        drop((theirs, terminal));
        Ok(Sandbox {
            init: pid,
            control: Arc::new(ours),
            capture,
            terminal: relay,
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
        Killer {
            control: Arc::clone(&self.control),
            terminal: self.terminal.as_ref().map(Relay::events),
        }
    }

    /// Waits for the end. A command with a terminal of its own starts only now. `output` gets what the command writes to captured descriptors, in
    /// chunks of any length.
    ///
    /// # Errors
    ///
    /// A system call of the parent fails.
    pub fn wait(mut self, output: &mut dyn FnMut(&[u8])) -> Result<Outcome, SandboxError> {
        if let Some(relay) = &mut self.terminal {
            relay.start().map_err(|source| SandboxError::system("use the terminal", source))?;
        }
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
        // What the command has written last is shown, and the caller's terminal is as before.
        drop(self.terminal.take());
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
