//! A small server of HTTP that can be slow, wrong and dead.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a place of the server gives.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// A document, with marks of its version.
    Document { body: String, etag: Option<&'static str>, modified: Option<&'static str> },
    /// A status.
    Status(u16),
    /// These, one after the other; the last for ever.
    Sequence(Vec<Reply>),
    /// Another place.
    Redirect(String),
    /// Nothing, for a long time.
    Hang,
    /// Less than was promised.
    Cut(String),
    /// A byte now and then.
    Drip,
    /// So many bytes, announced or not.
    Large { bytes: usize, announced: bool },
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub target: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    replies: Mutex<BTreeMap<String, Reply>>,
    requests: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

/// The server; it ends when dropped.
pub(super) struct Server {
    port: u16,
    state: Arc<State>,
}

impl Server {
    pub fn start() -> Server {
        Server::with_latency(Duration::ZERO)
    }

    /// Every answer takes so long.
    pub fn with_latency(latency: Duration) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let state = shared.clone();
                // Whoever breaks off is no concern of the server.
                std::thread::spawn(move || drop(serve(connection, &state, latency)));
            }
        });
        Server { port, state }
    }

    /// The address of a place.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn set(&self, path: &str, reply: Reply) {
        self.state.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// A repository below a path, with an index that has a mark.
    pub fn repository(&self, path: &str, content: &str, etag: &'static str) {
        self.set(&format!("{path}/repodata/repomd.xml"), document(content, Some(etag)));
    }

    /// What was asked for since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    /// The places that were asked for since the last call.
    pub fn targets(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.target).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// An index with something in it.
pub(super) fn index(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\
         <revision>{content}</revision></repomd>\n"
    )
}

/// Such an index as a document.
pub(super) fn document(content: &str, etag: Option<&'static str>) -> Reply {
    Reply::Document { body: index(content), etag, modified: None }
}

/// A text as a document without marks.
pub(super) fn text(body: &str) -> Reply {
    Reply::Document { body: body.to_owned(), etag: None, modified: None }
}

fn serve(connection: TcpStream, state: &State, latency: Duration) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut out = connection.try_clone()?;
    let mut lines = BufReader::new(connection).lines();
    // Connections are kept.
    while let Some(first) = lines.next() {
        let target = first?.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        for line in lines.by_ref() {
            match line?.split_once(':') {
                Some((name, value)) => {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                None => break,
            }
        }
        let request = Request { target: target.clone(), headers };
        state.requests.lock().unwrap().push(request.clone());
        std::thread::sleep(latency);
        let reply = match state.replies.lock().unwrap().get_mut(&target) {
            Some(Reply::Sequence(replies)) if replies.len() > 1 => replies.remove(0),
            Some(Reply::Sequence(replies)) => replies[0].clone(),
            Some(reply) => reply.clone(),
            None => Reply::Status(404),
        };
        answer(&mut out, &request, reply)?;
    }
    Ok(())
}

fn answer(out: &mut TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    let mut send = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n");
        out.write_all((head + body).as_bytes())
    };
    let close = || std::io::Error::other("the connection is closed");
    match reply {
        Reply::Document { body, etag, modified } => {
            let asked = |name: &str| request.headers.get(name).map(String::as_str);
            let same = match (asked("if-none-match"), asked("if-modified-since")) {
                (Some(mark), _) => etag == Some(mark),
                (None, Some(time)) => modified == Some(time),
                (None, None) => false,
            };
            if same {
                return out.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n");
            }
            let headers = etag.map(|mark| format!("ETag: {mark}\r\n")).unwrap_or_default()
                + &modified.map(|time| format!("Last-Modified: {time}\r\n")).unwrap_or_default();
            send(200, &headers, &body)
        }
        Reply::Status(status) => send(status, "", "<html>what a pity</html>"),
        Reply::Redirect(place) => send(302, &format!("Location: {place}\r\n"), ""),
        Reply::Hang => {
            std::thread::sleep(Duration::from_secs(30));
            Err(close())
        }
        Reply::Cut(body) => {
            let length = body.len() + 100;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            out.write_all(head.as_bytes())?;
            out.shutdown(std::net::Shutdown::Both)?;
            Err(close())
        }
        Reply::Drip => {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n<repomd>")?;
            loop {
                std::thread::sleep(Duration::from_millis(50));
                out.write_all(b" ")?;
            }
        }
        Reply::Large { bytes, announced } => {
            let length =
                if announced { format!("Content-Length: {bytes}\r\n") } else { String::new() };
            out.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n").as_bytes())?;
            out.write_all(&vec![b' '; bytes])?;
            out.shutdown(std::net::Shutdown::Both)?;
            Err(close())
        }
        Reply::Sequence(_) => unreachable!("sequences are taken apart before"),
    }
}
