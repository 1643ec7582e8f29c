//! Build dependencies as layers: what is shared, that it is what a fresh root would be, and that
//! nothing is lost or left when it goes wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::case::{Case, Run, Running};
use crate::fixture::Kind;
use crate::repository::{Repository, section};

/// A spec that requires something and lists the packages of its root in its log.
pub(crate) fn spec(case: &Case, name: &str, requires: &[&str]) -> String {
    spec_that_does(case, name, requires, "")
}

/// One that lists all of its root, which takes a while.
fn listing_spec(case: &Case, name: &str, requires: &[&str]) -> String {
    let lists = "find / -xdev ! -path '/builddir*' ! -path '/tmp*' ! -path '/var/tmp*' ! -path '/run*' \
         ! -path '/var/lib/rpm*' -printf 'entry %p %y %m %U %G %l\\n' | LC_ALL=C sort\n\
         find / -xdev -type f ! -path '/builddir*' ! -path '/var/tmp*' ! -path '/var/lib/rpm*' ! -path '/var/cache/*' \
         ! -path '/tmp*' ! -path '/var/lib/dnf*' -readable -exec sha256sum {} + | sed 's/^/sum /' | LC_ALL=C sort\n";
    spec_that_does(case, name, requires, lists)
}

fn spec_that_does(case: &Case, name: &str, requires: &[&str], more: &str) -> String {
    let requires: String = requires.iter().map(|one| format!("BuildRequires: {one}\n")).collect();
    let text = format!(
        "%global debug_package %{{nil}}\nName: {name}\nVersion: 1\nRelease: 1\nSummary: s\n\
         License: MIT\nBuildArch: noarch\n{requires}%description\n.\n%prep\n%build\n\
         rpm -qa --qf 'package %{{nevra}}\\n' | sort\n{more}%install\n%files\n"
    );
    case.file(&format!("{name}.spec"), text.as_bytes())
}

fn build(case: &Case, spec: &str) -> Run {
    build_with(case, &["-r", &case.config()], spec)
}

/// Builds into an empty result directory, with these arguments besides.
pub(crate) fn build_with(case: &Case, args: &[&str], spec: &str) -> Run {
    let _ = fs::remove_dir_all(case.result("result"));
    start_with(case, args, spec, "result").end()
}

fn start<'a>(case: &'a Case, spec: &str, result: &str) -> Running<'a> {
    start_with(case, &["-r", &case.config()], spec, result)
}

fn start_with<'a>(case: &'a Case, args: &[&str], spec: &str, result: &str) -> Running<'a> {
    let empty = case.fixture.base.join("empty").display().to_string();
    let result = case.result(result).display().to_string();
    let own = ["--spec", spec, "--sources", &empty, "--resultdir", &result];
    case.start(&[&["build"], args, &own[..]].concat())
}

/// What the spec has listed of its root.
fn listing(case: &Case) -> Vec<String> {
    let log = case.log("build.log");
    let words = ["package ", "entry ", "sum "];
    let lines: Vec<String> = log
        .lines()
        .filter(|line| words.iter().any(|word| line.starts_with(word)))
        .map(str::to_owned)
        .collect();
    assert!(lines.len() > 1000, "{}", lines.len());
    lines
}

/// Asserts that two listings are the same, and shows only what is not.
pub(crate) fn same(found: &[String], wanted: &[String]) {
    let set = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<String>>();
    let (found, wanted) = (set(found), set(wanted));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).cloned().collect()
    };
    let (more, less) = (only(&found, &wanted), only(&wanted, &found));
    assert!(more.is_empty() && less.is_empty(), "only here: {more:#?}\nmissing: {less:#?}");
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn entries(case: &Case) -> Vec<Value> {
    let run = case.run(&["buildroot", "list", "--json"]);
    run.succeeds();
    let text: Value = serde_json::from_str(&run.stdout).unwrap();
    text["entries"].as_array().unwrap().clone()
}

#[test]
fn dependencies_are_installed_once() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "layers") else { return };
        let one = listing_spec(&case, "one", &["zlib-devel"]);
        build(&case, &one).succeeds();
        let fresh = listing(&case);
        let dnf = |case: &Case| case.log("root.log").contains("--installroot");
        assert!(dnf(&case));

        let run = build(&case, &one);
        run.succeeds();
        assert!(!dnf(&case), "{}", case.log("root.log"));
        same(&listing(&case), &fresh);
        assert!(case.log("installed_pkgs.log").contains("zlib-devel-1.2.13"));

        // Another package with requirements that come to the same.
        let other = listing_spec(&case, "other", &["zlib-devel", "zlib-devel >= 1"]);
        build(&case, &other).succeeds();
        same(&listing(&case), &fresh);
        let kinds = |entries: &[Value]| {
            let kind = |entry: &Value| entry["kind"].as_str().unwrap().to_owned();
            entries.iter().map(kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&entries(&case)), ["dependencies", "dependencies", "root"]);

        // Nothing is required besides the root, which is a layer without packages.
        build(&case, &spec(&case, "none", &[])).succeeds();
        assert_eq!(
            kinds(&entries(&case)),
            ["dependencies", "dependencies", "dependencies", "root"]
        );
        case.nothing_left();
    }
}

#[test]
fn what_is_damaged_is_found_and_made_anew() {
    let Some(case) = Case::alone(Kind::Root, "damaged") else { return };
    let one = listing_spec(&case, "one", &["zlib-devel"]);
    build(&case, &one).succeeds();
    let fresh = listing(&case);
    case.run(&["buildroot", "verify"]).succeeds();
    let layer = || directories(&case.store.join("layers")).remove(0);
    let header = layer().join("upper/usr/include/zlib.h");
    let damage = |header: &Path| {
        let time = fs::metadata(header).unwrap().modified().unwrap();
        let mut content = fs::read(header).unwrap();
        content[100] ^= 1;
        fs::write(header, content).unwrap();
        fs::File::options().write(true).open(header).unwrap().set_modified(time).unwrap();
    };
    damage(&header);
    let run = case.run(&["buildroot", "verify"]);
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stdout.contains("usr/include/zlib.h") && run.stdout.contains("1 of 2 intact"));
    build(&case, &one).succeeds();
    same(&listing(&case), &fresh);

    // After the host was started anew, it is found by the build itself.
    damage(&header);
    for dir in directories(&case.store.join("layers")) {
        fs::write(dir.join("boot"), "another boot\n").unwrap();
    }
    let run = build(&case, &one);
    run.succeeds();
    assert!(case.log("root.log").contains("is made anew"), "{run:?}");
    same(&listing(&case), &fresh);
    case.nothing_left();
}

#[test]
fn room_is_made_and_explained() {
    let Some(case) = Case::alone(Kind::Subids, "room") else { return };
    let config = case.config();
    let explained = |case: &Case| {
        let run = case.run(&["buildroot", "explain", "-r", &config]);
        run.succeeds();
        run.stdout
    };
    assert!(explained(&case).contains("not there"));
    build(&case, &spec(&case, "one", &["zlib-devel"])).succeeds();
    assert!(explained(&case).contains(": there\n"));
    let srpm = case.result("result/one-1-1.src.rpm").display().to_string();
    let run = case.run(&["buildroot", "explain", "-r", &config, &srpm]);
    assert!(run.stdout.contains("\ndependencies local-x86_64-"), "{run:?}");

    let run = case.run(&["buildroot", "gc", "--max-age", "1h"]);
    assert_eq!(run.stdout, "0 B freed\n");
    let size = entries(&case).last().unwrap()["size"]["bytes"].as_u64().unwrap() + 1000;
    let run = case.run(&["buildroot", "gc", "--max-size", &size.to_string(), "--dry-run"]);
    assert!(run.stdout.starts_with("would remove dependencies "), "{run:?}");
    assert_eq!(entries(&case).len(), 2);
    case.run(&["buildroot", "gc", "--max-size", &size.to_string()]).succeeds();
    assert_eq!(entries(&case).len(), 1);
    assert_eq!(fs::read_dir(case.store.join("wants")).unwrap().count(), 0);
    case.run(&["buildroot", "gc", "--max-size", "1"]).succeeds();
    assert_eq!(entries(&case).len(), 0);
    build(&case, &spec(&case, "one", &["zlib-devel"])).succeeds();
    case.nothing_left();
}

#[test]
fn many_builds_at_once_give_what_they_give_alone() {
    let Some(case) = Case::alone(Kind::own(), "at-once") else { return };
    let sets: [&[&str]; 4] = [&["zlib-devel"], &["gettext"], &["zlib-devel", "gettext"], &["make"]];
    let specs: Vec<String> = (0..8)
        .map(|number| spec(&case, &format!("p{number}"), sets[number % sets.len()]))
        .collect();
    let running: Vec<_> = specs
        .iter()
        .enumerate()
        .map(|(number, spec)| start(&case, spec, &format!("result{number}")))
        .collect();
    running.into_iter().for_each(|running| running.end().succeeds());
    let together: Vec<Vec<String>> = (0..8).map(|number| packages(&case, number)).collect();
    for (number, spec) in specs.iter().enumerate() {
        start(&case, spec, &format!("result{number}")).end().succeeds();
        assert_eq!(packages(&case, number), together[number]);
    }
    case.nothing_left();
}

/// What was installed for one of several builds.
fn packages(case: &Case, number: usize) -> Vec<String> {
    let path = case.result(&format!("result{number}/build.log"));
    let log = fs::read_to_string(path).unwrap();
    let lines = log.lines().filter(|line| line.starts_with("package "));
    lines.map(str::to_owned).collect()
}

/// Kills two builds and a collector at instants that differ; `ALBS_NODE_KILLS` says how often.
#[test]
fn kills_at_any_instant_leave_a_whole_store() {
    let Some(case) = Case::alone(Kind::own(), "kills") else { return };
    let kills: u64 =
        std::env::var("ALBS_NODE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let one = spec(&case, "one", &["zlib-devel"]);
    let two = spec(&case, "two", &["gettext"]);
    // Steps of an irrational number of milliseconds meet every phase sooner or later.
    for round in 0..kills {
        let after = (round * 1618 + 300) % 7000;
        let _ = fs::remove_dir_all(case.result("result"));
        let (first, second) = (start(&case, &one, "result"), start(&case, &two, "result2"));
        std::thread::sleep(std::time::Duration::from_millis(after));
        let collector = case.start(&["buildroot", "gc", "--max-size", "1"]);
        first.signal(Signal::SIGKILL);
        first.end();
        collector.signal(Signal::SIGKILL);
        collector.end();
        if round % 2 == 0 {
            second.signal(Signal::SIGKILL);
            second.end();
        } else {
            second.end().succeeds();
        }
        case.run(&["buildroot", "verify"]).succeeds();
    }
    build(&case, &one).succeeds();
    build(&case, &two).succeeds();
    case.nothing_left();
}

#[test]
fn repositories_that_change_meanwhile_are_looked_at_again() {
    let Some(case) = Case::alone(Kind::Root, "moving") else { return };
    let moving = Repository::new(&case, "moving");
    let package = |version: &str, rest: &str| {
        format!(
            "Name: slow\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: MIT\n\
             BuildArch: noarch\n%description\n.\n{rest}%files\n"
        )
    };
    moving.add_spec("slow-1", &package("1", "%post\nsleep 3\n"));
    moving.publish();
    let config = case.config_plus("moving", &section(&moving.baseurl(), "gpgcheck=0"));
    case.run(&["init", "-r", &config]).succeeds();
    let needs = "Name: needs\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n\
                 BuildRequires: slow\n%description\n.\n%files\n";
    let spec = case.file("needs.spec", needs.as_bytes());
    let empty = case.fixture.base.join("empty").display().to_string();
    let result = case.result("result").display().to_string();
    let args = ["build", "-r", &config, "--spec", &spec, "--sources", &empty, "--resultdir"];
    let mut running = case.start(&[&args[..], &[&result, "--json"]].concat());
    running.wait_for_output("slow-1-1");
    moving.add_spec("slow-2", &package("2", ""));
    moving.publish();
    let run = running.end();
    run.succeeds();
    let told = "have changed while build dependencies were installed";
    assert!(run.stdout.contains(told), "{run:?}");
    // What was installed is not taken for what those repositories have.
    let known = fs::read_dir(case.store.join("wants")).unwrap().flatten();
    let known: Vec<_> = known.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(
        known.iter().all(|name| name.contains("settled") || name.ends_with(".lock")),
        "{known:?}"
    );
    let again = case.run(&[&args[..], &[&result]].concat());
    again.succeeds();
    let installed = fs::read_to_string(case.result("result/installed_pkgs.log")).unwrap();
    assert!(installed.contains("slow-2-1"), "{installed}");
}
