//! Files of FTP servers: those that old specs name. Passive connections only, to the server that
//! was asked and no other.

use std::io::Read;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use reqwest::Url;
use suppaftp::types::{FileType, FtpError, Mode};
use suppaftp::{FtpStream, Status};

use super::DownloadError;
use super::address::Addresses;
use super::download::{SILENCE, Wait};
use crate::http::redacted;
use crate::run::plain;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(20);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;
/// How long a server may talk without sending data.
const TALK: Duration = Duration::from_secs(120);
/// Time between looks at whether a dialogue is to be ended.
const LOOK: Duration = Duration::from_millis(200);
/// Characters of a reply that are told.
const LONGEST_REPLY: usize = 200;
/// Who logs in where the address names nobody (RFC 1635).
const ANONYMOUS: (&str, &str) = ("anonymous", "albs-node@");

/// Retrieves a file: `take` gets what comes. Ends when `wait` says so.
///
/// # Errors
///
/// See [`DownloadError`]; also what `take` gives.
pub(super) fn retrieve<T>(
    url: &Url,
    rules: &Addresses,
    wait: &Wait<'_>,
    take: impl FnOnce(&mut dyn Read) -> Result<T, DownloadError>,
) -> Result<T, DownloadError> {
    let file = File::of(url).ok_or_else(|| DownloadError::Address(redacted(url.as_str())))?;
    let control = connect(url, &file, rules, wait)?;
    let connections = Connections::default();
    connections.add(&control);
    let (over, ended) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ended = ended;
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if !wait(Duration::ZERO) || connections.are_only_talk() {
                    connections.close();
                }
            }
        });
        let retrieved = converse(url, &file, control, &connections, take);
        drop(over);
        retrieved
    })
}

/// All of the dialogue after the connection for commands is there.
fn converse<T>(
    url: &Url,
    file: &File,
    control: TcpStream,
    connections: &Connections,
    take: impl FnOnce(&mut dyn Read) -> Result<T, DownloadError>,
) -> Result<T, DownloadError> {
    let failed = |error| failed(url, error);
    let server = control.peer_addr().map_err(|error| failed(FtpError::ConnectionError(error)))?;
    let known = connections.clone();
    let mut ftp = FtpStream::connect_with_stream(control)
        .map_err(failed)?
        // Whatever else the server names is not connected to.
        .passive_stream_builder(move |place| data_of(server.ip(), place, &known));
    ftp.login(&file.user, &file.password).map_err(failed)?;
    ftp.transfer_type(FileType::Binary).map_err(failed)?;
    ftp.set_mode(Mode::ExtendedPassive);
    let data = match ftp.retr_as_stream(&file.path) {
        // A server that is older than RFC 2428.
        Err(FtpError::UnexpectedResponse(reply))
            if server.is_ipv4() && is_unknown_command(reply.status) =>
        {
            ftp.set_mode(Mode::Passive);
            ftp.retr_as_stream(&file.path)
        }
        other => other,
    };
    let mut data = data.map_err(failed)?;
    connections.talk(false);
    let taken = take(&mut data);
    connections.talk(true);
    if taken.is_err() {
        // Nobody waits for the rest.
        connections.close();
        return taken;
    }
    // That the data ended may as well be that they broke off.
    data.finish().map_err(failed)?;
    taken
}

/// The connections of a dialogue, to end it from another thread.
#[derive(Debug, Clone, Default)]
struct Connections(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: Vec<TcpStream>,
    /// Since when no data flows.
    talk: Option<Instant>,
}

impl Connections {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, stream: &TcpStream) {
        if let Ok(stream) = stream.try_clone() {
            self.with(|state| {
                state.open.push(stream);
                state.talk.get_or_insert_with(Instant::now);
            });
        }
    }

    fn talk(&self, is_talk: bool) {
        self.with(|state| state.talk = is_talk.then(Instant::now));
    }

    fn are_only_talk(&self) -> bool {
        self.with(|state| state.talk.is_some_and(|since| since.elapsed() > TALK))
    }

    fn close(&self) {
        self.with(|state| {
            for stream in &state.open {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}

/// What an address names (RFC 1738, 3.2.2).
#[derive(Debug, PartialEq, Eq)]
struct File {
    host: String,
    port: u16,
    user: String,
    password: String,
    /// Below the directory of the user, or absolute if its first slash is `%2F`.
    path: String,
}

impl File {
    /// None for what could not be said to a server in one line.
    fn of(url: &Url) -> Option<File> {
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8().ok()?.into_owned();
            (!text.contains(char::is_control)).then_some(text)
        };
        let user = decoded(url.username())?;
        let password = decoded(url.password().unwrap_or_default())?;
        let (user, password) = match user.is_empty() {
            true => (ANONYMOUS.0.to_owned(), ANONYMOUS.1.to_owned()),
            false => (user, password),
        };
        let path = url.path().strip_prefix('/')?;
        let kinds = [";type=i", ";type=a", ";type=d"];
        let path = kinds.iter().find_map(|kind| path.strip_suffix(kind)).unwrap_or(path);
        Some(File {
            host: url.host_str().filter(|host| !host.is_empty())?.to_owned(),
            port: url.port().unwrap_or(21),
            user,
            password,
            path: decoded(path).filter(|path| !path.is_empty() && !path.ends_with('/'))?,
        })
    }
}

/// The connection for commands, to the first address that answers.
fn connect(
    url: &Url,
    file: &File,
    rules: &Addresses,
    wait: &Wait<'_>,
) -> Result<TcpStream, DownloadError> {
    rules.check(url)?;
    let unresolved = |error| DownloadError::unresolved(url.as_str(), error);
    let addresses = rules.of(&file.host).map_err(unresolved)?;
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        if !wait(Duration::ZERO) {
            return Err(DownloadError::Cancelled);
        }
        match open(SocketAddr::new(address, file.port)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failed(url, FtpError::ConnectionError(last)))
}

fn open(place: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&place, CONNECT)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

fn data_of(
    server: IpAddr,
    place: SocketAddr,
    connections: &Connections,
) -> Result<TcpStream, FtpError> {
    let stream = open(SocketAddr::new(server, place.port())).map_err(FtpError::ConnectionError)?;
    connections.add(&stream);
    Ok(stream)
}

fn is_unknown_command(status: Status) -> bool {
    matches!(status, Status::BadCommand | Status::NotImplemented | Status::NotImplementedParameter)
}

/// A reply of 4xx is worth another try, as is one of 1xx where the server is not ready; one of 5xx is
/// not (RFC 959, 4.2).
fn failed(url: &Url, error: FtpError) -> DownloadError {
    let url = redacted(url.as_str());
    match error {
        FtpError::UnexpectedResponse(reply) => DownloadError::Reply {
            url,
            passing: matches!(reply.body.first(), Some(b'1' | b'4')),
            reply: last_line(&reply.body),
        },
        FtpError::ConnectionError(error) => DownloadError::Transfer { url, source: error.into() },
        error => DownloadError::Transfer { url, source: error.into() },
    }
}

/// The last of perhaps many lines, not all of it if it is long.
fn last_line(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    plain(&line.chars().take(LONGEST_REPLY).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_addresses_name() {
        let file = |text: &str| File::of(&Url::parse(text).unwrap());
        let found = file("ftp://ftp.example.org/pub/a%20b.tar.gz;type=i").unwrap();
        assert_eq!((found.port, found.path.as_str()), (21, "pub/a b.tar.gz"));
        assert_eq!((found.user.as_str(), found.password.as_str()), ANONYMOUS);
        let found = file("ftp://me:p%40ss@h:2121/100%.tgz").unwrap();
        assert_eq!((found.user.as_str(), found.password.as_str()), ("me", "p@ss"));
        assert_eq!((found.port, found.path.as_str()), (2121, "100%.tgz"));
        let found = file("ftp://h/%2Fpub;type=x/b%+a").unwrap();
        assert_eq!(found.path, "/pub;type=x/b%+a");
        // A line of its own would be another command.
        for bad in ["ftp://h/x%0d%0aDELE%20y", "ftp://h%0aq@h/x", "ftp://h/", "ftp://h/d/"] {
            let url = Url::parse(bad);
            assert!(url.is_err() || File::of(&url.unwrap()).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_told_of_replies() {
        let said = last_line(b"550-a\r\n550-b\r\n550 no such \x1b[31mfile\r\n\r\n");
        assert_eq!(said, "550 no such \u{fffd}[31mfile");
        assert_eq!(last_line("x".repeat(1 << 18).as_bytes()).len(), 200);
        assert_eq!(last_line(b""), "");
    }

    #[test]
    fn a_server_that_says_nothing_is_left_when_the_work_ends() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ftp://127.0.0.1:{}/x", server.local_addr().unwrap().port());
        let rules = Addresses::new(vec!["127.0.0.0/8".parse().unwrap()], &[]);
        let began = Instant::now();
        let wait = |_| began.elapsed() < Duration::from_millis(300);
        let got = retrieve(&Url::parse(&url).unwrap(), &rules, &wait, |_| Ok(()));
        assert!(matches!(got, Err(DownloadError::Transfer { .. })), "{got:?}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
