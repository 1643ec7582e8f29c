//! Real software becomes packages that look right, and that install and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::case::{Case, host};
use crate::fixture::{Kind, fixture};
use crate::outcome;

/// Builds a spec of the repository with its sources into the result directory `result`.
fn build(case: &Case, name: &str, result: &str, more: &[&str]) -> Value {
    let sources = case.fixture.base.join("sources").display().to_string();
    let (config, spec) = (case.config(), case.spec(name));
    let dir = case.result(result);
    let mut args = vec!["build", "-r", &config, "--spec", &spec, "--sources", &sources];
    let shown = dir.display().to_string();
    args.extend(["--resultdir", &shown]);
    args.extend(more);
    let run = case.run(&args);
    run.succeeds();
    assert!(run.stdout.starts_with("built "), "{run:?}");
    case.nothing_left();
    case.outcome(result)
}

/// The result directory of hello, zlib or lua, built once by an ordinary user.
pub(crate) fn built(name: &'static str) -> Option<&'static Path> {
    static BUILT: [OnceLock<PathBuf>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
    fixture()?;
    let index = ["hello", "zlib", "lua"].iter().position(|known| *known == name).unwrap();
    let path = BUILT[index].get_or_init(|| {
        let case = Case::shared(Kind::Subids, name).unwrap();
        let outcome = build(&case, name, "result", &[]);
        let result = case.result("result");
        outcome::succeeded(&outcome, &result, Kind::Subids, &package(&outcome, name));
        case.keep();
        result
    });
    Some(path)
}

fn package(outcome: &Value, name: &str) -> String {
    let nvr = outcome["package"].as_str().unwrap();
    assert!(nvr.starts_with(&format!("{name}-")) && nvr.ends_with(".local1"), "{nvr}");
    nvr.to_owned()
}

/// The packages in a result directory.
pub(crate) fn rpms(result: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(result)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rpm"))
        .collect();
    paths.sort();
    paths
}

/// The source package in a result directory.
pub(crate) fn source_package(result: &Path) -> PathBuf {
    let is_source = |path: &PathBuf| path.to_string_lossy().ends_with(".src.rpm");
    rpms(result).into_iter().find(is_source).unwrap()
}

/// The package whose name, without version, is `name`.
fn one(result: &Path, name: &str) -> PathBuf {
    let format = ["-qp".as_ref(), "--qf".as_ref(), "%{name}".as_ref()];
    let is = |path: &&PathBuf| {
        let source = path.to_string_lossy().ends_with(".src.rpm");
        !source && host("rpm", &[&format[..], &[path.as_ref()]].concat()) == name
    };
    rpms(result).iter().find(is).unwrap_or_else(|| panic!("no {name} in {result:?}")).clone()
}

fn query(rpm: &Path, what: &str) -> Vec<String> {
    let text = host("rpm", &["-qp".as_ref(), what.as_ref(), rpm.as_ref()]);
    text.lines().map(str::to_owned).collect()
}

/// What holds for every build: checksums, names, no trace of the place where it was built, logs.
fn looks_right(result: &Path, names: &[&str]) {
    let mut found: Vec<String> = Vec::new();
    for rpm in rpms(result) {
        let checked = host("rpm", &["-K".as_ref(), rpm.as_ref()]);
        assert!(checked.trim_end().ends_with("OK") && !checked.contains("NOT"), "{checked}");
        let source = rpm.to_string_lossy().ends_with(".src.rpm");
        let files = query(&rpm, "-l");
        let all = [files.clone(), query(&rpm, "--requires"), query(&rpm, "--provides")].concat();
        for line in &all {
            assert!(!line.contains("/builddir") && !line.contains("BUILDROOT"), "{rpm:?}: {line}");
        }
        let owners = query(&rpm, "--qf=[%{fileusername}:%{filegroupname}\n]");
        if source {
            found.push("src".to_owned());
        } else {
            assert!(files.iter().all(|file| file.starts_with('/')), "{files:?}");
            assert!(owners.iter().all(|owner| owner == "root:root"), "{owners:?}");
            found.extend(query(&rpm, "--qf=%{name}\n"));
        }
        // As mock has it, unless the config says otherwise.
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(query(&rpm, "--qf=%{buildhost}\n"), [host_name.trim()]);
    }
    found.sort();
    assert_eq!(found, names);
    logs(result);
}

fn logs(result: &Path) {
    let log = |name: &str| fs::read_to_string(result.join(name)).unwrap();
    let build = log("build.log");
    for text in ["Executing(%prep)", "Executing(%build)", "Executing(%check)", "Wrote: "] {
        assert!(build.contains(text), "{text} in build.log");
    }
    let (build, bill) = build.rsplit_once("\n\n").expect("a table at the end");
    assert!(build.ends_with("Child return code was: 0"), "{build}");
    let stages: Vec<&str> =
        bill.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(
        stages,
        ["stage", "bootstrap", "srpm", "install", "rpmbuild", "collect", "all"],
        "{bill}"
    );
    let root = log("root.log");
    assert!(root.lines().all(|line| line.starts_with("DEBUG ")), "{root}");
    assert!(root.contains("builddep") || root.contains("from an earlier build"), "{root}");
    let state = log("state.log");
    let lines: Vec<&str> = state.lines().map(|line| line.split_once(" - ").unwrap().1).collect();
    assert_eq!(lines.len(), 10, "{state}");
    for pair in lines.chunks(2) {
        assert_eq!(pair[0].replace("Start: ", "Finish: "), pair[1]);
    }
    let installed = log("installed_pkgs.log");
    assert!(installed.lines().any(|line| line.starts_with("gcc-")), "{installed}");
    for line in installed.lines() {
        // NEVRA, build time, size, checksum, time of installation.
        let fields: Vec<&str> = line.split(' ').collect();
        assert!(fields.len() == 5 && fields[3].len() == 32, "{line}");
        assert!([1, 2, 4].iter().all(|n| fields[*n].parse::<u64>().is_ok()), "{line}");
    }
    let hardware = log("hw_info.log");
    for title in ["CPU info:", "Memory info:", "Storage info:"] {
        assert!(hardware.contains(title), "{hardware}");
    }
    let mut names: Vec<String> = fs::read_dir(result)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".rpm"))
        .collect();
    names.sort();
    let expected =
        ["build.log", "hw_info.log", "installed_pkgs.log", "outcome.json", "root.log", "state.log"];
    assert_eq!(names, expected);
}

fn has(lines: &[String], wanted: &[&str]) {
    for text in wanted {
        assert!(lines.iter().any(|line| line.starts_with(text)), "{text} in {lines:#?}");
    }
}

#[test]
fn hello_is_built() {
    let Some(result) = built("hello") else { return };
    looks_right(result, &["hello", "hello-debuginfo", "hello-debugsource", "src"]);
    let hello = one(result, "hello");
    has(
        &query(&hello, "-l"),
        &["/usr/bin/hello", "/usr/share/man/man1/hello.1", "/usr/share/locale/de/"],
    );
    has(&query(&hello, "--requires"), &["libc.so.6(", "rtld(GNU_HASH)"]);
    let debug = query(&one(result, "hello-debuginfo"), "-l");
    has(&debug, &["/usr/lib/debug/usr/bin/hello", "/usr/lib/debug/.build-id/"]);
    has(&query(&one(result, "hello-debugsource"), "-l"), &["/usr/src/debug/hello-2.10"]);
}

#[test]
fn zlib_is_built() {
    let Some(result) = built("zlib") else { return };
    let names = ["src", "zlib", "zlib-debuginfo", "zlib-debugsource", "zlib-devel", "zlib-static"];
    looks_right(result, &names);
    let zlib = one(result, "zlib");
    has(&query(&zlib, "--provides"), &["libz.so.1(", "libz.so.1()(64bit)"]);
    has(&query(&zlib, "--requires"), &["libc.so.6("]);
    let devel = query(&one(result, "zlib-devel"), "--requires");
    has(&devel, &["zlib(x86-64) = 1.2.13-10"]);
    has(&query(&one(result, "zlib-debuginfo"), "-l"), &["/usr/lib/debug/usr/lib/"]);
}

#[test]
fn lua_is_built() {
    let Some(result) = built("lua") else { return };
    let names = ["lua", "lua-debuginfo", "lua-debugsource", "lua-devel", "lua-libs", "src"];
    looks_right(result, &names);
    let lua = query(&one(result, "lua"), "--requires");
    has(&lua, &["liblua-5.4.so()(64bit)", "libreadline.so.", "lua-libs(x86-64) = 5.4.4-10"]);
    has(
        &query(&one(result, "lua-libs"), "--provides"),
        &["liblua-5.4.so()(64bit)", "lua(abi) = 5.4"],
    );
    has(&query(&one(result, "lua-devel"), "--provides"), &["lua-devel(x86-64) = 5.4.4-10"]);
}

/// File lists and dependencies of all binary packages.
fn content(result: &Path) -> Vec<(String, Vec<String>)> {
    rpms(result)
        .iter()
        .filter(|rpm| !rpm.to_string_lossy().ends_with(".src.rpm"))
        .map(|rpm| {
            let name = rpm.file_name().unwrap().to_string_lossy().into_owned();
            // Build ids are hashes of paths and flags, which are the same everywhere.
            let format = "--qf=[%{filenames} %{filemodes:perms} %{fileusername}\n]";
            (name, [query(rpm, format), query(rpm, "--requires")].concat())
        })
        .collect()
}

#[test]
fn every_kind_of_user_gets_the_same() {
    let Some(expected) = built("zlib") else { return };
    for kind in Kind::possible(&[Kind::Root, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "zlib-too") else { return };
        let outcome = build(&case, "zlib", "result", &[]);
        let result = case.result("result");
        outcome::succeeded(&outcome, &result, kind, &package(&outcome, "zlib"));
        assert_eq!(content(&result), content(expected), "{kind:?}");
    }
}

#[test]
fn a_source_package_builds_to_the_same() {
    let Some(expected) = built("zlib") else { return };
    let Some(case) = Case::shared(Kind::Subids, "rebuild") else { return };
    let source = source_package(expected).display().to_string();
    let result = case.result("result");
    let shown = result.display().to_string();
    case.run(&["build", "-r", &case.config(), "--resultdir", &shown, &source]).succeeds();
    let outcome = case.outcome("result");
    outcome::succeeded(&outcome, &result, Kind::Subids, &package(&outcome, "zlib"));
    assert_eq!(content(&result), content(expected));
    looks_right(
        &result,
        &["src", "zlib", "zlib-debuginfo", "zlib-debugsource", "zlib-devel", "zlib-static"],
    );
    case.nothing_left();
}

#[test]
fn several_source_packages_get_a_directory_each() {
    let Some(case) = Case::shared(Kind::Subids, "several") else { return };
    case.build("bad/small", &[]).succeeds();
    let source = source_package(&case.result("result"));
    let second = case.dir.join("second.src.rpm");
    fs::copy(&source, &second).unwrap();
    let broken = case.file("broken.src.rpm", b"not a package");
    let (source, second) = (source.display().to_string(), second.display().to_string());
    let all = case.result("all").display().to_string();
    let args = ["build", "-r", &case.config(), "--resultdir", &all, &broken, &source, &second];
    // The good ones are built although the first is bad, which gives the status.
    let run = case.run(&args);
    run.fails(40, "the source package is not usable");
    run.tells("broken.src.rpm is not a package, or is incomplete");
    for name in ["small-1-1.local1", "second"] {
        assert_eq!(case.outcome(&format!("all/{name}"))["verdict"]["result"], "success", "{name}");
    }
    assert_eq!(case.outcome("all/broken")["verdict"]["result"], "failure");
    case.nothing_left();
}

#[test]
fn definitions_and_limits_reach_rpmbuild() {
    let Some(case) = Case::shared(Kind::Root, "defined") else { return };
    let more = ["-D", "dist .x", "-D", "greeting good  morning", "--cpus", "1"];
    case.build("bad/small", &more).succeeds();
    let names: Vec<String> = rpms(&case.result("result"))
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["small-1-1.x.noarch.rpm", "small-1-1.x.src.rpm"]);
    let log = case.log("build.log");
    assert!(log.contains("jobs: 1 -j1 1\n"), "{log}");
    assert!(log.contains("greeting: good  morning\n"), "{log}");
    let limits = &case.outcome("result")["limits"];
    assert_eq!(limits["cpus"]["value"], 1.0, "{limits}");
    // Where the limit was to hold, it did, whatever else ran in that stage.
    let outcome = case.outcome("result");
    for index in [1, 2, 3] {
        let stage = &outcome["stages"][index];
        assert_eq!(stage["isolation"]["cgroup"], "full", "{stage}");
    }
    case.nothing_left();
}
