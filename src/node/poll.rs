//! Asking for tasks, as long as slots are free and the host has room.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::admission::{HostRoom, Needs, Refusal, refusal};
use super::exclusions::Exclusions;
use super::room::Room;
use super::tell::{Condition, Level, tell};
use super::{Current, Node, Stop};
use crate::causes::with_causes;
use crate::retry::{Backoff, Next};
use crate::server::Received;
use crate::task::GetTask;

/// Tasks that may wait for Pulp and the server, for each slot: more would fill the disk.
const WAITING: usize = 8;
/// How long a node that may not take tasks waits before it looks again.
const PAUSE: Duration = Duration::from_secs(5);

/// Takes tasks until the node is told to stop.
pub(super) async fn run(node: &Arc<Node>) {
    let mut exclusions = Exclusions::default();
    let (mut paused, mut stale) = (Condition::default(), Condition::default());
    let mut server = Condition::default();
    let mut room = Room::default();
    let mut failures = 0;
    while node.stopping() == Stop::No {
        let mut stop = node.stop.subscribe();
        let slot = tokio::select! {
            slot = node.slots.clone().acquire_owned() => slot,
            _ = stop.wait_for(|stop| *stop > Stop::No) => return,
        };
        let Ok(slot) = slot else { return };
        let current = node.current();
        let refusal = pause(node, &current);
        if refusal.as_ref().is_some_and(|refusal| refusal.is_disk) {
            room.make(&node.program, &current.config.own);
        }
        let mut reason = refusal.map(|refusal| refusal.why);
        let mut excluded = Vec::new();
        if reason.is_none() {
            match exclusions.get(&current).await {
                Ok(list) => excluded = list,
                Err(why) => reason = Some(why),
            }
            let old = exclusions
                .trouble()
                .map(|why| format!("the list of excluded packages could not be renewed: {why}"));
            stale.is(Level::Warning, old.filter(|_| reason.is_none()), "it was renewed");
        }
        *node.refusal.lock().unwrap_or_else(PoisonError::into_inner) = reason.clone();
        let told = reason.as_ref().map(|why| format!("no task is taken: {why}"));
        paused.is(Level::Warning, told, "tasks are taken");
        if reason.is_some() {
            drop(slot);
            node.sleep(jittered(PAUSE)).await;
            continue;
        }
        if node.stopping() > Stop::No {
            return;
        }
        let config = &current.config;
        let ask = GetTask::new(&config.base_arch, config.build_src, excluded);
        // Whoever has asked has taken it: this call is never given up, also when the node stops.
        let wait = match current.ends.get_task(&ask).await {
            Ok(received) => {
                failures = 0;
                server.is(Level::Warning, None, "the server answers again");
                match received {
                    Received::Nothing => {
                        drop(slot);
                        jittered(Duration::from_secs(config.own.poll_interval))
                    }
                    Received::Task(task, json) => {
                        tell(
                            Level::Info,
                            format_args!(
                                "task {} is taken: {} for {}, {}",
                                task.id, task.source.url, task.platform.name, task.arch
                            ),
                        );
                        keep(node, task.id, &json, slot).await;
                        continue;
                    }
                    Received::Malformed(malformed, json) => {
                        tell(Level::Error, &malformed);
                        match malformed.id {
                            Some(id) => {
                                keep(node, id, &json, slot).await;
                                continue;
                            }
                            None => PAUSE,
                        }
                    }
                }
            }
            Err(error) => {
                drop(slot);
                failures += 1;
                let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
                let told = format!("no task could be asked for: {}{hint}", with_causes(&error));
                server.is(Level::Warning, Some(told), "");
                match Backoff::ASK.next(failures, error.trouble(), fastrand::f64()) {
                    Next::Wait(wait) => wait,
                    Next::GiveUp => jittered(Backoff::ASK.most),
                }
            }
        };
        node.sleep(wait).await;
    }
}

/// Why none may be taken now.
fn pause(node: &Node, current: &Current) -> Option<Refusal> {
    let config = &current.config;
    if config.maintenance_mode_file.exists() {
        let why = format!("{} exists", config.maintenance_mode_file.display());
        return Some(Refusal::other(why));
    }
    let waiting = node.tasks().len();
    let most = WAITING.saturating_mul(super::slots_of(config));
    if waiting >= most {
        let why = format!("{waiting} tasks wait to be uploaded and reported");
        return Some(Refusal::other(why));
    }
    let places: [&Path; 2] = [&config.own.outbox, &config.own.store];
    refusal(&HostRoom::probe(&places), &Needs::new(&config.own, current.memory_limit))
}

/// Keeps a task in the outbox and begins to carry it. It is held from now on, so this goes on until
/// it is written down.
async fn keep(node: &Arc<Node>, id: i64, json: &Json, slot: tokio::sync::OwnedSemaphorePermit) {
    let mut condition = Condition::default();
    loop {
        match tokio::task::block_in_place(|| node.outbox.add(id, json)) {
            Ok(Some(kept)) => {
                node.metrics.taken.inc();
                return node.carry(kept, Some(slot));
            }
            Ok(None) => {
                tell(Level::Warning, format_args!("task {id} was given out again, and is held"));
                return;
            }
            Err(error) => {
                let told = format!("task {id} is not kept yet: {}", with_causes(&error));
                condition.is(Level::Error, Some(told), "");
            }
        }
        if node.stopping() == Stop::Cancel {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// About this long: many nodes do not ask at the same moment.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.8 + 0.4 * fastrand::f64())
}
