//! Commands that people type at: the sandbox has a terminal of its own, and the caller's is out of
//! reach.

use std::time::Duration;

use nix::sys::signal::Signal;
use sandbox::spec::Stdio;
use sandbox::{HostFacts, Sandbox};

use crate::harness::{Mode, Run, installed, own, own_range_or_skip, send, skip};
use crate::pty::Session;

in_each_mode! { its_own keys jobs window signals suspended callers_terminal pipelines }

fn session(mode: Mode, command: &[&str]) -> Session {
    Session::start(&Run::new(mode), command)
}

fn its_own(mode: Mode) {
    let script = "tty; stty size; ls -x /dev/pts; readlink /proc/self/fd/2; tty < /dev/tty;
                  test \"$(ps -o tty= $$)\" = pts/0 && echo controls; printf 'the last'; exit 7";
    let (status, screen) = session(mode, &["sh", "-c", script]).end();
    assert_eq!(status, 7, "{screen}");
    let expected =
        "/dev/pts/0\r\n24 80\r\n0  ptmx\r\n/dev/pts/0\r\n/dev/tty\r\ncontrols\r\nthe last";
    assert!(screen.starts_with(expected), "{screen:?}");
    // Nothing was made if nothing could be started.
    let (status, screen) = session(mode, &["no-such-program"]).end();
    assert_eq!(status, 125, "{screen}");
    assert!(screen.contains("execute no-such-program: No such file or directory"), "{screen}");
    // More than any buffer on the way holds, and nobody waits for input.
    let (status, screen) = session(mode, &["sh", "-c", "seq 100000"]).end();
    assert_eq!(status, 0);
    assert!(screen.contains("\n99999\r\n100000\r\n"), "{}", screen.len());
}

/// Keys that send signals do so inside, and not to albs-node.
fn keys(mode: Mode) {
    let mut running = session(mode, &["sh", "-c", "echo ready; sleep 1000"]);
    running.wait_for("ready");
    running.wait_for_program("sleep");
    running.wait_for_settings(true);
    running.type_text("\x03");
    assert_eq!(running.end().0, 130);
    let mut running =
        session(mode, &["sh", "-c", "trap 'echo quit; exit 9' QUIT; echo ready; cat"]);
    running.wait_for("ready");
    running.wait_for_program("cat");
    running.wait_for_settings(true);
    running.type_text("\x1c");
    let (status, screen) = running.end();
    assert_eq!(status, 9, "{screen}");
    // The end of input is a key as well.
    let mut running = session(mode, &["sh", "-c", "cat; echo after"]);
    running.wait_for_program("cat");
    // Typed before, keys would be those of the caller's terminal.
    running.wait_for_settings(true);
    running.type_text("a line\n\x04");
    let (status, screen) = running.end();
    assert_eq!((status, screen.as_str().trim_end()), (0, "a line\r\na line\r\nafter"));
}

fn jobs(mode: Mode) {
    let mut running = session(mode, &["bash", "--norc", "--noprofile", "-i"]);
    running.type_text("PS1=; sleep 1000\n");
    running.wait_for_foreground("sleep");
    running.type_text("\x1a");
    running.wait_for("Stopped");
    running.type_text("jobs -p | wc -l | sed 's/^/jobs: /'\n");
    running.wait_for("jobs: 1");
    running.type_text("fg\n");
    running.wait_for("\r\nsleep 1000");
    running.wait_for_foreground("sleep");
    running.type_text("\x03");
    running.type_text("echo its status: $?\n");
    running.wait_for("its status: 130");
    running.type_text("exit 5\n");
    let (status, screen) = running.end();
    assert_eq!(status, 5, "{screen}");
}

fn window(mode: Mode) {
    // Not by the trap: some shells lose a signal that comes while they act on one.
    let script = "trap 'echo it is told' WINCH; trap 'exit 3' INT; echo ready; \
                  while :; do stty size; sleep 0.1; done";
    let mut running = session(mode, &["sh", "-c", script]);
    running.wait_for("ready");
    running.resize(33, 111);
    running.wait_for("it is told");
    running.wait_for("33 111");
    running.resize(50, 70);
    running.wait_for("50 70");
    running.type_text("\x03");
    assert_eq!(running.end().0, 3);
}

/// What ends albs-node goes to the command, and the terminal is as before.
fn signals(mode: Mode) {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129)] {
        let mut running = session(mode, &["sleep", "1000"]);
        running.wait_for_program("sleep");
        running.wait_for_settings(true);
        send(running.pid_of("albs-node").expect("albs-node runs"), signal);
        assert_eq!(running.end().0, status, "{signal}");
    }
    // Killed from inside, and at a time limit.
    assert_eq!(session(mode, &["sh", "-c", "kill -9 $$"]).end().0, 137);
    let run = Run::new(mode).option("--timeout").option("0.5");
    let (status, screen) = Session::start(&run, &["sleep", "1000"]).end();
    assert_eq!(status, 124, "{screen}");
    assert!(screen.contains("albs-node: killed after 0.5 s"), "{screen}");
}

/// Whoever stops albs-node finds the terminal as it was.
fn suspended(mode: Mode) {
    let mut running = session(mode, &["sh", "-c", "echo ready; read -r line; echo got $line"]);
    running.wait_for("ready");
    running.wait_for_settings(true);
    let pid = running.pid_of("albs-node").expect("albs-node runs");
    send(pid, Signal::SIGTSTP);
    running.wait_for_settings(false);
    // It stops after that; to go on before it has stopped would be lost, which no shell does.
    let began = std::time::Instant::now();
    while !is_stopped(pid) {
        assert!(began.elapsed().as_secs() < 60, "it never stops");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    send(pid, Signal::SIGCONT);
    running.wait_for_settings(true);
    running.type_text("this\n");
    let (status, screen) = running.end();
    assert_eq!(status, 0);
    assert!(screen.contains("got this"), "{screen}");
}

/// Whether a process is stopped (proc_pid_stat(5)).
fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// Typing for the caller, from inside, gets no further than the sandbox's own terminal.
fn callers_terminal(mode: Mode) {
    if !installed("python3") {
        return skip("python3 is not installed");
    }
    // Its own input has it then, which shows that the attempt was not refused.
    let script = "
import errno, fcntl, os, sys, termios
tty = os.open('/dev/tty', os.O_RDWR)
typed = True
for descriptor in (0, 1, 2, tty):
    for byte in b'echo evil > /tmp/evil\\n':
        try:
            fcntl.ioctl(descriptor, termios.TIOCSTI, bytes([byte]))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            typed = False
print(os.ttyname(0), os.tcgetpgrp(tty) == os.getpgrp(), flush=True)
for name in ('tty0', 'tty1', 'console', 'ttyS0', 'pts/1', 'pts/2', 'vcs', 'vcsa', 'uinput'):
    try:
        os.open('/dev/' + name, os.O_RDWR)
        print('opened', name)
    except FileNotFoundError:
        pass
print([sys.stdin.readline().strip() for _ in range(2)] if typed else 'refused')
";
    // Kernels since 6.2 can do without it, for all terminals.
    let setting = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    let refused = setting.is_ok_and(|setting| setting.trim() == "0");
    let seen =
        if refused { "refused" } else { "['echo evil > /tmp/evil', 'echo evil > /tmp/evil']" };
    let (status, screen) = session(mode, &["python3", "-c", script]).end();
    assert_eq!(status, 0, "{screen}");
    assert!(screen.contains("/dev/pts/0 True\r\n"), "{screen}");
    assert!(screen.contains(seen), "{screen}");
    assert!(!screen.contains("opened"), "{screen}");
}

/// Between a terminal and a pipe, there is no terminal of its own, and the caller's is protected
/// by the filter.
fn pipelines(mode: Mode) {
    let piped = |line: &str, script: &str| {
        let run = Run::new(mode);
        let mut words = ["bash", "-c", line, "_"].map(str::to_owned).to_vec();
        words.extend(run.words(&["sh", "-c", script]));
        Session::of(&words).end()
    };
    let script = "cat; test -t 0 || echo no terminal; test -t 1 && echo a screen";
    let (status, screen) = piped("echo bytes | \"$@\"", script);
    assert_eq!((status, screen.trim_end()), (0, "bytes\r\nno terminal\r\na screen"));
    let script = "test -t 0 && ! test -t 1 && echo as is; ls /dev/pts";
    let (status, screen) = piped("\"$@\" | od -An -c", script);
    assert_eq!(status, 0, "{screen}");
    // Line ends are not those of a terminal, and nobody has opened one.
    assert!(screen.starts_with("   a   s       i   s  \\n   p   t   m   x  \\n\r\n"), "{screen:?}");
}

#[test]
fn the_plan_tells() {
    let run = Run::new(own()).option("--plan");
    let (status, screen) = Session::start(&run, &["true"]).end();
    let launch: sandbox::wire::Launch = serde_json::from_str(&screen).expect("a launch");
    assert_eq!((status, launch.payload.terminal.as_slice()), (0, &[0, 1, 2][..]));
    let launch = Run::new(own()).option("--plan").command(&["true"]).text();
    let launch: sandbox::wire::Launch = serde_json::from_str(&launch).expect("a launch");
    assert!(launch.payload.terminal.is_empty() && !launch.payload.new_session);
}

/// The program of the next test.
#[test]
#[ignore = "it panics, with a terminal that another test gives it"]
fn a_program_that_panics() {
    let mut spec = crate::library::spec(&["sleep", "1000"]);
    spec.stdio = Stdio::TERMINAL;
    let sandbox = Sandbox::spawn(&spec, &HostFacts::probe()).expect("start");
    std::thread::spawn(move || sandbox.wait(&mut |_| {}));
    // Until the other test has seen what that does to the terminal.
    let seen = std::env::var_os("SEEN").expect("a path");
    while !std::path::Path::new(&seen).exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // As in a release, where nothing is dropped.
    std::panic::catch_unwind(|| panic!("as it does")).expect_err("it has panicked");
    std::process::abort();
}

#[test]
fn after_a_panic() {
    if own_range_or_skip().is_none() {
        return;
    }
    let this = std::env::current_exe().expect("this program").display().to_string();
    let name = "terminal::a_program_that_panics";
    let place = tempfile::tempdir().expect("a directory");
    let seen = place.path().join("seen");
    let script = "SEEN=$0 \"$@\"; echo status $?";
    let path = seen.display().to_string();
    let words = ["bash", "-c", script, &path, &this, "--ignored", "--exact", name];
    let mut running = Session::of(&words.map(str::to_owned));
    running.wait_for_settings(true);
    std::fs::write(&seen, "").expect("tell");
    running.wait_for_settings(false);
    let (_, screen) = running.end();
    assert!(screen.contains("status 134"), "{screen}");
}
