//! What the node itself takes of time, memory and processors. `scripts/bench-node` runs it with
//! programs that were built for release, and shows what comes out beside other programs.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::Pid;
use serde_json::{Value as Json, json};

use super::harness::{NodeCase, Running, arch, wait_for};
use super::web_server::{Options, TaskState};

/// Tasks of which latencies are taken.
const ROUNDS: i64 = 10;
/// Small tasks through one slot.
const TASKS: i64 = 40;
const TINY: &str = "BuildArch: noarch\n%description\n.\n";
const SMALL_FILES: u32 = 200;
const LARGE_MIB: u32 = 300;
/// How often each is uploaded.
const UPLOADS: i64 = 3;

/// Seconds of processor time of all threads (proc_pid_schedstat(5)).
fn cpu(pid: Pid) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let time = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
    };
    threads.map(time).sum()
}

fn resident_mib(pid: Pid) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A time of a report, in seconds.
fn told(report: &Json, stage: &str, key: &str) -> f64 {
    let text =
        report["stats"][stage][key].as_str().unwrap_or_else(|| panic!("{stage}: {report:#}"));
    let time: jiff::Timestamp = format!("{}Z", text.replace(' ', "T")).parse().unwrap();
    time.as_duration().as_secs_f64()
}

/// Seconds from the end of the build to the last upload.
fn uploading(report: &Json) -> f64 {
    told(report, "upload", "end_ts") - told(report, "upload", "start_ts")
}

fn reported_at(node: &NodeCase, id: i64) -> f64 {
    let calls = node.server.calls();
    let is_it = |call: &&super::web_server::Call| {
        call.name == "build_done" && call.body["task_id"] == id && call.status == 200
    };
    seconds(calls.iter().find(is_it).unwrap().at)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn done(node: &NodeCase, id: i64) -> Json {
    let report = node.report(id);
    assert_eq!(report["status"], "done", "{report:#}");
    report
}

fn idle(running: &Running<'_>) -> Json {
    let seconds = 60;
    let before = cpu(running.pid());
    std::thread::sleep(Duration::from_secs(seconds));
    let used = cpu(running.pid()) - before;
    json!({"cpu_percent": used / seconds as f64 * 100.0, "rss_mib": resident_mib(running.pid())})
}

/// How long a task waits for the node, and not for its build.
fn latencies(node: &NodeCase, url: &str) -> Json {
    let (mut taken, mut begun, mut reported, mut uploads) = (vec![], vec![], vec![], vec![]);
    for id in 100..100 + ROUNDS {
        // Not in step with the node's questions.
        std::thread::sleep(Duration::from_millis(fastrand::u64(500..1500)));
        let there = seconds(SystemTime::now());
        node.server.add(node.task(id, &arch(), url));
        let report = done(node, id);
        let received = told(&report, "build_node_task", "start_ts");
        taken.push(received - there);
        begun.push(told(&report, "build_all", "start_ts") - received);
        reported.push(reported_at(node, id) - told(&report, "build_all", "end_ts"));
        uploads.push(uploading(&report));
    }
    json!({
        "available_to_taken": median(taken), "taken_to_first_stage": median(begun),
        "last_stage_to_reported": median(reported), "of_it_uploading": median(uploads),
    })
}

/// Seconds that the peer takes for the same, measured right afterwards: Pulp's own speed changes.
fn peer(what: &str, count: u32) -> f64 {
    let command = std::env::var_os("ALBS_NODE_BENCH_PEER").expect("scripts/bench-node sets it");
    let args = [what.to_owned(), count.to_string()];
    let output = std::process::Command::new(command).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Uploads of tasks with many small logs, and of others with a large package.
fn uploads(node: &NodeCase) -> Json {
    let many = format!(
        "BuildArch: noarch\n%description\n.\n%build\n\
         for i in $(seq {SMALL_FILES}); do head -c 1024 /dev/urandom > small-$i.log; done\n"
    );
    let large = format!(
        "BuildArch: noarch\n%global _binary_payload w.ufdio\n%global __os_install_post %{{nil}}\n\
         %description\n.\n%install\nmkdir -p %{{buildroot}}/srv\n\
         head -c {LARGE_MIB}M /dev/urandom > %{{buildroot}}/srv/large\n%files\n/srv/large\n"
    );
    let (many, large) = (node.srpm("many", &many), node.srpm("large", &large));
    let mut rounds = [("small", many, Vec::new(), Vec::new()), ("large", large, vec![], vec![])];
    let mut files = [0, 0];
    for round in 0..UPLOADS {
        for (index, (what, url, ours, theirs)) in rounds.iter_mut().enumerate() {
            let id = 200 + 2 * round + index as i64;
            let mut task = node.task(id, &arch(), url);
            task["platform"]["data"]["custom_logs"] = json!(["^small-"]);
            node.server.add(task);
            let report = done(node, id);
            files[index] = report["artifacts"].as_array().unwrap().len();
            ours.push(uploading(&report));
            let count = if *what == "small" { files[index] as u32 } else { LARGE_MIB };
            theirs.push(peer(what, count));
        }
    }
    let [small, large] = rounds.map(|(_, _, ours, theirs)| [median(ours), median(theirs)]);
    json!({
        "small_files": files[0], "small_seconds": small[0], "small_peer": small[1],
        "large_files": files[1], "large_seconds": large[0], "large_peer": large[1],
        "large_mib": LARGE_MIB,
    })
}

/// Tasks one after the other, and the same builds by the command that people use.
fn throughput(node: &NodeCase, url: &str) -> Json {
    let started = Instant::now();
    for id in 300..300 + TASKS {
        node.server.add(node.task(id, &arch(), url));
    }
    wait_for("all tasks", node, || {
        let is_over = |id| matches!(node.server.task(id), TaskState::Over(_));
        (300..300 + TASKS).all(is_over).then_some(())
    });
    let node_seconds = started.elapsed().as_secs_f64() / TASKS as f64;

    let task = node.case.file("task.json", node.task(1, &arch(), url).to_string().as_bytes());
    let config = node.case.run_config(&["from-task", &task]);
    let config = node.case.file("task.cfg", config.as_bytes());
    let package = node.served.join("tiny-1-1.src.rpm").display().to_string();
    let store = node.store().display().to_string();
    let mut alone = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let result = node.case.result("alone").display().to_string();
        let args =
            ["build", "-q", "-r", &config, "--store", &store, "--resultdir", &result, &package];
        let run = std::process::Command::new(node.program()).args(args).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        alone.push(started.elapsed().as_secs_f64());
    }
    json!({"tasks": TASKS, "seconds_each": node_seconds, "build_alone_seconds": median(alone)})
}

/// The same tasks with nothing but a directory at both ends, so that Pulp costs nothing.
fn throughput_of_a_queue(node: &NodeCase, url: &str) -> f64 {
    let queue = node.case.dir.join("queue");
    node.configure(&format!("  queue: {}\n", queue.display()), 1);
    for id in 1..=TASKS {
        fs::create_dir_all(queue.join("tasks")).unwrap();
        let file = queue.join(format!("tasks/{id:03}.json"));
        fs::write(file, node.task(id, &arch(), url).to_string()).unwrap();
    }
    let started = Instant::now();
    let running = node.start();
    let reports = || fs::read_dir(queue.join("reports")).into_iter().flatten().flatten();
    let is_over = || (reports().count() as i64 == TASKS).then_some(());
    wait_for("all reports", node, is_over);
    let each = started.elapsed().as_secs_f64() / TASKS as f64;
    running.finish();
    each
}

#[test]
#[ignore = "measures; scripts/bench-node runs it"]
fn measurements() {
    let Some(node) = NodeCase::new("node-bench", "", Options::default()) else { return };
    let url = node.srpm("tiny", TINY);
    // As they are without being configured.
    let text = fs::read_to_string(node.config()).unwrap();
    let defaults = text.replace("_interval: 1\n", "_interval: 10\n");
    fs::write(node.config(), defaults).unwrap();
    let running = node.start();
    wait_for("the node", &node, || node.socket().exists().then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    let idle_before = idle(&running);
    running.finish();

    node.configure("", 1);
    let running = node.start();
    // The buildroot is made for it.
    node.server.add(node.task(1, &arch(), &url));
    done(&node, 1);
    let latencies = latencies(&node, &url);
    let uploads = uploads(&node);
    let throughput = throughput(&node, &url);
    let worked = json!({"rss_mib": resident_mib(running.pid())});
    running.finish();
    let queue = throughput_of_a_queue(&node, &url);
    println!(
        "bench-node: {}",
        json!({
            "idle": idle_before, "latencies": latencies, "uploads": uploads,
            "throughput": throughput, "worked": worked,
            "queue_seconds_each": queue,
        })
    );
}
