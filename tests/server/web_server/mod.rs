//! A stand-in for albs-web-server: its calls with the rules that matter to a node, and faults that
//! are ordered beforehand. It runs in a thread of its own until it is dropped.
//!
//! What a real server does was seen on one; clocks are shortened: its 20 minutes of silence are
//! [`Options::silence`] here, its 3 hours nine times that.

mod check;
mod http;
mod rules;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value as Json;

pub use rules::{State, TaskState};

/// The token that is accepted.
pub const TOKEN: &str = "token-of-a-node";

/// How it behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// After how long without a ping a task is given out again.
    pub silence: Duration,
    /// How long a report waits for the worker.
    pub worker: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { silence: Duration::from_secs(60), worker: Duration::ZERO }
    }
}

/// What goes wrong with one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered with this, and nothing is done.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// It is answered late.
    Late(Duration),
    /// The connection ends before anything is done.
    CutBefore,
    /// The connection ends after everything is done.
    CutAfter,
    /// Half of the answer arrives.
    HalfAnswer,
}

impl Fault {
    /// An answer as nginx gives it.
    pub fn page(status: u16, title: &str) -> Fault {
        let headers = vec![("content-type", "text/html".to_owned())];
        let body = format!("<html>\r\n<head><title>{title}</title></head>\r\n<body></body></html>");
        Fault::Answer { status, headers, body }
    }
}

/// One call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// `get_task` and so on.
    pub name: String,
    /// What was sent.
    pub body: Json,
    /// What was answered; 0 if nothing was.
    pub status: u16,
    /// When.
    pub at: SystemTime,
}

pub(crate) struct Shared {
    options: Options,
    state: State,
    faults: HashMap<String, VecDeque<Fault>>,
    calls: Vec<Call>,
    exclusions: Option<String>,
}

/// The server.
pub struct WebServer {
    /// Where it is.
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl WebServer {
    /// Starts one without tasks.
    pub fn start(options: Options) -> WebServer {
        let shared = Arc::new(Mutex::new(Shared {
            options,
            state: State::default(),
            faults: HashMap::new(),
            calls: Vec::new(),
            exclusions: None,
        }));
        let (address, stop, thread) = http::serve(shared.clone());
        WebServer { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// What nodes have as `master_url`.
    pub fn master_url(&self) -> String {
        format!("http://{}/api/v1/", self.address)
    }

    /// What nodes have as `exclusions_url`.
    pub fn exclusions_url(&self) -> String {
        format!("http://{}/exclusions/", self.address)
    }

    /// Adds a task, as the server would send it. Tasks of one `build_id` and source wait for the
    /// `src` task among them.
    pub fn add(&self, task: Json) {
        self.shared().state.add(task);
    }

    /// Orders a fault for the next call of a name; several come one after the other.
    pub fn fail(&self, call: &str, fault: Fault) {
        self.shared().faults.entry(call.to_owned()).or_default().push_back(fault);
    }

    /// Sets the list of excluded packages; without one there is 404.
    pub fn exclude(&self, list: &str) {
        self.shared().exclusions = Some(list.to_owned());
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared().calls.clone()
    }

    /// How a task stands.
    pub fn task(&self, id: i64) -> TaskState {
        let mut shared = self.shared();
        shared.work();
        shared.state.task(id)
    }

    /// Reports that the worker has processed, of one task, in their order.
    pub fn processed(&self, id: i64) -> Vec<Json> {
        let mut shared = self.shared();
        shared.work();
        shared.state.processed(id)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Shared {
    /// Lets the worker do what is due.
    fn work(&mut self) {
        self.state.work(Instant::now(), self.options.worker);
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
