//! Starting `sandbox-init`: descriptors, signals and process group that it begins with.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use crate::error::SandboxError;
use crate::spec::{Stdin, Stdio, Stdout};
use crate::wire::{CONTROL_FD, LAUNCH_FD, Launch, TERMINAL_FD};

/// `sandbox-init` beside this program, or in the libexec directory of its prefix.
pub(crate) fn find_init() -> Result<PathBuf, SandboxError> {
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

/// Starts `sandbox-init` with the launch, the control socket and the socket for a terminal on their
/// descriptors. Gives the reading end of the output pipe, if there is one, and the process id.
pub(crate) fn start_init(
    program: &Path,
    launch: &Launch,
    stdio: &Stdio,
    keep_session: bool,
    control: &UnixStream,
    terminal: Option<&UnixStream>,
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
        // The command puts the terminal there; nobody before it has one.
        Stdout::Null | Stdout::Terminal => null.as_raw_fd(),
        Stdout::Inherit => own,
        Stdout::Capture => writer,
    };
    let stdin = match stdio.stdin {
        Stdin::Null | Stdin::Terminal => null.as_raw_fd(),
        Stdin::Inherit => 0,
    };
    let mut pairs = vec![
        (stdin, 0),
        (out(stdio.stdout, 1), 1),
        (out(stdio.stderr, 2), 2),
        (launch_file.as_raw_fd(), LAUNCH_FD),
        (control.as_raw_fd(), CONTROL_FD),
    ];
    pairs.extend(terminal.map(|socket| (socket.as_raw_fd(), TERMINAL_FD)));
    // Dups happen in order, so no source may be a number that an earlier dup overwrites.
    let high = pairs
        .iter()
        .map(|(from, _)| crate::sys::duplicate_above(*from, TERMINAL_FD))
        .collect::<Result<Vec<OwnedFd>, _>>()
        .map_err(|error| system("duplicate a descriptor", error))?;

    let spawn = || -> nix::Result<Pid> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (fd, (_, to)) in high.iter().zip(&pairs) {
            actions.add_dup2(fd.as_raw_fd(), *to)?;
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
