use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::*;

fn facts() -> Facts {
    Facts {
        host_name: "node-1.build.example.org".into(),
        machine: "x86_64".into(),
        is_root: false,
        credentials: BTreeMap::new(),
        config_mode: Some(0o100600),
        read_file: Box::new(|path| match path.to_str() {
            Some("/secrets/token") => Ok("from-file\n".into()),
            Some("/secrets/empty") => Ok("\n".into()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        }),
    }
}

fn reading(text: &str) -> Reading {
    read(Some((Path::new("n.yml"), Ok(text))), &Flags::default(), &facts())
}

fn config_of(text: &str) -> Config {
    let reading = reading(text);
    reading.config.unwrap_or_else(|| panic!("{:#?}", reading.problems))
}

fn told(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| match &problem.hint {
        Some(hint) => format!("{problem}\n  hint: {hint}\n"),
        None => format!("{problem}\n"),
    });
    lines.collect()
}

#[test]
fn defaults_are_those_of_the_python_node() {
    let reading = read(None, &Flags::default(), &facts());
    insta::assert_snapshot!(reading.config.unwrap().to_string());
    insta::assert_snapshot!(told(&reading.problems), @r"
    build_node.yml: warning: no jwt_token is configured; albs-web-server will refuse this node
      hint: name a file in the section albs_node, pass a credential by LoadCredential= of systemd, or set the key itself
    build_node.yml: warning: no pulp_password is configured; Pulp will refuse uploads
      hint: name a file in the section albs_node, pass a credential by LoadCredential= of systemd, or set the key itself
    ");
}

/// Every key of the Python node's schema, with values of its types.
const FULL: &str = include_str!("../../tests/configs/build_node.yml");

#[test]
fn a_config_with_every_key_loads() {
    let reading = reading(FULL);
    insta::assert_snapshot!(told(&reading.problems));
    let config = reading.config.unwrap();
    insta::assert_snapshot!(config.to_string());
    assert_eq!((config.jwt_token.expose(), config.pulp_password.expose()), ("tok", "pw: #1"));
    assert_eq!(config.sentry_dsn.as_ref().map(Secret::expose), Some("https://k@sentry.example/1"));
    assert!(!format!("{config:?}{config}").contains("tok\""));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let config = config_of(FULL);
    let again = config_of(&config.to_string());
    let same = Config {
        jwt_token: config.jwt_token.clone(),
        pulp_password: config.pulp_password.clone(),
        sentry_dsn: config.sentry_dsn.clone(),
        ..again
    };
    assert_eq!(same, config);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = "\
threads_count: '4'
threads_counts: 4
master_url: pulp.example.org
pulp_password: 12345
jwt_token: [secret-word]
build_src: 1
working_dir: relative
queue_size: 1
git_extra_options: [--x, [y]]
sentry_traces_sample_rate: 2
pulp_timeout: 60
request_timeout: yes
request_timeout: 0
base_arch: src
build_node_name: ../../secret
pulp_host: 'http://u@h/?q'
something_else: 1
albs_node:
  metrics_address: 9100
  outbox: {a: b}
  max_lod: 3
  private_networks:
  - 10.0.0.0/8
  - 10.0.0.0/80
  build_network: always
  free_disk: lots
  jwt_token_file: /missing
  pulp_password_file: /secrets/empty
  limits:
    memory: much
    memori: 4G
    pids: 50%
    timeout: {}
";
    let reading = reading(text);
    assert!(reading.config.is_none());
    let told = told(&reading.problems);
    assert!(!told.contains("secret-word") && !told.contains("12345"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn files_that_are_none() {
    let all: Vec<String> = ["a: [", "- a\n- b\n", "just words", "a: 1\n---\nb: 2\n"]
        .iter()
        .map(|text| told(&reading(text).problems))
        .collect();
    insta::assert_snapshot!(all.join("\n"));
    let unreadable = Some((Path::new("n.yml"), Err("Permission denied".to_owned())));
    let reading = read(unreadable, &Flags::default(), &facts());
    assert!(reading.config.is_none());
    assert!(told(&reading.problems).contains("n.yml: cannot read it: Permission denied\n"));
    let large = "#".repeat(MAX_BYTES + 1);
    assert!(self::reading(&large).config.is_none());
}

#[test]
fn passwords_in_addresses() {
    let proxy = config_of("npm_proxy: http://me:hunter2@proxy:8080/").to_string();
    assert!(proxy.contains("npm_proxy: \"http://me:***@proxy:8080/\"\n"), "{proxy}");
    for key in ["master_url", "pulp_host", "exclusions_url"] {
        assert!(reading(&format!("{key}: http://me:hunter2@h/")).config.is_none());
    }
}

#[test]
fn flags_go_before_the_file() {
    let flags = Flags {
        id: Some("x".into()),
        master: Some("https://h/api".into()),
        threads: Some(9),
        working_dir: Some("/w".into()),
        queue: Some("/q".into()),
    };
    let text = "threads_count: 2\nworking_dir: /other\nmaster_url: http://other/\n";
    let reading = read(Some((Path::new("n.yml"), Ok(text))), &flags, &facts());
    let config = reading.config.unwrap();
    assert_eq!((config.threads_count, config.master_url.as_str()), (9, "https://h/api/"));
    // What lies in it moves as well, which the Python node's -w does not do.
    assert_eq!(config.own.outbox, Path::new("/w/outbox"));
    assert_eq!(config.ends(), ("/q/tasks".into(), "/q".into()));
    // Neither of the services is asked, so that nothing is missing.
    assert!(reading.problems.is_empty(), "{:?}", reading.problems);
    let flags = Flags { master: Some("nowhere".into()), ..Flags::default() };
    assert!(read(None, &flags, &facts()).config.is_none());
}

#[test]
fn secrets_come_from_the_best_place() {
    let text = "\
jwt_token: plain
pulp_password: plain
sentry_dsn: plain
albs_node: {jwt_token_file: /secrets/token}
";
    let mut facts = facts();
    facts.credentials.insert("jwt_token".into(), "credential".into());
    facts.credentials.insert("pulp_password".into(), "credential\n".into());
    facts.config_mode = Some(0o100644);
    let reading = read(Some((Path::new("n.yml"), Ok(text))), &Flags::default(), &facts);
    insta::assert_snapshot!(told(&reading.problems), @r"
    n.yml:1: warning: jwt_token is not used: albs_node.jwt_token_file goes before it
      hint: remove it
    n.yml:2: warning: pulp_password is not used: the credential of systemd goes before it
      hint: remove it
    n.yml:3: warning: sentry_dsn can be read by others: the mode of the file is 0644
      hint: chmod 600 it, or use a credential of systemd
    ");
    let config = reading.config.unwrap();
    assert_eq!(config.jwt_token.expose(), "from-file");
    assert_eq!(config.pulp_password.expose(), "credential");
    assert_eq!(config.sentry_dsn.map(|dsn| dsn.expose().to_owned()).as_deref(), Some("plain"));
}

#[test]
fn names_of_nodes() {
    for (host, name) in [("a.b.c.d", "a.b"), ("a.b.c", "a"), ("a.b", "a"), ("a", "a"), ("", "")] {
        let facts = Facts { host_name: host.into(), ..facts() };
        assert_eq!(facts.node_name(), name, "{host}");
    }
}

#[test]
fn places_of_the_config() {
    let home = tempfile::tempdir().unwrap();
    let found = |given: Option<&str>| locate(given.map(Path::new), Some(home.path()));
    assert_eq!(found(None), None);
    let file = home.path().join(".config/castor/build_node.yml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "").unwrap();
    assert_eq!(found(None), Some(file));
    assert_eq!(found(Some("x.yml")), Some("x.yml".into()));
    assert_eq!(found(Some("~/x.yml")), Some(home.path().join("x.yml")));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([a-z_]{1,9}: |- |&a |\\*a|\\{|\\}|\\[|\\]|'|\"|\n|  |#|\\||[ -~]){0,60}") {
        let reading = reading(&text);
        proptest::prop_assert_eq!(reading.config.is_none(), reading.problems.iter().any(Problem::is_error));
    }
}
