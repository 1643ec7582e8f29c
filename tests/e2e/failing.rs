//! Builds that fail, each with the verdict that says why.

use crate::case::{Case, verdict};
use crate::fixture::Kind;

#[test]
fn a_build_dependency_is_missing() {
    let Some(case) = Case::shared(Kind::Subids, "dependency") else { return };
    let run = case.build("bad/missing-dependency", &[]);
    run.fails(
        30,
        "installing build dependencies failed: a package is missing from the repositories",
    );
    run.tells("no-such-library-devel >= 7");
    let outcome = case.outcome("result");
    verdict(&outcome, "install", "dependency");
    let evidence = outcome["verdict"]["evidence"][0].as_str().unwrap();
    assert!(evidence.contains("no-such-library-devel >= 7"), "{evidence}");
    assert_eq!(outcome["verdict"]["retryable"], false);
    case.nothing_left();
}

#[test]
fn a_spec_cannot_be_parsed() {
    let Some(case) = Case::shared(Kind::NoSubids, "unparsable") else { return };
    let run = case.build("bad/unparsable", &[]);
    run.fails(10, "rpmbuild -bs failed with exit status 1");
    run.tells("Unclosed %if");
    verdict(&case.outcome("result"), "srpm", "package");
    case.nothing_left();
}

#[test]
fn the_compiler_fails() {
    let Some(case) = Case::shared(Kind::Subids, "compiler") else { return };
    let run = case.build("bad/failing-build", &[]);
    run.fails(10, "rpmbuild -bb failed in %build");
    run.tells("'undeclared' undeclared");
    run.tells("build.log");
    let outcome = case.outcome("result");
    verdict(&outcome, "rpmbuild", "package");
    assert_eq!(outcome["verdict"]["section"], "%build");
    let evidence = outcome["verdict"]["evidence"].to_string();
    assert!(evidence.contains("mistake.c:1"), "{evidence}");
    // What was made before the failure is there and listed.
    crate::outcome::artifacts(&outcome["artifacts"], &case.result("result"));
    assert_eq!(outcome["artifacts"].as_array().unwrap().len(), 1);
    case.nothing_left();
}

#[test]
fn a_check_fails() {
    let Some(case) = Case::shared(Kind::NoSubids, "check") else { return };
    let run = case.build("bad/failing-check", &[]);
    run.fails(10, "rpmbuild -bb failed in %check");
    run.tells("1 of 3 tests failed");
    assert_eq!(case.outcome("result")["verdict"]["section"], "%check");
    case.nothing_left();
}

#[test]
fn a_file_is_missing() {
    let Some(case) = Case::shared(Kind::Subids, "missing-file") else { return };
    let run = case.build("bad/missing-file", &[]);
    run.fails(10, "rpmbuild -bb failed with exit status 1");
    run.tells("/usr/share/forgotten");
    let outcome = case.outcome("result");
    verdict(&outcome, "rpmbuild", "package");
    assert!(outcome["verdict"]["section"].is_null());
    case.nothing_left();
}

#[test]
fn a_daemon_does_not_outlive_the_build() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "daemon") else { return };
        let started = std::time::Instant::now();
        case.build("bad/daemon", &[]).succeeds();
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
        let log = case.log("build.log");
        assert!(log.contains("the daemon runs"), "{log}");
        assert!(log.contains("Killed 1 processes that the command left"), "{log}");
        case.nothing_left();
    }
}

#[test]
fn a_fork_bomb_meets_the_limit() {
    let Some(case) = Case::shared(Kind::Root, "fork-bomb") else { return };
    let run = case.build("bad/fork-bomb", &["--pids", "60", "--timeout", "60"]);
    run.fails(10, "rpmbuild -bb reached the limit of 60 processes in %build");
    run.tells("hint: try --pids 120");
    let outcome = case.outcome("result");
    verdict(&outcome, "rpmbuild", "resource");
    assert!(outcome["usage"]["pids_refused"].as_u64().unwrap() > 0);
    assert_eq!(outcome["limits"]["pids"]["value"], 60);
    case.nothing_left();
}

#[test]
fn a_memory_hog_meets_the_limit() {
    let Some(case) = Case::shared(Kind::Root, "memory-hog") else { return };
    let run = case.build("bad/memory-hog", &["--memory", "256M", "--timeout", "60"]);
    run.fails(10, "rpmbuild -bb hit the memory limit of 256 MiB in %build");
    run.tells("hint: try --memory 512M");
    let outcome = case.outcome("result");
    verdict(&outcome, "rpmbuild", "resource");
    assert!(outcome["usage"]["oom_kills"].as_u64().unwrap() > 0);
    let peak = outcome["usage"]["memory_peak_bytes"].as_u64().unwrap();
    assert!(peak <= 256 << 20 && peak > 200 << 20, "{peak}");
    let limit = serde_json::json!({"name": "memory", "value": 256 << 20, "used": peak});
    assert_eq!(outcome["verdict"]["limit"], limit);
    // It may have been too fast to be seen.
    let is_told = run.stderr.contains("as the largest process");
    assert_eq!(outcome["stages"][3]["largest"]["bytes"].is_u64(), is_told, "{outcome:#}");
    assert!(!case.log("build.log").lines().any(|line| line == "survived"));
    case.nothing_left();
}

#[test]
fn limits_that_cannot_be_enforced_are_refused() {
    let Some(case) = Case::shared(Kind::Subids, "no-limits") else { return };
    let delegated = std::fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    if delegated {
        return crate::fixture::skip("control groups may be delegated to ordinary users here");
    }
    for limit in [["--memory", "1G"], ["--pids", "100"], ["--cpus", "1"]] {
        let run = case.build("bad/small", &limit);
        run.fails(80, "the sandbox for");
        run.tells("no control group hierarchy that has its controller is writable for this user");
        run.tells("hint: run as root");
        case.nothing_left();
    }
}

#[test]
fn the_time_limit_ends_everything() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids]) {
        let Some(case) = Case::shared(kind, "timeout") else { return };
        let run = case.build("bad/sleeps", &["--timeout", "5"]);
        run.fails(11, "rpmbuild -bb was killed at the time limit, after ");
        let outcome = case.outcome("result");
        verdict(&outcome, "rpmbuild", "timeout");
        assert!(case.log("build.log").contains("now sleeping"));
        let seconds = outcome["stages"][3]["seconds"].as_f64().unwrap();
        assert!((5.0..15.0).contains(&seconds), "{seconds}");
        let limit = &outcome["verdict"]["limit"];
        assert_eq!((&limit["name"], &limit["value"]), (&"timeout".into(), &5.into()), "{limit}");
        case.nothing_left();
    }
}

#[test]
fn the_time_limit_holds_for_parsing() {
    let Some(case) = Case::shared(Kind::NoSubids, "timeout-parsing") else { return };
    let run = case.build("bad/sleeps-parsing", &["--timeout", "1.5"]);
    run.fails(11, "rpmbuild -bs was killed at the time limit");
    verdict(&case.outcome("result"), "srpm", "timeout");
    case.nothing_left();
}
