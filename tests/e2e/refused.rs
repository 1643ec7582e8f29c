//! Mistakes that show before anything is built: in the config, in the command line, in the
//! repositories.

use std::fs;

use crate::case::{Case, verdict};
use crate::fixture::Kind;

/// The arguments of a build with another config.
fn with_config(case: &Case, config: &str) -> Vec<String> {
    let mut args = case.build_args("bad/small");
    args[2] = config.to_owned();
    args
}

fn run(case: &Case, config: &str) -> crate::case::Run {
    let args = with_config(case, config);
    case.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn no_config_of_that_name() {
    let Some(case) = Case::alone(Kind::Subids, "no-config") else { return };
    let failed = run(&case, "no-such-config-9-x86_64");
    failed.fails(3, "no-such-config-9-x86_64");
    failed.tells("/etc/mock");
    assert!(!case.result("result").exists());
    case.nothing_left();
}

#[test]
fn a_syntax_error_is_shown_in_its_place() {
    let Some(case) = Case::alone(Kind::Subids, "syntax") else { return };
    let text = "config_opts['root'] = 'x'\nconfig_opts['target_arch'] = = 'x86_64'\n";
    let config = case.file("broken.cfg", text.as_bytes());
    let failed = run(&case, &config);
    failed.fails(3, "broken.cfg:2:");
    let lines: Vec<&str> = failed.stderr.lines().collect();
    let shown = lines.iter().position(|line| line.contains("= = 'x86_64'")).unwrap();
    let mark = lines[shown + 1].find('^').unwrap_or_else(|| panic!("{failed:?}"));
    assert_eq!(&lines[shown][mark..=mark], "=", "{failed:?}");
    assert!(!case.result("result").exists());
    case.nothing_left();
}

#[test]
fn another_architecture() {
    let Some(case) = Case::alone(Kind::Subids, "arch") else { return };
    let text = fs::read_to_string(case.config()).unwrap();
    let text = text
        + "config_opts['target_arch'] = 's390x'\n\
                       config_opts['legal_host_arches'] = ('s390x',)\n";
    let config = case.file("foreign.cfg", text.as_bytes());
    let failed = run(&case, &config);
    failed.fails(6, "s390x");
    failed.tells(std::env::consts::ARCH);
    assert!(!case.result("result").exists());
    case.nothing_left();
}

/// A copy of the config with its repository somewhere else.
fn elsewhere(case: &Case, baseurl: &str) -> String {
    let text = fs::read_to_string(case.config()).unwrap();
    let old = text.lines().find(|line| line.starts_with("baseurl=")).unwrap().to_owned();
    let new = text.replace(&old, &format!("baseurl={baseurl}")).replace("retries=20", "retries=1");
    case.file("elsewhere.cfg", new.as_bytes())
}

#[test]
fn the_repository_does_not_exist() {
    let Some(case) = Case::alone(Kind::Subids, "no-repository") else { return };
    let failed = run(&case, &elsewhere(&case, "file:///no/such/repository"));
    failed.fails(30, "the repository or key /no/such/repository of the config does not exist");
    failed.tells("hint: check baseurl");
    case.nothing_left();
}

#[test]
fn a_directory_is_no_repository() {
    let Some(case) = Case::alone(Kind::Subids, "empty-repository") else { return };
    let empty = case.fixture.base.join("empty");
    let failed = run(&case, &elsewhere(&case, &format!("file://{}", empty.display())));
    failed.fails(30, "installing the buildroot failed: a repository cannot be reached");
    let outcome = case.outcome("result");
    verdict(&outcome, "bootstrap", "infrastructure");
    nothing_in_store(&case);
}

#[test]
fn the_repository_does_not_answer() {
    let Some(case) = Case::alone(Kind::NoSubids, "unreachable") else { return };
    let failed = run(&case, &elsewhere(&case, "http://127.0.0.1:1/"));
    failed.fails(30, "installing the buildroot failed: a repository cannot be reached");
    failed.tells("127.0.0.1");
    failed.tells("hint: check the repositories of the config and this host's network");
    let outcome = case.outcome("result");
    verdict(&outcome, "bootstrap", "infrastructure");
    assert_eq!(outcome["verdict"]["retryable"], true);
    nothing_in_store(&case);
}

/// A buildroot that could not be made leaves at most its lock and its package cache.
fn nothing_in_store(case: &Case) {
    case.nothing_left();
    for part in ["roots", "sessions", "builds"] {
        for entry in fs::read_dir(case.store.join(part)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.ends_with(".lock"), "{part}/{name}");
        }
    }
    case.run(&["clean", "--all"]).succeeds();
    for part in ["roots", "sessions", "builds", "cache"] {
        assert_eq!(fs::read_dir(case.store.join(part)).unwrap().count(), 0, "{part}");
    }
}

#[test]
fn a_group_does_not_exist() {
    let Some(case) = Case::alone(Kind::Subids, "no-group") else { return };
    let lines = "config_opts['chroot_setup_cmd'] = 'install no-such-package'";
    let config = case.config_plus("group", lines);
    let failed = run(&case, &config);
    failed.fails(30, "installing the buildroot failed: a package is missing from the repositories");
    failed.tells("no-such-package");
    verdict(&case.outcome("result"), "bootstrap", "infrastructure");
    nothing_in_store(&case);
}

#[test]
fn mistakes_of_the_command_line() {
    let Some(case) = Case::alone(Kind::Subids, "command-line") else { return };
    let config = case.config();
    let wrong: [(&[&str], &str); 8] = [
        (&["build", "-r", &config], "SRPM"),
        (&["build", "-r", &config, "--spec", "/x.spec"], "--sources"),
        (&["build", "-r", &config, "/no/such.src.rpm"], "cannot read /no/such.src.rpm"),
        (&["build", "-r", &config, "--memory", "lots", "x"], "use K, M, G or T"),
        (&["build", "-r", &config, "--cpus", "0", "x"], "a number of processors"),
        (&["build", "-r", &config, "-D", "nothing", "x"], "a name and a value are expected"),
        (&["build", "-r", &config, "--config-opts", "x", "y"], "KEY=VALUE"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (args, sentence) in wrong {
        let run = case.run(args);
        assert_eq!(run.status, 5, "{run:?}");
        assert!(run.stderr.starts_with("error: "), "{run:?}");
        assert!(run.stderr.contains(sentence), "{sentence}: {run:?}");
    }
    case.nothing_left();
}
