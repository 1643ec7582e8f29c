//! What a config tells the package manager, seen in the roots that it makes.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use crate::case::{Case, Run, host, verdict};
use crate::fixture::Kind;
use crate::repository::{Package, Repository, Web, section};

const MARKER: &str = "/etc/extra-marker";

fn extra(version: &str) -> Package<'_> {
    Package { name: "extra", version, files: &[(MARKER, "present")] }
}

/// A repository with the package `extra`.
fn extra_repository(case: &Case) -> Repository {
    let repository = Repository::new(case, "extra");
    repository.add(&extra("1"));
    repository.publish();
    repository
}

/// The only buildroot in the store whose name is not that of a bootstrap root.
fn root(case: &Case) -> PathBuf {
    let roots: Vec<PathBuf> = fs::read_dir(case.store.join("roots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && !path.to_string_lossy().contains("-bootstrap-"))
        .collect();
    assert_eq!(roots.len(), 1, "{roots:?}");
    roots[0].join("root")
}

fn init(case: &Case, config: &str) {
    case.run(&["init", "-r", config]).succeeds();
    case.nothing_left();
}

#[test]
fn a_bootstrap_root_installs_the_buildroot() {
    let Some(case) = Case::alone(Kind::Subids, "bootstrap-root") else { return };
    // A plugin of dnf that only the bootstrap root has tells which dnf is at work.
    let plugin = "import dnf\nclass Marker(dnf.Plugin):\n    name = 'marker'\n\
                  \x20   def config(self):\n        print('plugin of the bootstrap root')";
    let path = "/usr/lib/python3/dist-packages/dnf-plugins/marker.py";
    let repository = Repository::new(&case, "extra");
    let files = [(path, plugin)];
    repository.add(&Package { name: "marker", version: "1", files: &files });
    repository.publish();
    let lines = section(&repository.baseurl(), "gpgcheck=0")
        + "config_opts['use_bootstrap'] = True\nconfig_opts['use_bootstrap_image'] = False\n\
           config_opts['bootstrap_chroot_additional_packages'] = ['marker']\n";
    let config = case.config_plus("bootstrap", &lines);
    let run = case.run(&["init", "-v", "-r", &config]);
    run.succeeds();
    assert_eq!(run.stderr.matches("plugin of the bootstrap root").count(), 1, "{}", run.stderr);
    assert!(!root(&case).join(path.trim_start_matches('/')).exists());
    build(&case, &config, &case.spec("bad/small")).succeeds();
    assert!(case.log("root.log").contains("plugin of the bootstrap root"));

    let lines = lines + "config_opts['dnf4_disable_plugins'] += ['marker']\n";
    let run = case.run(&["init", "-v", "-r", &case.config_plus("disabled", &lines)]);
    run.succeeds();
    assert!(!run.stderr.contains("plugin of the bootstrap root"), "{}", run.stderr);
    // Both configs have the same name, and so all four roots are theirs.
    case.run(&["clean", "-r", &config]).succeeds();
    assert_eq!(
        fs::read_dir(case.store.join("roots"))
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().is_dir())
            .count(),
        0
    );
}

#[test]
fn variables_are_known_to_the_package_manager() {
    let Some(case) = Case::alone(Kind::NoSubids, "dnf-vars") else { return };
    let repository = extra_repository(&case);
    let parent = repository.dir.parent().unwrap().display();
    let lines = section(&format!("file://{parent}/$channel"), "gpgcheck=0")
        + "config_opts['dnf_vars'] = {'channel': 'extra'}\n\
           config_opts['chroot_additional_packages'] = 'extra'\n";
    init(&case, &case.config_plus("vars", &lines));
    assert!(root(&case).join(&MARKER[1..]).exists());
}

#[test]
fn signatures_are_checked_against_the_keys_of_the_config() {
    let Some(case) = Case::alone(Kind::Subids, "gpgcheck") else { return };
    let home = case.dir.join("gnupg");
    fs::create_dir(&home).unwrap();
    let gpg = |args: &[&str]| {
        let home = home.display().to_string();
        let batch = ["--homedir", &home, "--batch", "--passphrase", ""];
        let args: Vec<&OsStr> = batch.iter().chain(args).map(OsStr::new).collect();
        host("gpg", &args)
    };
    let keys = case.dir.join("keys");
    fs::create_dir(&keys).unwrap();
    for name in ["right", "wrong"] {
        gpg(&["--quick-generate-key", name, "rsa2048", "sign", "never"]);
        fs::write(keys.join(name), gpg(&["--armor", "--export", name])).unwrap();
    }
    let repository = Repository::new(&case, "extra");
    let package = repository.add(&extra("1"));
    let path = format!("_gpg_path {}", home.display());
    // Debian's rpm looks for gpg2.
    let program = ["--define", "__gpg /usr/bin/gpg"];
    let sign = ["--define", "_gpg_name right", "--define", &path, "--addsign"];
    let sign: Vec<&OsStr> = program.iter().chain(&sign).map(OsStr::new).collect();
    host("rpmsign", &sign.into_iter().chain([package.as_os_str()]).collect::<Vec<_>>());
    repository.publish();

    let with_key = |name: &str| {
        let key = format!("gpgcheck=1\ngpgkey=file://{}", keys.join(name).display());
        let lines = section(&repository.baseurl(), &key)
            + "config_opts['chroot_additional_packages'] = 'extra'\n";
        case.config_plus(name, &lines)
    };
    let failed = case.run(&["init", "-r", &with_key("wrong")]);
    failed.fails(30, "installing the buildroot failed: a package's signature is not trusted");
    failed.tells("extra-1-1.noarch.rpm is not installed");
    init(&case, &with_key("right"));
    assert!(root(&case).join(&MARKER[1..]).exists());
}

const MODULES: &str = "---\ndocument: modulemd\nversion: 2\ndata:\n  name: probe\n  stream: \"STREAM\"\n  \
    version: 1\n  context: c0ffee42\n  arch: x86_64\n  summary: Test\n  description: Test\n  \
    license:\n    module: [MIT]\n  profiles:\n    common:\n      rpms: [extra]\n  artifacts:\n    \
    rpms:\n    - extra-0:STREAM-1.noarch\n...\n";

#[test]
fn modules_are_enabled_and_installed() {
    let Some(case) = Case::alone(Kind::Subids, "modules") else { return };
    let repository = Repository::new(&case, "extra");
    for version in ["1", "2", "3"] {
        repository.add(&extra(version));
    }
    repository.publish();
    repository.modules(&["1", "2", "3"].map(|stream| MODULES.replace("STREAM", stream)).concat());
    let lines = section(&repository.baseurl(), "gpgcheck=0");
    let installed = |name: &str, more: &str| {
        init(&case, &case.config_plus(name, &format!("{lines}{more}")));
        let found = version_of_extra(&case);
        case.run(&["clean", "--all"]).succeeds();
        found
    };
    let package = "config_opts['chroot_additional_packages'] = 'extra'\n";
    let enable = "config_opts['module_enable'] = ['probe:2']\n";
    assert_eq!(installed("enabled", &format!("{enable}{package}")), "2");
    assert_eq!(installed("installed", "config_opts['module_install'] = ['probe:1/common']\n"), "1");
    let commands = "config_opts['module_setup_commands'] = [('enable', 'probe:1'), \
                    ('reset', 'probe'), ('enable', 'probe:3')]\n";
    assert_eq!(installed("commands", &format!("{commands}{package}")), "3");
}

/// Version of the package `extra` in the buildroot, as its own rpm tells.
fn version_of_extra(case: &Case) -> String {
    let config = fs::read_dir(&case.dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new("cfg")))
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap();
    let config = config.display().to_string();
    let query = ["shell", "-q", "-r", &config, "--", "rpm", "-q", "--qf", "%{version}", "extra"];
    let run = case.run(&query);
    run.succeeds();
    run.stdout.trim().to_owned()
}

#[test]
fn options_of_the_package_manager_and_of_repositories() {
    let Some(case) = Case::alone(Kind::Subids, "manager-options") else { return };
    let repository = extra_repository(&case);
    let config = |name: &str, section_options: &str, more: &str| {
        let lines = section(&repository.baseurl(), &format!("gpgcheck=0\n{section_options}"))
            + "config_opts['chroot_additional_packages'] = 'extra'\n"
            + more;
        case.config_plus(name, &lines)
    };
    let missing = |config: &str| {
        let failed = case.run(&["init", "-r", config]);
        failed.fails(30, "a package is missing from the repositories");
        failed.tells("extra");
    };
    missing(&config("repository", "excludepkgs=extra", ""));
    missing(&config("disabled", "enabled=0", ""));
    let exclude = "config_opts['dnf4_common_opts'] += ['--exclude=extra']\n";
    missing(&config("common", "", exclude));
    let avoid = "config_opts['dnf4_avoid_opts'] = {'install': ['--exclude=extra']}\n";
    init(&case, &config("avoided", "", &format!("{exclude}{avoid}")));
    assert!(root(&case).join(&MARKER[1..]).exists());
}

#[test]
fn options_for_build_dependencies() {
    let Some(case) = Case::alone(Kind::Subids, "builddep-options") else { return };
    let repository = extra_repository(&case);
    let lines = section(&repository.baseurl(), "gpgcheck=0");
    let small = fs::read_to_string(case.spec("bad/small")).unwrap();
    let spec = small.replace("BuildArch:", "BuildRequires: extra\nBuildArch:");
    let spec = case.file("needs-extra.spec", spec.as_bytes());
    build(&case, &case.config_plus("without", &lines), &spec).succeeds();
    let lines = lines + "config_opts['dnf4_builddep_opts'] = ['--exclude=extra']\n";
    let failed = build(&case, &case.config_plus("with", &lines), &spec);
    failed.fails(30, "installing build dependencies failed: packages cannot be installed");
    verdict(&case.outcome("result"), "install", "dependency");
}

/// Builds a spec without sources into the result directory `result`.
fn build(case: &Case, config: &str, spec: &str) -> Run {
    let (dir, empty) = (case.result("result"), case.fixture.base.join("empty"));
    let (dir, empty) = (dir.display().to_string(), empty.display().to_string());
    let args = ["--spec", spec, "--sources", &empty, "--resultdir", &dir];
    let run = case.run(&[&["build", "-r", config][..], &args[..]].concat());
    case.nothing_left();
    run
}

#[test]
fn a_reused_root_is_updated_before_a_build() {
    let Some(case) = Case::alone(Kind::Subids, "update") else { return };
    let repository = extra_repository(&case);
    let web = Web::serve(&repository.dir);
    let lines = section(&web.address, "gpgcheck=0")
        + "config_opts['chroot_additional_packages'] = 'extra'\n";
    let config = case.config_plus("update", &lines);
    init(&case, &config);
    repository.add(&extra("2"));
    repository.publish();
    let built = |config: &str| {
        build(&case, config, &case.spec("bad/small")).succeeds();
        assert_eq!(case.outcome("result")["buildroot"]["reused"], true);
        let packages = case.log("installed_pkgs.log");
        fs::remove_dir_all(case.result("result")).unwrap();
        let line = packages.lines().find(|line| line.starts_with("extra-")).unwrap().to_owned();
        line.split(' ').next().unwrap().to_owned()
    };
    let keep =
        case.config_plus("keep", &format!("{lines}config_opts['update_before_build'] = False\n"));
    assert_eq!(built(&keep), "extra-1-1.noarch");
    assert_eq!(built(&config), "extra-2-1.noarch");
}
