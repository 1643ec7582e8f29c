//! What systemd is told: when the node is ready, what it does, and that it lives (sd_notify(3)).
//! Without systemd nobody listens.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::{NotifyState, notify};

use super::{Node, Stop};

/// Longest time between two lines of status.
const PERIOD: Duration = Duration::from_secs(10);

pub(super) fn ready() {
    let _ = notify(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    let _ = notify(&[NotifyState::Stopping]);
}

/// Tells until it is aborted.
pub(super) async fn watch(node: Arc<Node>) {
    // Half the time that systemd waits, as sd_watchdog_enabled(3) recommends.
    let watchdog = sd_notify::watchdog_enabled();
    let period = watchdog.map_or(PERIOD, |time| (time / 2).min(PERIOD));
    loop {
        let mut states = vec![NotifyState::Watchdog];
        let status = status(&node);
        states.push(NotifyState::Status(&status));
        let _ = notify(&states);
        tokio::time::sleep(period).await;
    }
}

fn status(node: &Node) -> String {
    let tasks = node.tasks();
    let built = tasks.values().filter(|held| held.kept.progress().built.is_some()).count();
    let building = tasks.len() - built;
    let what = match node.stopping() {
        Stop::No => "",
        Stop::Finish => "finishing: ",
        Stop::Cancel => "ending: ",
    };
    let slots = node.current().config.threads_count;
    format!("{what}{building} of {slots} slots build, {built} tasks wait for their report")
}
