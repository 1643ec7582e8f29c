//! `sandbox-init` by itself, with launches that are broken.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use sandbox::wire::{End, Launch, Op, Report, Step};

use crate::harness::{Mode, Run, own, programs, skip, temporary_directory};
use crate::processes::{assert_nothing_is_left, started};

/// Starts it with a launch, which may be missing, and gives its last report.
fn report(launch: Option<&[u8]>) -> Option<Report> {
    let (dir, programs) = (temporary_directory(), programs());
    let (ours, theirs) = UnixStream::pair().expect("a socket");
    let mut script = "exec 4<&0 0</dev/null".to_owned();
    if let Some(launch) = launch {
        fs::write(dir.path().join("launch"), launch).expect("write");
        script += " 3<\"$0/launch\"";
    }
    script += "; exec \"$1/sandbox-init\"";
    let mut child = {
        let mut started = started();
        let child = Command::new("bash")
            .args(["-c", &script])
            .args([dir.path(), programs.path()])
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .expect("start it");
        started.insert(child.id() as i32);
        child
    };
    let lines = BufReader::new(ours).lines().map_while(Result::ok);
    let last = lines.filter_map(|line| serde_json::from_str(&line).ok()).last();
    let pid = child.id() as i32;
    child.wait().expect("wait");
    started().remove(&pid);
    assert_nothing_is_left(&[], pid);
    last
}

#[track_caller]
fn assert_failed(report: Option<Report>, at: &str, why: &str) {
    let Some(Report::Failed { step, detail, .. }) = &report else {
        panic!("not failed: {report:?}");
    };
    assert!(step.contains(at), "{report:?}");
    assert!(detail.as_deref().unwrap_or_default().contains(why), "{report:?}");
}

#[test]
fn without_its_parent() {
    let programs = programs();
    let started = started();
    let output = Command::new("bash")
        .args(["-c", "exec 3<&- 4<&-; exec \"$0/sandbox-init\""])
        .arg(programs.path())
        .output()
        .expect("start it");
    drop(started);
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text, "sandbox-init: it is started by albs-node and is of no use by itself\n");
}

#[test]
fn broken_launches() {
    assert_failed(report(None), "read the launch", "");
    assert_failed(report(Some(b"")), "read the launch", "of the same version");
    assert_failed(report(Some(b"{}")), "read the launch", "missing field");
    assert_failed(report(Some(b"\xff\xfe{")), "read the launch", "of the same version");
}

/// A launch that works, as `--plan` prints it.
fn plan() -> Launch {
    let done = Run::new(own()).option("--plan").shell("exit 5");
    let mut launch: Launch = serde_json::from_slice(&done.stdout).expect("a launch");
    // What is printed has none, and nothing starts without: this one lets everything through.
    launch.payload.filter = sandbox::seccomp::filter(&[]).expect("a filter").to_vec();
    launch
}

fn replay(launch: &Launch) -> Option<Report> {
    report(Some(&serde_json::to_vec(launch).expect("JSON")))
}

/// The step that makes the root.
fn root(launch: &mut Launch) -> &mut Step {
    launch.steps.iter_mut().find(|step| matches!(step.op, Op::RootBind { .. })).expect("a root")
}

#[test]
fn plans_can_be_replayed_and_broken() {
    if own() != Mode::Root {
        return skip("nobody would call newuidmap for an ordinary user");
    }
    let report = replay(&plan());
    let exited = matches!(report, Some(Report::Finished { end: End::Exited(5), .. }));
    assert!(exited, "{report:?}");

    let broken = |change: &dyn Fn(&mut Launch)| {
        let mut launch = plan();
        change(&mut launch);
        replay(&launch)
    };
    let report = broken(&|launch| launch.sources.push("/no/such/source".into()));
    assert_failed(report, "open /no/such/source", "");
    let report = broken(&|launch| launch.cgroup_procs.push("/no/such/group/cgroup.procs".into()));
    assert_failed(report, "join /no/such/group/cgroup.procs", "");
    let report = broken(&|launch| launch.stage = "/no/such/stage".into());
    assert_failed(report, "root: bind source", "");
    let report = broken(&|launch| launch.steps.clear());
    assert_failed(report, "enter the root: no step made one", "");
    let report = broken(&|launch| root(launch).op = Op::RootBind { source: 99, read_only: true });
    assert_failed(report, "root: bind source 99", "");
    let report = broken(&|launch| launch.ids.uids[0].outside = u32::MAX);
    assert_failed(report, "write uid_map", "");
    let report = broken(&|launch| launch.payload.filter = vec![u64::MAX]);
    assert_failed(report, "install the seccomp filter", "");
    let report = broken(&|launch| launch.payload.cwd = "/no/such/directory".into());
    assert_failed(report, "chdir to /no/such/directory", "");
}
