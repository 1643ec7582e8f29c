//! Files of FTP servers: those that old specs name. Passive connections only, to the server that
//! was asked and no other.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use reqwest::Url;
use suppaftp::types::{FileType, FtpError, Mode};
use suppaftp::{FtpStream, Status};

use super::address::{Addresses, Refused};
use super::download::DownloadError;
use crate::http::redacted;
use crate::run::plain;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(20);
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(120);
/// Who logs in where the address names nobody (RFC 1635).
const ANONYMOUS: (&str, &str) = ("anonymous", "albs-node@");

/// Retrieves a file: `take` gets what comes.
///
/// # Errors
///
/// See [`DownloadError`]; also what `take` gives.
pub(super) fn retrieve<T>(
    url: &Url,
    rules: &Addresses,
    take: impl FnOnce(&mut dyn Read) -> Result<T, DownloadError>,
) -> Result<T, DownloadError> {
    let file = File::of(url).ok_or_else(|| DownloadError::Address(redacted(url.as_str())))?;
    let failed = |error| failed(url, error);
    let control = connect(url, &file, rules)?;
    let server = control.peer_addr().map_err(|error| failed(FtpError::ConnectionError(error)))?;
    let mut ftp = FtpStream::connect_with_stream(control)
        .map_err(failed)?
        // Whatever else the server names is not connected to.
        .passive_stream_builder(move |place| data_of(server.ip(), place));
    ftp.login(&file.user, &file.password).map_err(failed)?;
    ftp.transfer_type(FileType::Binary).map_err(failed)?;
    ftp.set_mode(Mode::ExtendedPassive);
    ftp.set_passive_nat_workaround(true);
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
    let taken = take(&mut data);
    if taken.is_err() {
        // Nobody waits for the rest; closing both connections ends it.
        let _ = ftp.get_ref().shutdown(std::net::Shutdown::Both);
        return taken;
    }
    // That the data ended may as well be that they broke off.
    data.finish().map_err(failed)?;
    taken
}

/// What an address names (RFC 1738).
#[derive(Debug, PartialEq, Eq)]
struct File {
    host: String,
    port: u16,
    user: String,
    password: String,
    path: String,
}

impl File {
    /// None for what could not be said to a server in one line.
    fn of(url: &Url) -> Option<File> {
        let decoded = |text: &str| {
            let bytes = decode(text);
            String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
        };
        let user = decoded(url.username())?;
        let password = decoded(url.password().unwrap_or_default())?;
        let (user, password) = match user.is_empty() {
            true => (ANONYMOUS.0.to_owned(), ANONYMOUS.1.to_owned()),
            false => (user, password),
        };
        let path = url.path().rsplit_once(";type=").map_or(url.path(), |(path, _)| path);
        Some(File {
            host: url.host_str().filter(|host| !host.is_empty())?.to_owned(),
            port: url.port().unwrap_or(21),
            user,
            password,
            path: decoded(path).filter(|path| !path.ends_with('/'))?,
        })
    }
}

/// `%41` as `A`.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// The connection for commands, to the first address that answers.
fn connect(url: &Url, file: &File, rules: &Addresses) -> Result<TcpStream, DownloadError> {
    rules.check(url)?;
    let transfer = |source| DownloadError::Transfer { url: redacted(url.as_str()), source };
    let addresses = rules.of(&file.host).map_err(|error| match error.downcast::<Refused>() {
        Ok(refused) => DownloadError::Refused(*refused),
        Err(error) => transfer(error),
    })?;
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        match open(SocketAddr::new(address, file.port)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(transfer(last.into()))
}

fn open(place: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&place, CONNECT)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    Ok(stream)
}

fn data_of(server: IpAddr, place: SocketAddr) -> Result<TcpStream, FtpError> {
    open(SocketAddr::new(server, place.port())).map_err(FtpError::ConnectionError)
}

fn is_unknown_command(status: Status) -> bool {
    matches!(status, Status::BadCommand | Status::NotImplemented | Status::NotImplementedParameter)
}

/// A reply of 4xx is worth another try, one of 5xx is not (RFC 959, 4.2).
fn failed(url: &Url, error: FtpError) -> DownloadError {
    let url = redacted(url.as_str());
    match error {
        FtpError::UnexpectedResponse(reply) => DownloadError::Reply {
            url,
            reply: plain(&String::from_utf8_lossy(&reply.body)),
            passing: (400..500).contains(&reply.status.code()),
        },
        FtpError::ConnectionError(error) => DownloadError::Transfer { url, source: error.into() },
        error => DownloadError::Transfer { url, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_addresses_name() {
        let file = |text: &str| File::of(&Url::parse(text).unwrap());
        let found = file("ftp://ftp.example.org/pub/a%20b.tar.gz;type=i").unwrap();
        assert_eq!((found.port, found.path.as_str()), (21, "/pub/a b.tar.gz"));
        assert_eq!((found.user.as_str(), found.password.as_str()), ANONYMOUS);
        let found = file("ftp://me:p%40ss@h:2121/100%.tgz").unwrap();
        assert_eq!((found.user.as_str(), found.password.as_str()), ("me", "p@ss"));
        assert_eq!((found.port, found.path.as_str()), (2121, "/100%.tgz"));
        // A line of its own would be another command.
        for bad in ["ftp://h/x%0d%0aDELE%20y", "ftp://h%0aq@h/x", "ftp://h/", "ftp://h/d/"] {
            let url = Url::parse(bad);
            assert!(url.is_err() || File::of(&url.unwrap()).is_none(), "{bad}");
        }
    }
}
