//! Without a network: what is kept is used, and what is missing is told on one line.

use std::path::Path;

use crate::case::{Case, Run};
use crate::fixture::Kind;
use crate::layers::{build_with, spec};
use crate::repository::Web;

#[test]
fn offline_uses_what_is_kept_and_says_what_is_missing() {
    let Some(case) = Case::alone(Kind::Subids, "offline") else { return };
    let shown = case.run_config(&["show", "-r", &case.config(), "--option", "dnf.conf"]);
    let baseurl = shown.lines().find_map(|line| line.strip_prefix("baseurl=")).unwrap();
    let web = Web::serve(Path::new(baseurl.strip_prefix("file://").unwrap()));
    let config = case.config_with("served", baseurl, &web.address);
    let root_log = |case: &Case| case.log("root.log");
    let offline = |spec: &str| -> Run { build_with(&case, &["-r", &config, "--offline"], spec) };
    let (one, two) = (spec(&case, "one", &["zlib-devel"]), spec(&case, "two", &["gettext"]));

    // Nothing is there, and the server would answer.
    let run = offline(&one);
    run.fails(30, "offline: the package cache has not metadata of local");
    run.tells("hint: run it once without --offline");
    assert!(case.outcome("result")["verdict"]["retryable"] == false);

    build_with(&case, &["-r", &config], &one).succeeds();
    drop(web);
    offline(&one).succeeds();
    assert!(!root_log(&case).contains("--installroot"), "{}", root_log(&case));

    // Not the dependencies of the other, whose packages were never asked for.
    offline(&two).fails(30, "offline: the package cache has not ");
    assert!(root_log(&case).contains("\"-C\""), "{}", root_log(&case));

    // What the package cache has can be installed again.
    let run = case.run(&["buildroot", "list", "--json"]);
    let entries: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let entries = entries["entries"].as_array().unwrap();
    let size = entries.last().unwrap()["size"]["bytes"].as_u64().unwrap() + 1000;
    case.run(&["buildroot", "gc", "--max-size", &size.to_string()]).succeeds();
    offline(&one).succeeds();
    assert!(root_log(&case).contains("\"-C\""), "{}", root_log(&case));

    let run = case.run(&["buildroot", "explain", "-r", &config, "--offline"]);
    assert!(run.stdout.contains(": there\n"), "{run:?}");
    case.run(&["shell", "-r", &config, "--offline", "--", "true"]).succeeds();
    case.nothing_left();
}
