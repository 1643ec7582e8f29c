//! What is said about configs that work, but not as meant; and all configs by name.

use std::fs;
use std::path::Path;

use albs_node::mock_config::{Finding, check, list, load};

use crate::{configs, request};

fn report(finding: &Finding) -> String {
    let place = finding.location.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
    let hint = finding.hint.as_ref().map(|hint| format!("\n    {hint}")).unwrap_or_default();
    let text = format!("{:?}: {place}{}{hint}", finding.severity, finding.message);
    text.replace(&configs().display().to_string(), "DIR")
}

#[test]
fn what_is_odd_is_told() {
    let mut all = String::new();
    for name in ["repositories", "names", "contradictions", "nothing"] {
        let file = configs().join("odd").join(format!("{name}.cfg"));
        let request = request(&file.display().to_string(), &configs().join("system"));
        let config = load(&request).unwrap();
        let findings: Vec<String> = check(&config).iter().map(report).collect();
        all.push_str(&format!("{}\n\n", findings.join("\n")));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_built_in_configs_are_in_order() {
    for listed in list(&request("", Path::new("/nonexistent"))) {
        let mut request = request(&listed.name, Path::new("/nonexistent"));
        request.host.arch = listed.name.rsplit('-').next().unwrap().to_owned();
        let config = load(&request).unwrap();
        let findings: Vec<String> = check(&config).iter().map(report).collect();
        assert!(findings.is_empty(), "{}: {findings:?}", listed.name);
    }
}

#[test]
fn a_list_hides_what_loading_hides() {
    let directory = tempfile::tempdir().unwrap();
    let (system, home) = (directory.path().join("etc"), directory.path().join("home"));
    for path in [&system.join("eol"), &home.join(".config/mock")] {
        fs::create_dir_all(path).unwrap();
    }
    let write = |path: std::path::PathBuf| fs::write(path, "config_opts['root'] = 'x'\n").unwrap();
    write(system.join("a.cfg"));
    write(system.join("b.cfg"));
    write(system.join("site-defaults.cfg"));
    write(system.join("eol/old.cfg"));
    write(home.join(".config/mock/b.cfg"));
    let mut request = request("eol/old", &system);
    request.home = Some(home);
    let seen: Vec<String> = list(&request)
        .iter()
        .filter(|listed| !listed.name.starts_with("almalinux"))
        .map(|listed| {
            let origin = listed.origin.to_string();
            let origin = origin.replace(&directory.path().display().to_string(), "");
            format!("{} {origin} {}", listed.name, listed.end_of_life)
        })
        .collect();
    let expected =
        ["a /etc/a.cfg false", "b /home/.config/mock/b.cfg false", "eol/old /etc/eol/old.cfg true"];
    assert_eq!(seen, expected);
    // What is listed can be loaded by that name.
    assert_eq!(load(&request).unwrap().name, "old");
}

#[test]
fn what_a_config_changes_makes_it_again() {
    let system = configs().join("system");
    let request_of = |name: &str| request(name, &system);
    for name in ["demo", "language", "almalinux-9-x86_64"] {
        let config = load(&request_of(name)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(format!("{name}.cfg"));
        fs::write(&file, config.text(false).unwrap()).unwrap();
        let again = load(&request_of(&file.display().to_string())).unwrap();
        assert_eq!(again.raw(), config.raw(), "{name}");
        assert_eq!(again.text(false).unwrap(), config.text(false).unwrap(), "{name}");
    }
}
