//! The language, in one config that uses all of it.

use albs_node::mock_config::{Value, load};

use crate::{configs, request};

#[test]
fn all_constructs() {
    let config = load(&request("language", &configs().join("system"))).unwrap();
    let Value::Dict(options) = config.expanded().unwrap() else { panic!("no dictionary") };
    let of_interest = ["dnf4_common_opts", "use_bootstrap"];
    let shown: Vec<String> = options
        .iter()
        .filter_map(|(key, value)| Some((key.as_str()?, value)))
        .filter(|(key, _)| key.starts_with("t_") || of_interest.contains(key))
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    assert_eq!(config.notes.len(), 1, "{:?}", config.notes);
}

#[test]
fn an_option_remembers_where_it_was_set() {
    let config = load(&request("demo", &configs().join("system"))).unwrap();
    let place = |path: &[&str]| {
        let place = config.place(path).map(|place| place.to_string()).unwrap_or("default".into());
        place.replace(&configs().display().to_string(), "")
    };
    assert_eq!(place(&["root"]), "/system/templates/base.tpl:1:23");
    assert_eq!(place(&["yum.conf"]), "/system/templates/extra.tpl:2:28");
    assert_eq!(place(&["macros", "%vendor"]), "/system/demo.cfg:6:36");
    assert_eq!(place(&["macros", "%_topdir"]), "default");
}

#[test]
fn the_machine_is_seen_through_a_window() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("keys")).unwrap();
    std::fs::write(directory.path().join("keys/own.key"), "").unwrap();
    let program = "
config_opts['root'] = 'x'
config_opts['t_env'] = [os.environ.get('HOME'), os.environ.get('SECRET'), dict(os.environ)]
config_opts['t_host'] = [os.uname().machine, os.uname()[2], os.cpu_count(), os.getuid()]
config_opts['t_there'] = [os.path.exists('/etc/mock/keys/own.key'), os.path.isdir('/etc/mock/keys/'),
    os.path.exists('/etc/mock/keys/../../../../../etc/passwd'), os.path.exists('/usr'),
    os.path.exists('/etc/shadow'), os.path.isfile('relative')]
";
    std::fs::write(directory.path().join("t.cfg"), program).unwrap();
    let config = load(&request("t", directory.path())).unwrap();
    let shown = |name: &str| config.get(name).unwrap().map(|value| value.to_string()).unwrap();
    assert_eq!(
        shown("t_env"),
        "['/home/packager', None, {'HOME': '/home/packager'}]",
        "only what the view has"
    );
    assert_eq!(shown("t_host"), "['x86_64', '6.1.0', 4, 1000]");
    assert_eq!(shown("t_there"), "[True, True, False, True, False, False]");
    let notes = config.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for path in ["own.key/..", "'/etc/shadow'", "'relative'"] {
        assert_eq!(notes.contains(path), path != "own.key/..", "{notes}");
    }
}

#[test]
fn a_flag_in_quotes_is_true_as_in_mock() {
    let mut request = request("demo", &configs().join("system"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("q.cfg");
    std::fs::write(
        &file,
        "include('templates/base.tpl')\nconfig_opts['rpmbuild_networking'] = 'False'\n",
    )
    .unwrap();
    request.name = file.display().to_string();
    let config = load(&request).unwrap();
    assert!(config.options().unwrap().rpmbuild_networking);
    assert!(
        config.notes[0]
            .to_string()
            .contains("q.cfg:2:38: 'rpmbuild_networking' is the text 'False'")
    );
}

/// What once ended the whole program, or nearly, is an error, and comes soon.
#[test]
fn programs_that_want_too_much() {
    let directory = tempfile::tempdir().unwrap();
    let error = |program: &str| {
        std::fs::write(directory.path().join("t.cfg"), program).unwrap();
        let started = std::time::Instant::now();
        let loaded = load(&request("t", directory.path()));
        assert!(started.elapsed().as_secs() < 20, "{program}: {:?}", started.elapsed());
        loaded.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let mixed = "sorted([1, 'a', 2.5] * 20)";
    assert!(error(mixed).contains("have no order"), "{}", error(mixed));
    // No order at all: exact and inexact numbers.
    error("x = sorted([9007199254740993, 9007199254740992.0, 9007199254740992] * 30)");
    let deep = "t = ()\nfor i in range(240000): t = (t,)\n";
    assert!(error(deep).contains("tuples are nested in more than 100 others"), "{}", error(deep));
    let hidden = "t = ()\nfor i in range(240): t = (list({t: 1})[0],)\n";
    assert!(error(hidden).contains("nested"), "{}", error(hidden));
    error("x = ('a ' * 2500000).split()");
    let copies = "s = 'x' * 1000000\nfor i in range(1000): k = {(s, i)}\n";
    assert!(error(copies).contains("need more than 64 MiB"), "{}", error(copies));
    let copies = "s = 'x' * 1000000\nk = {(s,) * 1000: 1}\n";
    assert!(error(copies).contains("need more than 64 MiB"), "{}", error(copies));
}

#[test]
fn a_bootstrap_root_has_options_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let program = "
config_opts['root'] = 'x'
config_opts['target_arch'] = 'x86_64'
config_opts['dnf.conf'] = '[main]'
config_opts['dnf_vars'] = {'stream': '9'}
config_opts['bootstrap_dnf_vars'] = {'stream': '10'}
config_opts['bootstrap_chroot_additional_packages'] = ['only-there']
config_opts['bootstrap_no_such_option'] = 1
";
    std::fs::write(directory.path().join("t.cfg"), program).unwrap();
    let config = load(&request("t", directory.path())).unwrap();
    let options = config.for_bootstrap().options().unwrap().bootstrap();
    assert_eq!(options.dnf_vars["stream"], "10");
    assert_eq!(options.chroot_additional_packages, ["only-there"]);
    assert_eq!(config.options().unwrap().dnf_vars["stream"], "9");
}
