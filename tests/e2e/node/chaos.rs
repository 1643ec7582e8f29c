//! What happens when things end at the wrong moment.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value as Json;

use super::harness::{NodeCase, wait_for};
use super::web_server::{Fault, Options, TaskState};

fn arch() -> String {
    std::env::consts::ARCH.replace("powerpc64", "ppc64le")
}

const OWN: &str = "  report_repeat: 2\n";

fn options() -> Options {
    Options { silence: Duration::from_secs(120), worker: Duration::from_millis(100) }
}

fn slow(seconds: u32) -> String {
    format!("BuildArch: noarch\n%description\n.\n%build\necho begun; sleep {seconds}\n")
}

fn building(node: &NodeCase) {
    wait_for("the build", node, || {
        node.socket().exists().then_some(())?;
        node.ask(&["logs", "1", "build"]).1.contains("begun").then_some(())
    });
}

fn starts(report: &Json) -> &str {
    report["stats"]["resources"]["starts"].as_str().unwrap()
}

#[test]
fn a_build_outlives_its_node() {
    let Some(node) = NodeCase::new("node-adopt", OWN, options()) else { return };
    let url = node.srpm("lasting", &slow(5));
    node.server.add(node.task(1, &arch(), &url));
    let running = node.start();
    building(&node);
    running.kill();
    let running = node.start();
    let report = node.report(1);
    assert_eq!((&report["status"], starts(&report)), (&"done".into(), "1"), "{}", node.log());
    assert!(node.log().contains("is found again"), "{}", node.log());
    running.finish();
}

#[test]
fn a_worker_that_dies_is_followed_by_another() {
    let Some(node) = NodeCase::new("node-worker", OWN, options()) else { return };
    let url = node.srpm("lasting", &slow(3));
    node.server.add(node.task(1, &arch(), &url));
    let running = node.start();
    building(&node);
    let worker = node.status()["tasks"][0]["worker"].as_i64().unwrap();
    let worker = nix::unistd::Pid::from_raw(i32::try_from(worker).unwrap());
    nix::sys::signal::kill(worker, Signal::SIGKILL).unwrap();
    let report = node.report(1);
    assert_eq!((&report["status"], starts(&report)), (&"done".into(), "2"), "{}", node.log());
    assert!(node.text(&report, "albs.").contains("the worker ended early"));
    running.finish();
}

#[test]
fn a_second_signal_leaves_builds_to_the_next_node() {
    let Some(node) = NodeCase::new("node-leave", OWN, options()) else { return };
    let url = node.srpm("lasting", &slow(6));
    node.server.add(node.task(1, &arch(), &url));
    let running = node.start();
    building(&node);
    running.signal(Signal::SIGTERM);
    wait_for("the first", &node, || node.log().contains("no task is taken").then_some(()));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end(), 0, "{}", node.log());
    assert_eq!((node.held(), node.server.task(1)), (vec!["1".into()], TaskState::Started));
    let running = node.start();
    let report = node.report(1);
    assert_eq!((&report["status"], starts(&report)), (&"done".into(), "2"), "{}", node.log());
    running.finish();
}

#[test]
fn answers_that_get_lost() {
    let Some(node) = NodeCase::new("node-lost", OWN, options()) else { return };
    let url = node.srpm("small", &slow(0));
    node.server.add(node.task(1, &arch(), &url));
    for fault in [
        Fault::page(502, "Bad Gateway"),
        Fault::CutBefore,
        Fault::Answer {
            status: 503,
            headers: vec![("retry-after", "1".into())],
            body: String::new(),
        },
    ] {
        node.server.fail("get_task", fault);
    }
    // The report arrives; that it did does not.
    node.server.fail("build_done", Fault::page(500, "x"));
    node.server.fail("build_done", Fault::CutAfter);
    node.server.fail("ping", Fault::page(504, "Gateway Time-out"));
    let running = node.start();
    assert_eq!(node.report(1)["status"], "done");
    wait_for("its end", &node, || node.held().is_empty().then_some(()));
    let done: Vec<_> =
        node.server.calls().into_iter().filter(|call| call.name == "build_done").collect();
    let statuses: Vec<u16> = done.iter().map(|call| call.status).collect();
    assert_eq!(statuses, [500, 200, 409], "{}", node.log());
    // No ping follows a report that may have arrived.
    let calls = node.server.calls();
    let reported = calls.iter().position(|call| call.name == "build_done" && call.status == 200);
    let names_it = |call: &super::web_server::Call| {
        call.body["active_tasks"].as_array().is_some_and(|ids| ids.iter().any(|id| *id == 1))
    };
    assert!(!calls[reported.unwrap()..].iter().any(names_it), "{calls:#?}");
    running.finish();
}
