//! What Sentry is told, and what not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::harness::{NodeCase, arch};
use super::web_server::Options;

/// One call: the first line and the headers in lower case, and the body.
struct Call {
    head: String,
    body: String,
}

/// A listener in the place of Sentry, and what it gets.
fn sentry() -> (u16, Receiver<Call>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let Some(length) = length else { continue };
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let body = String::from_utf8(body).unwrap();
            if tell.send(Call { head, body }).is_err() {
                return;
            }
        }
    });
    (port, told)
}

#[test]
fn failures_of_the_infrastructure_and_no_others_are_told() {
    let own = "  infrastructure_retries: 0\n";
    let Some(node) = NodeCase::new("node-sentry", own, Options::default()) else { return };
    let (port, told) = sentry();
    node.configure_top(&format!(
        "sentry_dsn: http://publickey@127.0.0.1:{port}/below/42\nsentry_environment: test\n"
    ));
    let build = |code: &str| format!("BuildArch: noarch\n%description\n.\n%build\n{code}\n");
    let fails = node.srpm("fails", &build("exit 1"));
    let missing = node.srpm("missing", &format!("BuildRequires: nothing-has-it\n{}", build("")));
    let good = node.srpm("good", &build(""));
    node.server.add(node.task(1, &arch(), &fails));
    node.server.add(node.task(2, &arch(), &missing));
    node.server.add(node.task(3, &arch(), &good));
    let mut away = node.task(4, &arch(), &good);
    away["repositories"][0]["url"] = json!("http://127.0.0.1:1/repository/");
    away["repositories"][0]["name"] = json!("away");
    node.server.add(away);
    let running = node.start();
    for (id, status) in [(1, "failed"), (2, "failed"), (3, "done"), (4, "failed")] {
        assert_eq!(node.report(id)["status"], status, "{}", node.log());
    }
    let verdict = node.report(4)["stats"]["verdict"].clone();
    assert_eq!(verdict["class"], "infrastructure", "{verdict:#}");
    let call = told.recv_timeout(Duration::from_secs(30)).unwrap();
    running.finish();
    assert!(told.try_recv().is_err(), "the others are packages' own");

    assert!(call.head.starts_with("post /below/api/42/envelope/ http/1.1\r\n"), "{}", call.head);
    for header in ["content-type: application/x-sentry-envelope", "sentry_key=publickey"] {
        assert!(call.head.contains(header), "{}", call.head);
    }
    let lines: Vec<Json> =
        call.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [envelope, item, event] = &lines[..] else { panic!("{}", call.body) };
    assert_eq!((&item["type"], &envelope["event_id"]), (&json!("event"), &event["event_id"]));
    assert_eq!(event["event_id"].as_str().unwrap().len(), 32);
    let expected = json!({
        "level": "error", "environment": "test", "server_name": "me", "platform": "other",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&event[key], value, "{event:#}");
    }
    assert_eq!(event["tags"]["class"], "infrastructure");
    assert_eq!(event["tags"]["arch"], json!(arch()));
    assert_eq!(event["extra"]["task"], "4");
    let message = event["logentry"]["formatted"].as_str().unwrap();
    assert!(message.contains(verdict["message"].as_str().unwrap()), "{message}");
    assert!(!node.log().contains("publickey"), "{}", node.log());
}

#[test]
fn nothing_waits_for_sentry() {
    let Some(node) = NodeCase::new("node-no-sentry", "", Options::default()) else { return };
    node.configure_top("sentry_dsn: http://publickey@127.0.0.1:1/42\n");
    // The task cannot be understood.
    let mut task = node.task(1, &arch(), "http://127.0.0.1:1/x.src.rpm");
    task["is_secure_boot"] = json!("perhaps");
    node.server.add(task);
    let running = node.start();
    assert_eq!(node.report(1)["status"], "failed");
    running.finish();
    assert!(node.log().contains("Sentry could not be told"), "{}", node.log());
    node.configure("", 2);
    node.configure_top("sentry_dsn: somewhere\n");
    let running = node.start();
    let good = node.srpm("good", "BuildArch: noarch\n%description\n.\n");
    node.server.add(node.task(2, &arch(), &good));
    assert_eq!(node.report(2)["status"], "done");
    assert!(node.log().contains("nothing is told to Sentry: sentry_dsn must be"), "{}", node.log());
    running.finish();
}
