//! Telling the server what is held, so that it gives it to nobody else: from a timer of its own,
//! whatever else the node does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::tell::{Condition, Level};
use super::{Held, Node};
use crate::causes::with_causes;
use crate::task::Ping;

/// Pings until it is aborted.
pub(super) async fn run(node: Arc<Node>) {
    let mut condition = Condition::default();
    let mut timer =
        tokio::time::interval(Duration::from_secs(node.current().config.own.ping_interval));
    // A server that was slow is not asked several times at once afterwards.
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let held: Vec<i64> =
            node.tasks().iter().filter(|(_, held)| is_pinged(held)).map(|(id, _)| *id).collect();
        if held.is_empty() {
            continue;
        }
        let trouble = node.current().ends.ping(&Ping::new(held)).await.err();
        let trouble = trouble.map(|error| {
            let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
            format!("tasks could not be told to be held: {}{hint}", with_causes(&error))
        });
        condition.is(Level::Warning, trouble, "the server is told of held tasks again");
    }
}

fn is_pinged(held: &Held) -> bool {
    !held.silent.load(Ordering::Relaxed)
}
