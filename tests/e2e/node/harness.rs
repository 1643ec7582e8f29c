//! A node with its config, servers, and what can be seen of it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value as Json, json};

use super::web_server::{Options, TOKEN, TaskState, WebServer};
use crate::case::Case;
use crate::fixture::{Kind, fixture, skip};
use crate::repository::Web;

/// Longest time that anything may take here.
const LIMIT: Duration = Duration::from_secs(240);

/// What all nodes of these tests share: packages to install, and a store, so that the buildroot is
/// made once.
struct Shared {
    distribution: Web,
    store: PathBuf,
}

/// A node that can be started and ended, and its two servers.
pub(super) struct NodeCase {
    pub(super) case: Case,
    pub(super) server: WebServer,
    /// Serves the files of `served`.
    pub(super) web: Web,
    pub(super) served: PathBuf,
    pub(super) directory: PathBuf,
    pulp: Pulp,
}

#[derive(Clone)]
struct Pulp {
    host: String,
    user: String,
    password: String,
}

/// A running node.
pub(super) struct Running<'a> {
    case: &'a NodeCase,
    child: Child,
    ended: bool,
}

fn shared(case: &Case) -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let config = case.run_config(&["show", "-r", &case.config(), "--option", "dnf.conf"]);
        let baseurl = config.lines().find_map(|line| line.strip_prefix("baseurl=file://")).unwrap();
        let store = case.fixture.base.join("node-store");
        Shared { distribution: Web::serve(Path::new(baseurl)), store }
    })
}

/// Pulp, or none after telling why the test is skipped.
fn pulp() -> Option<Pulp> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let found = (|| {
        Some(Pulp {
            host: variable("PULP_HOST")?,
            user: variable("PULP_USER")?,
            password: variable("PULP_PASSWORD")?,
        })
    })();
    if found.is_none() {
        skip("there is no Pulp; eval \"$(scripts/pulp up --nginx)\" starts one");
    }
    found
}

/// The architecture of this machine, as rpm calls it.
pub(super) fn arch() -> String {
    std::env::consts::ARCH.replace("powerpc64", "ppc64le")
}

impl NodeCase {
    /// A node with these lines in its own section of the config.
    pub(super) fn new(name: &str, own: &str, options: Options) -> Option<NodeCase> {
        fixture()?;
        let pulp = pulp()?;
        let case = Case::alone(Kind::own(), name)?;
        let directory = case.dir.join("node");
        let served = case.dir.join("served");
        fs::create_dir(&served).unwrap();
        let server = WebServer::start(options);
        let web = Web::serve(&served);
        let node = NodeCase { case, server, web, served, directory, pulp };
        node.configure(own, 2);
        Some(node)
    }

    /// Writes the config.
    pub(super) fn configure(&self, own: &str, threads: u32) {
        self.configure_with(own, threads, &self.pulp.host);
    }

    /// Pulp's address.
    pub(super) fn pulp_host(&self) -> &str {
        &self.pulp.host
    }

    /// Writes the config, with Pulp at another address.
    pub(super) fn configure_with(&self, own: &str, threads: u32, pulp_host: &str) {
        let text = format!(
            "master_url: {}\njwt_token: {TOKEN}\nthreads_count: {threads}\nworking_dir: {}\n\
             maintenance_mode_file: {}\npulp_host: {}\npulp_user: {}\npulp_password: {}\n\
             exclusions_url: {}\nbuild_node_name: me\nrequest_timeout: 20\nalbs_node:\n  \
             policies: {}\n  store: {}\n  control_socket: {}\n  poll_interval: 1\n  \
             ping_interval: 1\n  free_disk: 100M\n  free_inodes: 1000\n  max_load: 1000\n  \
             private_networks: [127.0.0.0/8]\n{own}",
            self.server.master_url(),
            self.directory.display(),
            self.maintenance().display(),
            pulp_host,
            self.pulp.user,
            self.pulp.password,
            self.server.exclusions_url(),
            self.policies().display(),
            self.store().display(),
            self.socket().display(),
        );
        self.case.file("build_node.yml", text.as_bytes());
        fs::set_permissions(self.config(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Adds lines outside the node's own section.
    pub(super) fn configure_top(&self, lines: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), format!("{lines}{text}")).unwrap();
    }

    pub(super) fn config(&self) -> PathBuf {
        self.case.dir.join("build_node.yml")
    }

    pub(super) fn store(&self) -> &Path {
        &shared(&self.case).store
    }

    /// The host's policies; none unless a test makes some.
    pub(super) fn policies(&self) -> PathBuf {
        self.case.dir.join("policies")
    }

    pub(super) fn maintenance(&self) -> PathBuf {
        self.case.dir.join("graceful_stop")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.case.dir.join("control.sock")
    }

    /// Starts the node.
    pub(super) fn start(&self) -> Running<'_> {
        self.start_with(&[])
    }

    /// Starts the node with more in its environment.
    pub(super) fn start_with(&self, environment: &[(&str, &str)]) -> Running<'_> {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new(self.program())
            .args(["run", "-c"])
            .arg(self.config())
            .env_remove("JOURNAL_STREAM")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { case: self, child, ended: false }
    }

    /// Asks the running node.
    pub(super) fn ask(&self, args: &[&str]) -> (bool, String) {
        let (command, rest) = args.split_first().unwrap();
        let output = Command::new(self.program())
            .arg(command)
            .arg("-c")
            .arg(self.config())
            .args(rest)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    pub(super) fn status(&self) -> Json {
        let (good, text) = self.ask(&["status", "--json"]);
        assert!(good, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(super) fn program(&self) -> PathBuf {
        self.case.dir.join("bin/albs-node")
    }

    fn log_path(&self) -> PathBuf {
        self.case.dir.join("node.log")
    }

    /// What the node has said so far, all its starts together.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(super) fn outbox(&self) -> PathBuf {
        self.directory.join("outbox")
    }

    /// What lies in the outbox.
    pub(super) fn held(&self) -> Vec<String> {
        let entries = fs::read_dir(self.outbox()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name != ".lock").collect()
    }

    /// A source package of a spec, made on the host and served; gives its address.
    pub(super) fn srpm(&self, name: &str, more: &str) -> String {
        let files = if more.contains("%files") { "" } else { "%files\n" };
        let spec = format!(
            "%global debug_package %{{nil}}\nName: {name}\nVersion: 1\nRelease: 1\nSummary: s\n\
             License: MIT\n{more}{files}"
        );
        let made = self.case.source_package(name, &spec);
        let file = format!("{name}-1-1.src.rpm");
        fs::copy(made, self.served.join(&file)).unwrap();
        format!("{}{file}", self.web.address)
    }

    /// A task that builds a source package.
    pub(super) fn task(&self, id: i64, arch: &str, url: &str) -> Json {
        json!({
            "id": id, "arch": arch, "build_id": id,
            "ref": {"url": url, "git_ref": null, "ref_type": 3, "git_commit_hash": null},
            "platform": {"name": "Local-1", "type": "rpm", "data": {
                "mock": {
                    "chroot_setup_cmd": "install @buildsys-build", "package_manager": "dnf",
                    "releasever": "1", "dnf_common_opts": ["--setopt=install_weak_deps=False"],
                },
                "definitions": {"vendor": "The Task"}, "yum": {"best": true},
                "mock_dist": "local1", "timeout": 600,
            }},
            "created_by": {"name": "alma", "email": "alma@example.org"},
            "repositories": [{
                "name": "local", "url": shared(&self.case).distribution.address, "priority": 10,
                "mock_enabled": true,
            }],
            "built_srpm_url": null, "srpm_hash": null, "is_secure_boot": false,
            "alma_commit_cas_hash": null, "is_cas_authenticated": false, "linked_builds": [],
        })
    }

    /// The one report of a task that is over.
    pub(super) fn report(&self, id: i64) -> Json {
        wait_for(&format!("the end of task {id}"), self, || {
            matches!(self.server.task(id), TaskState::Over(_)).then_some(())
        });
        let reports = self.server.processed(id);
        assert_eq!(reports.len(), 1, "{reports:#?}");
        reports.into_iter().next().unwrap()
    }

    /// What Pulp says of artifacts.
    pub(super) fn artifacts<'a>(&self, hrefs: impl Iterator<Item = &'a str>) -> Vec<Json> {
        // A session, since Pulp takes half a second to check a password.
        let cookies = self.case.dir.join("pulp-session");
        if !cookies.exists() {
            let user = format!("{}:{}", self.pulp.user, self.pulp.password);
            let mut login = Command::new("curl");
            login.args(["-sf", "-X", "POST", "-u", &user, "-o", "/dev/null", "-c"]).arg(&cookies);
            login.arg(format!("{}/pulp/api/v3/login/", self.pulp.host));
            assert!(login.status().unwrap().success());
        }
        let urls = hrefs.map(|href| format!("{}{href}", self.pulp.host));
        let output = Command::new("curl").arg("-sb").arg(&cookies).args(urls).output().unwrap();
        let answers = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        answers.collect::<Result<_, _>>().unwrap()
    }

    /// What Pulp says of an artifact.
    pub(super) fn artifact(&self, href: &str) -> Json {
        self.artifacts([href].into_iter()).remove(0)
    }

    /// Asserts that all artifacts of a report are in Pulp as they are told.
    pub(super) fn is_in_pulp(&self, report: &Json) {
        let told = report["artifacts"].as_array().unwrap();
        let known = self.artifacts(told.iter().map(|told| told["href"].as_str().unwrap()));
        let sums = |artifacts: &[Json]| -> Vec<Json> {
            artifacts.iter().map(|artifact| artifact["sha256"].clone()).collect()
        };
        assert_eq!(sums(&known), sums(told), "{report:#}");
    }

    /// The text of a log in a report, by the beginning of its name.
    pub(super) fn text(&self, report: &Json, name: &str) -> String {
        let artifacts = report["artifacts"].as_array().unwrap();
        let is_it = |artifact: &&Json| artifact["name"].as_str().unwrap().starts_with(name);
        let artifact = artifacts.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {report:#}"));
        let file = self.artifact(artifact["href"].as_str().unwrap());
        let content = fs::read(in_pulp(&file)).unwrap();
        if content.starts_with(&[0x1f, 0x8b]) {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&content[..]);
            std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
            return text;
        }
        String::from_utf8(content).unwrap()
    }
}

/// Where Pulp keeps an artifact: below the directory that scripts/pulp tells, by its checksum.
pub(super) fn in_pulp(artifact: &Json) -> PathBuf {
    let sha256 = artifact["sha256"].as_str().unwrap();
    let media = PathBuf::from(std::env::var_os("PULP_MEDIA").expect("scripts/pulp tells it"));
    media.join("artifact").join(&sha256[..2]).join(&sha256[2..])
}

/// Names of a report's artifacts, with the numbers in them replaced.
pub(super) fn names(report: &Json) -> Vec<String> {
    let artifacts = report["artifacts"].as_array().unwrap();
    let name = |artifact: &Json| {
        let name = artifact["name"].as_str().unwrap();
        let parts = name.split('.').map(|part| match part.len() == 10 && part.starts_with('1') {
            true => "TIME",
            false => part,
        });
        parts.collect::<Vec<_>>().join(".")
    };
    artifacts.iter().map(name).collect()
}

pub(super) fn wait_for<T>(what: &str, case: &NodeCase, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "{what} did not come: {}", case.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Running<'_> {
    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end; gives the exit status.
    pub(super) fn end(mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ended = true;
                return status.code().unwrap_or(-1);
            }
            assert!(started.elapsed() < LIMIT, "it does not end: {}", self.case.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as systemd does; everything must be reported then.
    pub(super) fn finish(self) {
        self.signal(Signal::SIGTERM);
        let case = self.case;
        assert_eq!(self.end(), 0, "{}", case.log());
        assert!(case.held().is_empty(), "{:?}: {}", case.held(), case.log());
    }

    pub(super) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
        self.ended = true;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
