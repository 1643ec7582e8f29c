//! A disk that fills up: while the buildroot is made, while build dependencies are installed, and
//! when they are published. The build says so, and the store stays whole.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use crate::case::{Case, Run, verdict};
use crate::fixture::{Kind, skip_here};
use crate::layers::{build_with, spec};

/// A store on a file system in memory, of a size that changes.
pub(crate) struct Small {
    place: PathBuf,
}

impl Small {
    /// Mounts it where the store of the case is; only root can.
    pub(crate) fn mount(case: &Case, size: &str) -> Option<Small> {
        if !nix::unistd::geteuid().is_root() {
            skip_here("only root can mount a small file system");
            return None;
        }
        let owner = fs::metadata(&case.store).unwrap().uid();
        let small = Small { place: case.store.clone() };
        let options = format!("{size},mode=700,uid={owner},gid={owner}");
        small.call("mount", &["-t", "tmpfs", "-o", &options, "none"]);
        Some(small)
    }

    fn call(&self, program: &str, args: &[&str]) {
        let status = Command::new(program).args(args).arg(&self.place).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    }

    /// Changes how much it can hold.
    fn resize(&self, bytes: u64) {
        self.call("mount", &["-o", &format!("remount,size={bytes}")]);
    }

    fn used(&self) -> u64 {
        let stat = nix::sys::statvfs::statvfs(&self.place).unwrap();
        (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}

/// Asserts that the build has failed for the disk, that nothing is left of it, and that the store
/// has what it had.
fn full(case: &Case, run: &Run, phase: &str, entries: usize) {
    assert_ne!(run.status, 0, "{run:?}");
    verdict(&case.outcome("result"), phase, "resource");
    whole(case, entries);
}

fn whole(case: &Case, entries: usize) {
    case.nothing_left();
    let run = case.run(&["buildroot", "verify"]);
    run.succeeds();
    assert_eq!(run.stdout, format!("{entries} of {entries} intact\n"));
}

/// Removes layers with a package, as this test's user may.
fn forget_layers(case: &Case, package: &str) {
    for entry in fs::read_dir(case.store.join("layers")).unwrap().flatten() {
        let info = fs::read_to_string(entry.path().join("info.json")).unwrap_or_default();
        if info.contains(&format!("\"{package}")) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_a_whole_store() {
    let Some(case) = Case::alone(Kind::Root, "full") else { return };
    let Some(small) = Small::mount(&case, "size=4g") else { return };
    let config = case.config();
    let (none, one) = (spec(&case, "none", &[]), spec(&case, "one", &["gettext"]));
    let build = |spec: &str| build_with(&case, &["-r", &config], spec);

    small.resize(60 << 20);
    full(&case, &build(&none), "bootstrap", 0);
    small.resize(4 << 30);
    build(&none).succeeds();
    whole(&case, 2);

    // The dependencies do not fit.
    let before = small.used();
    small.resize(before + (4 << 20));
    full(&case, &build(&one), "install", 2);
    small.resize(4 << 30);
    build(&one).succeeds();
    whole(&case, 3);

    // They fit, and what is recorded of them does or does not.
    let after = small.used();
    let mut failed = 0;
    for more in [0, 1, 2, 4, 8, 16] {
        forget_layers(&case, "gettext-");
        small.resize(after + more * (96 << 10));
        let run = build(&one);
        println!("{more}: {}", run.status);
        match run.status {
            0 => whole(&case, 3),
            _ => {
                failed += 1;
                full(&case, &run, "install", 2);
            }
        }
    }
    assert!(failed > 0, "the disk was never full");
    small.resize(4 << 30);
    build(&one).succeeds();
    whole(&case, 3);
}
