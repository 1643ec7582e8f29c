//! One test: a place of its own, a user, and runs of the program.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::fixture::{Fixture, Kind, directory_of, fixture, repository, skip};

/// Longer than anything here takes in a guest (`scripts/platforms`), also an emulated one.
const LIMIT: Duration = Duration::from_secs(1800);

static MARKERS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Case {
    pub(crate) fixture: &'static Fixture,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    config: PathBuf,
    pub(crate) store: PathBuf,
    /// What the program and its user's identity are started by.
    pub(crate) prefix: Vec<String>,
    /// A number that no other test has, for arguments of what specs start.
    pub(crate) marker: String,
    /// Process ids that the program has had.
    pub(crate) pids: RefCell<Vec<i32>>,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run in progress; killed if the test fails meanwhile.
pub(crate) struct Running<'a> {
    case: &'a Case,
    child: Child,
    ended: bool,
    place: PathBuf,
    pub(crate) pid: Pid,
}

impl Case {
    /// A test in the shared store of that kind of user. None if the test must be skipped.
    pub(crate) fn shared(kind: Kind, name: &str) -> Option<Case> {
        let fixture = fixture()?;
        possible(kind)?;
        Some(Case::new(fixture, kind, name, Some(fixture.store(kind))))
    }

    /// A test in an empty store of its own, with a small buildroot.
    pub(crate) fn alone(kind: Kind, name: &str) -> Option<Case> {
        let fixture = fixture()?;
        possible(kind)?;
        let mut case = Case::new(fixture, kind, name, None);
        case.config.clone_from(&fixture.small_config);
        Some(case)
    }

    pub(crate) fn new(
        fixture: &'static Fixture,
        kind: Kind,
        name: &str,
        store: Option<PathBuf>,
    ) -> Case {
        let dir = fixture.base.join("cases").join(format!("{name}-{kind:?}"));
        directory_of(&dir, kind);
        let store = store.unwrap_or_else(|| {
            let store = dir.join("store");
            directory_of(&store, kind);
            store
        });
        // Names of its own tell the processes of this test from those of others.
        fs::create_dir(dir.join("bin")).unwrap();
        for program in ["albs-node", "sandbox-init"] {
            let shared = fixture.base.join("bin").join(program);
            fs::hard_link(shared, dir.join("bin").join(program)).unwrap();
        }
        Case {
            fixture,
            kind,
            name: name.to_owned(),
            dir,
            config: fixture.config.clone(),
            store,
            prefix: Vec::new(),
            // Of this process: other runs of the tests may go on beside it.
            marker: format!(
                "7{}{:03}",
                std::process::id(),
                MARKERS.fetch_add(1, Ordering::Relaxed)
            ),
            pids: RefCell::default(),
        }
    }

    /// The config of the local distribution.
    pub(crate) fn config(&self) -> String {
        self.config.display().to_string()
    }

    /// A copy of the config with one text replaced by another.
    pub(crate) fn config_with(&self, name: &str, from: &str, to: &str) -> String {
        let text = fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{text}");
        self.file(&format!("{name}.cfg"), text.replace(from, to).as_bytes())
    }

    /// A copy of the config with lines after it.
    pub(crate) fn config_plus(&self, name: &str, lines: &str) -> String {
        let text = fs::read_to_string(&self.config).unwrap();
        self.file(&format!("{name}.cfg"), format!("{text}\n{lines}\n").as_bytes())
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.dir.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// A source package NAME-1-1 of a spec, made by the host's rpmbuild.
    pub(crate) fn source_package(&self, name: &str, spec: &str) -> PathBuf {
        let spec = self.file(&format!("{name}.spec"), spec.as_bytes());
        let topdir = self.dir.join("rpmbuild");
        let define = format!("_topdir {}", topdir.display());
        host("rpmbuild", &["-bs", &spec, "--define", &define].map(OsStr::new));
        topdir.join("SRPMS").join(format!("{name}-1-1.src.rpm"))
    }

    /// A spec of the repository, `bad/…` included.
    pub(crate) fn spec(&self, name: &str) -> String {
        self.fixture.base.join("specs").join(format!("{name}.spec")).display().to_string()
    }

    /// A result directory that does not exist yet.
    pub(crate) fn result(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Arguments that build a spec without sources into the result directory `result`.
    pub(crate) fn build_args(&self, spec: &str) -> Vec<String> {
        let empty = self.fixture.base.join("empty");
        let result = self.result("result");
        let marker = format!("marker {}", self.marker);
        ["build", "-r", &self.config(), "--spec", &self.spec(spec), "-D", &marker]
            .into_iter()
            .chain(["--sources", &empty.display().to_string()])
            .chain(["--resultdir", &result.display().to_string()])
            .map(str::to_owned)
            .collect()
    }

    /// Builds a spec without sources into `result`.
    pub(crate) fn build(&self, spec: &str, more: &[&str]) -> Run {
        self.start_build(spec, more).end()
    }

    pub(crate) fn start_build(&self, spec: &str, more: &[&str]) -> Running<'_> {
        let args = self.build_args(spec);
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.start(&args)
    }

    /// What `albs-node config` prints, which needs no store.
    pub(crate) fn run_config(&self, args: &[&str]) -> String {
        let output = Command::new(self.dir.join("bin/albs-node"))
            .arg("config")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program in the store of this test.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.start(args).end()
    }

    /// Runs the program in another store.
    pub(crate) fn run_in(&self, store: &Path, args: &[&str]) -> Run {
        self.start_in(store, args).end()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running<'_> {
        self.start_in(&self.store, args)
    }

    fn start_in(&self, store: &Path, args: &[&str]) -> Running<'_> {
        let number = self.pids.borrow().len();
        let place = self.dir.join(format!("run-{number}"));
        directory_of(&place, self.kind);
        let mut line: Vec<String> = self.prefix.clone();
        if self.kind.is_another() {
            line.push(repository("scripts/as-user").display().to_string());
            if self.kind == Kind::NoSubids {
                line.push("--no-subids".to_owned());
            }
            let home = self.dir.display().to_string();
            line.extend(["--home".to_owned(), home, "--".to_owned()]);
        }
        // The shell becomes the program, so that its process id is known.
        line.extend(["sh", "-c", "echo $$ > \"$0\"; exec \"$@\""].map(str::to_owned));
        line.push(place.join("pid").display().to_string());
        line.push(self.dir.join("bin/albs-node").display().to_string());
        // Where the option for the store goes.
        let (command, rest) = args.split_at(if args[0] == "buildroot" { 2 } else { 1 });
        line.extend(command.iter().map(|arg| (*arg).to_owned()));
        line.extend(["--store".to_owned(), store.display().to_string()]);
        line.extend(rest.iter().map(|arg| (*arg).to_owned()));

        let output = |name: &str| File::create(place.join(name)).unwrap();
        let child = Command::new(&line[0])
            .args(&line[1..])
            .env_remove("ALBS_NODE_STORE")
            .env("XDG_CACHE_HOME", self.dir.join("no-cache"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap();
        let mut running = Running { case: self, child, ended: false, place, pid: Pid::from_raw(0) };
        running.pid = running.wait_for("its process id", |running| {
            let text = fs::read_to_string(running.place.join("pid")).ok()?;
            text.strip_suffix('\n')?.parse().ok().map(Pid::from_raw)
        });
        self.pids.borrow_mut().push(running.pid.as_raw());
        running
    }

    /// `outcome.json` of a result directory.
    pub(crate) fn outcome(&self, result: &str) -> Value {
        let path = self.result(result).join("outcome.json");
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap()
    }

    /// A file in the result directory `result`.
    pub(crate) fn log(&self, name: &str) -> String {
        let path = self.result("result").join(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The store stays, for others.
    pub(crate) fn keep(self) -> PathBuf {
        let store = self.store.clone();
        std::mem::forget(self);
        store
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // What a failed test has left helps to find out why.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Running<'_> {
    /// Waits until `look` gives something.
    pub(crate) fn wait_for<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            let late = started.elapsed() > LIMIT;
            if ended.is_some() || late {
                // It may have happened just before the end.
                if let (Some(found), false) = (look(self), late) {
                    return found;
                }
                let run = self.text(-1);
                panic!("{}: no {what}; ended: {ended:?}, late: {late}; {run:?}", self.case.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for a text in the build's log.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let log = self.case.result("result").join("build.log");
        self.wait_for(text, |_| {
            let bytes = fs::read(&log).ok()?;
            String::from_utf8_lossy(&bytes).contains(text).then_some(())
        });
    }

    /// Waits for a text on standard output.
    pub(crate) fn wait_for_output(&mut self, text: &str) {
        self.wait_for(text, |running| running.read("stdout").contains(text).then_some(()));
    }

    /// Waits for a stage to start; the program must have been started with `--json`.
    pub(crate) fn wait_for_stage(&mut self, stage: &str) {
        let event = format!("{{\"event\":\"stage_started\",\"stage\":\"{stage}\"");
        self.wait_for_output(&event);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Run {
        let status = self.wait_for_end();
        self.text(status)
    }

    fn wait_for_end(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            }
            assert!(
                started.elapsed() < LIMIT,
                "{}: it does not end: {:?}",
                self.case.name,
                self.text(-1)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn text(&self, status: i32) -> Run {
        Run { status, stdout: self.read("stdout"), stderr: self.read("stderr") }
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.place.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            if self.pid.as_raw() > 0 {
                let _ = kill(self.pid, Signal::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Run {
    pub(crate) fn succeeds(&self) {
        assert_eq!(self.status, 0, "{self:?}");
    }

    /// Asserts the exit status and the one line that says what is wrong.
    pub(crate) fn fails(&self, status: i32, sentence: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let errors: Vec<&str> =
            self.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(errors[0].contains(sentence), "{sentence:?} in {self:?}");
    }

    /// Asserts a line of the details below the error.
    pub(crate) fn tells(&self, text: &str) {
        assert!(self.stderr.lines().any(|line| line.contains(text)), "{text:?} in {self:?}");
    }
}

/// Nothing, after telling why, if the test cannot be run as that user.
fn possible(kind: Kind) -> Option<()> {
    if Kind::possible(&[kind]).is_empty() {
        skip("only root can become another user");
        return None;
    }
    Some(())
}

/// Output of a program of the host that must succeed.
pub(crate) fn host(program: &str, args: &[&OsStr]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{said}");
    text
}

/// Asserts the verdict of an outcome.
pub(crate) fn verdict(outcome: &Value, phase: &str, class: &str) {
    let verdict = &outcome["verdict"];
    let told = (&verdict["result"], &verdict["phase"], &verdict["class"]);
    assert_eq!(told, (&"failure".into(), &phase.into(), &class.into()), "{verdict:#}");
    assert!(verdict["message"].as_str().is_some_and(|text| !text.is_empty()), "{verdict:#}");
}
