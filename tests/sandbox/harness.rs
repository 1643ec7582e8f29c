//! Starting sandboxes as different users, and making sure that nothing is left of them.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::processes::{self, Process, started};

/// Start of the names of this program's temporary directories.
pub const PREFIX: &str = "albs-node-test-";
/// The user of scripts/as-user, and the first of its subordinate ids.
pub const USER: u32 = 61000;
pub const USER_SUBIDS: u32 = 6_100_000;
/// No test of a sandbox waits longer, not even in an emulated machine that shares its processor.
const PATIENCE: Duration = Duration::from_secs(400);

/// Who starts the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Root, with a range of ids of its own.
    Root,
    /// An ordinary user with subordinate ids.
    Subids,
    /// An ordinary user with one id.
    Single,
}

/// Runs a test as this user, or tells why it cannot.
pub fn with(mode: Mode, test: fn(Mode)) {
    if !is_root() && mode != own() {
        return skip("only root can become another user");
    }
    if mode == Mode::Subids && sandbox::HostFacts::probe().newuidmap.is_none() {
        return skip("newuidmap is not installed");
    }
    test(mode);
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Who runs the tests.
pub fn own() -> Mode {
    if is_root() {
        return Mode::Root;
    }
    let host = sandbox::HostFacts::probe();
    if sandbox::IdMapping::choose(&host, 0).is_single() { Mode::Single } else { Mode::Subids }
}

/// Who runs the tests, if a range of ids is theirs.
pub fn own_range_or_skip() -> Option<Mode> {
    let mode = own();
    if mode == Mode::Single {
        skip("it must be started by root or by a user with subordinate ids");
        return None;
    }
    Some(mode)
}

/// Why sandboxes of this user cannot be limited here; nothing if they can.
pub fn unlimited(mode: Mode) -> Option<String> {
    if mode != own() {
        return Some("no control group is delegated to that user".to_owned());
    }
    let facts = sandbox::HostFacts::probe().cgroup;
    let limits = sandbox::spec::Limits {
        memory_bytes: Some(sandbox::spec::Limit::required(1 << 30)),
        pids: Some(sandbox::spec::Limit::required(100)),
        cpus: Some(sandbox::spec::Limit::required(1.0)),
        ..Default::default()
    };
    sandbox::cgroup::plan("test", &limits, &facts).err().map(|error| error.to_string())
}

/// Leaves a test out, which nobody may overlook in CI.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot be tested here: {reason}");
    eprintln!("skipped: {reason}");
}

/// A directory that all users may enter and only this one may change.
pub fn temporary_directory() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
    dir
}

/// The programs, where every user can execute them. Removed when the last test lets go of it:
/// nothing static is dropped at the end of a program.
pub fn programs() -> Arc<tempfile::TempDir> {
    static PROGRAMS: Mutex<Weak<tempfile::TempDir>> = Mutex::new(Weak::new());
    let mut shared = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(dir) = shared.upgrade() {
        return dir;
    }
    processes::remember_mounts();
    let dir = temporary_directory();
    let built = Path::new(env!("CARGO_BIN_EXE_albs-node")).parent().expect("a target directory");
    for name in ["albs-node", "sandbox-init", "probe"] {
        let (from, to) = (built.join(name), dir.path().join(name));
        assert!(from.is_file(), "{name} is missing: it is built by `cargo build --workspace`");
        // A link is faster, and not always possible.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).expect("copy");
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("make it executable");
    }
    let dir = Arc::new(dir);
    *shared = Arc::downgrade(&dir);
    dir
}

/// A sandbox to be started.
#[derive(Debug)]
pub struct Run {
    mode: Mode,
    options: Vec<String>,
    input: Option<Vec<u8>>,
    /// Shell code that is run first and ends with `exec "$@"`.
    prelude: Option<String>,
    programs: Arc<tempfile::TempDir>,
}

impl Run {
    pub fn new(mode: Mode) -> Run {
        Run { mode, options: Vec::new(), input: None, prelude: None, programs: programs() }
    }

    /// An option of `sandbox run`.
    pub fn option(mut self, option: impl Into<String>) -> Run {
        self.options.push(option.into());
        self
    }

    /// A bind mount.
    pub fn bind(self, text: impl Into<String>) -> Run {
        self.option("--bind").option(text)
    }

    /// Standard input, which is empty otherwise.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Run {
        self.input = Some(input.into());
        self
    }

    /// Shell code in front of it all; `exec "$@"` goes on, `$programs` is where they are.
    pub fn prelude(mut self, code: &str) -> Run {
        self.prelude = Some(code.to_owned());
        self
    }

    /// Runs a command to its end.
    pub fn command(self, command: &[&str]) -> Done {
        self.start(command).wait()
    }

    /// Runs a shell script to its end.
    pub fn shell(self, script: &str) -> Done {
        self.command(&["sh", "-c", script])
    }

    /// Runs the probe; gives what it printed.
    pub fn probe(self, arguments: &[&str]) -> Value {
        let path = self.programs.path().join("probe").display().to_string();
        let command: Vec<&str> =
            [path.as_str()].into_iter().chain(arguments.iter().copied()).collect();
        let bind = format!("{path}:{path}:ro");
        let done = self.bind(bind).command(&command);
        assert_eq!(done.code(), 0, "{done:?}");
        serde_json::from_slice(&done.stdout).expect("JSON of the probe")
    }

    /// The words that start a command.
    pub fn words(&self, command: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        if let Some(code) = &self.prelude {
            words.extend(["bash", "-c", code, "_"].map(str::to_owned));
        }
        let as_user = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/as-user");
        match self.mode {
            mode if mode == own() => {}
            Mode::Root => unreachable!("only root becomes root"),
            Mode::Subids => words.extend([as_user.display().to_string(), "--".to_owned()]),
            Mode::Single => words.extend([
                as_user.display().to_string(),
                "--no-subids".to_owned(),
                "--".to_owned(),
            ]),
        }
        let program = self.programs.path().join("albs-node").display().to_string();
        words.extend([program, "sandbox".to_owned(), "run".to_owned()]);
        words.extend(self.options.iter().cloned());
        words.push("--".to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Starts a command.
    pub fn start(self, command: &[&str]) -> Running {
        let words = self.words(command);
        let mut process = Command::new(&words[0]);
        process
            .args(&words[1..])
            .env("TERM", "dumb")
            .env("SECRET", "of the caller")
            .env("programs", self.programs.path())
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running::start(process, self.mode, self.input, self.programs)
    }
}

/// A sandbox that runs.
#[derive(Debug)]
pub struct Running {
    mode: Mode,
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Receiver<Vec<u8>>,
    seen: Vec<Process>,
    _programs: Arc<tempfile::TempDir>,
}

impl Running {
    fn start(
        mut command: Command,
        mode: Mode,
        input: Option<Vec<u8>>,
        programs: Arc<tempfile::TempDir>,
    ) -> Running {
        let mut child = {
            let mut started = started();
            let child = command.spawn().expect("start albs-node");
            started.insert(child.id() as i32);
            child
        };
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A command that does not read everything is no failure here.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let stderr = read_all(child.stderr.take().expect("piped"));
        let stdout = child.stdout.take().map(BufReader::new);
        Running { mode, child, stdout, stderr, seen: Vec::new(), _programs: programs }
    }

    /// Waits for one line from the command.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("not taken yet");
        stdout.read_line(&mut line).expect("read a line");
        line.trim_end().to_owned()
    }

    /// The processes at this moment, which must all be gone at the end.
    pub fn look(&mut self) -> Vec<Process> {
        let tree = processes::tree(self.child.id() as i32);
        self.seen.extend(tree.iter().cloned());
        tree
    }

    /// albs-node itself.
    pub fn albs_node(&mut self) -> i32 {
        let tree = self.look();
        match self.mode {
            mode if mode == own() => self.child.id() as i32,
            _ => tree.iter().find(|p| p.name == "albs-node").expect("albs-node runs").pid,
        }
    }

    /// The process of sandbox-init outside.
    pub fn supervisor(&mut self) -> i32 {
        let parent = self.albs_node();
        self.init_below(parent)
    }

    /// The process of sandbox-init inside.
    pub fn pid1(&mut self) -> i32 {
        let parent = self.supervisor();
        self.init_below(parent)
    }

    fn init_below(&mut self, parent: i32) -> i32 {
        let tree = self.look();
        let init = tree.iter().find(|p| p.name == "sandbox-init" && p.parent == parent);
        init.expect("sandbox-init runs").pid
    }

    /// Waits for the end of what was started, so that its number is free.
    pub fn reap(&mut self) {
        self.child.wait().expect("wait");
    }

    /// Waits for the end and asserts that nothing is left.
    pub fn wait(mut self) -> Done {
        let began = Instant::now();
        let stdout = read_all(self.stdout.take().expect("not taken yet"));
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let tree = self.look();
                tree.iter().for_each(|p| send(p.pid, Signal::SIGKILL));
                let _ = self.child.wait();
                panic!("did not end: {tree:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let open = "the output is still open: something of the sandbox is left";
        let stdout = stdout.recv_timeout(Duration::from_secs(5)).expect(open);
        let stderr = self.stderr.recv_timeout(Duration::from_secs(5)).expect(open);
        let pid = self.child.id() as i32;
        started().remove(&pid);
        processes::assert_nothing_is_left(&self.seen, pid);
        Done { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

/// Reads to the end in the background.
fn read_all(mut source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.read_to_end(&mut bytes);
        sender.send(bytes)
    });
    receiver
}

/// Sends a signal to a process outside.
pub fn send(pid: i32, signal: Signal) {
    // It may have ended in the meantime.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// A sandbox that has ended.
#[derive(Debug)]
pub struct Done {
    status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Done {
    /// Exit status; panics if albs-node was killed.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("killed: {self:?}"))
    }

    /// Standard output without the last line's end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Panics unless it could not start for this reason.
    #[track_caller]
    pub fn assert_not_started(&self, reason: &str) {
        assert_eq!(self.code(), 125, "{self:?}");
        assert!(self.stderr.contains(reason), "{reason:?} is not in {}", self.stderr);
    }
}

/// Whether a program of the host can be executed.
pub fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(OsStr::new(name)).is_file())
}

/// Makes a directory that everyone may write to.
pub fn open_directory(path: &Path) -> PathBuf {
    fs::create_dir_all(path).expect("make a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("open the directory");
    path.to_owned()
}
