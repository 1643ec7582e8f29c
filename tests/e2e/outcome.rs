//! `outcome.json`, field by field.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fixture::Kind;

const FIELDS: [&str; 13] = [
    "artifacts",
    "buildroot",
    "config",
    "limits",
    "package",
    "rejected",
    "schema",
    "seconds",
    "stages",
    "started",
    "tools",
    "usage",
    "verdict",
];

/// Asserts all of the outcome of a build that has succeeded.
pub(crate) fn succeeded(outcome: &Value, result: &Path, kind: Kind, package: &str) {
    let fields: Vec<&str> = outcome.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, FIELDS);
    assert_eq!(outcome["schema"], 1);
    verdict(&outcome["verdict"]);
    assert!(outcome["config"].as_str().unwrap().starts_with("local-"));
    assert_eq!(outcome["package"], package);
    let root = &outcome["buildroot"];
    let config = outcome["config"].as_str().unwrap();
    assert!(root["key"].as_str().unwrap().starts_with(&format!("{config}-")), "{root}");
    assert!(root["reused"].is_boolean());
    assert!(root["packages"].as_u64().unwrap() > 50, "{root}");
    let started: jiff::Timestamp = outcome["started"].as_str().unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(started).as_secs();
    assert!((0..600).contains(&age), "{started}");
    stages(outcome, kind);
    artifacts(&outcome["artifacts"], result);
    assert!(outcome["rejected"].as_array().unwrap().is_empty(), "{}", outcome["rejected"]);
    let tools = &outcome["tools"];
    assert_eq!(tools["albs-node"], env!("CARGO_PKG_VERSION"));
    assert!(tools["rpm"].as_str().unwrap().starts_with("RPM version "), "{tools}");
    let manager = tools["dnf4"].as_str().or(tools["dnf5"].as_str()).unwrap();
    assert!(manager.contains(|c: char| c.is_ascii_digit()), "{tools}");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(tools["kernel"], kernel.trim());
}

fn verdict(verdict: &Value) {
    let expected = serde_json::json!({
        "result": "success", "phase": null, "section": null, "class": null, "message": null,
        "evidence": [], "hint": null, "limit": null, "retryable": false,
    });
    assert_eq!(*verdict, expected);
}

fn stages(outcome: &Value, kind: Kind) {
    let stages = outcome["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bootstrap", "srpm", "install", "rpmbuild", "collect"]);
    let mut seconds = 0.0;
    for stage in stages {
        seconds += stage["seconds"].as_f64().unwrap();
        let name = stage["name"].as_str().unwrap();
        // The others run our own program only, which needs no limits.
        // What is there from an earlier build takes no sandbox.
        let is_there = ["bootstrap", "install"].contains(&name)
            && stage["isolation"].as_object().unwrap().is_empty();
        if !is_there {
            let counted = kind == Kind::Root && ["srpm", "install", "rpmbuild"].contains(&name);
            usage(&stage["usage"], counted);
            isolation(stage, kind);
        }
    }
    let total = outcome["seconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && seconds <= total + 0.01, "{seconds} of {total} s");
    usage(&outcome["usage"], kind == Kind::Root);
    let cpu = |usage: &Value| usage["cpu_user_us"].as_u64().unwrap();
    let sum: u64 = stages.iter().map(|stage| cpu(&stage["usage"])).sum();
    assert_eq!(cpu(&outcome["usage"]), sum);
}

fn usage(usage: &Value, counted: bool) {
    // Of a short stage, one of the two may be too little to be counted.
    let cpu = |field: &str| usage[field].as_u64().unwrap();
    assert!(cpu("cpu_user_us") + cpu("cpu_system_us") > 0, "{usage}");
    assert!(usage["memory_peak_bytes"].as_u64().unwrap() > 1 << 20, "{usage}");
    assert_eq!((&usage["oom_kills"], &usage["pids_refused"]), (&0.into(), &0.into()), "{usage}");
    let source = usage["source"].as_str().unwrap();
    let sources = ["cgroup_v1", "cgroup_v2", "rusage"];
    assert!(sources[..if counted { 2 } else { 3 }].contains(&source), "{usage}");
    for optional in ["pids_peak", "io_read_bytes", "io_write_bytes"] {
        assert!(usage[optional].is_null() || usage[optional].is_u64(), "{usage}");
    }
}

fn isolation(stage: &Value, kind: Kind) {
    let isolation = &stage["isolation"];
    let layers: Vec<&String> = isolation.as_object().unwrap().keys().collect();
    assert_eq!(layers, ["cgroup", "ids", "landlock", "mounts", "network", "seccomp"], "{stage}");
    let reduced = |layer: &str, how: &str| {
        isolation[layer][how].as_str().is_some_and(|reason| !reason.is_empty())
    };
    for layer in ["mounts", "seccomp"] {
        assert_eq!(isolation[layer], "full", "{stage}");
    }
    match kind {
        Kind::NoSubids => assert!(reduced("ids", "partial") || reduced("ids", "off"), "{stage}"),
        _ => assert_eq!(isolation["ids"], "full", "{stage}"),
    }
    // The package manager sees a network, without this host where that can be had; nothing that a
    // build brings does.
    let closed = sandbox::HostFacts::probe().network.unusable().is_none();
    match stage["name"].as_str().unwrap() {
        "install" | "bootstrap" if !closed => {
            assert!(reduced("network", "off") || isolation["network"] == "full", "{stage}");
        }
        _ => assert_eq!(isolation["network"], "full", "{stage}"),
    }
    // What a package brings is restricted, as far as the kernel can.
    let is_full = isolation["landlock"] == "full";
    if ["srpm", "rpmbuild"].contains(&stage["name"].as_str().unwrap()) {
        assert_eq!(is_full, sandbox::HostFacts::probe().landlock >= 6, "{stage}");
    }
    assert!(is_full || reduced("landlock", "off") || reduced("landlock", "partial"), "{stage}");
    // No limit is asked for in these builds.
    assert!(isolation["cgroup"] == "full" || reduced("cgroup", "off"), "{stage}");
}

/// Every artifact is a file of that size and checksum; every package in the directory is listed.
pub(crate) fn artifacts(artifacts: &Value, result: &Path) {
    let mut listed: Vec<String> = Vec::new();
    for artifact in artifacts.as_array().unwrap() {
        let name = artifact["name"].as_str().unwrap();
        let content = fs::read(result.join(name)).unwrap();
        assert_eq!(artifact["bytes"], content.len(), "{name}");
        let sum: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(artifact["sha256"], sum, "{name}");
        listed.push(name.to_owned());
    }
    listed.sort();
    let mut there: Vec<String> = fs::read_dir(result)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("rpm"))
        .collect();
    there.sort();
    assert_eq!(listed, there);
}
