//! Loads every config below a directory and compares it with what mock itself makes of it.
//!
//! `ALBS_NODE_MOCK_CONFIGS` names the directory, which is `../shared/mock-configs` otherwise:
//! `etc/mock/*.cfg` are the configs and `expected/*.json` the results. They are GPL-2.0 and not
//! part of this repository; without them there is nothing to compare with.

use std::path::{Path, PathBuf};

use albs_node::mock_config::load;
use serde_json::{Value, json};

use crate::request;

#[test]
fn real_configs_load_as_in_mock() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mock-configs");
    let named = std::env::var_os("ALBS_NODE_MOCK_CONFIGS").map(PathBuf::from);
    let Some(directory) = named.or_else(|| beside.canonicalize().ok()) else {
        eprintln!("skipped: there are no real configs in {}", beside.display());
        return;
    };
    let mut names = std::fs::read_dir(directory.join("expected"))
        .expect("the directory has expected results")
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    names.sort();
    let mut wrong = Vec::new();
    for path in &names {
        if let Err(report) = compare(&directory, path) {
            wrong.push(report);
        }
    }
    eprintln!("{} of {} configs are equal", names.len() - wrong.len(), names.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(directory: &Path, expected: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(expected).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let name = expected["name"].as_str().unwrap();
    let system_dir = directory.join("etc/mock");
    let on_disk = |file: &str| {
        let system_dir = system_dir.display().to_string();
        match file.strip_prefix("/etc/mock") {
            Some(below) => format!("{system_dir}{below}"),
            None => file.replace("@CONFIGDIR@", &system_dir),
        }
    };
    let includes = expected["includes"].as_array().unwrap();
    let mut read: Vec<String> =
        includes.iter().map(|file| on_disk(file.as_str().unwrap())).collect();
    read.sort();
    // Some names are links in mock's own directory, and only what they lead to is here.
    let general = ["site-defaults.cfg", "chroot-aliases.cfg"];
    let config = read
        .iter()
        .find(|file| file.ends_with(".cfg") && !general.iter().any(|name| file.ends_with(name)))
        .expect("a config includes its own file");
    let request = request(config, &system_dir);
    let config = load(&request).map_err(|error| format!("{name}: {}", error.render()))?;
    let options = config.expanded().map_err(|error| format!("{name}: {}", error.render()))?;
    let seen = serde_json::to_value(&options).unwrap();
    let mut files: Vec<String> = config.files.iter().map(|file| file.to_string()).collect();
    files.sort();
    let mut differences = Vec::new();
    difference(&expected["final"], &seen, String::new(), &mut differences);
    if files != read {
        differences.push(format!("files: expected {read:?}, read {files:?}"));
    }
    if let Err(error) = config.options() {
        differences.push(format!("options: {}", error.render()));
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}:\n  {}", differences.join("\n  ")))
    }
}

fn difference(left: &Value, right: &Value, path: String, out: &mut Vec<String>) {
    if let (Value::Object(left), Value::Object(right)) = (left, right) {
        let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
        for key in keys {
            let absent = json!("(absent)");
            let of = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or(absent.clone());
            difference(&of(left), &of(right), format!("{path}/{key}"), out);
        }
    } else if left != right {
        out.push(format!("{path}: expected {left}, got {right}"));
    }
}
