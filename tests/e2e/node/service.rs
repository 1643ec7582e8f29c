//! The node as a service: when it takes no task, and its config.

use std::fs;

use nix::sys::signal::Signal;

use super::harness::{NodeCase, wait_for};
use super::web_server::{Options, TaskState};

const SMALL: &str = "BuildArch: noarch\n%description\n.\n";

fn arch() -> String {
    std::env::consts::ARCH.replace("powerpc64", "ppc64le")
}

#[test]
fn while_there_is_a_reason_no_task_is_taken() {
    let Some(node) = NodeCase::new("node-pauses", "  max_load: 1000\n", Options::default()) else {
        return;
    };
    let url = node.srpm("small", SMALL);
    fs::write(node.maintenance(), "").unwrap();
    node.server.add(node.task(1, &arch(), &url));
    // Twice in the config is an error: the line above replaces none.
    let running = node.start();
    assert_eq!(running.end(), 3, "{}", node.log());
    assert!(node.log().contains("max_load is set again"), "{}", node.log());

    node.configure("", 2);
    let running = node.start();
    wait_for("the reason", &node, || node.log().contains("graceful_stop exists").then_some(()));
    assert_eq!(node.server.task(1), TaskState::Idle);
    let told = node.status()["not_taking"].as_str().unwrap().to_owned();
    assert!(told.contains("graceful_stop exists"), "{told}");
    // More than there is, then enough again, without a new start.
    node.configure("  infrastructure_retries: 0\n", 1);
    let text = fs::read_to_string(node.config()).unwrap();
    let full = text.replace("free_disk: 100M", "free_disk: 900T");
    fs::write(node.config(), full).unwrap();
    fs::remove_file(node.maintenance()).unwrap();
    running.signal(Signal::SIGHUP);
    wait_for("the reason", &node, || node.log().contains("and free_disk is").then_some(()));
    assert_eq!(node.server.task(1), TaskState::Idle);
    fs::write(node.config(), "x: [").unwrap();
    running.signal(Signal::SIGHUP);
    wait_for("the error", &node, || node.log().contains("the old one counts").then_some(()));
    fs::write(node.config(), text).unwrap();
    running.signal(Signal::SIGHUP);
    assert_eq!(node.report(1)["status"], "done");
    let lines = |text: &str| node.log().lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("and free_disk is"), 1, "{}", node.log());
    running.finish();
}

#[test]
fn excluded_packages_are_not_asked_for() {
    let Some(node) = NodeCase::new("node-excluded", "", Options::default()) else { return };
    node.server.exclude("# comment\n\nbig\n");
    let big = node.srpm("big", SMALL);
    let small = node.srpm("small", SMALL);
    node.server.add(node.task(1, &arch(), &big));
    node.server.add(node.task(2, &arch(), &small));
    let running = node.start();
    assert_eq!(node.report(2)["status"], "done");
    assert_eq!(node.server.task(1), TaskState::Idle);
    // One node at a time works in an outbox.
    let second = node.start();
    assert_eq!(second.end(), 1);
    assert!(node.log().contains("another node works there"), "{}", node.log());
    running.finish();
}
