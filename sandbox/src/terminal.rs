//! The caller's side of a sandbox's own terminal: bytes go to and fro between the two, and the
//! caller's passes every key on, those that send signals included.
//!
//! The caller's settings come back however this program ends, but for SIGKILL: at the end of the
//! sandbox, and before a panic is told, which ends the program without running destructors.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// How long a terminal that nobody inside has open is left alone: it may be opened again.
const UNUSED: Duration = Duration::from_millis(50);

/// What has happened to the caller's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its window has another size (SIGWINCH).
    Resized,
    /// This program is to stop, and must leave the terminal to its caller meanwhile (SIGTSTP).
    Suspend,
    /// This program goes on, possibly with a terminal that others have changed (SIGCONT).
    Continued,
}

/// Reports events to a [`Relay`].
#[derive(Debug, Clone)]
pub(crate) struct Events(Arc<UnixStream>);

impl Events {
    pub(crate) fn send(&self, event: Event) {
        let byte = match event {
            Event::Resized => b'r',
            Event::Suspend => b's',
            Event::Continued => b'c',
        };
        // A relay that has ended needs to know nothing.
        let _ = (&*self.0).write_all(&[byte]);
    }
}

/// Copies between the caller's terminal, which standard input and output are, and a sandbox's.
/// Dropping it waits for what the sandbox, which must have ended, has written last.
#[derive(Debug)]
pub(crate) struct Relay {
    events: Events,
    /// Where the terminal comes from, and events; none once it has started.
    sources: Option<(UnixStream, UnixStream)>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Prepares for a terminal that comes over `socket`.
    pub(crate) fn new(socket: UnixStream) -> io::Result<Relay> {
        let (events, receiver) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let events = Events(Arc::new(events));
        Ok(Relay { events, sources: Some((socket, receiver)), thread: None })
    }

    /// Starts in the background. Before, the command does not, so that no event is missed.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        if let Some((socket, events)) = self.sources.take() {
            let builder = std::thread::Builder::new().name("terminal".to_owned());
            self.thread = Some(builder.spawn(move || {
                // Without it, the command sees a hang-up, as when the caller's terminal is closed.
                let _ = relay(socket, events);
            })?);
        }
        Ok(())
    }

    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The relay reads it to its end; other handles may still be around.
        let _ = self.events.0.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn relay(socket: UnixStream, events: UnixStream) -> io::Result<()> {
    // None comes if the sandbox could not be started.
    let Some(terminal) = crate::pass::receive(&socket)? else { return Ok(()) };
    rustix::io::ioctl_fionbio(&terminal, true)?;
    let raw = Raw::enter()?;
    tcsetattr(&terminal, OptionalActions::Now, &raw.before)?;
    resize(&terminal);
    (&socket).write_all(b"g")?;
    drop(socket);
    Copying { terminal, events, raw, typed: Vec::new(), used: true }.run()
}

/// The size of the caller's window; the kernel tells the command of the change.
fn resize(terminal: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        let _ = tcsetwinsize(terminal, size);
    }
}

struct Copying {
    terminal: OwnedFd,
    events: UnixStream,
    raw: Raw,
    /// Bytes of the caller that the sandbox's terminal had no room for yet.
    typed: Vec<u8>,
    /// Whether anybody inside had the terminal open when it was looked at last.
    used: bool,
}

impl Copying {
    /// Copies until the sandbox has ended or the caller's terminal is gone.
    fn run(&mut self) -> io::Result<()> {
        loop {
            let [events, typed, shown, room] = self.poll()?;
            self.used = true;
            if shown && self.show()?.is_none() {
                self.used = false;
            }
            if typed && !self.read()? {
                return Ok(());
            }
            if room {
                self.write()?;
            }
            if events && !self.serve()? {
                // Everybody who could write has ended, so what there is comes before the error
                // that says so.
                let late = Instant::now() + UNUSED;
                while let Some(count) = self.show()? {
                    if count == 0 && Instant::now() > late {
                        break;
                    }
                }
                return Ok(());
            }
        }
    }

    /// Waits. Whether there are events, something typed, something to show, room for typed bytes.
    fn poll(&self) -> io::Result<[bool; 4]> {
        let stdin = io::stdin();
        let waiting = !self.typed.is_empty();
        let no = PollFlags::empty();
        let terminal = match waiting {
            true => PollFlags::POLLIN | PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        };
        let mut fds = [
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), if waiting { no } else { PollFlags::POLLIN }),
            PollFd::new(self.terminal.as_fd(), terminal),
        ];
        // A terminal that nobody has open is always ready, to say just that.
        let (count, timeout) = match self.used {
            true => (3, PollTimeout::NONE),
            false => (2, PollTimeout::try_from(UNUSED).unwrap_or(PollTimeout::ZERO)),
        };
        match poll(&mut fds[..count], timeout) {
            Err(nix::errno::Errno::EINTR) => return Ok([false; 4]),
            result => result?,
        };
        let seen: Vec<PollFlags> =
            fds[..count].iter().map(|fd| fd.revents().unwrap_or(no)).collect();
        let terminal = seen.get(2).copied().unwrap_or(no);
        Ok([
            !seen[0].is_empty(),
            !seen[1].is_empty() && !waiting,
            terminal.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR),
            waiting && terminal.intersects(PollFlags::POLLOUT | PollFlags::POLLHUP),
        ])
    }

    /// Shows what the command has written. The number of bytes, or none if nobody inside has the
    /// terminal open.
    fn show(&mut self) -> io::Result<Option<usize>> {
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(&self.terminal, &mut buffer) {
            Ok(0) | Err(Errno::IO) => Ok(None),
            Ok(count) => write_all(&buffer[..count]).map(|()| Some(count)),
            Err(Errno::INTR | Errno::AGAIN) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what was typed; false if the caller's terminal is gone.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) | Err(Errno::IO) => Ok(false),
            Ok(count) => {
                self.typed.extend_from_slice(&buffer[..count]);
                self.write().map(|()| true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        match rustix::io::write(&self.terminal, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody is there to read it.
            Err(Errno::IO) => self.typed.clear(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Acts on events; false after the last.
    fn serve(&mut self) -> io::Result<bool> {
        let mut events = [0; 64];
        let count = match self.events.read(&mut events) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            result => result?,
        };
        for event in &events[..count] {
            match event {
                b's' => {
                    self.raw.leave(OptionalActions::Now);
                    // The signal itself was caught. This stops all threads, in any order, until
                    // SIGCONT, which is an event of its own.
                    kill(Pid::this(), Signal::SIGSTOP)?;
                }
                b'c' => self.raw.again()?,
                _ => {}
            }
            resize(&self.terminal);
        }
        Ok(count > 0)
    }
}

/// Writes to the caller's terminal, which others may have made non-blocking.
fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(&stdout, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Settings of the caller's terminal, as long as it does not have them.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The caller's terminal passes every byte on, and shows every byte as it is.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> io::Result<Raw> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                give_back(OptionalActions::Now);
                next(info);
            }));
        });
        let raw = Raw { before: tcgetattr(io::stdin())? };
        raw.again()?;
        Ok(raw)
    }

    fn again(&self) -> io::Result<()> {
        let mut settings = self.before.clone();
        settings.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.before.clone());
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &settings)?)
    }

    fn leave(&self, when: OptionalActions) {
        give_back(when);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What was typed for the sandbox, or what the terminal has answered to it, is not for
        // whoever reads next.
        self.leave(OptionalActions::Flush);
    }
}

fn give_back(when: OptionalActions) {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = tcsetattr(io::stdin(), when, &before);
    }
}
