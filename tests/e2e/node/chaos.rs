//! What happens when things end at the wrong moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value as Json;

use super::harness::{NodeCase, arch, names, wait_for};
use super::relay::Relay;
use super::web_server::{Fault, Options, TaskState};

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

/// A wire to Pulp that is cut again and again, until this value is gone.
struct Frail {
    url: String,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Frail {
    fn new(to: &str) -> Frail {
        let to = to.trim_start_matches("http://").to_owned();
        let ends = Arc::new(AtomicBool::new(false));
        let (tell, told) = std::sync::mpsc::channel();
        let over = ends.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let relay = Relay::start(to).await;
                tell.send(relay.url()).unwrap();
                while !over.load(Ordering::Relaxed) {
                    relay.cut_after(fastrand::u64(0..200_000));
                    let _ = tokio::time::timeout(Duration::from_secs(2), relay.is_cut()).await;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..300))).await;
                    relay.mend();
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..2000))).await;
                }
                // What is under way passes now.
                relay.mend();
                tokio::time::sleep(Duration::from_secs(600)).await;
            });
        });
        let url = told.recv().unwrap();
        Frail { url, ends, thread: Some(thread) }
    }

    /// It holds from now on.
    fn mend(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        drop(self.thread.take());
    }
}

/// One thing that goes wrong with the server.
fn fault() -> (&'static str, Fault) {
    let call = ["get_task", "build_done", "ping"][fastrand::usize(0..3)];
    let fault = match fastrand::u8(0..6) {
        0 => Fault::page(502, "Bad Gateway"),
        1 => Fault::page(500, "x"),
        2 => Fault::CutBefore,
        3 => Fault::Late(Duration::from_millis(fastrand::u64(0..1500))),
        4 if call != "get_task" => Fault::HalfAnswer,
        // The server gives such a task out again, after a long silence.
        _ if call == "get_task" => Fault::page(504, "Gateway Time-out"),
        _ => Fault::CutAfter,
    };
    (call, fault)
}

#[test]
fn kills_at_any_instant_lose_nothing() {
    let kills = std::env::var("ALBS_NODE_KILLS").ok().and_then(|text| text.parse().ok());
    let kills: u64 = kills.unwrap_or(10);
    let mut tasks = 0;
    let Some(node) = NodeCase::new("node-chaos", OWN, options()) else { return };
    let mut wire = Frail::new(node.pulp_host());
    node.configure_with(OWN, 4, &wire.url);
    for _ in 0..kills {
        // Something is going on at each of them.
        let over = (1..=tasks).filter(|id| matches!(node.server.task(*id), TaskState::Over(_)));
        let wanted = over.count() as i64 + 8;
        for id in tasks + 1..=wanted {
            let url = node.srpm(&format!("chaos-{id}"), &slow(fastrand::u32(0..3)));
            node.server.add(node.task(id, &arch(), &url));
        }
        tasks = wanted;
        for _ in 0..fastrand::u8(0..3) {
            let (call, fault) = fault();
            node.server.fail(call, fault);
        }
        let running = node.start();
        std::thread::sleep(Duration::from_millis(fastrand::u64(10..4000)));
        let power_fails = fastrand::bool();
        let workers = if power_fails { workers(&node) } else { Vec::new() };
        running.kill();
        for worker in workers {
            // It may just have ended.
            let _ = nix::sys::signal::kill(worker, Signal::SIGKILL);
        }
    }
    wire.mend();
    let running = node.start();
    for id in 1..=tasks {
        let report = node.report(id);
        assert_eq!(report["status"], "done", "{report:#} {}", node.log());
        let names = names(&report);
        let packages = [format!("chaos-{id}-1-1.src.rpm"), format!("chaos-{id}-1-1.noarch.rpm")];
        assert!(packages.iter().all(|name| names.contains(name)), "{names:?}");
        node.is_in_pulp(&report);
        let starts: u64 = starts(&report).parse().unwrap();
        assert!(starts <= kills + 1, "task {id} was begun {starts} times");
    }
    running.finish();
    let given = node.server.calls().iter().filter(|call| call.name == "build_done").count();
    eprintln!("{kills} kills, {given} reports for {tasks} tasks");
    // What killed workers have left is removed by those that come after.
    let cleaned = node.case.run(&["buildroot", "gc", "--max-age", "1000d"]);
    assert_eq!(cleaned.status, 0, "{cleaned:?}");

    node.case.no_process_left_soon();
}

/// Processes of the running workers; not of those that the node would not follow by another.
fn workers(node: &NodeCase) -> Vec<nix::unistd::Pid> {
    let outbox = std::fs::read_dir(node.outbox()).into_iter().flatten().flatten();
    let pid = |entry: std::fs::DirEntry| {
        let journal = std::fs::read_to_string(entry.path().join("journal")).ok()?;
        if journal.matches("started").count() >= 8 {
            return None;
        }
        let text = std::fs::read_to_string(entry.path().join("worker.lock")).ok()?;
        let pid: i32 = text.trim().parse().ok()?;
        // Numbers of processes that are long gone are in such files, too.
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        (line.contains("\0work\0") && line.contains("node-chaos"))
            .then_some(nix::unistd::Pid::from_raw(pid))
    };
    outbox.filter_map(pid).collect()
}

#[test]
fn many_tasks_need_no_more_than_few() {
    let tasks = std::env::var("ALBS_NODE_SOAK").ok().and_then(|text| text.parse().ok());
    let tasks: i64 = tasks.unwrap_or(40);
    let Some(node) = NodeCase::new("node-soak", OWN, options()) else { return };
    node.configure(OWN, 4);
    let url = node.srpm("soak", "BuildArch: noarch\n%description\n.\n");
    for id in 1..=tasks {
        node.server.add(node.task(id, &arch(), &url));
    }
    let started = std::time::Instant::now();
    let running = node.start();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap().count();
    let mut seen = Vec::new();
    let mut reported = Vec::new();
    loop {
        let over = (1..=tasks).filter(|id| matches!(node.server.task(*id), TaskState::Over(_)));
        let over = over.count();
        while reported.len() < over {
            reported.push(started.elapsed().as_secs_f64());
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        seen.push((over, memory, descriptors()));
        if over as i64 == tasks {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(3600), "{}", node.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    // Many reports at once take many connections, which stay a while: those are no leak.
    let most_of = |part: &[(usize, u64, usize)]| part.iter().map(|seen| seen.2).max().unwrap();
    let (at_first, over) = (most_of(&seen[..seen.len() / 2]), std::time::Instant::now());
    while descriptors() > at_first && over.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let left = descriptors();
    running.finish();
    let most = |part: &[(usize, u64, usize)]| {
        (
            part.iter().map(|seen| seen.1).max().unwrap(),
            part.iter().map(|seen| seen.2).max().unwrap(),
        )
    };
    let (first, last) = (most(&seen[..seen.len() / 2]), most(&seen[seen.len() / 2..]));
    let rate = |part: &[f64]| part.len() as f64 / (part[part.len() - 1] - part[0]);
    let part = reported.len() / 5;
    let rates = [rate(&reported[part..2 * part]), rate(&reported[reported.len() - part..])];
    eprintln!(
        "{tasks} tasks in {:.0} s; KiB and descriptors of the first half {first:?}, of the second \
         {last:?}; tasks a second of the second fifth {:.2}, of the last {:.2}",
        started.elapsed().as_secs_f64(),
        rates[0],
        rates[1]
    );
    assert!(last.0 < first.0 + first.0 / 10 + 2048, "memory grows: {first:?}, {last:?} KiB");
    assert!(left <= first.1, "descriptors leak: {first:?}, {last:?}, {left} at the end");
}
