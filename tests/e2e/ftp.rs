//! Sources of FTP servers.

use std::fs;
use std::path::Path;

use crate::case::Case;
use crate::fixture::Kind;
use crate::repository::Python;

/// A server of a directory for everybody. `OLD` ones do not know EPSV (RFC 2428), and send whoever
/// wants data elsewhere.
const SERVER: &str = "
import os, sys, threading
from pyftpdlib import authorizers, handlers, servers
class Handler(handlers.FTPHandler):
    authorizer = authorizers.DummyAuthorizer()
    banner = 'ready'
Handler.authorizer.add_anonymous(sys.argv[1])
Handler.authorizer.add_user('me', 'p@ss', os.path.join(sys.argv[1], 'mine'))
if OLD:
    Handler.proto_cmds = {k: v for k, v in Handler.proto_cmds.items() if k != 'EPSV'}
    Handler.masquerade_address = '10.254.254.254'
server = servers.FTPServer(('127.0.0.1', 0), Handler)
print(server.socket.getsockname()[1])
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
";

fn serve(dir: &Path, old: bool) -> (Python, String) {
    let text = if old { "True" } else { "False" };
    let (python, port) = Python::start(&format!("OLD = {text}\n{SERVER}"), dir);
    assert!(!port.is_empty(), "no server: python3-pyftpdlib is missing");
    (python, format!("127.0.0.1:{port}"))
}

#[test]
fn a_source_package_of_an_ftp_server() {
    let Some(case) = Case::alone(Kind::own(), "ftp") else { return };
    let served = case.dir.join("served");
    fs::create_dir_all(served.join("mine")).unwrap();
    let spec = "Name: small\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n%description\n.\n";
    let made = case.source_package("small", spec);
    for place in ["with space.src.rpm", "mine/mine.src.rpm"] {
        fs::copy(&made, served.join(place)).unwrap();
    }
    let whole = fs::read(made).unwrap();
    let fetch = |url: &str, more: &[&str]| {
        let to = case.dir.join("to");
        let _ = fs::remove_dir_all(&to);
        case.run(&[&["fetch", url, to.to_str().unwrap()], more].concat())
    };
    let local = ["--private-network", "127.0.0.0/8"];
    for old in [false, true] {
        let (_server, place) = serve(&served, old);
        let url = format!("ftp://{place}/with%20space.src.rpm");
        for (url, name) in [
            (&url, "with%20space.src.rpm"),
            (&format!("ftp://me:p%40ss@{place}/mine.src.rpm"), "mine.src.rpm"),
        ] {
            fetch(url, &local).succeeds();
            assert_eq!(fs::read(case.dir.join("to").join(name)).unwrap(), whole, "{url} {old}");
        }
        let run = fetch(&format!("ftp://{place}/none.src.rpm"), &local);
        run.fails(40, "the source could not be downloaded");
        run.tells("the server says 550");
        let run = fetch(&format!("ftp://me:wrong@{place}/mine.src.rpm"), &local);
        run.fails(40, "the source could not be downloaded");
        run.tells("the server says 530");
        assert!(!run.stderr.contains("wrong@"), "{run:?}");
        let run = fetch(&url, &[]);
        run.fails(40, "the source could not be downloaded");
        run.tells("127.0.0.1, which is not on the internet");
        case.nothing_left();
    }
}
