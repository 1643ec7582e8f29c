//! The HTTP side: authentication, faults, and connections that end early. It is spoken by hand, for
//! a library would not break it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::check::Mistakes;
use super::{Call, Fault, Shared, TOKEN};

/// uvicorn closes idle connections then.
const IDLE: Duration = Duration::from_secs(5);

struct Request {
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// What is sent back: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// Serves until the sender is dropped.
pub fn serve(
    shared: Arc<Mutex<Shared>>,
) -> (SocketAddr, oneshot::Sender<()>, std::thread::JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let accept = async {
                while let Ok((mut connection, _)) = listener.accept().await {
                    let shared = shared.clone();
                    // An error is how a connection is cut.
                    tokio::spawn(async move { converse(&mut connection, &shared).await });
                }
            };
            tokio::select! {
                () = accept => {}
                _ = stopped => {}
            }
        });
    });
    (address, stop, thread)
}

async fn converse(connection: &mut TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read(connection, &mut buffer).await? {
        answer(connection, &request, shared).await?;
    }
    Ok(())
}

/// The next request, unless the connection ends before.
async fn read(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some((request, length)) = parsed(buffer) {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        let more = tokio::time::timeout(IDLE, connection.read_buf(buffer)).await;
        if more.map_err(io::Error::other)?? == 0 {
            return Ok(None);
        }
    }
}

/// A request that is complete, and its bytes.
fn parsed(buffer: &[u8]) -> Option<(Request, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(buffer).unwrap() else { return None };
    let path = head.path?.to_owned();
    let headers: HashMap<String, String> = head
        .headers
        .iter()
        .map(|h| (h.name.to_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let body = buffer.get(start..start + length)?.to_vec();
    Some((Request { path, headers, body }, start + length))
}

/// Answers one request; an error ends the connection.
async fn answer(
    connection: &mut TcpStream,
    request: &Request,
    shared: &Mutex<Shared>,
) -> io::Result<()> {
    if let Some(name) = request.path.strip_prefix("/exclusions/") {
        return send(connection, &exclusions(name, shared)).await;
    }
    let Some(name) = request.path.strip_prefix("/api/v1/build_node/") else {
        return send(connection, &told(404, &json!({"detail": "Not Found"}))).await;
    };
    if name.ends_with('/') {
        let to = request.path.trim_end_matches('/').to_owned();
        return send(connection, &(307, vec![("location", to)], String::new())).await;
    }
    let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
    let record = |status: u16| {
        let name = name.to_owned();
        let call = Call { name, body: body.clone(), status, at: SystemTime::now() };
        lock(shared).calls.push(call);
    };
    let fault = lock(shared).faults.get_mut(name).and_then(VecDeque::pop_front);
    match &fault {
        Some(Fault::Late(time)) => tokio::time::sleep(*time).await,
        Some(Fault::CutBefore) => {
            record(0);
            return Err(io::Error::other("cut"));
        }
        Some(Fault::Answer { status, headers, body }) => {
            record(*status);
            return send(connection, &(*status, headers.clone(), body.clone())).await;
        }
        _ => {}
    }
    let bearer = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer "));
    let is_json =
        request.headers.get("content-type").is_some_and(|kind| kind == "application/json");
    let (status, json) = match bearer {
        None => (403, json!({"detail": "Not authenticated"})),
        Some(token) if token != TOKEN => (401, json!({"detail": "Unauthorized"})),
        Some(_) if !is_json => (422, json!({"detail": [{"loc": ["body"], "msg": "no JSON"}]})),
        Some(_) => match Mistakes::of(name, &body) {
            Some(mistakes) => (422, mistakes),
            None => carried_out(name, &body, shared),
        },
    };
    record(status);
    let answer = match status {
        // uvicorn answers so, whatever was to be answered.
        500 => (500, vec![("content-type", "text/plain".into())], "Internal Server Error".into()),
        _ => told(status, &json),
    };
    match fault {
        Some(Fault::CutAfter) => Err(io::Error::other("cut")),
        Some(Fault::HalfAnswer) => {
            let text = rendered(&answer);
            connection.write_all(&text.as_bytes()[..text.len() - answer.2.len() / 2 - 1]).await?;
            connection.flush().await?;
            Err(io::Error::other("cut"))
        }
        _ => send(connection, &answer).await,
    }
}

fn carried_out(name: &str, body: &Json, shared: &Mutex<Shared>) -> (u16, Json) {
    let mut shared = lock(shared);
    shared.work();
    let now = Instant::now();
    let silence = shared.options.silence;
    match name {
        "get_task" => shared.state.get_task(body, now, silence),
        "ping" => shared.state.ping(body, now),
        "build_done" => shared.state.build_done(body, now, silence),
        _ => (404, json!({"detail": "Not Found"})),
    }
}

fn exclusions(name: &str, shared: &Mutex<Shared>) -> Answer {
    let kind = |kind: &str| vec![("content-type", kind.to_owned())];
    match (name, &lock(shared).exclusions) {
        ("login", _) => (200, kind("text/html; charset=utf-8"), "<title>Sign in</title>".into()),
        ("moved", _) => (302, vec![("location", "/exclusions/there".into())], String::new()),
        ("circle", _) => (302, vec![("location", "/exclusions/circle".into())], String::new()),
        (_, Some(list)) => (200, kind("text/plain"), list.clone()),
        (_, None) => (404, kind("text/plain"), "not found".into()),
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn told(status: u16, json: &Json) -> Answer {
    (status, vec![("content-type", "application/json".to_owned())], json.to_string())
}

fn rendered((status, headers, body): &Answer) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

async fn send(connection: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    connection.write_all(rendered(answer).as_bytes()).await?;
    connection.flush().await
}
