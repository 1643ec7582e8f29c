//! The configs that build tasks carry.

use std::path::Path;

use albs_node::mock_config::{LoadedConfig, Value, load};
use albs_node::task::{NodeExtras, Task, TaskConfig, TaskConfigError};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::python::python;
use crate::request;

fn samples() -> Vec<(String, Task)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tasks");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            (name, Task::from_json(&json).unwrap())
        })
        .collect()
}

fn load_text(text: &str) -> LoadedConfig {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.cfg");
    std::fs::write(&file, text).unwrap();
    load(&request(&file.display().to_string(), Path::new("/nonexistent")))
        .unwrap_or_else(|error| panic!("{}\n{text}", error.render()))
}

/// What a path of keys leads to.
fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// The loader reads what was written.
fn reads_back(config: &TaskConfig) {
    let loaded = load_text(&config.text());
    let aliases =
        [("dnf_common_opts", "dnf4_common_opts"), ("dnf_install_command", "dnf4_install_command")];
    for assignment in &config.assignments {
        let mut path = assignment.path.clone();
        if let Some((_, real)) = aliases.iter().find(|(alias, _)| *alias == path[0]) {
            path[0] = (*real).to_owned();
        }
        assert_eq!(at(&loaded.raw(), &path), Some(&assignment.value), "{path:?}");
    }
}

#[test]
fn the_samples() {
    for (name, task) in samples() {
        let config = TaskConfig::new(&task, "x86_64").unwrap();
        insta::assert_snapshot!(name.clone(), config.text());
        reads_back(&config);
        let options = load_text(&config.text()).options().unwrap();
        assert!(!options.use_bootstrap && options.rpmbuild_networking && options.use_host_resolv);
        insta::assert_json_snapshot!(format!("{name}-options"), options, {
            ".managers" => "as in the defaults but for dnf4",
            ".dnf_conf" => "in the config",
        });
    }
}

#[test]
fn python_reads_the_samples_the_same_way() {
    let mut programs = Vec::new();
    let mut expected = Vec::new();
    for (_, task) in samples() {
        let config = TaskConfig::new(&task, "x86_64").unwrap();
        let places: Vec<String> = config
            .assignments
            .iter()
            .map(|assignment| {
                let keys =
                    assignment.path.iter().map(|key| format!("[{}]", Value::from(key.as_str())));
                format!("config_opts{}", keys.collect::<String>())
            })
            .collect();
        let start =
            "config_opts.update(macros={}, environment={}, plugin_conf={'chroot_scan_opts': {}})";
        let end = format!("config_opts['x'] = [{}]", places.join(", "));
        programs.push(format!("{start}\n{}\n{end}\n", config.text()));
        let values = config.assignments.iter().map(|assignment| assignment.value.clone());
        expected.push(Some(Value::List(values.collect()).to_string()));
    }
    assert_eq!(python(&programs), expected);
}

/// A task with these fields in it.
fn task(data: Json, repositories: Json) -> Task {
    let task = json!({
        "id": 1, "arch": "x86_64", "ref": {"url": "https://example.com/a.git"},
        "platform": {"name": "AlmaLinux-9", "data": data},
        "repositories": repositories, "something_new": {"a": [1]},
    });
    Task::from_json(&task).unwrap()
}

#[test]
fn what_would_change_the_meaning_is_refused() {
    let repository = |name: &str, url: &str| json!([{"name": name, "url": url}]);
    let bad = [
        task(json!({}), repository("a\n[b]", "http://x/")),
        task(json!({}), repository("a", "http://x/\nenabled=0")),
        task(json!({}), repository("main", "http://x/")),
        task(json!({}), repository("a]", "http://x/")),
        task(json!({"yum": {"a\nb": 1}}), json!([])),
        task(json!({"yum": {"a": "b\nc"}}), json!([])),
        task(json!({"yum": {"a": {"b": 1}}}), json!([])),
        task(json!({"mock": {"target_arch": 1}}), json!([])),
        task(json!({"mock": {"macros": ["a"]}}), json!([])),
        task(json!({"mock": {"plugin_conf": {"sign_enable": true}}}), json!([])),
        task(
            json!({"mock": {"plugin_conf": {"bind_mount_opts": {"dirs": [["/", "/h"]]}}}}),
            json!([]),
        ),
        task(json!({"mock": {"nspawn_args": ["--bind=/root:/h"]}}), json!([])),
        task(json!({"mock": {"basedir": "/etc"}}), json!([])),
        task(json!({"mock": {"ssl_extra_certs": ["/etc/shadow", "/x"]}}), json!([])),
        task(json!({"yum": {"sslclientkey": "/etc/shadow"}}), json!([])),
        task(json!({"yum": {"gpgkey": "file:///etc/shadow"}}), json!([])),
        task(json!({}), json!([{"name": "a", "url": "file:///etc/", "mock_enabled": true}])),
    ];
    let errors: Vec<String> = bad
        .iter()
        .map(|task| TaskConfig::new(task, "x86_64").unwrap_err())
        .map(|error: TaskConfigError| error.to_string())
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn what_the_task_says_goes_before_the_defaults() {
    let data = json!({
        "mock": {
            "use_host_resolv": false, "use_bootstrap_container": true, "rpmautospec_enable": true,
            "macros": {"dist": ".x", "empty": "", "number": 5},
            "secure_boot_macros": {"%signed": "1"},
        },
        "definitions": {"dist": ".y"}, "yum": {"gpgcheck": true, "exclude": "a b"},
        "custom_logs": [".*/config\\.log$"], "timeout": 60,
    });
    let config = TaskConfig::new(&task(data, json!([])), "x86_64").unwrap();
    let loaded = load_text(&config.text());
    let raw = loaded.raw();
    let shown = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        at(&raw, &path).map(Value::to_string)
    };
    assert_eq!(shown(&["use_host_resolv"]).as_deref(), Some("False"));
    assert_eq!(shown(&["use_bootstrap"]).as_deref(), Some("False"));
    assert_eq!(shown(&["macros", "%dist"]).as_deref(), Some("'.y'"));
    assert_eq!(shown(&["macros", "%empty"]).as_deref(), Some("'%{nil}'"));
    assert_eq!(shown(&["macros", "%signed"]), None);
    assert_eq!(shown(&["plugin_conf", "rpmautospec_enable"]).as_deref(), Some("True"));
    assert_eq!(
        shown(&["plugin_conf", "chroot_scan_opts", "regexes"]).as_deref(),
        Some("['.*/config\\\\.log$']")
    );
    let conf = shown(&["dnf.conf"]).unwrap();
    assert!(conf.contains("\\ngpgcheck=1\\n") && conf.contains("\\nexclude=a b\\n"), "{conf}");
}

#[test]
fn what_the_node_adds() {
    let extras = NodeExtras {
        pesign_directory: "/srv/pesign".into(),
        npm_proxy: Some("http://me:word@proxy:3128/".into()),
    };
    let none = NodeExtras { npm_proxy: None, ..extras.clone() };
    let plain = task(json!({}), json!([]));
    let unchanged = TaskConfig::new(&plain, "x86_64").unwrap();
    assert_eq!(unchanged.clone().with(&plain, &none).unwrap(), unchanged);

    let with = |data: Json, is_secure_boot, extras: &NodeExtras| {
        let task = Task { is_secure_boot, ..task(data, json!([])) };
        TaskConfig::new(&task, "x86_64").unwrap().with(&task, extras)
    };
    // mock's own arguments stay, as do those of the task.
    for (data, first) in [
        (json!({}), "--capability=cap_ipc_lock"),
        (json!({"mock": {"nspawn_args": ["--setenv=A=1"]}}), "--setenv=A=1"),
    ] {
        let config = with(data, true, &none).unwrap();
        let loaded = load_text(&config.text());
        let bind = format!("['{first}', '--bind-ro=/srv/pesign:/usr/local/bin']");
        assert_eq!(loaded.raw().get("nspawn_args").unwrap().to_string(), bind);
        let options = loaded.options().unwrap();
        let [bind] = &options.nspawn.binds[..] else { panic!("{:?}", options.nspawn) };
        assert!(bind.read_only && bind.source == "/srv/pesign", "{bind:?}");
        assert!(options.files.keys().eq(["etc/rpm/macros.modsign"]), "{:?}", options.files);
        reads_back(&config);
    }
    let bad = json!({"mock": {"nspawn_args": "--setenv=A=1"}});
    let error = with(bad, true, &none).unwrap_err().to_string();
    assert!(error.contains("nspawn_args of the task must be a list"), "{error}");

    let proxied = with(json!({}), false, &extras).unwrap();
    let files = load_text(&proxied.text()).options().unwrap().files;
    insta::assert_json_snapshot!(files, @r#"
    {
      "usr/etc/npmrc": "https-proxy=http://me:word@proxy:3128/\nproxy=http://me:word@proxy:3128/\nstrict-ssl=false\n",
      "usr/etc/yarnrc": "https-proxy \"http://me:word@proxy:3128/\"\nproxy \"http://me:word@proxy:3128/\"\nstrict-ssl false\n"
    }
    "#);
    let shown = with(json!({}), false, &extras.without_password()).unwrap().text();
    assert!(shown.contains("me:***@proxy") && !shown.contains("word"), "{shown}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>()
            .prop_filter("a literal is a negation", |n| *n != i64::MIN)
            .prop_map(Json::from),
        prop::num::f64::NORMAL.prop_map(Json::from),
        any_text().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(any_text(), inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts with everything in them that a config could stumble over.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"(a|'|"|\\|\n|\r|\t|%|\{|\}|include\('x'\)| |#){0,12}"#,]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        options in prop::collection::btree_map("x_[a-z]{1,6}", any_json(), 0..6),
        macros in prop::collection::btree_map("[a-z_]{1,8}", any_text(), 0..4),
        environment in prop::collection::btree_map("[A-Z_]{1,8}", any_text(), 0..3),
        url in "https?://[ -~]{0,30}",
    ) {
        let mut mock: serde_json::Map<String, Json> = options.into_iter().collect();
        mock.insert("macros".to_owned(), json!(macros));
        mock.insert("environment".to_owned(), json!(environment));
        let task = task(json!({"mock": mock}), json!([{"name": "a", "url": url}]));
        reads_back(&TaskConfig::new(&task, "x86_64").unwrap());
    }
}
