//! Signals, and what becomes of a sandbox when one of the processes that hold it is killed.

use nix::sys::signal::Signal;

use crate::harness::{Mode, Run, Running, own, send, skip, unlimited};
use crate::processes;

in_each_mode! { signals_are_forwarded albs_node_killed supervisor_killed pid1_killed }

/// A command with a daemon that ignores what it can.
fn start(mode: Mode) -> Running {
    let script = "(trap '' TERM HUP INT; setsid sleep 1000 &); trap 'exit 42' TERM; \
                  trap 'echo again' USR1; echo ready; while :; do sleep 0.02; done";
    let run = Run::new(mode);
    // Control groups are made where something is limited.
    let limited = unlimited(mode).is_none();
    let run = if limited { run.option("--pids").option("100") } else { run };
    let mut running = run.start(&["sh", "-c", script]);
    assert_eq!(running.line(), "ready");
    running
}

fn signals_are_forwarded(mode: Mode) {
    let mut running = start(mode);
    let albs_node = running.albs_node();
    send(albs_node, Signal::SIGUSR1);
    assert_eq!(running.line(), "again");
    send(albs_node, Signal::SIGTERM);
    assert_eq!(running.wait().code(), 42);
    // What the command does not handle ends it.
    let mut running = start(mode);
    send(running.albs_node(), Signal::SIGHUP);
    assert_eq!(running.wait().code(), 128 + 1);
}

fn albs_node_killed(mode: Mode) {
    let mut running = start(mode);
    running.pid1();
    let albs_node = running.albs_node();
    assert_eq!(processes::cgroups(albs_node).is_empty(), unlimited(mode).is_some());
    send(albs_node, Signal::SIGKILL);
    // Asserts that neither processes nor control groups are left.
    running.wait();
}

fn supervisor_killed(mode: Mode) {
    let mut running = start(mode);
    running.pid1();
    send(running.supervisor(), Signal::SIGKILL);
    assert_eq!(running.wait().code(), 137);
}

fn pid1_killed(mode: Mode) {
    let mut running = start(mode);
    send(running.pid1(), Signal::SIGKILL);
    assert_eq!(running.wait().code(), 137);
}

/// Nobody is left to remove the control groups; the next sandbox with limits does.
#[test]
fn control_groups_of_the_dead_are_swept() {
    let mode = own();
    if let Some(reason) = unlimited(mode) {
        return skip(&reason);
    }
    let mut running = start(mode);
    let (albs_node, supervisor) = (running.albs_node(), running.supervisor());
    running.pid1();
    send(supervisor, Signal::SIGSTOP);
    send(albs_node, Signal::SIGKILL);
    send(supervisor, Signal::SIGKILL);
    running.reap();
    // Pid 1 and all below it are on their way out when their groups become empty.
    let swept = || {
        Run::new(mode).option("--pids").option("100").command(&["true"]);
        processes::cgroups(albs_node).is_empty()
    };
    assert!(processes::eventually(swept));
    running.wait();
}

/// A stopped command can be ended too.
#[test]
fn stopped_commands_are_killed() {
    let done = Run::new(own()).option("--timeout").option("0.3").shell("kill -STOP $$");
    assert_eq!(done.code(), 124);
}
