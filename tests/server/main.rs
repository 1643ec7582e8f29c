//! The client of albs-web-server, beside a server with the real one's rules.

mod web_server;

use std::path::Path;
use std::time::{Duration, Instant};

use albs_node::causes::with_causes;
use albs_node::config::{Config, Facts, Flags, read};
use albs_node::retry::{Backoff, Next, Trouble};
use albs_node::server::{Delivered, Received, Server};
use albs_node::task::{
    ArtifactKind, BuildDone, GetTask, Ping, ReportedArtifact, Stats, Status, Task,
};
use serde_json::{Value as Json, json};
use web_server::{Fault, Options, TOKEN, TaskState, WebServer};

fn config(server: &WebServer, more: &str) -> Config {
    let text = format!(
        "master_url: {}\njwt_token: {TOKEN}\npulp_password: x\nexclusions_url: {}\n{more}",
        server.master_url(),
        server.exclusions_url()
    );
    let facts = Facts::probe(None);
    let reading = read(Some((Path::new("n.yml"), Ok(&text))), &Flags::default(), &facts);
    reading.config.unwrap_or_else(|| panic!("{:?}", reading.problems))
}

fn client(server: &WebServer) -> Server {
    Server::new(&config(server, "request_timeout: 2")).unwrap()
}

/// A task with what every one has.
fn task(id: i64, arch: &str) -> Json {
    json!({
        "id": id, "arch": arch, "build_id": 1,
        "ref": {"url": "https://git.example.org/rpms/hello.git", "git_ref": "c9", "ref_type": 1},
        "platform": {"name": "AlmaLinux-9", "type": "rpm", "data": {}},
        "created_by": {"name": "a", "email": "a@example.org"},
        "repositories": [{"name": "base", "url": "http://h/$arch/", "priority": 1,
                          "mock_enabled": true}],
        "built_srpm_url": null, "srpm_hash": null, "is_secure_boot": false,
    })
}

fn report(task_id: i64, status: Status, artifacts: &[&str]) -> BuildDone {
    let artifact = |name: &&str| ReportedArtifact {
        name: (*name).to_owned(),
        kind: if name.ends_with(".rpm") { ArtifactKind::Rpm } else { ArtifactKind::BuildLog },
        href: "/pulp/api/v3/artifacts/1/".to_owned(),
        sha256: "0".repeat(64),
        path: format!("/srv/{name}"),
        cas_hash: None,
    };
    let mut stats = Stats::default();
    stats.stage("build_node_task", jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::now());
    BuildDone {
        task_id,
        status,
        artifacts: artifacts.iter().map(artifact).collect(),
        stats,
        git_commit_hash: Some("a".repeat(40)),
        is_cas_authenticated: false,
        alma_commit_cas_hash: None,
    }
}

fn ask() -> GetTask {
    GetTask::new("x86_64", true, Vec::new())
}

async fn taken(client: &Server) -> Option<Box<Task>> {
    match client.get_task(&ask()).await.unwrap() {
        Received::Task(task, _) => Some(task),
        Received::Nothing => None,
        Received::Malformed(malformed, _) => panic!("{malformed}"),
    }
}

#[tokio::test]
async fn a_build_from_source_package_to_the_end() {
    let server = WebServer::start(Options::default());
    for (id, arch) in [(12, "i686"), (11, "x86_64"), (10, "src"), (13, "aarch64")] {
        server.add(task(id, arch));
    }
    let client = client(&server);
    let first = taken(&client).await.unwrap();
    assert_eq!((first.id, first.arch.as_str()), (10, "src"));
    assert_eq!(first.repositories[0].url, "http://h/x86_64/");
    // The others wait for it.
    assert!(taken(&client).await.is_none());
    client.ping(&Ping::new([10])).await.unwrap();
    let done = report(10, Status::Done, &["hello-1-1.src.rpm", "albs.10.1.log"]);
    assert_eq!(client.build_done(&done).await.unwrap(), Delivered::Queued);
    for id in [11, 12] {
        let task = taken(&client).await.unwrap();
        assert_eq!(task.id, id);
        assert_eq!(task.source.git_commit_hash, Some("a".repeat(40)));
    }
    assert!(taken(&client).await.is_none());
    let asked = server.calls().into_iter().find(|call| call.name == "get_task").unwrap();
    assert_eq!(asked.body["supported_arches"], json!(["x86_64", "i686", "src"]));
    let done = report(11, Status::Done, &["hello-1-1.src.rpm", "hello-1-1.x86_64.rpm"]);
    assert_eq!(client.build_done(&done).await.unwrap(), Delivered::Queued);
    assert_eq!(client.build_done(&done).await.unwrap(), Delivered::Known);
    client.build_done(&report(12, Status::Excluded, &["albs.12.1.log"])).await.unwrap();
    let over = |status: &str| TaskState::Over(status.to_owned());
    assert_eq!((server.task(11), server.task(12)), (over("done"), over("excluded")));
    assert_eq!(server.processed(11).len(), 1);
}

#[tokio::test]
async fn silent_tasks_are_given_out_again() {
    let silence = Duration::from_millis(600);
    let server = WebServer::start(Options { silence, ..Options::default() });
    server.add(task(1, "x86_64"));
    let client = client(&server);
    assert_eq!(taken(&client).await.unwrap().id, 1);
    let end = Instant::now() + silence * 2;
    while Instant::now() < end {
        client.ping(&Ping::new([1, 999])).await.unwrap();
        assert!(taken(&client).await.is_none());
        tokio::time::sleep(silence / 6).await;
    }
    tokio::time::sleep(silence * 2).await;
    assert_eq!(taken(&client).await.unwrap().id, 1);
}

#[tokio::test]
async fn whoever_has_asked_has_taken() {
    let server = WebServer::start(Options::default());
    server.add(task(1, "x86_64"));
    server.fail("get_task", Fault::CutAfter);
    let client = client(&server);
    let error = client.get_task(&ask()).await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Lost);
    assert_eq!(server.task(1), TaskState::Started);
    assert!(taken(&client).await.is_none());
}

#[tokio::test]
async fn reports_whose_answer_was_lost_are_known_later() {
    let worker = Duration::from_millis(500);
    let server = WebServer::start(Options { worker, ..Options::default() });
    server.add(task(1, "x86_64"));
    let client = client(&server);
    taken(&client).await.unwrap();
    server.fail("build_done", Fault::CutAfter);
    let done = report(1, Status::Failed, &["albs.1.1.log"]);
    let error = client.build_done(&done).await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Lost);
    // Minutes, not the usual second: a repeat before the worker is done would be worked on too.
    let Next::Wait(wait) = Backoff::DELIVER.next(1, error.trouble(), 0.0) else { panic!() };
    assert!(wait >= Duration::from_secs(120));
    tokio::time::sleep(worker * 2).await;
    assert_eq!(client.build_done(&done).await.unwrap(), Delivered::Known);
    assert_eq!(server.processed(1).len(), 1);
}

#[tokio::test]
async fn poison_keeps_its_number() {
    let server = WebServer::start(Options::default());
    let mut poison = task(7, "x86_64");
    poison["platform"] = json!([1]);
    server.add(poison);
    match client(&server).get_task(&ask()).await.unwrap() {
        Received::Malformed(malformed, _) => {
            assert_eq!(malformed.id, Some(7));
            assert_eq!(
                malformed.to_string(),
                "task 7 cannot be understood: platform must be an object, but it is a list"
            );
        }
        other => panic!("{other:?}"),
    }
    let failed = report(7, Status::Failed, &["albs.7.1.log"]);
    assert_eq!(client(&server).build_done(&failed).await.unwrap(), Delivered::Queued);
}

#[tokio::test]
async fn every_no_is_one_line_with_what_to_do() {
    let server = WebServer::start(Options::default());
    let client = client(&server);
    let answer = |status, body: &str| Fault::Answer {
        status,
        headers: vec![("content-type", "application/json".into())],
        body: body.into(),
    };
    let faults = [
        Fault::page(502, "502 Bad Gateway"),
        Fault::page(413, "413 Request Entity Too Large"),
        answer(
            422,
            r#"{"detail":[{"type":"x","loc":["body","task_id"],"msg":"Input should be"}]}"#,
        ),
        answer(500, "Internal Server Error"),
        answer(403, r#"{"detail":"Forbidden"}"#),
        answer(404, r#"{"detail":"Not Found"}"#),
        answer(400, "\u{1b}[2J\u{1b}]0;owned\u{7}<b>x"),
        answer(503, ""),
        Fault::Answer { status: 307, headers: vec![("location", "/x/".into())], body: "".into() },
        Fault::Answer {
            status: 429,
            headers: vec![("retry-after", "7".into())],
            body: "slow down".into(),
        },
        Fault::Late(Duration::from_secs(4)),
        Fault::CutBefore,
        Fault::HalfAnswer,
    ];
    let mut seen = String::new();
    for fault in faults {
        server.fail("ping", fault);
        let error = client.ping(&Ping::new([1])).await.unwrap_err();
        let text = with_causes(&error).replace(&server.address.to_string(), "SERVER");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        seen += &format!("{text}\n  {:?}, {:?}\n", error.trouble(), error.hint());
    }
    insta::assert_snapshot!(seen);
    // It works again afterwards.
    client.ping(&Ping::new([1])).await.unwrap();
}

#[tokio::test]
async fn answers_that_are_no_tasks() {
    let server = WebServer::start(Options::default());
    let client = client(&server);
    for body in ["<html>login</html>", "{\"id\": 1", "", "[1,2"] {
        let headers = Vec::new();
        server.fail("get_task", Fault::Answer { status: 200, headers, body: body.into() });
        let error = client.get_task(&ask()).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::Doubtful, "{error}");
    }
    let large = "x".repeat(20 << 20);
    server.fail("get_task", Fault::Answer { status: 200, headers: Vec::new(), body: large });
    let error = client.get_task(&ask()).await.unwrap_err();
    assert!(error.to_string().contains("an answer of more than"), "{error}");
}

#[tokio::test]
async fn without_a_server_and_without_a_right() {
    let server = WebServer::start(Options::default());
    let wrong = format!("jwt_token: wrong\nmaster_url: {}", server.master_url());
    let facts = Facts::probe(None);
    let reading = read(Some((Path::new("n"), Ok(&wrong))), &Flags::default(), &facts);
    let client_of_wrong = Server::new(&reading.config.unwrap()).unwrap();
    let error = client_of_wrong.ping(&Ping::new([1])).await.unwrap_err();
    assert_eq!((error.status(), error.trouble()), (Some(401), Trouble::Operator));
    assert!(error.hint().unwrap().contains("jwt_token"));
    assert!(!format!("{client_of_wrong:?} {error:?}").contains("wrong"));

    let client = client(&server);
    drop(server);
    let error = client.ping(&Ping::new([1])).await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Passing { retry_after: None });
    assert!(error.hint().unwrap().contains("check the address"), "{}", with_causes(&error));
}

#[tokio::test]
async fn what_is_not_built_here() {
    let server = WebServer::start(Options::default());
    let config = config(&server, "build_node_name: node-1");
    let client = Server::new(&config).unwrap();
    assert_eq!(client.exclusions(&config.exclusions()).await.unwrap(), Vec::<String>::new());
    server.exclude("\n kernel\n\n# glibc\nHELLO \n");
    let list = client.exclusions(&config.exclusions()).await.unwrap();
    assert_eq!(list, ["kernel", "HELLO"]);
    let at = |name: &str| format!("{}{name}", server.exclusions_url());
    assert_eq!(client.exclusions(&at("moved")).await.unwrap(), list);
    let error = client.exclusions(&at("circle")).await.unwrap_err();
    assert!(error.to_string().contains("a circle of redirections"), "{error}");
    let error = client.exclusions(&at("login")).await.unwrap_err();
    assert!(error.to_string().contains("a page instead of a list: Sign in"), "{error}");
    server.exclude(&"x\n".repeat(6000));
    assert!(client.exclusions(&config.exclusions()).await.is_err());

    server.add(task(1, "x86_64"));
    let asked = GetTask::new("x86_64", true, list);
    assert!(matches!(client.get_task(&asked).await.unwrap(), Received::Nothing));
    assert!(taken(&client).await.is_some());
}

/// The stand-in is as strict as the server: what it must not be sent gets the same answer.
#[tokio::test]
async fn the_server_refuses_what_the_real_one_refuses() {
    let server = WebServer::start(Options::default());
    for id in 1..5 {
        server.add(task(id, "x86_64"));
    }
    let call = |name: &str, body: Json| {
        let request = reqwest::Client::builder()
            .build()
            .unwrap()
            .post(format!("{}build_node/{name}", server.master_url()));
        let request = request.bearer_auth(TOKEN).header("content-type", "application/json");
        async move { request.body(body.to_string()).send().await.unwrap().status().as_u16() }
    };
    rustls::crypto::ring::default_provider().install_default().ok();
    let good = serde_json::to_value(report(1, Status::Done, &["a-1-1.src.rpm"])).unwrap();
    for (field, value) in [
        ("task_id", json!("1")),
        ("status", json!("ok")),
        ("artifacts", Json::Null),
        ("artifacts", json!([{"name": "a", "type": "log", "href": "h", "sha256": "s"}])),
        ("stats", json!({"a": {"b": 1}})),
        ("stats", json!({"a": "b"})),
        ("is_cas_authenticated", Json::Null),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(call("build_done", bad).await, 422, "{field}");
    }
    assert_eq!(
        call("get_task", json!({"supported_arches": ["src"], "excluded_packages": []})).await,
        500
    );
    assert_eq!(call("get_task", json!({"supported_arches": "src"})).await, 422);
    assert_eq!(call("ping", json!({"active_tasks": [1_i64 << 31]})).await, 500);
    assert_eq!(call("ping", json!({"active_tasks": ["1"]})).await, 422);
    assert_eq!(call("build_done", good.clone()).await, 200);
    assert_eq!(call("build_done", good.clone()).await, 409);
    // Done, as told; but without a source package or with another time, it is a failure.
    assert_eq!(server.task(1), TaskState::Over("done".into()));
    let mut bare = good.clone();
    bare["task_id"] = json!(2);
    bare["artifacts"][0]["name"] = json!("a-1-1.x86_64.rpm");
    assert_eq!(call("build_done", bare).await, 200);
    assert_eq!(server.task(2), TaskState::Over("failed".into()));
    let mut zone = good;
    zone["task_id"] = json!(3);
    zone["stats"]["build_node_task"]["start_ts"] = json!("2026-05-01T10:00:00Z");
    assert_eq!(call("build_done", zone).await, 200);
    assert_eq!(server.task(3), TaskState::Over("failed".into()));
    let calls = server.calls();
    assert!(calls.iter().filter(|call| call.status == 422).count() >= 8);
    assert!(calls.is_sorted_by_key(|call| call.at), "as they came");
}
