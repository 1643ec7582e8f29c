//! What systemd is told: when the node is ready, what it does, and that it lives (sd_notify(3)).
//! Without systemd nobody listens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sd_notify::{NotifyState, notify};

use super::{Node, Stop};

/// Longest time between two lines of status.
const PERIOD: Duration = Duration::from_secs(10);
/// How long the last message may take.
const LAST: Duration = Duration::from_secs(1);

/// Talks to systemd, on a thread of its own: sending waits for whoever reads, and nothing else may
/// wait for that.
#[derive(Debug)]
pub(super) struct Systemd {
    send: Mutex<Option<Sender<Message>>>,
    /// Messages that are not sent yet.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    Ready,
    /// It lives, and this is what it does.
    Alive(String),
    Stopping,
}

impl Systemd {
    pub(super) fn new() -> Systemd {
        let (send, receive) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let count = waiting.clone();
        let thread = std::thread::spawn(move || talk(&receive, &count));
        Systemd { send: Mutex::new(Some(send)), waiting, thread }
    }

    pub(super) fn ready(&self) {
        self.tell(Message::Ready);
    }

    pub(super) fn stopping(&self) {
        self.tell(Message::Stopping);
    }

    fn tell(&self, message: Message) {
        if let Some(send) = &*self.send.lock().unwrap_or_else(PoisonError::into_inner) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // The thread ends with this value only.
            let _ = send.send(message);
        }
    }

    /// Sends what is left, if somebody reads it.
    pub(super) async fn end(&self) {
        self.send.lock().unwrap_or_else(PoisonError::into_inner).take();
        let began = Instant::now();
        while !self.thread.is_finished() && began.elapsed() < LAST {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn talk(receive: &Receiver<Message>, waiting: &AtomicUsize) {
    for message in receive {
        let _ = match &message {
            Message::Ready => notify(&[NotifyState::Ready]),
            Message::Alive(status) => notify(&[NotifyState::Watchdog, NotifyState::Status(status)]),
            Message::Stopping => notify(&[NotifyState::Stopping]),
        };
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells until it is aborted. Nothing is said as long as an earlier message was not taken.
pub(super) async fn watch(node: Arc<Node>, systemd: Arc<Systemd>) {
    // Half the time that systemd waits, as sd_watchdog_enabled(3) recommends.
    let watchdog = sd_notify::watchdog_enabled();
    let period = watchdog.map_or(PERIOD, |time| (time / 2).min(PERIOD));
    loop {
        if systemd.waiting.load(Ordering::Relaxed) == 0 {
            systemd.tell(Message::Alive(status(&node)));
        }
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
