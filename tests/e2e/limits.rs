//! Limits of classes and of the command line, and the bill.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::case::Case;
use crate::fixture::{Kind, skip_here};
use crate::full::Small;
use crate::repository::{Repository, section};

fn spec(case: &Case, build: &str) -> String {
    let text = format!(
        "%global debug_package %{{nil}}\nName: limited\nVersion: 1\nRelease: 1\nSummary: s\n\
         License: MIT\nBuildArch: noarch\n%description\n.\n%prep\n%build\nset -e\n{build}\n\
         %install\n%files\n"
    );
    case.file("limited.spec", text.as_bytes())
}

fn build(case: &Case, spec: &str, more: &[&str]) -> crate::case::Run {
    let empty = case.fixture.base.join("empty").display().to_string();
    let result = case.result("result").display().to_string();
    let config = case.config();
    let args =
        ["build", "-r", &config, "--spec", spec, "--sources", &empty, "--resultdir", &result];
    case.run(&[&args[..], more].concat())
}

fn program(case: &Case, args: &[&str]) -> String {
    let output = Command::new(case.dir.join("bin/albs-node")).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn silence_ends_a_build() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "silence") else { return };
        let talks = spec(&case, "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.8; done");
        // Longer than anything else of the build is silent on a slow machine.
        build(&case, &talks, &["--silence", "6"]).succeeds();
        let waits = spec(&case, "echo begun; sleep 100");
        let run = build(&case, &waits, &["--silence", "6"]);
        run.fails(11, "rpmbuild -bb was killed for its silence, after ");
        run.tells("hint: find out what it waits for, or raise the limit: --silence");
        let verdict = &case.outcome("result")["verdict"];
        assert_eq!((&verdict["class"], &verdict["section"]), (&"timeout".into(), &"%build".into()));
        case.nothing_left();
    }
}

#[test]
fn a_flood_of_output_is_cut() {
    let Some(case) = Case::shared(Kind::Subids, "flood") else { return };
    let flood = spec(&case, "echo the beginning; yes flood | head -c 60000000; echo the end");
    build(&case, &flood, &["--log-size", "4M"]).succeeds();
    let log = case.log("build.log");
    assert!(log.len() < (4 << 20) + 10_000, "{}", log.len());
    assert!(log.contains("\nthe beginning\n") && log.contains("\nthe end\n"));
    assert!(log.contains(" bytes left out, since the log reached its size limit"));
    assert!(log.lines().last().unwrap().starts_with("all "));
    case.nothing_left();
}

#[test]
fn limits_of_processes() {
    let Some(case) = Case::shared(Kind::Subids, "rlimits") else { return };
    let config = case.file(
        "resources.toml",
        b"[class.own]\nwhy = 'a test'\nlimits = { open_files = '77', file_size = '1M' }\n\
          [[package]]\npattern = 'lim*'\nclass = 'own'\n",
    );
    let bounded = spec(
        &case,
        "test \"$(ulimit -n)\" = 77
! head -c 2M /dev/zero > large",
    );
    build(&case, &bounded, &["--resources", &config]).succeeds();
    build(&case, &bounded, &["--class", "none"])
        .fails(5, "there is no class \"none\" of resources");
    case.nothing_left();
    let shown: Value =
        serde_json::from_str(&program(&case, &["limits", "show", "--json", "--class", "small"]))
            .unwrap();
    assert_eq!(shown["settings"]["pids"]["number"], 2048.0);
    assert_eq!(shown["settings"]["timeout"]["from"], "class small: 2h");
}

#[test]
fn memory_that_runs_out_is_explained_and_tried_with_fewer_jobs() {
    let Some(case) = Case::shared(Kind::own(), "explained") else { return };
    // Takes what its jobs say, slowly enough to be seen; with one job it fits.
    let hungry = spec(
        &case,
        "echo jobs: $RPM_BUILD_NCPUS
perl -e 'my @a; for (1 .. 16 * $ENV{RPM_BUILD_NCPUS}) { push @a, \"x\" x (8 << 20); select undef, undef, undef, 0.05 }'",
    );
    let run = build(&case, &hungry, &["--memory", "192M", "--cpus", "2"]);
    run.fails(
        10,
        "rpmbuild -bb hit the memory limit of 192 MiB in %build, with perl as the largest",
    );
    run.tells("hint: try --memory 384M");
    let run = build(&case, &hungry, &["--memory", "192M", "--cpus", "2", "--class", "large"]);
    run.succeeds();
    run.tells("trying once more with 1 jobs");
    case.nothing_left();
}

#[test]
fn what_was_used_is_drawn() {
    let Some(case) = Case::shared(Kind::own(), "usage") else { return };
    let busy = spec(&case, "end=$((SECONDS + 4)); while test $SECONDS -lt $end; do :; done");
    build(&case, &busy, &[]).succeeds();
    let stages = &case.outcome("result")["stages"];
    let samples = stages[3]["samples"].as_array().unwrap();
    // One a second, and on a slow machine the stage has more of them than its loop.
    let most = stages[3]["seconds"].as_f64().unwrap() as usize + 2;
    assert!((3..=most).contains(&samples.len()), "{samples:?}");
    assert!(samples.iter().all(|sample| sample["memory_bytes"].as_u64().unwrap() > 0));
    assert!(stages[3]["memory_average_bytes"].as_u64().unwrap() > 0);
    let result = case.result("result").display().to_string();
    let text = program(&case, &["usage", &result]);
    let line = text.lines().find(|line| line.starts_with("processors")).unwrap();
    assert!(line.contains('█'), "{text}");
    // One processor was busy, as far as other programs left it; a package manager may use more.
    let most: f64 = line.rsplit_once("| ").unwrap().1.parse().unwrap();
    let all = std::thread::available_parallelism().unwrap().get() as f64;
    assert!((0.1..all + 0.5).contains(&most), "{text}");
    let svg = program(&case, &["usage", "--svg", &result]);
    assert!(svg.starts_with("<svg ") && svg.matches("<polyline").count() == 5, "{svg}");
}

#[test]
fn what_a_build_writes_is_limited() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "disk-limit") else { return };
        let large = spec(
            &case,
            "mkdir -m 0700 hidden; i=0
while test $i -lt 400; do head -c 1M /dev/urandom > hidden/$i; i=$((i + 1)); done; sleep 60",
        );
        let run = build(&case, &large, &["--disk", "100M"]);
        run.fails(10, "rpmbuild -bb hit the disk limit of 100 MiB in %build: it has written");
        run.tells("hint: try --disk 200M");
        let many =
            spec(&case, "i=0; while test $i -lt 5000; do : > f$i; i=$((i + 1)); done; sleep 60");
        let run = build(&case, &many, &["--inodes", "2000"]);
        run.fails(10, "rpmbuild -bb hit the limit of 2000 files in %build: it has made");
        assert_eq!(case.outcome("result")["verdict"]["class"], "resource");
        case.nothing_left();
    }
}

/// Macros run when a spec is merely read, and scriptlets in the package manager's sandbox.
#[test]
fn what_else_writes_is_limited() {
    let fill = "i=0; while test $i -lt 700; do \
                head -c 1M /dev/urandom > $place/$i; i=$((i + 1)); done; sleep 60";
    for kind in Kind::possible(&[Kind::Root, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "filling") else { return };
        let Some(_small) = Small::mount(&case, "size=1g") else { return };
        let repository = Repository::new(&case, "filling");
        let package = format!(
            "Name: filling\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
             %description\n.\n%post\nplace=/var/lib\n{fill}\n%files\n"
        );
        repository.add_spec("filling", &package);
        repository.publish();
        let config = case.config_plus("filling", &section(&repository.baseurl(), "gpgcheck=0"));
        let empty = case.fixture.base.join("empty").display().to_string();
        let result = case.result("result").display().to_string();
        let build = |tags: &str| {
            let text = format!(
                "{tags}\nName: limited\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n\
                 BuildArch: noarch\n%description\n.\n%files\n"
            );
            let spec = case.file("limited.spec", text.as_bytes());
            let args = ["build", "-r", &config, "--spec", &spec, "--sources", &empty];
            let run = case.run(&[&args[..], &["--resultdir", &result, "--disk", "100M"]].concat());
            case.nothing_left();
            assert_eq!(case.outcome("result")["verdict"]["class"], "resource");
            run
        };
        // Not by rpmbuild, which is watched in any case.
        let reader = "tr '\\0' ' ' < /proc/$PPID/cmdline | grep -q rpmspec";
        build(&format!("%global x %(if {reader}; then place=/var/tmp; {fill}; fi)"))
            .fails(30, "reading the spec hit the disk limit of 100 MiB: it has written");
        // What is shared with other builds has a limit of its own.
        let run = build("BuildRequires: filling");
        run.fails(30, "installing build dependencies hit the disk limit of ");
        run.tells("hint: no more of the disk was free for it: make room where the store is");
    }
}

/// Directories of control groups whose name ends like this, below a directory.
fn groups(below: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.starts_with("albs-node.") && name.ends_with(end) {
                found.push(entry.path());
            } else {
                found.extend(groups(&entry.path(), end));
            }
        }
    }
    found
}

#[test]
fn the_stages_of_a_build_have_groups_in_one() {
    let Some(case) = Case::shared(Kind::own(), "groups") else { return };
    let mount = Path::new("/sys/fs/cgroup");
    let waits = spec(&case, "sleep 3");
    let is_over = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for outer in groups(mount, ".build") {
                    let pids = std::fs::read_to_string(outer.join("pids.max")).unwrap_or_default();
                    // Ours, not that of another test.
                    if pids.trim() == "4322" {
                        seen.extend(groups(&outer, ".rpmbuild"));
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            seen
        });
        let run = build(&case, &waits, &["--pids", "4321"]);
        is_over.store(true, Ordering::Relaxed);
        run.succeeds();
        watching.join().unwrap()
    });
    assert!(!seen.is_empty(), "no group of a stage inside that of the build");
    let left: Vec<_> = seen.iter().filter(|group| group.parent().unwrap().exists()).collect();
    assert!(left.is_empty(), "{left:?}");
    case.nothing_left();
}

#[test]
fn the_speed_of_the_disk_is_limited() {
    // Buildroots of other tests may be in memory.
    let disk = match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            return skip_here("the tests' directory is read-only");
        }
        disk => disk.unwrap(),
    };
    let Some(fixture) = crate::fixture::fixture() else { return };
    let store = Some(disk.path().join("store"));
    let case = Case::new(fixture, Kind::own(), "speed", store);
    let copies = "dd if=/dev/zero of=file bs=1M count=3 oflag=direct";
    let seconds = || case.outcome("result")["stages"][3]["seconds"].as_f64().unwrap();
    build(&case, &spec(&case, copies), &[]).succeeds();
    let unlimited = seconds();
    // On a host for several builds there is a limit by default. Where it cannot be, that is told.
    let shown = program(&case, &["limits", "show", "--slots", "2"]);
    assert!(shown.contains("\nio_write     400 MiB/s"), "{shown}");
    let text = "threads_count: 3\nalbs_node:\n  limits: {io_read: 70M}\n";
    let shown = program(&case, &["limits", "show", "-c", &case.file("node.yml", text.as_bytes())]);
    assert!(shown.contains("\nio_write     400 MiB/s"), "{shown}");
    assert!(shown.contains("\nio_read      70 MiB/s     class albs_node.limits: 70M"), "{shown}");
    build(&case, &spec(&case, copies), &["--slots", "2"]).succeeds();
    let cgroup = case.outcome("result")["stages"][3]["isolation"]["cgroup"].clone();
    let is_told = |how: &str, what| cgroup[how].as_str().is_some_and(|text| text.contains(what));
    assert!(cgroup == "full" || is_told("partial", "io write") || is_told("off", ""), "{cgroup}");
    let run = build(&case, &spec(&case, copies), &["--io-write", "1M"]);
    if run.stderr.contains("the disk of the builds is not known") {
        return skip_here("what is below the tests' directory is no disk");
    }
    run.succeeds();
    // The last mebibyte may be on its way when dd ends.
    assert!(seconds() > unlimited + 1.5, "{} s, {unlimited} s without limit", seconds());
    case.nothing_left();
    // Files in it may be owned by ids that this user is not.
    case.run(&["clean", "--all"]).succeeds();
}
