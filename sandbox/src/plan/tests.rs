use std::collections::BTreeMap;

use super::*;
use crate::cgroup::CgroupFacts;
use crate::ids::{IdMapping, IdRange};
use crate::spec::{Limit, Limits, Mount, Namespaces, Network, Root, Stdio, Stdout, User};

/// An ordinary user with subordinate ids, on a host without control groups.
fn host() -> HostFacts {
    let whole = vec![IdRange { inside: 0, outside: 0, count: u32::MAX }];
    HostFacts {
        network: Default::default(),
        landlock: 7,
        uid: 1000,
        gid: 1000,
        subuid: vec![(100_000, 65536)],
        subgid: vec![(100_000, 65536)],
        uid_map: whole.clone(),
        gid_map: whole,
        newuidmap: Some("/usr/bin/newuidmap".into()),
        newgidmap: Some("/usr/bin/newgidmap".into()),
        kernel: "6.1.0".to_owned(),
        machine: "x86_64".to_owned(),
        processors: 2,
        userns_settings: Vec::new(),
        user_limits: BTreeMap::from([
            ("max_inotify_instances".to_owned(), 128),
            ("max_user_namespaces".to_owned(), i32::MAX as u64),
        ]),
        cgroup: CgroupFacts::default(),
    }
}

fn spec(host: &HostFacts) -> SandboxSpec {
    SandboxSpec {
        name: "test".to_owned(),
        root: Root::Overlay {
            layers: vec!["/store/base".into(), "/store/deps".into()],
            upper: "/store/upper".into(),
            work: "/store/work".into(),
            volatile: true,
        },
        mounts: vec![
            Mount::Proc { destination: "/proc".into() },
            Mount::Sys { destination: "/sys".into() },
            Mount::Dev { destination: "/dev".into() },
            Mount::Bind {
                source: "/home/me/in".into(),
                destination: "/in".into(),
                read_only: true,
            },
            Mount::File { destination: "/etc/x".into(), content: "x\n".into(), mode: 0o644 },
        ],
        namespaces: Namespaces::default(),
        ids: IdMapping::choose(host, 0),
        user: User { uid: 1000, gid: 135 },
        capabilities: Vec::new(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        argv: vec!["rpmbuild".to_owned(), "-bb".to_owned()],
        cwd: "/".into(),
        stdio: Stdio::CAPTURE,
        network: Network::None,
        host_ports: Vec::new(),
        hostname: Some("localhost".to_owned()),
        limits: Limits::default(),
        accounting: true,
        rlimits: crate::spec::no_core_dumps(),
        silence_ms: None,
        timeout_ms: Some(5000),
        seccomp: vec!["base".to_owned()],
        landlock: Vec::new(),
        linux32: false,
        keep_session: false,
    }
}

#[test]
fn a_build_of_an_ordinary_user() {
    let host = host();
    let plan = plan(&spec(&host), &host).unwrap();
    insta::assert_json_snapshot!(plan.launch);
    let steps: Vec<String> = plan
        .launch
        .steps
        .iter()
        .map(|step| format!("{} ({:?})", step.op, step.tolerance))
        .collect();
    insta::assert_snapshot!(steps.join("\n"));
}

#[test]
fn with_the_hosts_network_there_is_no_sysfs_and_no_network_namespace() {
    let host = host();
    let mut spec = spec(&host);
    spec.network = Network::Host;
    let launch = plan(&spec, &host).unwrap().launch;
    assert!(!launch.namespaces.contains(&Namespace::Net));
    let steps: Vec<String> = launch.steps.iter().map(|step| step.op.to_string()).collect();
    assert!(steps.iter().any(|s| s == "empty directory at /sys, read-only"));
    assert!(!steps.iter().any(|s| s.contains("sysfs") || s.contains("loopback")));
}

#[test]
fn a_single_id_gets_the_filter_and_says_so() {
    let mut host = host();
    host.subuid.clear();
    let mut spec = spec(&host);
    spec.ids = IdMapping::single(&host, 0);
    spec.user = User::ROOT;
    let plan = plan(&spec, &host).unwrap();
    assert_eq!(plan.seccomp, ["base", SINGLE_ID_POLICY]);
    assert_eq!(plan.launch.become_ids, None);
    assert!(matches!(plan.enforcement[0], (Layer::Ids, Enforcement::Partial(_))));
}

#[test]
fn contradictions_are_errors() {
    let host = host();
    let wrong = |change: &dyn Fn(&mut SandboxSpec)| {
        let mut spec = spec(&host);
        change(&mut spec);
        plan(&spec, &host).unwrap_err().to_string()
    };
    let mut messages = vec![
        wrong(&|s| s.name = "../x".into()),
        wrong(&|s| s.argv.clear()),
        wrong(&|s| s.argv.push("a\0b".into())),
        wrong(&|s| s.user.uid = 70_000),
        wrong(&|s| s.capabilities.push("CAP_EVERYTHING".into())),
        wrong(&|s| {
            s.rlimits.insert("NOSUCH".into(), 1);
        }),
    ];
    for destination in ["relative", "/a/../b", "/"] {
        messages.push(wrong(&|s| {
            s.mounts.push(Mount::Directory { destination: destination.into(), mode: 0o755 });
        }));
    }
    messages.push(wrong(&|s| {
        s.mounts.push(Mount::Bind {
            source: "relative".into(),
            destination: "/x".into(),
            read_only: true,
        });
    }));
    messages.push(wrong(&|s| {
        s.root = Root::Overlay {
            layers: vec![],
            upper: "/u".into(),
            work: "/w".into(),
            volatile: false,
        };
    }));
    messages.push(wrong(&|s| s.limits.pids = Some(Limit::required(5))));
    messages.push(wrong(&|s| {
        s.stdio = Stdio::TERMINAL;
        s.keep_session = true;
    }));
    messages.push(wrong(&|s| {
        s.stdio = Stdio::TERMINAL;
        s.mounts.retain(|mount| !matches!(mount, Mount::Dev { .. }));
    }));
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_terminal_is_where_it_was_asked_for() {
    let host = host();
    let mut spec = spec(&host);
    let terminal = |spec: &SandboxSpec| plan(spec, &host).unwrap().launch.payload.terminal;
    assert_eq!(terminal(&spec), [0; 0]);
    spec.stdio = Stdio::TERMINAL;
    assert_eq!(terminal(&spec), [0, 1, 2]);
    spec.stdio.stderr = Stdout::Inherit;
    assert_eq!(terminal(&spec), [0, 1]);
}

#[test]
fn a_launch_survives_the_wire() {
    let host = host();
    let launch = plan(&spec(&host), &host).unwrap().launch;
    let text = serde_json::to_vec(&launch).unwrap();
    assert_eq!(serde_json::from_slice::<Launch>(&text).unwrap(), launch);
}
