//! Small repositories that tests make, beside that of the local distribution.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::case::{Case, host};

/// A repository in the directory of a test.
pub(crate) struct Repository {
    pub(crate) dir: PathBuf,
}

/// One package: its files are texts.
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) files: &'a [(&'a str, &'a str)],
}

impl Repository {
    pub(crate) fn new(case: &Case, name: &str) -> Repository {
        let dir = case.dir.join(name);
        fs::create_dir(&dir).unwrap();
        Repository { dir }
    }

    /// Makes a package with the host's rpmbuild; gives its path.
    pub(crate) fn add(&self, package: &Package<'_>) -> PathBuf {
        let Package { name, version, files } = package;
        let mut install = String::new();
        let mut list = String::new();
        for (path, text) in *files {
            install += &format!(
                "mkdir -p \"%{{buildroot}}$(dirname {path})\"\ncat > %{{buildroot}}{path} <<'END'\n{text}\nEND\n"
            );
            if text.starts_with("#!") {
                install += &format!("chmod 755 %{{buildroot}}{path}\n");
            }
            list += &format!("{path}\n");
        }
        let text = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: Test\nLicense: MIT\n\
             BuildArch: noarch\n%description\nFor a test.\n%install\n{install}\n%files\n{list}"
        );
        self.add_spec(&format!("{name}-{version}"), &text);
        self.dir.join(format!("noarch/{name}-{version}-1.noarch.rpm"))
    }

    /// Makes the packages of a spec with the host's rpmbuild.
    pub(crate) fn add_spec(&self, name: &str, text: &str) {
        let spec = self.dir.join(format!("{name}.spec"));
        fs::write(&spec, text).unwrap();
        let define = format!("_rpmdir {}", self.dir.display());
        let top = format!("_topdir {}/top", self.dir.display());
        let args = ["-bb", "--define", &define, "--define", &top];
        host(
            "rpmbuild",
            &args.map(OsStr::new).into_iter().chain([spec.as_os_str()]).collect::<Vec<_>>(),
        );
    }

    /// Takes a package of one version out again.
    pub(crate) fn remove(&self, name: &str, version: &str) {
        fs::remove_file(self.dir.join(format!("noarch/{name}-{version}-1.noarch.rpm"))).unwrap();
    }

    /// Writes the metadata.
    pub(crate) fn publish(&self) {
        host("createrepo_c", &[self.dir.as_os_str()]);
    }

    /// Adds a document of modules.
    pub(crate) fn modules(&self, text: &str) {
        let path = self.dir.join("modules.yaml");
        fs::write(&path, text).unwrap();
        let repodata = self.dir.join("repodata");
        host(
            "modifyrepo_c",
            &[OsStr::new("--mdtype=modules"), path.as_os_str(), repodata.as_os_str()],
        );
    }

    pub(crate) fn baseurl(&self) -> String {
        format!("file://{}", self.dir.display())
    }
}

/// Lines that add a repository to a config.
pub(crate) fn section(baseurl: &str, options: &str) -> String {
    format!(
        "config_opts['dnf.conf'] += \"\"\"\n[extra]\nname=extra\nbaseurl={baseurl}\n{options}\n\"\"\"\n"
    )
}

/// A web server of a directory on loopback; ends with this value.
pub(crate) struct Web {
    _python: Python,
    pub(crate) address: String,
}

/// Serves until its standard input closes, which it does with this process, too.
const SERVER: &str = "
import functools, http.server, sys, threading
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
print(f'http://127.0.0.1:{server.server_port}/')
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
";

impl Web {
    pub(crate) fn serve(dir: &Path) -> Web {
        let (python, address) = Python::start(SERVER, dir);
        assert!(address.starts_with("http://"), "{address}");
        Web { _python: python, address }
    }
}

/// A server in Python, of a directory; ends with this value.
pub(crate) struct Python(Child);

impl Python {
    /// Starts it; gives the line that it prints when it listens.
    pub(crate) fn start(program: &str, dir: &Path) -> (Python, String) {
        // That of the system, for which `scripts/deps` installs modules.
        let mut child = Command::new("/usr/bin/python3")
            .args(["-u", "-c", program])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Python(child), line.trim().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
