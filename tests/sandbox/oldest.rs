//! What hosts with the kernel of AlmaLinux 8 get, on this one: HostFacts say so, and what newer
//! kernels have is not asked for.

use std::process::{Command, Stdio};

use crate::processes::started;

/// Tests of what is done by other calls there: mounting, paths, control groups.
const AGAIN: [&str; 4] = ["binds::", "denied::attempts", "roots::", "view::"];

#[test]
fn the_same_by_older_calls() {
    let again = {
        let mut started = started();
        let again = Command::new(std::env::current_exe().expect("this program"))
            .args(["--test-threads=2", "--show-output"])
            .args(AGAIN)
            .env("ALBS_NODE_ASSUME_KERNEL", "4.18.0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run the tests again");
        started.insert(again.id() as i32);
        again
    };
    let done = again.wait_with_output().expect("wait for the tests");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    // Each of them has the name of some test.
    for part in AGAIN {
        assert!(said.contains(&format!("test {part}")), "{part}: {said}");
    }
}
