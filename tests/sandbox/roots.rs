//! `--root`: directories that a build may have written, with links that lead out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{
    Mode, Run, installed, open_directory, own, own_range_or_skip, skip, temporary_directory,
};

in_each_mode! { links_stay_inside circles root_over_itself }

/// A root directory whose programs are the host's.
struct Fixture {
    dir: tempfile::TempDir,
    binds: Vec<String>,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = temporary_directory();
        let root = open_directory(&dir.path().join("root"));
        let mut binds = Vec::new();
        for name in ["usr", "bin", "lib", "lib64", "sbin"] {
            let host = Path::new("/").join(name);
            match fs::read_link(&host) {
                Ok(target) => symlink(target, root.join(name)).expect("link"),
                Err(_) if host.is_dir() => {
                    open_directory(&root.join(name));
                    binds.push(format!("/{name}:/{name}:ro"));
                }
                Err(_) => {}
            }
        }
        Fixture { dir, binds }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn run(&self, mode: Mode) -> Run {
        let run = Run::new(mode).option("--root").option(self.root().display().to_string());
        self.binds.iter().fold(run, Run::bind)
    }
}

fn mount_points(seen: &Value) -> Vec<&str> {
    let mounts = seen["mounts"].as_array().expect("a list");
    mounts.iter().filter_map(|mount| mount["at"].as_str()).collect()
}

fn links_stay_inside(mode: Mode) {
    let fixture = Fixture::new();
    let root = fixture.root();
    let up = "../".repeat(20);
    // Absolute and climbing; to what exists on the host, and to what does not and would be made.
    let links = [
        ("tmp", "/etc".to_owned(), "/etc"),
        ("var", format!("{up}srv/albs-node-test"), "/srv/albs-node-test/tmp"),
        ("dev", "/srv/albs-node-test-dev/../dev".to_owned(), "/srv/dev"),
        ("sys", "/proc/self/cwd/sys".to_owned(), "/sys"),
    ];
    for (name, target, _) in &links {
        symlink(target, root.join(name)).expect("link");
    }
    let seen = fixture.run(mode).probe(&[]);
    let points = mount_points(&seen);
    for (name, _, at) in &links[..3] {
        assert!(points.contains(at), "{name}: {points:?}");
    }
    assert!(points.iter().any(|at| at.ends_with("/sys")), "{points:?}");
    assert_eq!(seen["devices"]["null"]["kind"], "character");
    for name in ["albs-node-test", "dev"] {
        assert!(root.join("srv").join(name).is_dir(), "{name} was made inside");
        assert!(!Path::new("/srv").join(name).exists(), "{name} was made on the host");
    }
}

fn circles(mode: Mode) {
    let fixture = Fixture::new();
    symlink("tmp", fixture.root().join("tmp")).expect("link");
    fixture.run(mode).command(&["true"]).assert_not_started("Too many symbolic links");
}

/// A mount over the root itself would not be seen by the sandbox, so what it should hide is not.
fn root_over_itself(mode: Mode) {
    for (name, target) in [("tmp", "/"), ("tmp", "../.."), ("sys", "/proc/self/root")] {
        let fixture = Fixture::new();
        symlink(target, fixture.root().join(name)).expect("link");
        let done = fixture.run(mode).command(&["true"]);
        done.assert_not_started(&format!("at /{name}"));
    }
}

#[test]
fn a_root_can_be_written_to() {
    let Some(mode) = own_range_or_skip() else { return };
    let fixture = Fixture::new();
    let done = fixture.run(mode).shell("echo x > /made && cat /made && ls /proc/self/fd");
    assert_eq!(done.code(), 0, "{done:?}");
    assert_eq!(fs::read_to_string(fixture.root().join("made")).expect("the file"), "x\n");
    let missing = Run::new(mode).option("--root").option("/no/such/directory");
    missing.command(&["true"]).assert_not_started("No such file or directory");
    let file = Run::new(mode).option("--root").option("/etc/passwd").command(&["true"]);
    file.assert_not_started("Not a directory");
}

/// The root is put together over the host's /tmp, where other mounts may be.
#[test]
fn mounts_of_the_host_below_tmp_do_no_harm() {
    if own() != Mode::Root {
        return skip("only root can mount on the host");
    }
    if !installed("unshare") {
        return skip("unshare is not installed");
    }
    // The same names exist in the root, where they are no mount points.
    let prelude = r#"exec unshare --mount --propagation private bash -ec '
        mount --bind "$programs" /mnt
        mount -t tmpfs tmpfs /tmp
        mkdir /tmp/usr /tmp/etc
        mount -t tmpfs tmpfs /tmp/usr
        mount -t tmpfs tmpfs /tmp/etc
        program=$1; shift
        exec "/mnt/${program##*/}" "$@"' _ "$@""#;
    let done = Run::new(Mode::Root).prelude(prelude).shell("test -x /usr/bin/env && ls /tmp");
    assert_eq!((done.code(), done.text().as_str()), (0, ""), "{done:?}");
}
