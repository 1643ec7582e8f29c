//! What is said about configs that do not work.

use std::path::Path;

use albs_node::mock_config::{ConfigError, LoadRequest, load};

use crate::{configs, request};

/// The first error on the way to typed options, as a person sees it.
fn report(request: &LoadRequest) -> String {
    let outcome = load(request).and_then(|config| config.options());
    let error: ConfigError = outcome.err().unwrap_or_else(|| panic!("{} is fine", request.name));
    let mut text = format!("{:?}: {}", error.kind(), error.render());
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!("\ncaused by: {inner}"));
        cause = inner.source();
    }
    text.replace(&configs().display().to_string(), "DIR")
}

#[test]
fn every_mistake_is_explained() {
    let mut files: Vec<_> = std::fs::read_dir(configs().join("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut all = String::new();
    for file in files {
        let text = report(&request(&file.display().to_string(), &configs().join("system")));
        all.push_str(&format!("{text}\n\n"));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_config_that_is_not_there() {
    let system = configs().join("system");
    let mut seen: Vec<String> = ["dmeo", "almalinux-9-x86-64", "zzz", "./demo.cfg", "some/demo"]
        .iter()
        .map(|name| report(&request(name, &system)))
        .collect();
    let mut own = request("demo", Path::new("/etc/mock"));
    own.configdir = Some(configs().join("home"));
    seen.push(report(&own));
    insta::assert_snapshot!(seen.join("\n\n"));
}

#[test]
fn an_override_of_the_wrong_type() {
    let mut request = request("demo", &configs().join("system"));
    request.overrides = vec![("rpmbuild_timeout".into(), "soon".into())];
    insta::assert_snapshot!(report(&request));
}
