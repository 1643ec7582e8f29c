//! The program `sandbox-init`: applies a [`Launch`](crate::wire::Launch), decides nothing.
//!
//! It has one thread and three processes. The *supervisor* stays outside: it writes the id maps,
//! joins the control groups, watches the time limit and the parent, and reports. *Pid 1* of the
//! sandbox puts the root together, reaps, forwards signals, and at its end takes everything with
//! it. The *payload* confines itself and becomes the command.
//!
//! Whoever dies, the rest follows: the parent's end closes the control socket, on which the
//! supervisor kills pid 1; the supervisor's end kills pid 1 (PR_SET_PDEATHSIG); pid 1's end kills
//! whatever is left of the sandbox (pid_namespaces(7)).

mod carrier;
mod groups;
mod landlock;
mod maps;
mod mounts;
mod network;
mod payload;
mod pid1;
mod resolve;
mod supervisor;
mod terminal;

use nix::errno::Errno;

/// Runs `sandbox-init`; gives its exit status.
pub fn main() -> i32 {
    supervisor::run()
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    step: String,
    errno: Errno,
    detail: Option<String>,
}

impl Failure {
    fn new(step: impl Into<String>, errno: Errno) -> Failure {
        Failure { step: step.into(), errno, detail: None }
    }

    fn into_report(self) -> crate::wire::Report {
        crate::wire::Report::Failed {
            step: self.step,
            errno: self.errno as i32,
            detail: self.detail,
        }
    }
}

/// Names the step of an error.
trait Attempt<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure>;
}

impl<T> Attempt<T> for nix::Result<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|errno| Failure::new(step, errno))
    }
}

impl<T> Attempt<T> for std::io::Result<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step: step.into(),
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
            detail: error.raw_os_error().is_none().then(|| error.to_string()),
        })
    }
}
