//! Signals to this program that are meant for what runs in a sandbox.

use std::io::IsTerminal;
use std::thread::JoinHandle;

use sandbox::{Killer, SandboxSpec, TerminalEvent};
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::{Handle, Signals};

use crate::run::Cancel;

/// Acts on signals as long as it lives.
#[derive(Debug)]
pub(super) struct Forwarding {
    handle: Option<Handle>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.close();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Forwards signals of this process to the command of a sandbox.
pub(super) fn forward(killer: Killer, spec: &SandboxSpec) -> Forwarding {
    let of_terminal = [SIGHUP, SIGINT, SIGQUIT, SIGWINCH];
    let others = [SIGTERM, SIGUSR1, SIGUSR2];
    if spec.stdio.has_terminal() {
        // Its keys arrive there as bytes, so all that comes is meant for this program, or for
        // the terminal.
        let all = [&of_terminal[..], &others, &[SIGTSTP, SIGCONT]].concat();
        return handle(&all, move |signal| match signal {
            SIGWINCH => killer.terminal(TerminalEvent::Resized),
            SIGTSTP => killer.terminal(TerminalEvent::Suspend),
            SIGCONT => killer.terminal(TerminalEvent::Continued),
            _ => killer.signal(signal),
        });
    }
    // From a terminal, the command gets these by itself, being in the same foreground group.
    let skip = std::io::stdin().is_terminal();
    handle(&[&of_terminal[..], &others].concat(), move |signal| {
        if !(skip && of_terminal.contains(&signal)) {
            killer.signal(signal);
        }
    })
}

/// Stops a build at the signals that ask for an end.
pub(super) fn cancel(cancel: Cancel) -> Forwarding {
    handle(&[SIGHUP, SIGINT, SIGTERM], move |signal| cancel.cancel(signal))
}

fn handle(numbers: &[i32], act: impl Fn(i32) + Send + 'static) -> Forwarding {
    let Ok(mut signals) = Signals::new(numbers) else {
        // Without handlers, a signal ends this program, and with it its sandboxes.
        return Forwarding { handle: None, thread: None };
    };
    let handle = Some(signals.handle());
    let thread = std::thread::spawn(move || signals.forever().for_each(act));
    Forwarding { handle, thread: Some(thread) }
}
