mod faults;
mod lists;
mod plain;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::server::{Reply, Server, document, index};
use super::{How, RevisionError, Revisions};
use crate::buildroot::store::Store;
use crate::checksum;
use crate::mock_config::MockOptions;

/// A store of its own, and the options of a config whose configuration changes.
struct Bench {
    directory: tempfile::TempDir,
    store: Store,
    options: MockOptions,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), None).unwrap();
        Bench { directory, store, options: crate::buildroot::testing::options("dnf") }
    }

    /// What the repositories of this configuration hold. Without `metadata_expire`, nothing stays
    /// new.
    fn of(&mut self, conf: &str) -> Result<Revisions, RevisionError> {
        self.ask(conf, false)
    }

    fn offline(&mut self, conf: &str) -> Result<Revisions, RevisionError> {
        self.ask(conf, true)
    }

    fn ask(&mut self, conf: &str, offline: bool) -> Result<Revisions, RevisionError> {
        self.options.dnf_conf = format!("[main]\nmetadata_expire=0\n{conf}");
        super::of(&self.options, &self.store, offline, &|| false)
    }

    /// A repository on this host.
    fn local(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.join("repodata")).unwrap();
        std::fs::write(path.join("repodata/repomd.xml"), index(content)).unwrap();
        path
    }

    /// The content of all that is kept.
    fn kept(&self) -> BTreeMap<String, String> {
        let Ok(entries) = std::fs::read_dir(self.store.revisions()) else { return BTreeMap::new() };
        let entries = entries.map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read_to_string(entry.path()).unwrap())
            })
            .collect()
    }
}

/// How one repository was learned, and whether it has this content.
fn learned(revisions: &Revisions, id: &str, content: &str) -> How {
    let revision = &revisions.repositories[id];
    assert_eq!(revision.sha256, checksum::of(index(content).as_bytes()), "{revision:?}");
    revision.how
}

/// Error, causes and hint, with what changes from run to run put away.
fn told(error: &RevisionError, server: &Server, bench: &Bench) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!("\n{error}");
        cause = error.source();
    }
    text += &format!("\nhint: {}\npassing: {}", error.hint().unwrap(), error.is_passing());
    let text = text.replace(&server.url(""), "http://SERVER");
    text.replace(bench.directory.path().to_str().unwrap(), "/DIR")
}

#[test]
fn a_server_is_asked_for_changes_only() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let conf = format!("[a]\nbaseurl={}/\n", server.url("/a"));
    server.repository("/a", "1", "\"one\"");
    let first = bench.of(&conf).unwrap();
    assert_eq!(learned(&first, "a", "1"), How::Fetched);
    let second = bench.of(&conf).unwrap();
    assert_eq!(learned(&second, "a", "1"), How::NotModified);
    assert_eq!(first.digest(), second.digest());
    server.repository("/a", "2", "\"two\"");
    let third = bench.of(&conf).unwrap();
    assert_eq!(learned(&third, "a", "2"), How::Fetched);
    assert_ne!(first.digest(), third.digest());
    let marks: Vec<_> =
        server.requests().into_iter().map(|r| r.headers.get("if-none-match").cloned()).collect();
    assert_eq!(marks, [None, Some("\"one\"".to_owned()), Some("\"one\"".to_owned())]);
    assert_eq!(third.repositories["a"].from, server.url("/a/repodata/repomd.xml"));
    assert_eq!(bench.kept().len(), 1);
}

#[test]
fn times_are_marks_and_without_any_all_is_fetched() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let modified = Some("Wed, 21 Oct 2026 07:28:00 GMT");
    let place = "/a/repodata/repomd.xml";
    let conf = format!("[a]\nbaseurl={}\n", server.url("/a"));
    server.set(place, Reply::Document { body: index("1"), etag: None, modified });
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Fetched);
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::NotModified);
    server.set(place, document("2", None));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "2"), How::Fetched);
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "2"), How::Fetched);
}

#[test]
fn repositories_are_asked_at_the_same_time() {
    let (mut bench, server) = (Bench::new(), Server::with_latency(Duration::from_millis(200)));
    let mut conf = String::new();
    for number in 0..16 {
        let path = format!("/{number}");
        server.repository(&path, &path, "\"x\"");
        conf += &format!("[r{number}]\nbaseurl={}\n", server.url(&path));
    }
    let start = Instant::now();
    let revisions = bench.of(&conf).unwrap();
    let took = start.elapsed();
    assert_eq!(revisions.repositories.len(), 16);
    assert_eq!(learned(&revisions, "r7", "/7"), How::Fetched);
    assert!(took < Duration::from_millis(3200), "{took:?}, as one after the other takes");
}

#[test]
fn what_is_new_enough_needs_no_request() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.repository("/a", "1", "\"one\"");
    let of_file = format!("[a]\nbaseurl={}\nmetadata_expire=", server.url("/a"));
    let conf = format!("check_config_file_age=0\n{of_file}");
    bench.of(&format!("{conf}1h")).unwrap();
    server.repository("/a", "2", "\"two\"");
    assert_eq!(learned(&bench.of(&format!("{conf}1h")).unwrap(), "a", "1"), How::Cached);
    assert_eq!(server.targets().len(), 1);
    // As if that had been two hours ago.
    let (name, text) = bench.kept().pop_first().unwrap();
    let mut entry: serde_json::Value = serde_json::from_str(&text).unwrap();
    entry["checked"] = (entry["checked"].as_u64().unwrap() - 7200).into();
    std::fs::write(bench.store.revisions().join(&name), entry.to_string()).unwrap();
    assert_eq!(learned(&bench.of(&format!("{conf}1d")).unwrap(), "a", "1"), How::Cached);
    assert_eq!(learned(&bench.of(&format!("{conf}never")).unwrap(), "a", "1"), How::Cached);
    assert_eq!(learned(&bench.of(&format!("{conf}1h")).unwrap(), "a", "2"), How::Fetched);
    // The configuration file is newer than anything.
    assert_eq!(learned(&bench.of(&format!("{of_file}1h")).unwrap(), "a", "2"), How::NotModified);
    // What is damaged is as if it were not there.
    std::fs::write(bench.store.revisions().join(&name), "{\"format\":1,").unwrap();
    assert_eq!(learned(&bench.of(&format!("{conf}1h")).unwrap(), "a", "2"), How::Fetched);
}

#[test]
fn files_are_always_read() {
    let mut bench = Bench::new();
    let (a, b) = (bench.local("a b", "1"), bench.local("b", "2"));
    let url = a.display().to_string().replace(' ', "%20");
    let conf = format!(
        "[a]\nbaseurl=file://{url}/\nmetadata_expire=never\n[b]\nbaseurl={}\n",
        b.display()
    );
    for offline in [false, true] {
        let revisions = bench.ask(&conf, offline).unwrap();
        assert_eq!(learned(&revisions, "a", "1"), How::Local);
        assert_eq!(learned(&revisions, "b", "2"), How::Local);
    }
    bench.local("a b", "3");
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "3"), How::Local);
    assert!(bench.kept().is_empty());
}

#[test]
fn offline_takes_what_is_known() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.repository("/a", "1", "\"one\"");
    let a = format!("[a]\nbaseurl={}\n", server.url("/a"));
    let others = format!(
        "[b]\nmirrorlist={}\n[c]\nmetalink={}\n[d]\nbaseurl={}\nskip_if_unavailable=1\n",
        server.url("/list"),
        server.url("/metalink"),
        server.url("/d")
    );
    bench.of(&a).unwrap();
    server.requests();
    assert_eq!(learned(&bench.offline(&a).unwrap(), "a", "1"), How::Cached);
    let error = bench.offline(&(a.clone() + &others)).unwrap_err();
    assert_eq!(error.repositories().collect::<Vec<_>>(), ["b", "c"]);
    insta::assert_snapshot!("offline", told(&error, &server, &bench));
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let server = Server::start();
    let bench = Bench::new();
    server.repository("/a", "1", "\"one\"");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut options = bench.options.clone();
                options.dnf_conf = format!("[a]\nbaseurl={}\nmetadata_expire=0", server.url("/a"));
                for _ in 0..10 {
                    let revisions = super::of(&options, &bench.store, false, &|| false).unwrap();
                    learned(&revisions, "a", "1");
                }
            });
        }
    });
    assert_eq!(bench.kept().len(), 1, "{:?}", bench.kept());
}

#[test]
fn the_digest_is_of_the_content() {
    let mut bench = Bench::new();
    let paths = [bench.local("a", "1"), bench.local("b", "2")];
    let mut conf = |first: &str, second: &str, path: [usize; 2]| {
        let [x, y] = path.map(|index| paths[index].display());
        let conf = format!("[{first}]\nbaseurl={x}\n[{second}]\nbaseurl={y}\n");
        bench.of(&conf).unwrap().digest()
    };
    let digest = conf("a", "b", [0, 1]);
    assert_eq!(conf("b", "a", [1, 0]), digest);
    assert_ne!(conf("a", "b", [1, 0]), digest);
    assert_ne!(conf("a", "c", [0, 1]), digest);
    assert_ne!(conf("a", "a", [0, 1]), digest);
}

/// Not a test of what is right, but how long it takes: `cargo test --release --lib -- --ignored
/// --nocapture how_long`.
#[test]
#[ignore = "measures"]
fn how_long_it_takes() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let (mut remote, mut local) = (String::new(), String::new());
    for number in 0..4 {
        let path = format!("/{number}");
        server.repository(&path, &path, "\"x\"");
        remote += &format!("[r{number}]\nbaseurl={}\n", server.url(&path));
        let place = bench.local(&format!("l{number}"), &path);
        local += &format!("[l{number}]\nbaseurl=file://{}\n", place.display());
    }
    bench.of(&remote).unwrap();
    let fresh = format!("check_config_file_age=0\nmetadata_expire=1h\n{remote}");
    for (what, conf) in [("4 of HTTP, 304", &remote), ("4 fresh", &fresh), ("4 files", &local)] {
        let mut times: Vec<Duration> = (0..51)
            .map(|_| {
                let start = Instant::now();
                bench.of(conf).unwrap();
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("{what}: median {:?}, least {:?}, most {:?}", times[25], times[0], times[50]);
    }
}
