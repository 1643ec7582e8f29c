//! The command's own terminal: one of the sandbox's devpts, whose controlling side goes to the
//! parent. Nothing of the caller's terminal is inside.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};

use super::{Attempt, Failure};

/// Opens a terminal as the user of the command, who owns it then, makes it the one that controls
/// this new session, and puts it in place of standard descriptors. Waits until the parent has
/// given it the size and settings of the caller's.
pub(super) fn take(mut parent: &UnixStream, descriptors: &[i32]) -> Result<(), Failure> {
    let step = "open a terminal";
    // By itself it would become the controlling terminal of this session.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open("/dev/ptmx", flags, Mode::empty()).step(step)?;
    unlockpt(&master).map_err(std::io::Error::from).step(step)?;
    // Through the master instead of by its path.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = ioctl_tiocgptpeer(&master, flags).map_err(std::io::Error::from).step(step)?;
    rustix::process::ioctl_tiocsctty(&terminal)
        .map_err(std::io::Error::from)
        .step("make the terminal that of the session")?;
    crate::pass::send(parent, master.as_fd()).step("hand the terminal to the parent")?;
    drop(master);
    let step = "wait for the parent to take the terminal";
    parent.read_exact(&mut [0]).step(step)?;
    for descriptor in descriptors {
        replace(*descriptor, terminal.as_fd()).step("use the terminal")?;
    }
    Ok(())
}

fn replace(descriptor: i32, terminal: BorrowedFd<'_>) -> nix::Result<()> {
    match descriptor {
        0 => dup2_stdin(terminal),
        1 => dup2_stdout(terminal),
        2 => dup2_stderr(terminal),
        _ => Err(nix::errno::Errno::EBADF),
    }
}
