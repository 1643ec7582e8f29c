//! Looks around inside a sandbox and prints what it sees as one JSON object.
//!
//! ```text
//! probe                       what is visible from here
//! probe try NAME[:ARGUMENT]…  attempts of `attempt`, each in a process of its own: name -> result
//! probe syscalls [ABI:]NUMBER[:ARGUMENT]…
//!                             bare system calls; arguments that are not given are 0
//! ```
//!
//! A result is `ok`, the name of an error such as `EPERM`, or how the attempt died.

mod attempt;
mod look;
mod raw;

use std::process::ExitCode;

use nix::errno::Errno;
use serde_json::{Map, Value};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, names) = match arguments.split_first() {
        None => {
            println!("{}", look::around());
            return ExitCode::SUCCESS;
        }
        Some((command, names)) => (command.as_str(), names),
    };
    // Some attempts would do harm where nothing stops them.
    if std::fs::read_to_string("/proc/1/comm").is_ok_and(|name| name != "sandbox-init\n") {
        eprintln!("probe: attempts are for the inside of a sandbox");
        return ExitCode::from(5);
    }
    let attempt: fn(&str) -> nix::Result<()> = match command {
        "try" => attempt::attempt,
        "syscalls" => attempt::syscall,
        _ => {
            eprintln!("probe: unknown command {command:?}");
            return ExitCode::from(5);
        }
    };
    let results: Map<String, Value> =
        names.iter().map(|name| (name.clone(), apart(|| attempt(name)).into())).collect();
    println!("{}", Value::from(results));
    ExitCode::SUCCESS
}

/// Runs an attempt in a process of its own, so that none changes the ground of the next.
fn apart(attempt: impl FnOnce() -> nix::Result<()>) -> String {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::ForkResult;
    match raw::fork() {
        Ok(ForkResult::Child) => {
            // Error numbers are below 134 on all architectures, so they fit.
            std::process::exit(attempt().err().map_or(0, |error| error as i32));
        }
        Ok(ForkResult::Parent { child }) => match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => "ok".to_owned(),
            Ok(WaitStatus::Exited(_, number)) => format!("{:?}", Errno::from_raw(number)),
            Ok(WaitStatus::Signaled(_, signal, _)) => signal.to_string(),
            other => format!("{other:?}"),
        },
        Err(error) => format!("fork: {error}"),
    }
}
