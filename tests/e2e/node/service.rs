//! The node as a service: when it takes no task, and its config.

use std::fs;
use std::io::{Read, Write};

use nix::sys::signal::Signal;

use super::harness::{NodeCase, arch, wait_for};
use super::web_server::{Options, TaskState};

const SMALL: &str = "BuildArch: noarch\n%description\n.\n";

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
    // What others have stays: the store is this test's own.
    let text = fs::read_to_string(node.config()).unwrap();
    let [shared, own] = [node.store(), &node.case.store].map(|path| path.display().to_string());
    let text = text.replace(&shared, &own);
    let full = text.replace("free_disk: 100M", "free_disk: 900T");
    fs::write(node.config(), &full).unwrap();
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
    // What the build has left goes when room is wanted.
    let list = || node.case.run(&["buildroot", "list", "--json"]).stdout;
    assert!(list().contains("\"key\""), "{}", list());
    fs::write(node.config(), full).unwrap();
    running.signal(Signal::SIGHUP);
    wait_for("room", &node, || (!list().contains("\"key\"")).then_some(()));
    // It tells that when nothing of it is left.
    wait_for("the end of it", &node, || node.log().contains("removed root ").then_some(()));
    assert!(!node.log().contains("making room"), "{}", node.log());
    running.finish();
}

/// What an address answers: the head, and the body.
fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn systemd_and_prometheus_are_told() {
    let Some(node) = NodeCase::new("node-service", "", Options::default()) else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    node.configure(&format!("  metrics_address: 127.0.0.1:{port}\n"), 2);
    let url = node.srpm("small", SMALL);
    node.server.add(node.task(1, &arch(), &url));
    let socket = node.case.dir.join("notify.sock");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let socket = socket.display().to_string();
    let running = node.start_with(&[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "400000")]);
    let until = |text: &str| {
        let mut buffer = [0; 1024];
        loop {
            let count = systemd.recv(&mut buffer).unwrap();
            let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if said.contains(text) {
                return said;
            }
        }
    };
    until("READY=1");
    let said = until("WATCHDOG=1");
    assert!(said.contains("of 2 slots build"), "{said}");
    // Nobody reads meanwhile, and the queue of the socket is short: that keeps nothing waiting.
    assert_eq!(node.report(1)["status"], "done");
    wait_for("its end", &node, || node.held().is_empty().then_some(()));
    let (head, body) = get(port, "/metrics");
    assert!(head.contains("200 OK") && head.contains("openmetrics"), "{head}");
    for line in [
        "albs_node_slots 2",
        "albs_node_tasks_taken_total 1",
        "albs_node_tasks_reported_total{status=\"done\"} 1",
        "albs_node_verdicts_total{class=\"success\"} 1",
        "albs_node_stage_seconds_count{stage=\"rpmbuild\"} 1",
        "albs_node_taking 1",
        "# EOF",
    ] {
        assert!(body.lines().any(|known| known == line), "{line}: {body}");
    }
    assert_eq!(get(port, "/healthz").1, "ok\n");
    assert!(get(port, "/x").0.contains("404"));
    running.signal(Signal::SIGTERM);
    until("STOPPING=1");
    assert_eq!(running.end(), 0);
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
