//! The terminal of commands that people type at.

use std::io::{IsTerminal, stderr, stdin, stdout};

use sandbox::SandboxSpec;
use sandbox::spec::{Stdio, Stdout};

/// Gives a command a terminal of its own if it is between a keyboard and a screen. Otherwise it is
/// a part of a pipeline and gets what the caller has, job control included: what a filter keeps
/// from it then is typing at the caller's terminal.
pub(super) fn attach(spec: &mut SandboxSpec) {
    let interactive = stdin().is_terminal() && stdout().is_terminal();
    spec.keep_session = !interactive;
    if !interactive {
        spec.stdio = Stdio::INHERIT;
        spec.seccomp.push("terminal".to_owned());
        return;
    }
    spec.stdio = Stdio::TERMINAL;
    if !stderr().is_terminal() {
        spec.stdio.stderr = Stdout::Inherit;
    }
}
