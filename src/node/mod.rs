//! The build node: takes tasks of albs-web-server, has workers build them, uploads what they give
//! and reports, until it is told to stop.
//!
//! ```text
//! poll ── a task ──▶ outbox ──▶ builder ── worker process ──▶ done.json
//!                                  │                              │
//!             heartbeat: everything held                 delivery: Pulp, report
//! ```
//!
//! Each task is carried by one future from its directory in the outbox to its report; how far it
//! has come is in its journal, so a node that dies in between is followed by one that goes on. A
//! build runs in a process of its own, which survives the node and is found again.

mod admission;
mod builder;
mod caches;
mod control;
mod delivery;
pub mod done;
mod ends;
mod exclusions;
pub mod gather;
mod heartbeat;
mod journal;
mod metrics;
mod outbox;
mod poll;
mod report;
mod room;
mod sentry;
mod service;
pub mod settings;
pub mod story;
mod tell;
pub mod worker;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::queue::QueueError;
use crate::resources::{HostSize, Resource};
use crate::server::ServerError;
use crate::upload::UploadError;
pub use control::{Request, ask};
use ends::Ends;
use metrics::Metrics;
pub use outbox::{HeldTask, Outbox, OutboxError};
use sentry::{Event, Sentry};
pub use tell::{Level, tell};

/// How long a node that ends waits for Sentry.
const LAST_EVENTS: std::time::Duration = std::time::Duration::from_secs(5);

/// How far the node is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It works.
    No,
    /// It takes no new task, and ends when those that it holds are reported.
    Finish,
    /// It ends builds, too; they start again with the next node.
    Cancel,
}

/// What a config comes to.
#[derive(Debug)]
pub struct Current {
    /// The config.
    pub config: Config,
    ends: Arc<Ends>,
    sentry: Option<Arc<Sentry>>,
    /// Bytes of memory that a build of no special class may use.
    memory_limit: Option<u64>,
}

/// The node cannot start, or cannot use a new config.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The client of the server.
    #[error("the client of albs-web-server cannot be set up")]
    Server(#[source] ServerError),
    /// The client of Pulp.
    #[error("the client of Pulp cannot be set up")]
    Pulp(#[source] UploadError),
    /// The directory in the place of both.
    #[error("the queue cannot be used")]
    Queue(#[from] QueueError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The control socket.
    #[error("cannot listen at {}", .0.display())]
    Control(PathBuf, #[source] std::io::Error),
    /// The address for metrics.
    #[error("cannot serve metrics at {0}")]
    Metrics(std::net::SocketAddr, #[source] std::io::Error),
    /// Resource classes.
    #[error("the limits of builds are not usable")]
    Limits(#[from] crate::resources::ResourceError),
}

impl Current {
    /// Sets up what a config asks for.
    ///
    /// # Errors
    ///
    /// See [`NodeError`].
    pub fn new(config: Config) -> Result<Current, NodeError> {
        let size = HostSize::probe(config.slots(), &config.own.store);
        let effective = crate::resources::effective(&config.resources()?, &size, None, None, &[])?;
        Ok(Current {
            ends: Arc::new(Ends::new(&config)?),
            sentry: Sentry::new(&config).unwrap_or_else(|error| {
                let why = crate::causes::with_causes(&error);
                tell(Level::Warning, format_args!("nothing is told to Sentry: {why}"));
                None
            }),
            memory_limit: effective.number(Resource::Memory),
            config,
        })
    }
}

/// A call of this program in a process group of its own: what ends the node from a terminal is not
/// meant for it, nor what a service is told.
fn apart(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0);
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(variable);
    }
    command
}

/// A task in this process.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) kept: HeldTask,
    /// Whether pings must not name it: its report may be on the server.
    silent: AtomicBool,
    /// Whether somebody wants it to end.
    cancelled: AtomicBool,
    /// Wakes whoever waits while the above may change.
    changed: Notify,
    /// The worker's process, while there is one.
    worker: Mutex<Option<i32>>,
}

impl Held {
    fn new(kept: HeldTask) -> Held {
        let silent = kept.progress().reporting.is_some();
        Held {
            kept,
            silent: AtomicBool::new(silent),
            cancelled: AtomicBool::new(false),
            changed: Notify::new(),
            worker: Mutex::new(None),
        }
    }

    /// Ends it: its build, or its waiting.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn worker(&self) -> Option<i32> {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_worker(&self, pid: Option<i32>) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }
}

/// The node.
#[derive(Debug)]
pub struct Node {
    current: Mutex<Arc<Current>>,
    outbox: Outbox,
    /// This program, for workers.
    program: PathBuf,
    slots: Arc<Semaphore>,
    held: Mutex<BTreeMap<i64, Arc<Held>>>,
    stop: watch::Sender<Stop>,
    carried: Mutex<JoinSet<()>>,
    /// What Sentry is being told.
    events: Mutex<JoinSet<()>>,
    pub(crate) metrics: Metrics,
    pub(crate) started: jiff::Timestamp,
    /// Why no task is taken, for `status`.
    pub(crate) refusal: Mutex<Option<String>>,
}

impl Node {
    /// A node that does nothing yet. `program` is this program's own path.
    ///
    /// # Errors
    ///
    /// See [`NodeError`].
    pub fn new(current: Current, program: PathBuf) -> Result<Arc<Node>, NodeError> {
        let outbox = Outbox::open(&current.config.own.outbox)?;
        let slots = slots_of(&current.config);
        Ok(Arc::new(Node {
            current: Mutex::new(Arc::new(current)),
            outbox,
            program,
            slots: Arc::new(Semaphore::new(slots)),
            held: Mutex::default(),
            stop: watch::Sender::new(Stop::No),
            carried: Mutex::default(),
            events: Mutex::default(),
            metrics: Metrics::default(),
            started: jiff::Timestamp::now(),
            refusal: Mutex::new(None),
        }))
    }

    /// Works until it is told to stop and everything is reported. Gives the number of tasks that
    /// are left to the next node.
    ///
    /// # Errors
    ///
    /// The outbox or the control socket cannot be used.
    pub async fn run(self: &Arc<Node>) -> Result<usize, NodeError> {
        let socket = self.current().config.own.control_socket.clone();
        let listener =
            control::listen(&socket).map_err(|error| NodeError::Control(socket.clone(), error))?;
        let mut services = JoinSet::new();
        services.spawn(control::serve(self.clone(), listener));
        if let Some(address) = self.current().config.own.metrics_address {
            let listener = metrics::listen(address)
                .await
                .map_err(|error| NodeError::Metrics(address, error))?;
            services.spawn(metrics::serve(self.clone(), listener));
        }
        self.take_up()?;
        services.spawn(heartbeat::run(self.clone()));
        let systemd = Arc::new(service::Systemd::new());
        systemd.ready();
        services.spawn(service::watch(self.clone(), systemd.clone()));
        poll::run(self).await;
        systemd.stopping();
        self.carried_to_the_end().await;
        services.shutdown().await;
        let events = std::mem::take(&mut *self.events());
        let _ = tokio::time::timeout(LAST_EVENTS, events.join_all()).await;
        let _ = std::fs::remove_file(&socket);
        systemd.end().await;
        Ok(self.tasks().len())
    }

    /// Goes on with what an earlier node has left.
    fn take_up(self: &Arc<Node>) -> Result<(), NodeError> {
        let (held, unreadable) = self.outbox.held()?;
        for error in unreadable {
            tell(
                Level::Error,
                format_args!(
                    "a task is left aside: {}; look at its directory, and move it away",
                    crate::causes::with_causes(&error)
                ),
            );
        }
        for kept in held {
            tell(Level::Info, format_args!("task {} is taken up again", kept.id));
            self.carry(kept, None);
        }
        // One that is left aside is held, too.
        self.current().ends.take_up(|id| self.outbox.has(id))?;
        Ok(())
    }

    /// Carries a task to its report. A slot may be given; else one is waited for if it is needed.
    fn carry(self: &Arc<Node>, kept: HeldTask, slot: Option<OwnedSemaphorePermit>) {
        let held = Arc::new(Held::new(kept));
        self.tasks().insert(held.kept.id, held.clone());
        let node = self.clone();
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        while carried.try_join_next().is_some() {}
        carried.spawn(async move {
            if held.kept.progress().built.is_none() {
                let slot = match slot {
                    Some(slot) => Some(slot),
                    None => node.slot_in_time().await,
                };
                let Some(_slot) = slot else { return };
                if builder::build(&node, &held).await.is_err() {
                    return;
                }
            }
            delivery::deliver(&node, &held).await;
        });
    }

    /// A slot, unless builds are ended meanwhile.
    async fn slot_in_time(&self) -> Option<OwnedSemaphorePermit> {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            slot = self.slots.clone().acquire_owned() => slot.ok(),
            _ = stop.wait_for(|stop| *stop == Stop::Cancel) => None,
        }
    }

    fn events(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells Sentry, if there is one. Nothing waits for it.
    fn tell_sentry(&self, event: Event) {
        let Some(sentry) = self.current().sentry.clone() else { return };
        let mut events = self.events();
        while events.try_join_next().is_some() {}
        events.spawn(async move { sentry.send(event).await });
    }

    async fn carried_to_the_end(&self) {
        loop {
            let mut set = {
                let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *carried)
            };
            if set.is_empty() {
                return;
            }
            while set.join_next().await.is_some() {}
        }
    }

    /// Takes another config from now on. Where the node keeps things does not change.
    pub fn reconfigure(&self, mut new: Current) {
        let old = self.current();
        let kept = &old.config.own;
        new.config.own.outbox.clone_from(&kept.outbox);
        new.config.own.control_socket.clone_from(&kept.control_socket);
        // Tasks that are held are reported to where they came from.
        if new.config.own.queue != kept.queue {
            tell(Level::Warning, "SIGHUP: albs_node.queue counts from the next start on");
            new.ends = old.ends.clone();
            new.config.own.queue.clone_from(&kept.queue);
        }
        let (before, after) = (slots_of(&old.config), slots_of(&new.config));
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        if after > before {
            self.slots.add_permits(after - before);
        } else {
            let slots = self.slots.clone();
            // Those that are taken are given up when they are free.
            tokio::spawn(async move {
                let less = u32::try_from(before - after).unwrap_or(u32::MAX);
                if let Ok(permits) = slots.acquire_many_owned(less).await {
                    permits.forget();
                }
            });
        }
    }

    /// The config as it counts now, and what it comes to.
    pub fn current(&self) -> Arc<Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes no new task any more; the second time, ends builds.
    pub fn stop(&self) {
        self.stop.send_modify(|stop| {
            *stop = if *stop == Stop::No { Stop::Finish } else { Stop::Cancel };
        });
    }

    /// Takes no new task any more.
    pub fn finish(&self) {
        self.stop.send_modify(|stop| *stop = (*stop).max(Stop::Finish));
    }

    /// Whether builds are ended.
    pub fn is_cancelling(&self) -> bool {
        self.stopping() == Stop::Cancel
    }

    pub(crate) fn stopping(&self) -> Stop {
        *self.stop.borrow()
    }

    pub(crate) fn tasks(&self) -> MutexGuard<'_, BTreeMap<i64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    /// Waits, but not longer than until the node is told to stop.
    async fn sleep(&self, time: std::time::Duration) {
        let mut stop = self.stop.subscribe();
        let _ = tokio::time::timeout(time, stop.wait_for(|stop| *stop > Stop::No)).await;
    }
}

fn slots_of(config: &Config) -> usize {
    usize::try_from(config.threads_count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}
