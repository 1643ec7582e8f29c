//! Tidying the store by policy, beside builds: in a process of its own, which nobody waits for.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::output::note;
use super::setup::own_program;
use crate::buildroot::keep::{KeepPolicy, take_turn};
use crate::buildroot::store::Store;
use crate::causes::with_causes;

/// Starts `albs-node buildroot gc` if the policy of this host says that it is time. Whatever is
/// wrong with that is told: it is no reason for a build to fail.
pub(super) fn start_if_due(store: &Store, policy: &Path) {
    let due = KeepPolicy::load(policy).map_err(Into::into);
    match due.and_then(|due| take_turn(&due, store)) {
        Ok(false) => {}
        Ok(true) => start(store, policy),
        Err(error) => note(format_args!("buildroots are not tidied: {}", with_causes(&error))),
    }
}

fn start(store: &Store, policy: &Path) {
    let Ok(program) = own_program() else { return };
    let started = Command::new(program)
        .args(["buildroot", "gc", "--store"])
        .arg(store.path())
        .arg("--policy")
        .arg(policy)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Signals of the terminal are for the build.
        .process_group(0)
        .spawn();
    if let Err(error) = started {
        note(format_args!("buildroots are not tidied: {error}"));
    }
}
