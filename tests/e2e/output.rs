//! What is printed, for people and for programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use crate::case::Case;
use crate::fixture::Kind;

/// Everything in a store but the insides of buildroots, with the time of its last change.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut all = BTreeMap::new();
    let mut open = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let metadata = entry.metadata().unwrap();
            all.insert(entry.path(), metadata.modified().unwrap());
            if metadata.is_dir() && depth < 2 {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    all
}

#[test]
fn a_plan_does_nothing() {
    let Some(case) = Case::alone(Kind::Subids, "plan") else { return };
    let more = ["--plan", "-D", "dist .x", "--timeout", "90", "--memory", "2G", "--cpus", "1.5"];
    let first = case.build("hello", &more);
    first.succeeds();
    let plan: Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!(plan["config"], "local-x86_64");
    assert_eq!(plan["buildroot_exists"], false);
    assert!(plan["source"]["spec"]["spec"].as_str().unwrap().ends_with("/hello.spec"));
    assert_eq!(plan["limits"]["memory_bytes"]["value"], 2u64 << 30);
    assert_eq!(plan["ids"]["uids"][0]["outside"], 6_100_000);
    let stages = plan["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bootstrap", "srpm", "install", "rpmbuild", "collect"]);
    for stage in stages {
        let name = stage["name"].as_str().unwrap();
        let manager = ["bootstrap", "install"].contains(&name);
        assert_eq!(stage["network"], if manager { "filtered_or_host" } else { "none" }, "{stage}");
        let built = ["srpm", "rpmbuild"].contains(&name);
        assert_eq!(stage["user"]["uid"], if built { 1000 } else { 0 }, "{stage}");
        assert_eq!(stage["capabilities"].as_array().unwrap().is_empty(), built, "{stage}");
        assert_eq!(stage["timeout_ms"] == 90_000, built, "{stage}");
    }
    assert!(stages[0]["commands"].to_string().contains("redhat-rpm-config"));
    assert!(stages[3]["commands"].to_string().contains("rpmbuild -bb"));
    assert!(!case.result("result").exists());
    assert!(snapshot(&case.store).is_empty());
    assert_eq!(case.build("hello", &more).stdout, first.stdout);
    case.nothing_left();
}

#[test]
fn events_are_json_and_nothing_else() {
    let Some(case) = Case::shared(Kind::Subids, "json") else { return };
    let run = case.build("bad/small", &["--json"]);
    run.succeeds();
    assert_eq!(run.stderr, "");
    let events = events(&run.stdout);
    let kinds: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (text(event, "event"), text(event, "stage")))
        .filter(|(event, _)| !["line", "note"].contains(event))
        .collect();
    let stages = ["bootstrap", "srpm", "install", "rpmbuild", "collect"];
    let mut expected: Vec<(&str, &str)> = stages
        .iter()
        .flat_map(|stage| [("stage_started", *stage), ("stage_finished", *stage)])
        .collect();
    expected.push(("finished", ""));
    assert_eq!(kinds, expected);
    assert!(events.iter().any(|event| text(event, "line").starts_with("jobs: ")));
    let last = &events[events.len() - 1];
    assert_eq!(last["outcome"], case.outcome("result"));

    let failed = case.build("bad/failing-check", &["--json"]);
    failed.fails(10, "rpmbuild -bb failed in %check");
    let events = self::events(&failed.stdout);
    let last = &events[events.len() - 1]["outcome"];
    assert_eq!(last["verdict"]["section"], "%check");
    case.nothing_left();
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

fn events(stdout: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    stdout.lines().map(parse).collect()
}

#[test]
fn quiet_is_quiet() {
    let Some(case) = Case::shared(Kind::NoSubids, "quiet") else { return };
    let run = case.build("bad/small", &["--quiet"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    let failed = case.build("bad/failing-check", &["--quiet"]);
    failed.fails(10, "rpmbuild -bb failed in %check");
    assert_eq!(failed.stdout, "");
    assert!(failed.stderr.starts_with("error: "), "{failed:?}");
    case.nothing_left();
}

#[test]
fn a_reader_that_goes_away_ends_no_build() {
    let Some(mut case) = Case::shared(Kind::Subids, "closed") else { return };
    // Both are pipes that nobody reads from.
    let wrapper = "set -o pipefail; { \"$@\" 2>&1; echo $? > \"$0\"; } | true";
    let status = case.dir.join("status");
    case.prefix =
        ["bash", "-c", wrapper, &status.display().to_string()].map(str::to_owned).to_vec();
    for more in [&["--json"][..], &["--verbose"], &[]] {
        case.build("bad/small", more);
        assert_eq!(fs::read_to_string(&status).unwrap(), "0\n", "{more:?}");
        assert_eq!(case.outcome("result")["verdict"]["result"], "success");
    }
    case.build("bad/failing-check", &[]);
    assert_eq!(fs::read_to_string(&status).unwrap(), "10\n");
    case.nothing_left();
}

#[test]
fn the_doctor_looks_and_leaves_nothing() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "doctor") else { return };
        let run = case.run(&["doctor", "--json"]);
        run.succeeds();
        let checks: Value = serde_json::from_str(&run.stdout).unwrap();
        let state = |name: &str| {
            let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
            check.unwrap_or_else(|| panic!("{checks}"))["state"].clone()
        };
        assert_eq!((state("sandbox"), state("overlayfs")), ("ok".into(), "ok".into()), "{checks}");
        let ids = if kind == Kind::NoSubids { "limited" } else { "ok" };
        assert_eq!(state("user ids"), ids, "{checks}");
        let left: Vec<_> = std::fs::read_dir(&case.store).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let run = case.run_in(Path::new("/proc/nothing/here"), &["doctor", "--json"]);
        assert_eq!(run.status, 1, "{run:?}");
        let checks: Value = serde_json::from_str(&run.stdout).unwrap();
        let missing = |check: &&Value| check["state"] == "missing";
        let names: Vec<&Value> =
            checks.as_array().unwrap().iter().filter(missing).map(|check| &check["name"]).collect();
        assert_eq!(names, ["store"], "{checks}");
        case.nothing_left();
    }
}
