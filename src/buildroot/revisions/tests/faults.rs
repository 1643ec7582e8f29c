//! Servers that do not give what they should.

use std::sync::atomic::{AtomicBool, Ordering};

use super::server::{Reply, Server, document, text};
use super::*;

/// One repository of a server with this reply: the error, and how long it took.
fn failing(reply: Reply) -> (String, Duration) {
    failing_with(reply, "")
}

fn failing_with(reply: Reply, options: &str) -> (String, Duration) {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.set("/a/repodata/repomd.xml", reply);
    let start = Instant::now();
    let error = bench.of(&format!("[a]\nbaseurl={}\n{options}", server.url("/a"))).unwrap_err();
    assert!(bench.kept().is_empty());
    (told(&error, &server, &bench), start.elapsed())
}

#[test]
fn what_is_told_of_answers() {
    for status in [401, 404, 500] {
        insta::assert_snapshot!(format!("status_{status}"), failing(Reply::Status(status)).0);
    }
    insta::assert_snapshot!("no_index", failing(text("<html>log in</html>")).0);
    for announced in [true, false] {
        let reply = Reply::Large { bytes: (4 << 20) + 1, announced };
        insta::assert_snapshot!("too_large", failing(reply).0);
    }
    // A 304 without having asked for it says nothing.
    assert!(failing(Reply::Status(304)).0.contains("304"));
    assert!(failing(Reply::Cut("<repomd>".to_owned())).0.contains("cannot get"));
}

#[test]
fn slow_servers_are_not_waited_for() {
    for reply in [Reply::Hang, Reply::Drip] {
        let (text, took) = failing_with(reply, "timeout=1\n");
        assert!(text.contains("cannot get http://SERVER/a/repodata/repomd.xml"), "{text}");
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

#[test]
fn a_bad_moment_is_waited_out() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let replies = vec![Reply::Status(503), document("1", Some("\"one\""))];
    server.set("/a/repodata/repomd.xml", Reply::Sequence(replies));
    let conf = format!("[a]\nbaseurl={}\n", server.url("/a"));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Fetched);
    // What is known is not lost by a failure, nor taken in its place.
    server.set("/a/repodata/repomd.xml", Reply::Status(503));
    assert!(bench.of(&conf).unwrap_err().is_passing());
    assert_eq!(learned(&bench.offline(&conf).unwrap(), "a", "1"), How::Cached);
}

#[test]
fn some_can_be_done_without() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.repository("/a", "1", "\"one\"");
    let conf = format!(
        "[a]\nbaseurl={}\n[b]\nbaseurl={}\nskip_if_unavailable=True\n",
        server.url("/a"),
        server.url("/b"),
    );
    let revisions = bench.of(&conf).unwrap();
    assert_eq!(learned(&revisions, "a", "1"), How::Fetched);
    let reason = revisions.failed["b"].replace(&server.url(""), "http://SERVER");
    insta::assert_snapshot!(reason, @"http://SERVER/b/repodata/repomd.xml gives 404 Not Found");
    let alone = bench.of(&format!("[a]\nbaseurl={}\n", server.url("/a"))).unwrap();
    assert_eq!(alone.digest(), revisions.digest());
}

#[test]
fn several_failures_are_one_error() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let conf = "[a]\nname=a\n[b]\nbaseurl=ftp://h/r\n[c]\nbaseurl=/nowhere\n";
    let error = bench.of(conf).unwrap_err();
    assert!(!error.is_passing());
    insta::assert_snapshot!("several", told(&error, &server, &bench));
    let error = bench.of("[c]\nbaseurl=/nowhere\n").unwrap_err();
    insta::assert_snapshot!("no_file", told(&error, &server, &bench));
}

#[test]
fn whoever_stops_does_not_wait() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.set("/a/repodata/repomd.xml", Reply::Hang);
    bench.options.dnf_conf = format!("[a]\nbaseurl={}\n", server.url("/a"));
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            stop.store(true, Ordering::Relaxed);
        });
        let cancelled = || stop.load(Ordering::Relaxed);
        crate::buildroot::revisions::of(&bench.options, &bench.store, false, &cancelled)
    });
    assert!(matches!(result, Err(RevisionError::Cancelled)));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn secrets_are_sent_and_not_shown() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let place = server.url("/a").replace("http://", "http://user:s3cret@");
    let conf = format!(
        "[a]\nbaseurl={place}?token=s3cret\n[b]\nbaseurl={}\nusername=user\npassword=s3cret\n",
        server.url("/b")
    );
    let error = bench.of(&conf).unwrap_err();
    for shown in [told(&error, &server, &bench), format!("{error:?}")] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    server.requests();
    server.set("/a/repodata/repomd.xml?token=s3cret", document("1", Some("\"one\"")));
    server.repository("/b", "2", "\"two\"");
    let revisions = bench.of(&conf).unwrap();
    let shown = format!("{revisions:?}{:?}", bench.kept());
    assert!(!shown.contains("s3cret"), "{shown}");
    for request in server.requests() {
        // "user:s3cret" in base64.
        assert_eq!(request.headers["authorization"], "Basic dXNlcjpzM2NyZXQ=", "{request:?}");
    }
    // Another password may show another repository: nothing that is known of the one counts.
    let other = conf.replace("=s3cret", "=0ther");
    assert_eq!(bench.offline(&other).unwrap_err().repositories().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn proxies_and_certificates() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let target = "http://elsewhere.invalid/a/repodata/repomd.xml";
    server.set(target, document("1", None));
    let conf = "[a]\nbaseurl=http://elsewhere.invalid/a\n";
    let proxy = server.url("");
    let own = format!("{conf}proxy={proxy}\nproxy_username=u\nproxy_password=p\n");
    assert_eq!(learned(&bench.of(&own).unwrap(), "a", "1"), How::Fetched);
    let requests = server.requests();
    assert_eq!(requests[0].headers["proxy-authorization"], "Basic dTpw");
    bench.options.network.proxies = [("http_proxy".to_owned(), proxy)].into();
    assert_eq!(learned(&bench.of(conf).unwrap(), "a", "1"), How::Fetched);
    assert_eq!(server.targets(), [target]);
    assert!(bench.of(&format!("{conf}proxy=_none_\n")).is_err());
    assert!(server.requests().is_empty());

    let broken = bench.directory.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nnot base64\n").unwrap();
    for option in ["sslcacert", "sslclientcert"] {
        let conf = format!("[a]\nbaseurl=https://h/\n{option}={}\n", broken.display());
        let error = bench.of(&conf).unwrap_err();
        assert!(!error.is_passing());
        let text = told(&error, &server, &bench);
        assert!(text.contains("/DIR/broken.pem"), "{text}");
    }
}
