use serde_json::json;

use super::*;

fn sample(name: &str) -> Json {
    let path = format!("{}/tests/tasks/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn what_the_server_sends_is_understood() {
    let task = Task::from_json(&sample("task-el8-src-git")).unwrap();
    assert_eq!((task.id, task.arch.as_str(), task.build_id), (1, "src", Some(1)));
    assert_eq!(task.source.kind, Some(RefKind::Branch));
    assert!(!task.source.is_source_package() && !task.is_secure_boot);
    assert_eq!(task.platform.data.timeout, Some(43200));
    assert!(!task.repositories.is_empty() && task.created_by.is_some());

    let built = Task::from_json(&sample("task-el8-x86_64-built-srpm")).unwrap();
    assert!(built.built_srpm_url.is_some());
    // What this one has is no checksum.
    assert_eq!(built.srpm_sha256(), None);
    let known = Task { srpm_hash: Some("AB".repeat(32)), ..built };
    assert_eq!(known.srpm_sha256(), Some("ab".repeat(32)));
    let link = Task::from_json(&sample("task-el9-aarch64-srpm-link")).unwrap();
    assert!(link.source.is_source_package());
    assert!(Task::from_json(&sample("task-el8-secure-boot")).unwrap().is_secure_boot);
    Task::from_json(&sample("task-el10-ppc64le-autospec")).unwrap();
}

/// The least that is a task.
fn least() -> Json {
    json!({
        "id": 7, "arch": "x86_64", "ref": {"url": "https://h/a.git"}, "platform": {"name": "P-1"},
    })
}

#[test]
fn what_is_missing_or_new_does_not_matter() {
    let task = Task::from_json(&least()).unwrap();
    assert_eq!((task.id, task.repositories.len()), (7, 0));
    let mut json = least();
    for (field, value) in [
        ("build_id", Json::Null),
        ("created_by", Json::Null),
        ("repositories", Json::Null),
        ("built_srpm_url", json!("")),
        ("srpm_hash", Json::Null),
        ("is_secure_boot", Json::Null),
        ("linked_builds", json!([{"x": [1]}])),
        ("brand_new", json!({"a": null})),
    ] {
        json[field] = value;
    }
    json["platform"]["data"] = json!({"mock": null, "timeout": null, "versions": [1], "x": 1});
    assert_eq!(Task::from_json(&json).unwrap(), task);
}

/// Sets what a path of names and numbers leads to; `None` removes it.
fn with(path: &str, value: Option<Json>) -> Json {
    let mut json = least();
    let pointer = format!("/{path}");
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => {
            parent.insert(field.to_owned(), value);
        }
        None => {
            parent.remove(field);
        }
    }
    json
}

#[test]
fn malformed_tasks_keep_their_number() {
    let hostile = "https://h/\u{1b}[2Ja";
    let cases = [
        ("arch", None),
        ("arch", Some(json!(""))),
        ("arch", Some(json!(5))),
        ("arch", Some(json!("x86_64/../.."))),
        ("ref", None),
        ("ref", Some(json!("https://h/a.git"))),
        ("ref/url", None),
        ("ref/url", Some(Json::Null)),
        ("ref/url", Some(json!("file:///etc/passwd"))),
        ("ref/url", Some(json!("ext::sh -c id"))),
        ("ref/url", Some(json!("--upload-pack=id"))),
        ("ref/url", Some(json!(hostile))),
        ("ref/git_ref", Some(json!("--output=/etc/passwd"))),
        ("ref/git_ref", Some(json!(["c8"]))),
        ("ref/ref_type", Some(json!(5))),
        ("ref/ref_type", Some(json!("1"))),
        ("ref/git_commit_hash", Some(json!("abc"))),
        ("platform", Some(json!([]))),
        ("platform/name", Some(json!(""))),
        ("platform/type", Some(json!("deb"))),
        ("platform/data", Some(json!("x"))),
        ("platform/data", Some(json!({"mock": [], "definitions": 1, "yum": "x"}))),
        ("platform/data", Some(json!({"timeout": -1, "custom_logs": ["a", 1]}))),
        ("platform/data", Some(json!({"timeout": 0, "mock_dist": {}}))),
        ("platform/data", Some(json!({"allow_sources_download": "yes"}))),
        ("repositories", Some(json!({}))),
        ("repositories", Some(json!([{"name": "a"}, 5, {"name": 1, "url": "u", "priority": "x"}]))),
        ("repositories", Some(json!([{"name": "a", "url": "u", "mock_enabled": 1}]))),
        ("built_srpm_url", Some(json!("/var/tmp/a.src.rpm"))),
        ("srpm_hash", Some(json!("a b"))),
        ("is_secure_boot", Some(json!("true"))),
        ("is_cas_authenticated", Some(json!(1))),
        ("build_id", Some(json!("1"))),
        ("created_by", Some(json!("somebody"))),
        ("created_by", Some(json!({"name": 1, "email": null}))),
    ];
    let mut told = String::new();
    for (path, value) in cases {
        let error = Task::from_json(&with(path, value)).unwrap_err();
        assert_eq!(error.id, Some(7), "{error}");
        let text = error.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        told += &format!("{text}\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn ids_that_are_none() {
    let ids = [
        (json!(-1), None),
        (json!(0), None),
        (json!(2_147_483_648_i64), None),
        (json!(u64::MAX), None),
        (json!(1.5), None),
        (json!([7]), None),
        (json!("seven"), None),
        // It is not what it should be, but it can be reported.
        (json!("7"), Some(7)),
    ];
    for (id, seen) in ids {
        let error = Task::from_json(&with("id", Some(id))).unwrap_err();
        assert_eq!(error.id, seen, "{error}");
        assert_eq!(error.complaints[0].field, "id");
    }
    assert_eq!(Task::from_json(&with("id", None)).unwrap_err().id, None);
    for none in [Json::Null, json!([]), json!("task"), json!(7), json!({})] {
        assert!(Task::from_json(&none).unwrap_err().id.is_none(), "{none}");
    }
}

#[test]
fn a_flood_of_mistakes_stays_short() {
    let repositories = json!(vec![json!({"name": "x".repeat(10_000)}); 10_000]);
    let error = Task::from_json(&with("repositories", Some(repositories))).unwrap_err();
    assert!(error.to_string().len() < 10_000);
}

proptest::proptest! {
    /// Whatever stands anywhere, there is an answer, and a task that is wrong keeps its number.
    #[test]
    fn anything_anywhere(
        which in 0_usize..14,
        value in proptest::prop_oneof![
            proptest::strategy::Just(Json::Null),
            proptest::prelude::any::<bool>().prop_map(Json::from),
            proptest::prelude::any::<i64>().prop_map(Json::from),
            proptest::prelude::any::<f64>().prop_map(Json::from),
            "\\PC{0,20}".prop_map(Json::from),
            proptest::collection::vec("\\PC{0,5}".prop_map(Json::from), 0..3).prop_map(Json::from),
        ],
    ) {
        let path = [
            "arch", "build_id", "ref", "ref/url", "ref/git_ref", "ref/ref_type", "platform",
            "platform/name", "platform/type", "platform/data", "repositories", "built_srpm_url",
            "created_by", "srpm_hash",
        ][which];
        match Task::from_json(&with(path, Some(value))) {
            Ok(task) => proptest::prop_assert_eq!(task.id, 7),
            Err(error) => {
                proptest::prop_assert_eq!(error.id, Some(7));
                proptest::prop_assert!(!error.complaints.is_empty());
            }
        }
    }
}

use proptest::strategy::Strategy;

#[test]
fn reports_are_what_the_server_expects() {
    let mut stats = Stats::default();
    let start = "2026-05-01T10:00:00Z".parse().unwrap();
    let end = "2026-05-01T10:01:02.345678Z".parse().unwrap();
    stats.stage("build_node_task", start, end);
    stats.set("resources", "memory", "a\0b");
    let report = BuildDone {
        task_id: 4001,
        status: Status::Done,
        artifacts: vec![
            ReportedArtifact {
                name: "hello-2.10-1.el8.src.rpm".into(),
                kind: ArtifactKind::Rpm,
                href: "/pulp/api/v3/artifacts/1/".into(),
                sha256: "a".repeat(64),
                path: "/srv/hello-2.10-1.el8.src.rpm".into(),
                cas_hash: None,
            },
            ReportedArtifact {
                name: "albs.4001.1777629600.log".into(),
                kind: ArtifactKind::BuildLog,
                href: "/pulp/api/v3/artifacts/2/".into(),
                sha256: "b".repeat(64),
                path: "/srv/albs.log".into(),
                cas_hash: None,
            },
        ],
        stats,
        git_commit_hash: None,
        is_cas_authenticated: false,
        alma_commit_cas_hash: None,
    };
    insta::assert_json_snapshot!(report);
    assert_eq!(report.problems(false), Vec::<String>::new());
    // The journal gives back what went in.
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<BuildDone>(&text).unwrap(), report);

    let mut bad = report.clone();
    bad.artifacts[0].name = "hello-2.10-1.el8.x86_64.rpm".into();
    bad.artifacts[0].sha256 = "A".repeat(64);
    bad.artifacts[1].name = "albs".into();
    bad.artifacts[1].href = String::new();
    bad.stats = Stats::default();
    assert_eq!(bad.problems(false).len(), 5, "{:?}", bad.problems(false));
    assert_eq!(bad.problems(true).len(), 4);
}

#[test]
fn questions_are_what_the_server_expects() {
    let ask = GetTask::new("x86_64", true, exclusions("\n kernel \n#x\n\t\nglibc#2\r\n"));
    assert_eq!(
        serde_json::to_value(&ask).unwrap(),
        json!({"supported_arches": ["x86_64", "i686", "src"],
               "excluded_packages": ["kernel", "glibc#2"]})
    );
    assert_eq!(supported_arches("aarch64", false), ["aarch64"]);
    assert_eq!(supported_arches("x86_64_v2", true), ["x86_64_v2", "src"]);
    let ping = Ping::new([1, 0, -4, MAX_ID, MAX_ID + 1]);
    assert_eq!(serde_json::to_value(&ping).unwrap(), json!({"active_tasks": [1, MAX_ID]}));
}
