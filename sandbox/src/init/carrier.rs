//! Starting and ending the program that carries packets for a network namespace.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Attempt, Failure};
use crate::network::{Carrier, CarrierKind};

/// A carrier that is ready. It ends when this is dropped.
pub(super) enum Running {
    /// In the background, and a child of this process all the same.
    Pasta(Pid),
    /// Ends with its standard input.
    Slirp4netns(Child),
}

impl Running {
    /// Starts the first of these that can be started; none if there are none. Why the first of all
    /// could not is what counts where none can.
    pub(super) fn start_first(carriers: &[Carrier], pid: Pid) -> Result<Option<Running>, Failure> {
        let Some((first, others)) = carriers.split_first() else { return Ok(None) };
        let failure = match Running::start(first, pid) {
            Ok(running) => return Ok(Some(running)),
            Err(failure) => failure,
        };
        let other = others.iter().find_map(|carrier| Running::start(carrier, pid).ok());
        other.map(Some).ok_or(failure)
    }

    /// Starts a carrier for the namespaces of a process, and waits until it is ready.
    fn start(carrier: &Carrier, pid: Pid) -> Result<Running, Failure> {
        let step = format!("start {}", carrier.program.display());
        let mut command = Command::new(&carrier.program);
        command.args(&carrier.arguments).arg(pid.to_string()).args(&carrier.last);
        command.env_clear().current_dir("/");
        if carrier.apart {
            crate::sys::with_mounts_of_its_own(&mut command);
        }
        match carrier.kind {
            CarrierKind::Pasta => {
                // What goes to the background becomes a child of this process.
                nix::sys::prctl::set_child_subreaper(true).step(step.as_str())?;
                // It keeps them open in the background, so there is no end of a pipe to wait for.
                let (mut told, mut said) = (scratch_file()?, scratch_file()?);
                command.stdin(Stdio::null());
                command.stdout(told.try_clone().step(step.as_str())?);
                command.stderr(said.try_clone().step(step.as_str())?);
                let status = command.status().step(step.as_str())?;
                match content(&mut told).trim().parse() {
                    Ok(pid) if status.success() => Ok(Running::Pasta(Pid::from_raw(pid))),
                    _ => Err(failure(step, &content(&mut said))),
                }
            }
            CarrierKind::Slirp4netns => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().step(step.as_str())?;
                let ready =
                    child.stdout.take().is_some_and(|mut out| matches!(out.read(&mut [0]), Ok(1)));
                if ready {
                    return Ok(Running::Slirp4netns(child));
                }
                let output = child.wait_with_output().step(step.as_str())?;
                Err(failure(step, &String::from_utf8_lossy(&output.stderr)))
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        match self {
            Running::Pasta(pid) => *pid,
            Running::Slirp4netns(child) => Pid::from_raw(child.id() as i32),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.pid();
        let _ = kill(pid, Signal::SIGKILL);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
        // On its way to the background, pasta has left processes that this one inherited.
        while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
            waitpid(None, Some(WaitPidFlag::WNOHANG))
        {}
    }
}

/// A file that has no name.
fn scratch_file() -> Result<File, Failure> {
    let memory = memfd_create(c"carrier", MFdFlags::MFD_CLOEXEC);
    memory.map(File::from).step("make a file in memory")
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read says nothing.
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn failure(step: String, said: &str) -> Failure {
    // Of pasta without a terminal, all else is that it has no log to write to.
    let lines = said.lines().filter(|line| !line.starts_with("Failed to send"));
    let detail = lines.collect::<Vec<_>>().join("; ");
    Failure { step, errno: Errno::EIO, detail: Some(detail).filter(|text| !text.is_empty()) }
}
