//! A terminal with a test at its keyboard and screen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::harness::{Run, programs};
use crate::processes::{self, started};

/// No step takes longer, not even in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that has the terminal as its controlling one, and as its standard descriptors.
pub struct Session {
    child: Child,
    keyboard: File,
    /// Keeps the terminal open after the command, for a look at what it is like then.
    terminal: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
    before: String,
    _programs: Arc<tempfile::TempDir>,
}

impl Session {
    /// Starts a sandbox.
    pub fn start(run: &Run, command: &[&str]) -> Session {
        Session::of(&run.words(command))
    }

    /// Starts any command.
    pub fn of(words: &[String]) -> Session {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        unlockpt(&master).expect("unlock it");
        let terminal = ioctl_tiocgptpeer(&master, flags).expect("open it");
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).args(words).env("TERM", "dumb");
        let end = || Stdio::from(terminal.try_clone().expect("duplicate"));
        command.stdin(end()).stdout(end()).stderr(end());
        let keyboard = File::from(master);
        resize(&keyboard, 24, 80);
        let before = settings(&terminal);
        let child = {
            let mut started = started();
            let child = command.spawn().expect("start setsid");
            started.insert(child.id() as i32);
            child
        };
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (shown, mut source) = (Arc::clone(&screen), keyboard.try_clone().expect("duplicate"));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                shown.lock().expect("the screen").extend_from_slice(&buffer[..count]);
            }
        });
        let _programs = programs();
        Session { child, keyboard, terminal, screen, before, _programs }
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("the screen")).into_owned()
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, mut condition: impl FnMut(&mut Session) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            if began.elapsed() > PATIENCE {
                let tree = processes::tree(self.child.id() as i32);
                panic!("never {what}: {:?}, {tree:?}", self.screen());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |session| session.screen().contains(text));
    }

    /// Waits for a program to run below the command.
    #[track_caller]
    pub fn wait_for_program(&mut self, name: &str) {
        self.wait_until(name, |session| session.pid_of(name).is_some());
    }

    /// Waits until a program runs that keys are for. Shells tell that they continue a job before
    /// they do.
    #[track_caller]
    pub fn wait_for_foreground(&mut self, name: &str) {
        self.wait_until(name, |session| session.pid_of(name).is_some_and(is_in_foreground));
    }

    #[track_caller]
    pub fn wait_for_settings(&mut self, raw: bool) {
        self.wait_until("other settings", |session| session.is_raw() == raw);
    }

    pub fn pid_of(&self, name: &str) -> Option<i32> {
        let tree = processes::tree(self.child.id() as i32);
        tree.iter().find(|process| process.name == name).map(|process| process.pid)
    }

    pub fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("type");
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        resize(&self.keyboard, rows, columns);
    }

    fn is_raw(&self) -> bool {
        let settings = tcgetattr(&self.terminal).expect("settings");
        !settings.local_modes.intersects(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO)
    }

    /// Waits for the end, and makes sure that the terminal is as it was. Gives the status and what
    /// was shown.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let mut status = None;
        self.wait_until("at an end", |session| {
            status = session.child.try_wait().expect("wait");
            status.is_some()
        });
        let status = status.and_then(|status| status.code()).expect("a status");
        assert_eq!(settings(&self.terminal), self.before, "the terminal is not as before");
        let pid = self.child.id() as i32;
        // A line that was typed in the meantime, by whomever, would be here.
        let waiting = rustix::io::ioctl_fionread(&self.terminal).expect("ask for input");
        assert_eq!(waiting, 0, "somebody has typed");
        // What has been written is shown by the time that its end is.
        self.type_text("\n");
        self.wait_until("shown", |session| {
            rustix::io::ioctl_fionread(&session.keyboard).is_ok_and(|waiting| waiting == 0)
        });
        std::thread::sleep(Duration::from_millis(50));
        started().remove(&pid);
        processes::assert_nothing_is_left(&[], pid);
        (status, self.screen())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tree = processes::tree(self.child.id() as i32);
            tree.iter()
                .for_each(|p| crate::harness::send(p.pid, nix::sys::signal::Signal::SIGKILL));
            let _ = self.child.wait();
        }
    }
}

/// Whether a process is not stopped, and in the group of its terminal (proc_pid_stat(5)).
fn is_in_foreground(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // After the name: state, parent, group, session, terminal, its group.
    matches!(fields[..], [state, _, group, _, _, foreground, ..] if state != "T" && group == foreground)
}

fn settings(terminal: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(terminal).expect("settings"))
}

fn resize(master: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("resize");
}
