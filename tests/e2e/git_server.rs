//! A server of git repositories on loopback, by git's own program for that, with files beside
//! them; and repositories to serve.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::Digest;

use crate::repository::Python;

/// `/git/` are repositories, `/dumb/` the same as plain files, `/moved/` leads to `/git/`, `/away/`
/// to a private network, `/files/` are files, which git LFS has by their checksums, for whoever brings
/// the token that it gave, and that of `f` for nobody. Each request is a line of `requests`.
const SERVER: &str = r"
import http.server, json, os, subprocess, sys, threading
root = sys.argv[1]
class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory=root)
    def log_message(self, *args):
        with open(os.path.join(root, 'requests'), 'a') as log:
            print(self.command, self.path, self.headers.get('User-Agent'), file=log)
    def moved(self, place):
        self.send_response(302)
        self.send_header('Location', place)
        self.end_headers()
    def git(self):
        path, _, query = self.path[4:].partition('?')
        length = int(self.headers.get('Content-Length') or 0)
        environment = dict(os.environ, GIT_PROJECT_ROOT=os.path.join(root, 'git'),
            GIT_HTTP_EXPORT_ALL='1', REQUEST_METHOD=self.command, PATH_INFO=path,
            QUERY_STRING=query, CONTENT_TYPE=self.headers.get('Content-Type') or '',
            HTTP_CONTENT_ENCODING=self.headers.get('Content-Encoding') or '',
            GIT_PROTOCOL=self.headers.get('Git-Protocol') or '', CONTENT_LENGTH=str(length))
        done = subprocess.run(['git', 'http-backend'], input=self.rfile.read(length),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        head, _, body = done.stdout.partition(b'\r\n\r\n')
        lines = [line.split(': ', 1) for line in head.decode().split('\r\n') if ': ' in line]
        status = [value for name, value in lines if name == 'Status']
        self.send_response(int(status[0].split()[0]) if status else 200)
        for name, value in lines:
            if name != 'Status':
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def lfs(self):
        question = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        kinds = [self.headers.get(name) for name in ('Accept', 'Content-Type')]
        if kinds != ['application/vnd.git-lfs+json'] * 2 or question['operation'] != 'download':
            return self.send_error(422)
        objects = []
        for wanted in question['objects']:
            path = os.path.join(root, 'files', wanted['oid'])
            if wanted['oid'] == 'f' * 64:
                objects.append(dict(wanted, error={'code': 403, 'message': 'not for you'}))
            elif os.path.exists(path):
                href = 'http://127.0.0.1:%d/lfs/%s' % (server.server_port, wanted['oid'])
                action = {'href': href, 'header': {'Authorization': 'RemoteAuth token'}}
                objects.append(dict(wanted, actions={'download': action}))
            else:
                objects.append(dict(wanted, error={'code': 404, 'message': 'no such object'}))
        body = json.dumps({'transfer': 'basic', 'objects': objects}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/vnd.git-lfs+json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path.startswith('/lfs/'):
            if self.headers.get('Authorization') != 'RemoteAuth token':
                return self.send_error(401)
            self.path = '/files/' + self.path[5:]
            super().do_GET()
        elif self.path.startswith('/git/'):
            self.git()
        elif self.path.startswith('/moved/'):
            self.moved('/git/' + self.path[7:])
        elif self.path.startswith('/away/'):
            self.moved('http://10.254.254.254/git/' + self.path[6:])
        elif self.path.startswith('/dumb/'):
            self.path = '/git/' + self.path[6:]
            super().do_GET()
        else:
            super().do_GET()
    def do_POST(self):
        self.lfs() if self.path.endswith('.git/info/lfs/objects/batch') else self.git()
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
";

pub(crate) struct GitServer {
    _python: Python,
    port: u16,
    dir: PathBuf,
}

impl GitServer {
    /// Serves from a directory, which is made.
    pub(crate) fn start(dir: &Path) -> GitServer {
        for name in ["git", "files", "work"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let (python, line) = Python::start(SERVER, dir);
        GitServer { _python: python, port: line.parse().unwrap(), dir: dir.to_owned() }
    }

    /// An address of this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What was asked since the last time.
    pub(crate) fn requests(&self) -> String {
        let place = self.dir.join("requests");
        let text = fs::read_to_string(&place).unwrap_or_default();
        let _ = fs::remove_file(place);
        text
    }

    /// A file below `files/`, and its address.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.dir.join("files").join(name), content).unwrap();
        self.url(&format!("files/{name}"))
    }

    /// A policy of lookasides that has but one place here: `files/SUM`.
    pub(crate) fn lookasides(&self, place: &Path) -> String {
        let text = format!(
            "[[lookaside]]\nname = \"here\"\nwhy = \"a test\"\nurl = \"{}\"\n",
            self.url("files/{sum}")
        );
        fs::write(place, text).unwrap();
        place.display().to_string()
    }

    /// A repository that is served as `git/NAME.git`.
    pub(crate) fn repository(&self, name: &str) -> Repository {
        let bare = self.dir.join("git").join(format!("{name}.git"));
        let work = self.dir.join("work").join(name);
        run(&self.dir, &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        run(&self.dir, &["init", "-q", "-b", "main", work.to_str().unwrap()]);
        Repository { work, bare }
    }
}

/// A checksum in hexadecimal digits, as lists of sources have it.
pub(crate) fn sum<D: Digest>(content: &[u8]) -> String {
    D::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) struct Repository {
    pub(crate) work: PathBuf,
    pub(crate) bare: PathBuf,
}

impl Repository {
    /// Runs git in the work tree.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        run(&self.work, args)
    }

    /// Writes files, `NAME` or `NAME*` for a program, commits, pushes everything; gives the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            let path = self.work.join(name.trim_end_matches('*'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            if name.ends_with('*') {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a change"]);
        self.push();
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn push(&self) {
        let bare = self.bare.to_str().unwrap();
        self.git(&["push", "-q", "--force", "--mirror", bare]);
        run(&self.bare, &["update-server-info"]);
    }
}

fn run(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=A Packager", "-c", "user.email=a@example.org"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
