//! Builds that are stopped, killed, or met by others.

use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::case::{Case, Run, Running, host, verdict};
use crate::fixture::Kind;

/// How long an interrupted build may take to end, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Sends the signal and asserts that the build ends as one that somebody stopped.
fn interrupt(case: &Case, running: Running<'_>, stage: &str, signal: Signal) -> Run {
    let started = Instant::now();
    running.signal(signal);
    let run = running.end();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    run.fails(128 + signal as i32, &format!("interrupted in stage {stage}"));
    verdict(&case.outcome("result"), stage, "cancelled");
    case.nothing_left();
    run
}

#[test]
fn while_the_buildroot_is_made() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "interrupt-bootstrap") else { return };
        let mut running = case.start_build("bad/small", &["--json"]);
        running.wait_for_stage("bootstrap");
        interrupt(&case, running, "bootstrap", Signal::SIGINT);
        // And later, when packages are there already.
        let mut running = case.start_build("bad/small", &["--json"]);
        let store = case.store.clone();
        running.wait_for("packages", |_| {
            let roots = fs::read_dir(store.join("roots")).ok()?;
            roots.flatten().find(|root| root.path().join("root/usr/bin").exists()).map(|_| ())
        });
        interrupt(&case, running, "bootstrap", Signal::SIGINT);
        for entry in fs::read_dir(case.store.join("roots")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.ends_with(".lock"), "half a buildroot is left: {name}");
        }
    }
}

#[test]
fn while_the_spec_is_parsed() {
    let Some(case) = Case::shared(Kind::Subids, "interrupt-srpm") else { return };
    let mut running = case.start_build("bad/sleeps-parsing", &["--json"]);
    running.wait_for_log("now-parsing");
    interrupt(&case, running, "srpm", Signal::SIGINT);
    let mut running = case.start_build("bad/sleeps-parsing", &["--json"]);
    running.wait_for_stage("srpm");
    interrupt(&case, running, "srpm", Signal::SIGINT);
}

#[test]
fn while_dependencies_are_installed() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids]) {
        let Some(case) = Case::shared(kind, "interrupt-install") else { return };
        let mut running = case.start_build("bad/small", &["--json"]);
        running.wait_for_stage("install");
        interrupt(&case, running, "install", Signal::SIGINT);
    }
}

#[test]
fn while_rpmbuild_runs() {
    for (kind, signal) in [
        (Kind::Root, Signal::SIGINT),
        (Kind::Subids, Signal::SIGTERM),
        (Kind::NoSubids, Signal::SIGHUP),
    ] {
        let Some(case) = Case::shared(kind, "interrupt-rpmbuild") else { return };
        let mut running = case.start_build("bad/sleeps", &[]);
        running.wait_for_log("now sleeping\n");
        let run = interrupt(&case, running, "rpmbuild", signal);
        assert_eq!(run.stdout, "");
        assert!(case.log("state.log").contains("Finish: rpmbuild sleeps-1-1.src.rpm"));
    }
}

#[test]
fn while_results_are_collected() {
    let Some(case) = Case::shared(Kind::Subids, "interrupt-collect") else { return };
    let mut running = case.start_build("bad/huge", &["--json"]);
    running.wait_for_stage("collect");
    interrupt(&case, running, "collect", Signal::SIGINT);
    for entry in fs::read_dir(case.result("result")).unwrap() {
        let path = entry.unwrap().path();
        // The signal may have come too late; what is there is whole.
        if path.extension().is_some_and(|extension| extension == "rpm") {
            let arguments = ["-K", "--nosignature"].map(OsStr::new);
            host("rpm", &[&arguments[..], &[path.as_os_str()]].concat());
        }
    }
}

#[test]
fn before_the_next_of_several() {
    let Some(case) = Case::shared(Kind::NoSubids, "interrupt-several") else { return };
    case.build("bad/small", &[]).succeeds();
    let source = crate::packages::source_package(&case.result("result"));
    let (config, all) = (case.config(), case.result("all").display().to_string());
    let copies: Vec<String> = (0..20)
        .map(|n| {
            let copy = case.dir.join(format!("p{n}.src.rpm"));
            fs::copy(&source, &copy).unwrap();
            copy.display().to_string()
        })
        .collect();
    let mut args = vec!["build", "-r", &config, "--resultdir", &all];
    args.extend(copies.iter().map(String::as_str));
    let mut running = case.start(&args);
    running.wait_for("the second build", |_| fs::metadata(format!("{all}/p1")).ok());
    running.signal(Signal::SIGINT);
    let run = running.end();
    assert_eq!(run.status, 130, "{run:?}");
    assert!(fs::metadata(format!("{all}/p19")).is_err(), "the others are not built");
    case.nothing_left();
}

#[test]
fn while_it_waits_for_another() {
    let Some(case) = Case::alone(Kind::Subids, "interrupt-waiting") else { return };
    let plan = case.build("bad/small", &["--plan"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    let roots = case.store.join("roots");
    crate::fixture::directory_of(&roots, case.kind);
    let lock = roots.join(format!("{}.lock", plan["buildroot"].as_str().unwrap()));
    let file = fs::File::create(&lock).unwrap();
    crate::fixture::give(&lock);
    let held = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let mut running = case.start_build("bad/small", &["--json"]);
    running.wait_for_output("waiting for another process that uses the buildroot");
    interrupt(&case, running, "bootstrap", Signal::SIGINT);
    drop(held);
}

#[test]
fn while_it_waits_for_a_repository() {
    let Some(case) = Case::alone(Kind::Subids, "interrupt-retry") else { return };
    let text = fs::read_to_string(case.config()).unwrap();
    let url = text.lines().find(|line| line.starts_with("baseurl=")).unwrap();
    let text = text.replace(url, "baseurl=http://127.0.0.1:1/").replace("retries=20", "retries=1")
        + "config_opts['package_manager_max_attempts'] = 3\n\
           config_opts['package_manager_attempt_delay'] = 600\n";
    let config = case.file("retry.cfg", text.as_bytes());
    let mut args = case.build_args("bad/small");
    args[2] = config;
    args.push("--json".to_owned());
    let mut running = case.start(&args.iter().map(String::as_str).collect::<Vec<_>>());
    running.wait_for_output("trying again in 600 s");
    interrupt(&case, running, "bootstrap", Signal::SIGINT);
}

#[test]
fn killed_outright() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "killed") else { return };
        let mut running = case.start_build("bad/sleeps", &[]);
        running.wait_for_log("now sleeping\n");
        case.everything_runs();
        running.signal(Signal::SIGKILL);
        running.end();
        // Nothing has told sandbox-init, and still nothing inside goes on.
        case.no_process_left_soon();
        // The next run removes the workspace and the control groups.
        case.run(&["init", "-r", &case.config()]).succeeds();
        case.nothing_left();
    }
}

#[test]
fn killed_while_the_buildroot_is_made() {
    let Some(case) = Case::alone(Kind::Subids, "killed-bootstrap") else { return };
    let mut running = case.start_build("bad/small", &[]);
    let store = case.store.clone();
    running.wait_for("packages", |_| {
        let roots = fs::read_dir(store.join("roots")).ok()?;
        roots.flatten().find(|root| root.path().join("root/usr/bin").exists()).map(|_| ())
    });
    running.signal(Signal::SIGKILL);
    running.end();
    case.no_process_left_soon();
    // The half buildroot is not taken for a whole one.
    case.build("bad/small", &[]).succeeds();
    case.nothing_left();
}

#[test]
fn two_builds_and_a_cleaner_meet() {
    let Some(case) = Case::alone(Kind::Subids, "together") else { return };
    // Both find no buildroot; one makes it.
    let one = case.start_build("bad/small", &["--json"]);
    let mut args = case.build_args("bad/sleeps");
    *args.last_mut().unwrap() = case.result("other").display().to_string();
    let mut other = case.start(&args.iter().map(String::as_str).collect::<Vec<_>>());
    one.end().succeeds();
    let log = case.result("other").join("build.log");
    other.wait_for("sleep", |_| {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("now sleeping\n")).then_some(())
    });
    let reused = |result: &str| case.outcome(result)["buildroot"]["reused"].as_bool();
    let one_made = reused("result") == Some(false);
    let busy = case.run(&["clean", "-r", &case.config()]);
    busy.fails(60, "is in use");
    busy.tells("hint: wait for its builds and shells to end");
    assert_eq!(case.run(&["clean", "--all"]).status, 60);
    case.build("bad/small", &[]).succeeds();
    other.signal(Signal::SIGINT);
    assert_eq!(other.end().status, 130);
    assert_ne!(Some(one_made), reused("other").map(|reused| !reused), "one of the two made it");
    case.run(&["clean", "-r", &case.config()]).succeeds();
    case.nothing_left();
    for part in ["roots", "sessions", "builds", "cache"] {
        assert_eq!(fs::read_dir(case.store.join(part)).unwrap().count(), 0, "{part}");
    }
}

#[test]
fn installations_and_shells() {
    let Some(case) = Case::shared(Kind::Subids, "interrupt-session") else { return };
    let config = case.config();
    // The program is the build's, so its output is the only event that tells that it works.
    let mut running = case.start(&["install", "-r", &config, "--json", "git"]);
    running.wait_for_output("\"line\":");
    running.signal(Signal::SIGINT);
    running.end().fails(130, "interrupted in stage install");
    case.nothing_left();

    // Signals are the command's own business.
    let line = "trap 'echo told; exit 7' TERM; echo waiting; while :; do sleep 0.05; done";
    let shell = ["shell", "-r", &config, "-q", "--", "bash", "-c", line];
    let mut running = case.start(&shell);
    running.wait_for_output("waiting\n");
    running.signal(Signal::SIGTERM);
    let run = running.end();
    assert_eq!((run.status, run.stdout.as_str()), (7, "waiting\ntold\n"), "{run:?}");
    let mut running =
        case.start(&["shell", "-r", &config, "-q", "--", "bash", "-c", "echo x; sleep 9999"]);
    running.wait_for_output("x\n");
    running.signal(Signal::SIGKILL);
    running.end();
    case.no_process_left_soon();
    case.nothing_left();
}

#[test]
fn what_a_killed_build_leaves_is_swept() {
    let Some(case) = Case::alone(Kind::Subids, "swept") else { return };
    // Killed before, and after, its workspace was made.
    let builds = case.store.join("builds");
    crate::fixture::directory_of(&builds, case.kind);
    for name in ["1-1.lock", "1-2.lock"] {
        fs::write(builds.join(name), "").unwrap();
        crate::fixture::give(&builds.join(name));
    }
    crate::fixture::directory_of(&builds.join("1-2"), case.kind);
    crate::fixture::directory_of(&builds.join("1-2/inputs"), case.kind);
    crate::fixture::directory_of(&builds.join("1-3"), case.kind);
    // Whatever works in a store sweeps it first.
    case.run(&["clean", "-r", &case.config()]).succeeds();
    let left: Vec<_> = fs::read_dir(builds).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn many_builds_with_one_package_cache() {
    let Some(case) = Case::shared(Kind::NoSubids, "many") else { return };
    // Each installs, so that their package managers meet.
    let starts = (0..6).map(|n| {
        let mut args = case.build_args("bad/failing-build");
        *args.last_mut().unwrap() = case.result(&format!("result-{n}")).display().to_string();
        case.start(&args.iter().map(String::as_str).collect::<Vec<_>>())
    });
    for (n, running) in starts.collect::<Vec<_>>().into_iter().enumerate() {
        let run = running.end();
        assert_eq!(case.outcome(&format!("result-{n}"))["verdict"]["section"], "%build", "{run:?}");
    }
    case.nothing_left();
}
