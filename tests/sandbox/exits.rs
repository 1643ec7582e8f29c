//! Exit statuses and the standard descriptors.

use std::time::{Duration, Instant};

use crate::harness::{Mode, Run, own};
use crate::processes::{Process, eventually};

in_each_mode! { statuses could_not_start streams time_limit leftovers }

fn statuses(mode: Mode) {
    let status = |script: &str| Run::new(mode).shell(script).code();
    assert_eq!(status("exit 0"), 0);
    assert_eq!(status("exit 7"), 7);
    assert_eq!(status("exit 255"), 255);
    assert_eq!(status("kill -TERM $$"), 143);
    assert_eq!(status("kill -SEGV $$"), 139);
    assert_eq!(status("kill -KILL $$"), 137);
}

fn could_not_start(mode: Mode) {
    let run = |command: &str| Run::new(mode).command(&[command]);
    let missing = run("no-such-program");
    missing.assert_not_started("execute no-such-program: No such file or directory");
    assert!(missing.stderr.contains("hint: "), "{missing:?}");
    run("/no/such/program").assert_not_started("execute /no/such/program");
    run("/etc/passwd").assert_not_started("execute /etc/passwd: Permission denied");
    run("/etc").assert_not_started("execute /etc: Permission denied");
    run("").assert_not_started("execute ");
}

fn streams(mode: Mode) {
    let done = Run::new(mode).input("to the command").shell("cat; echo to stderr >&2");
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("to the command", "to stderr\n"));
    let size = 8 << 20;
    let much = vec![b'x'; size];
    let done = Run::new(mode).input(much.clone()).command(&["cat"]);
    assert_eq!(done.code(), 0);
    assert!(done.stdout == much, "{} bytes came back of {size}", done.stdout.len());
    // A reader that is gone ends the command as it would outside.
    let done = Run::new(mode).shell("yes | head -n 1");
    assert_eq!((done.code(), done.text().as_str()), (0, "y"));
}

/// A daemon as daemon(7) makes them: its own session, no parent, its output elsewhere.
const DAEMON: &str = "(setsid sh -c '(setsid sleep 1000 > /dev/null 2>&1 &)' &) ; \
                      trap '' TERM HUP INT; (trap '' TERM HUP INT; sleep 1000 &)";

fn time_limit(mode: Mode) {
    // A slow machine does not start seven programs in so short a time.
    let began = Instant::now();
    Run::new(mode).command(&["true"]);
    let limit = if began.elapsed() < Duration::from_millis(400) { 1.5 } else { 10.5 };
    let began = Instant::now();
    let script = format!("{DAEMON}; echo ready; sleep 1000");
    let mut running =
        Run::new(mode).option("--timeout").option(limit.to_string()).start(&["sh", "-c", &script]);
    assert_eq!(running.line(), "ready");
    // The command's own and both daemons.
    let sleeping = |tree: &[Process]| tree.iter().filter(|p| p.name == "sleep").count();
    assert!(eventually(|| sleeping(&running.look()) == 3), "{:?}", running.look());
    let done = running.wait();
    assert_eq!(done.code(), 124, "{done:?}");
    assert_eq!(done.stderr, format!("albs-node: killed after {limit} s\n"));
    assert!(began.elapsed() < Duration::from_secs_f64(2.0 * limit + 2.0));
    // 0 is no limit, and a limit that is not reached has no effect.
    assert_eq!(Run::new(mode).option("--timeout").option("0").shell("exit 3").code(), 3);
    assert_eq!(Run::new(mode).option("--timeout").option("60").shell("exit 3").code(), 3);
}

fn leftovers(mode: Mode) {
    let script = format!("{DAEMON}; echo ready; cat; exit 9");
    let mut running = Run::new(mode).input("").start(&["sh", "-c", &script]);
    assert_eq!(running.line(), "ready");
    running.look();
    assert_eq!(running.wait().code(), 9);
    // A daemon that holds the output open does not hold up the end.
    let done = Run::new(mode).shell("sleep 1000 & exit 4");
    assert_eq!(done.code(), 4);
}

#[test]
fn mistakes_on_the_command_line() {
    let code = |option: &str, value: &str| {
        Run::new(own()).option(option).option(value).command(&["true"]).code()
    };
    assert_eq!(code("--net", "some"), 5);
    assert_eq!(code("--memory", "much"), 5);
    assert_eq!(code("--timeout", "-1"), 5);
    assert_eq!(code("--cpus", "0"), 5);
    assert_eq!(code("--bind", ":/x"), 5);
    assert_eq!(code("--bind", "/usr:/tmp/x:rx"), 5);
}
