//! Which file wins, and where configs are looked for.

use albs_node::mock_config::{ErrorKind, HostView, load};

use crate::{configs, request};

#[test]
fn later_files_and_the_command_line_win() {
    let mut request = request("demo", &configs().join("system"));
    request.home = Some(configs().join("home"));
    request.overrides = vec![
        ("releasever".into(), "10".into()),
        ("yum.conf".into(), "text".into()),
        ("target_arch".into(), "i686".into()),
    ];
    let config = load(&request).unwrap();
    let options = config.options().unwrap();
    assert_eq!(options.description.as_deref(), Some("from site-defaults"));
    assert_eq!(options.dist.as_deref(), Some("from demo"));
    assert_eq!(options.hostname.as_deref(), Some("from home"));
    assert_eq!(options.macros["%vendor"], "from demo");
    assert_eq!(options.releasever.as_deref(), Some("10"));
    assert_eq!(options.dnf_conf, "text");
    assert_eq!(options.root, "demo-i686");
    assert_eq!(options.rpmbuild_arch.as_deref(), Some("i686"));
    assert_eq!(options.chroot_setup_cmd, ["install", "bash", "rpm-build", "extra-macros"]);
    let files: Vec<String> = config
        .files
        .iter()
        .map(|file| file.to_string().replace(&configs().display().to_string(), ""))
        .collect();
    assert_eq!(
        files,
        [
            "/system/site-defaults.cfg",
            "/system/demo.cfg",
            "/system/templates/base.tpl",
            "/system/templates/extra.tpl",
            "/home/.config/mock.cfg"
        ]
    );
}

#[test]
fn a_home_has_configs_too() {
    let mut request = request("personal", &configs().join("system"));
    assert_eq!(load(&request).unwrap_err().kind(), ErrorKind::NotFound);
    request.home = Some(configs().join("home"));
    let config = load(&request).unwrap();
    assert_eq!(config.options().unwrap().description.as_deref(), Some("found in home"));
}

#[test]
fn variables_end_with_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.cfg");
    std::fs::write(&file, "config_opts['root'] = site_variable\n").unwrap();
    let error = load(&request(&file.display().to_string(), &configs().join("system"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Name);
}

#[test]
fn another_host_is_emulated_or_refused() {
    let mut request = request("demo", &configs().join("system"));
    request.host = HostView { arch: "aarch64".into(), ..request.host };
    let config = load(&request).unwrap();
    let options = config.options().unwrap();
    assert_eq!(options.forcearch.as_deref(), Some("x86_64"));
    assert_eq!(options.macros["%_platform_multiplier"], "10");
    let error = config.check_host(&request.host).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Architecture);
    assert!(error.location().is_some());
}
