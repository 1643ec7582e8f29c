//! What must not be left after a run: processes, mounts, control groups, workspaces.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::fixture::Kind;

impl Case {
    /// Asserts that the runs of this test have left nothing.
    pub(crate) fn nothing_left(&self) {
        let left = self.left(true);
        assert!(left.is_empty(), "{}: left over: {left:#?}", self.name);
    }

    /// Asserts that no process of the runs is left, after a moment: what a killed program has
    /// started is killed by the kernel, in its own time.
    pub(crate) fn no_process_left_soon(&self) {
        let started = Instant::now();
        loop {
            let left = self.left(false);
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{}: {left:#?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asserts that the search finds what runs: the program, sandbox-init, the command inside, its
    /// workspace and, for root, its control groups.
    pub(crate) fn everything_runs(&self) {
        let sleep = format!("sleep {}", self.marker);
        let mut wanted = vec!["albs-node build", "sandbox-init", &sleep, "workspace: "];
        if self.kind == Kind::Root {
            wanted.push("control group: ");
        }
        let started = Instant::now();
        loop {
            let found = self.left(true);
            let has = |text: &&str| found.iter().any(|line| line.contains(*text));
            if wanted.iter().all(has) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{wanted:?} in {found:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What is left, for people. `all`: also what a later run removes if the program was killed.
    fn left(&self, all: bool) -> Vec<String> {
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.bytes().all(|b| b.is_ascii_digit()) {
                left.extend(
                    self.process(&entry.path()).map(|why| format!("process {name}: {why}")),
                );
            }
        }
        if !all {
            return left;
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(self.mount(&mounts).map(|line| format!("mount: {line}")));
        let pids = self.pids.borrow();
        for pid in pids.iter() {
            groups(Path::new("/sys/fs/cgroup"), &format!("albs-node.{pid}."), 0, &mut left);
        }
        let builds = fs::read_dir(self.store.join("builds")).into_iter().flatten().flatten();
        for name in builds.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            if pids.iter().any(|pid| name.starts_with(&format!("{pid}-"))) {
                left.push(format!("workspace: {name}"));
            }
        }
        left
    }

    /// Why this process belongs to the test, if it does: its program, or its mounts.
    fn process(&self, dir: &Path) -> Option<String> {
        // A zombie has no program; it is its parent's matter, which is looked at as well.
        let program = fs::read_link(dir.join("exe")).ok()?;
        let line = || {
            let bytes = fs::read(dir.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        // What specs start has the marker in its arguments.
        if program.starts_with(self.dir.join("bin")) || line().contains(&self.marker) {
            return Some(line());
        }
        let mounts = fs::read_to_string(dir.join("mountinfo")).ok()?;
        self.mount(&mounts).map(|mount| format!("{} with the mount {mount}", line()))
    }

    /// A mount of this test's own store. Workspaces are mounted through descriptors, so their
    /// mounts have no name.
    fn mount(&self, mounts: &str) -> Option<String> {
        // The root of a mount is a path in its file system, so no complete path is looked for.
        let run = self.fixture.base.file_name().unwrap_or_default().display();
        let own = format!("/{run}/cases/{}-{:?}/store/", self.name, self.kind);
        mounts.lines().find(|line| line.contains(&own)).map(str::to_owned)
    }
}

fn groups(dir: &Path, prefix: &str, depth: usize, left: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            left.push(format!("control group: {}", path.display()));
        } else if depth < 5 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            groups(&path, prefix, depth + 1, left);
        }
    }
}
