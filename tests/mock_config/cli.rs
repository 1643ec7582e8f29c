//! `albs-node config` as a person types it.

use std::path::Path;
use std::process::{Command, Stdio};

use albs_node::mock_config::load;
use serde_json::Value;

use crate::{configs, request};

/// Exit status, standard output, standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_albs-node"))
        .arg("config")
        .args(args)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        |bytes| String::from_utf8(bytes).unwrap().replace(&configs().display().to_string(), "DIR");
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn system() -> String {
    configs().join("system").display().to_string()
}

#[test]
fn show() {
    let (status, out, notes) = run(&["show", "-r", "demo", "--configdir", &system()]);
    assert_eq!((status, notes.as_str()), (0, ""));
    insta::assert_snapshot!(out);
    let directory = system();
    let one = |more: &[&str]| {
        let args = [&["show", "-r", "demo", "--configdir", &directory], more].concat();
        let (status, out, _) = run(&args);
        assert_eq!(status, 0, "{out}");
        out
    };
    assert_eq!(one(&["--option", "root"]), "demo-x86_64\n");
    assert_eq!(one(&["--option", "root", "--raw"]), "demo-{{ target_arch }}\n");
    assert_eq!(one(&["--option", "root", "--config-opts", "root=x"]), "x\n");
    assert_eq!(one(&["--option", "legal_host_arches", "--json"]), "[\n  \"x86_64\"\n]\n");
    assert_eq!(one(&["--option", "yum.conf"]), one(&["--option", "dnf.conf"]));
    let (status, _, error) =
        run(&["show", "-r", "demo", "--configdir", &system(), "--option", "rooot"]);
    assert_eq!(status, 3);
    assert_eq!(
        error,
        "error: the config 'demo' has no option 'rooot'\n  hint: did you mean 'root'?\n"
    );
}

#[test]
fn show_json_is_everything() {
    let (status, out, _) = run(&["show", "-r", "almalinux-9-x86_64", "--json"]);
    assert_eq!(status, 0);
    let mut seen: Value = serde_json::from_str(&out).unwrap();
    let mut request = request("almalinux-9-x86_64", Path::new("/etc/mock"));
    request.host.arch = std::env::consts::ARCH.replace("powerpc64", "ppc64le");
    let config = load(&request).unwrap();
    let mut expected = serde_json::to_value(config.expanded().unwrap()).unwrap();
    // The name of the host is no part of the comparison.
    for value in [&mut seen, &mut expected] {
        value["macros"]["%_buildhost"].take();
    }
    assert_eq!(seen, expected);
}

#[test]
fn lists() {
    let (status, out, _) = run(&["list", "--configdir", &system()]);
    assert_eq!(status, 0);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("NAME "), "{out}");
    assert!(lines.iter().any(|line| line.starts_with("demo ") && line.contains("yes")), "{out}");
    let (_, out, _) = run(&["list", "--configdir", &system(), "--json"]);
    let seen: Value = serde_json::from_str(&out).unwrap();
    let demo = seen.as_array().unwrap().iter().find(|entry| entry["name"] == "demo").unwrap();
    assert_eq!((&demo["builds_here"], &demo["end_of_life"]), (&"yes".into(), &false.into()));
}

#[test]
fn check() {
    let odd = |name: &str| configs().join("odd").join(name).display().to_string();
    let directory = system();
    let (names, nothing) = (odd("names.cfg"), odd("nothing.cfg"));
    let args = ["check", "--configdir", &directory, &names, &nothing, "demo"];
    let (status, out, _) = run(&args);
    assert_eq!(status, 3);
    insta::assert_snapshot!(out);
    let names = ["check", "--configdir", &directory, &names];
    assert_eq!(run(&names).0, 0, "warnings alone are no failure");
    assert_eq!(run(&[&names[..], &["--strict"]].concat()).0, 3);
    assert_eq!(run(&["check", "no-such-config"]).0, 3);
}

#[test]
fn diff() {
    let (status, out, _) = run(&["diff", "almalinux-9-x86_64", "almalinux-9-x86_64"]);
    assert_eq!((status, out.as_str()), (0, ""));
    let (status, out, _) = run(&["diff", "almalinux-9-x86_64", "almalinux-10-x86_64"]);
    assert_eq!(status, 1);
    for line in ["\n-config_opts['releasever'] = '9'\n", "\n+config_opts['releasever'] = '10'\n"] {
        assert!(out.contains(line), "{out}");
    }
}

#[test]
fn from_task() {
    let task = |name: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tasks");
        directory.join(name).display().to_string()
    };
    let (status, out, _) = run(&["from-task", "--arch", "aarch64", &task("task-el8-src-git.json")]);
    assert_eq!(status, 0);
    assert!(out.contains("config_opts['target_arch'] = 'aarch64'\n"), "{out}");
    let (status, _, error) =
        run(&["from-task", &configs().join("README.md").display().to_string()]);
    assert_eq!(status, 3);
    assert!(error.starts_with("error: DIR/README.md is not a build task: "), "{error}");
}

#[test]
fn templates_do_not_fill_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let doubled = "{% set x = x ~ x %}".repeat(40);
    for (name, value) in [
        ("assigned", format!("{{% set x = 'aaaaaaaa' %}}{doubled}{{{{ x }}}}")),
        (
            "repeated",
            "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(40) %}\
             {% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
                .to_owned(),
        ),
    ] {
        let file = directory.path().join(format!("{name}.cfg"));
        let text = format!("config_opts['root'] = 'x'\nconfig_opts['dist'] = \"{value}\"\n");
        std::fs::write(&file, text).unwrap();
        let (status, out, error) =
            run(&["show", "-r", &file.display().to_string(), "--option", "dist"]);
        assert_eq!((status, out.as_str()), (3, ""), "{error}");
        assert_eq!(
            error,
            "error: reading the config takes more than 512 MiB of memory\n  hint: look for a \
             template that joins a text with itself again and again\n"
        );
    }
}
