//! The socket for `albs-node status`, `tasks`, `logs` and `cancel`: a line of JSON asks, a line
//! answers. Only root and the node's own user may.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::caches::Caches;
use super::journal::Upload;
use super::tell::{Level, tell, time};
use super::worker::{DOING, Doing};
use super::{Held, Node, Stop};
use crate::task::Status;

/// Bytes of a request.
const MOST: u64 = 64 << 10;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What the node does.
    Status,
    /// Where the logs of a task are.
    Logs {
        /// The task.
        task: i64,
    },
    /// End a task: it is reported as failed.
    Cancel {
        /// The task.
        task: i64,
    },
}

/// Asks the node that listens at `socket`.
///
/// # Errors
///
/// None does, or it does not answer, or it says no.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Json> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    let time = Some(Duration::from_secs(10));
    stream.set_read_timeout(time)?;
    stream.set_write_timeout(time)?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    let answer: Json = serde_json::from_str(&answer)?;
    match answer.get("error").and_then(Json::as_str) {
        Some(error) => Err(io::Error::other(error.to_owned())),
        None => Ok(answer),
    }
}

/// Listens; a socket that nobody listens at any more is replaced.
pub(super) fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // The outbox's lock says that there is no other node here.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until it is aborted.
pub(super) async fn serve(node: Arc<Node>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    let talk = converse(&node, stream);
                    // Whoever says nothing is not waited for.
                    let _ = tokio::time::timeout(Duration::from_secs(30), talk).await;
                });
            }
            Err(error) => {
                tell(Level::Warning, format_args!("the control socket: {error}"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(node: &Node, stream: UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(MOST)).read_line(&mut line).await?;
    let own = nix::unistd::geteuid().as_raw();
    let answer = if peer != 0 && peer != own {
        json!({ "error": format!("user {peer} may not ask this node") })
    } else {
        match serde_json::from_str(&line) {
            Ok(request) => answer(node, &request),
            Err(error) => json!({ "error": format!("not a request: {error}") }),
        }
    };
    write.write_all(format!("{answer}\n").as_bytes()).await
}

fn answer(node: &Node, request: &Request) -> Json {
    match request {
        Request::Status => status(node),
        Request::Logs { task } => match node.tasks().get(task) {
            Some(held) => json!({ "directory": held.kept.directory }),
            None => unknown(*task),
        },
        Request::Cancel { task } => match node.tasks().get(task).cloned() {
            Some(held) => {
                held.cancel();
                tell(Level::Info, format_args!("task {task} is cancelled by the operator"));
                json!({ "cancelled": task })
            }
            None => unknown(*task),
        },
    }
}

fn unknown(task: i64) -> Json {
    json!({ "error": format!("this node does not hold task {task}") })
}

/// Everything there is to see.
pub(crate) fn status(node: &Node) -> Json {
    let current = node.current();
    let held: Vec<Arc<Held>> = node.tasks().values().cloned().collect();
    let tasks: Vec<Json> = held.iter().map(|held| task(held)).collect();
    let metrics = &node.metrics;
    let (from, to) = current.config.ends();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started": time(node.started),
        "server": from,
        "pulp": to,
        "stopping": match node.stopping() {
            Stop::No => Json::Null,
            Stop::Finish => "finishing".into(),
            Stop::Cancel => "cancelling".into(),
        },
        "not_taking": *node.refusal.lock().unwrap_or_else(PoisonError::into_inner),
        "slots": { "all": current.config.threads_count, "free": node.free_slots() },
        "counts": {
            "taken": metrics.taken.get(),
            "done": metrics.of_status(Status::Done),
            "failed": metrics.of_status(Status::Failed),
            "excluded": metrics.of_status(Status::Excluded),
            "again": metrics.again.get(),
            "uploaded_bytes": metrics.uploaded_bytes.get(),
        },
        "outbox": {
            "held": held.len(),
            "delivering": held.iter().filter(|held| held.kept.progress().built.is_some()).count(),
        },
        "caches": Caches::look(&current.config),
        "tasks": tasks,
    })
}

fn task(held: &Held) -> Json {
    let kept = &held.kept;
    let progress = kept.progress();
    let text = std::fs::read(kept.directory.join(DOING)).unwrap_or_default();
    let doing: Option<Doing> = serde_json::from_slice(&text).ok();
    let doing = doing.filter(|_| held.worker().is_some());
    let (state, since) = match (&progress.built, progress.reporting, &doing) {
        (Some(_), Some(since), _) => ("reporting", Some(since)),
        (Some((since, _)), None, _) => ("uploading", Some(*since)),
        (None, _, Some(doing)) => (doing.stage.as_str(), Some(doing.since)),
        (None, _, None) if held.worker().is_some() => ("starting", progress.started),
        (None, ..) => ("waiting", progress.received),
    };
    let uploaded = progress.uploads.values().filter(|upload| matches!(upload, Upload::Uploaded(_)));
    let task = kept.task.as_deref().ok();
    json!({
        "task": kept.id,
        "build": task.and_then(|task| task.build_id),
        "source": task.map(|task| task.source.url.as_str()),
        "platform": task.map(|task| task.platform.name.as_str()),
        "arch": task.map(|task| task.arch.as_str()),
        "received": progress.received.map(time),
        "state": state,
        "since": since.map(time),
        "worker": held.worker(),
        "starts": progress.starts,
        "cpu_us": doing.as_ref().map(|doing| doing.cpu_us),
        "memory_peak_bytes": doing.as_ref().map(|doing| doing.memory_peak_bytes),
        "status": progress.built.as_ref().map(|(_, done)| done.status),
        "files": progress.built.as_ref().map(|(_, done)| done.files.len()),
        "uploaded": uploaded.count(),
    })
}
