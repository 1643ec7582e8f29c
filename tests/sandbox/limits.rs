//! Limits on memory, processes and processors.

use std::time::Instant;

use crate::harness::{Done, Mode, Run, own, skip, unlimited, with};

fn limited(mode: Mode, option: &str, value: &str, command: &[&str]) -> Done {
    Run::new(mode).option(option).option(value).command(command)
}

/// Runs a test as whoever runs the tests, if they may limit anything here: root, or an ordinary
/// user with a delegated control group.
fn with_cgroups(test: fn(Mode)) {
    match unlimited(own()) {
        None => test(own()),
        Some(reason) => skip(&reason),
    }
}

#[test]
fn memory() {
    with_cgroups(|mode| {
        // tail keeps the last line, which never ends.
        let done = limited(mode, "--memory", "48M", &["tail", "/dev/zero"]);
        assert_eq!(done.code(), 137, "{done:?}");
        assert_eq!(done.stderr, "albs-node: killed at the memory limit\n");
        // Files in /tmp are memory.
        let fill = "head -c 200M /dev/zero > /tmp/file";
        let done = limited(mode, "--memory", "48M", &["sh", "-c", fill]);
        assert_eq!(done.code(), 137, "{done:?}");
        let done = limited(mode, "--memory", "256M", &["sh", "-c", "exit 6"]);
        assert_eq!(done.code(), 6);
    });
}

#[test]
fn processes() {
    with_cgroups(|mode| {
        let forks = |limit: &str| {
            let run = Run::new(mode).option("--pids").option(limit);
            run.probe(&["try", "forks:60"])["forks:60"].clone()
        };
        assert_eq!(forks("20"), "EAGAIN");
        assert_eq!(forks("100"), "ok");
        // The sandbox's own pid 1 comes on top.
        assert_eq!(limited(mode, "--pids", "1", &["true"]).code(), 0);
        assert_ne!(limited(mode, "--pids", "1", &["sh", "-c", "true & wait $!"]).code(), 0);
    });
}

#[test]
fn processors() {
    with_cgroups(|mode| {
        let began = Instant::now();
        let spin = "while :; do :; done & sleep 2; kill $!; wait $!; times";
        let done = limited(mode, "--cpus", "0.2", &["sh", "-c", spin]);
        let wall = began.elapsed().as_secs_f64();
        // A line for the shell, and one for its children: `0m0.250000s 0m0.010000s`.
        let line = done.text().lines().nth(1).map(str::to_owned).unwrap_or_default();
        let user = line.split(['m', 's']).nth(1).and_then(|s| s.parse::<f64>().ok());
        let user = user.unwrap_or_else(|| panic!("{done:?}"));
        // One period's quota can be used before the first accounting.
        assert!(user <= 0.2 * 1.3 * wall + 0.02, "{user} s of {wall} s");
    });
}

/// An ordinary user without a delegated group of control groups.
#[test]
fn limits_that_cannot_hold_are_errors() {
    for mode in [Mode::Subids, Mode::Single] {
        with(mode, |mode| {
            if unlimited(mode).is_none() {
                return skip("a control group is delegated to this user");
            }
            for (option, value) in [("--memory", "1G"), ("--pids", "9"), ("--cpus", "1")] {
                let done = limited(mode, option, value, &["true"]);
                done.assert_not_started("limit cannot be enforced");
                assert!(done.stderr.contains("hint: "), "{done:?}");
                assert!(done.stdout.is_empty());
            }
        });
    }
}

/// Linux before 5.7 cannot start a process in a control group, so it has to join.
#[test]
fn processes_on_the_oldest_kernel() {
    with_cgroups(|mode| {
        let old = "export ALBS_NODE_ASSUME_KERNEL=4.18.0; exec \"$@\"";
        let run = Run::new(mode).prelude(old).option("--pids").option("20");
        assert_eq!(run.probe(&["try", "forks:60"])["forks:60"], "EAGAIN");
    });
}
