//! Where things are kept, and what of a build is, as configs say it.

use std::fs;
use std::path::Path;

use crate::case::{Case, Run};
use crate::fixture::{Kind, USER, give};

/// Runs the program without `--store`.
fn without_store(case: &Case, args: &[&str]) -> Run {
    let program = case.dir.join("bin/albs-node").display().to_string();
    let mut own = Case::alone(case.kind, &format!("{}-own", case.name)).unwrap();
    own.prefix = case.prefix.clone();
    // The program that is run drops the arguments of the store.
    let script = format!("#!/bin/sh\ncommand=$1; shift 3; exec {program} \"$command\" \"$@\"\n");
    fs::remove_file(own.dir.join("bin/albs-node")).unwrap();
    own.file("bin/albs-node", script.as_bytes());
    host_chmod(&own.dir.join("bin/albs-node"));
    own.run(args)
}

fn host_chmod(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn configs_choose_places() {
    for (kind, name) in
        [(Kind::Root, "albs-node".to_owned()), (Kind::Subids, format!("albs-node-{USER}"))]
    {
        let Some(case) = Case::alone(kind, "places-of-config") else { return };
        let place = |name: &str| {
            let path = case.dir.join(name);
            fs::create_dir(&path).unwrap();
            if kind != Kind::Root {
                give(&path);
            }
            path
        };
        let (base, caches, results) = (place("base"), place("caches"), place("results"));
        let lines = format!(
            "config_opts['basedir'] = '{}'\nconfig_opts['cache_topdir'] = '{}'\n\
             config_opts['resultdir'] = '{}/{{{{ root }}}}'\n",
            base.display(),
            caches.display(),
            results.display(),
        );
        let config = case.config_plus("places", &lines);
        let (spec, empty) = (case.spec("bad/small"), case.fixture.base.join("empty"));
        let empty = empty.display().to_string();
        let build = ["build", "-r", &config, "--spec", &spec, "--sources", &empty];
        without_store(&case, &build).succeeds();
        assert!(results.join("local-x86_64/outcome.json").exists());
        let roots = || fs::read_dir(base.join(&name).join("roots")).unwrap().count();
        let cached = || fs::read_dir(caches.join(&name).join("cache")).unwrap().count();
        assert_eq!((roots(), cached()), (2, 2));
        assert!(!base.join(&name).join("cache").exists());
        without_store(&case, &["clean", "-r", &config]).succeeds();
        assert_eq!((roots(), cached()), (0, 0));
        // What is said on the command line goes before.
        case.run(&["init", "-r", &config]).succeeds();
        assert_eq!(roots(), 0);
        case.run(&["clean", "-r", &config]).succeeds();
    }
}

#[test]
fn what_a_build_left_is_kept_for_a_shell() {
    for kind in Kind::possible(&[Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "kept") else { return };
        let lines = "config_opts['cleanup_on_failure'] = False\n";
        let config = case.config_plus("kept", lines);
        let left = |config: &str, what: &str| {
            let script = format!("ls /builddir/build/{what}");
            case.run(&["shell", "-q", "-r", config, "--", "sh", "-c", &script])
        };
        let build = |config: &str, build: &str| {
            let text = format!(
                "Name: kept\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
                 %description\n.\n%build\n{build}\n%files\n"
            );
            let spec = case.file("kept.spec", text.as_bytes());
            let empty = case.fixture.base.join("empty").display().to_string();
            let result = case.result("result").display().to_string();
            let args = ["build", "-r", config, "--spec", &spec, "--sources", &empty];
            case.run(&[&args[..], &["--resultdir", &result]].concat())
        };
        let failed = build(&config, "echo evidence > evidence; exit 1");
        failed.fails(10, "rpmbuild -bb failed in %build");
        failed
            .tells("what the build left is kept; look at it with: albs-node shell -r local-x86_64");
        assert!(left(&config, "BUILD/evidence").stdout.contains("evidence"));
        case.nothing_left();

        // The next failure replaces it, success does not, and neither does another config.
        build(&config, "echo other > other; exit 1").fails(10, "");
        assert_eq!(left(&config, "BUILD/evidence").status, 2);
        assert!(left(&config, "BUILD/other").stdout.contains("other"));
        build(&config, "true").succeeds();
        build(&case.config(), "exit 1").fails(10, "");
        assert!(left(&config, "BUILD/other").stdout.contains("other"));
        let both = "config_opts['cleanup_on_success'] = False\n";
        build(&case.config_plus("both", both), "echo built > built").succeeds();
        assert!(left(&config, "BUILD/built").stdout.contains("built"));
        case.run(&["clean", "-r", &config]).succeeds();
        assert_eq!(left(&config, "BUILD/built").status, 2);
    }
}

#[test]
fn a_subscription_is_looked_for() {
    let Some(mut case) = Case::alone(Kind::Root, "subscription") else { return };
    let lines = "config_opts['redhat_subscription_required'] = True\n\
                 config_opts['dnf.conf'] += '[extra]\\nname=extra\\nenabled=0\\n\
                 sslclientcert=/etc/pki/entitlement/{{ redhat_subscription_key_id }}.pem\\n'\n";
    let config = case.config_plus("subscribed", lines);
    if !Path::new("/etc/pki/entitlement").exists() {
        let failed = case.run(&["init", "-r", &config]);
        failed.fails(30, "wants a host with a subscription of Red Hat");
        failed.tells("hint: run: subscription-manager register");
    }
    let keys = case.dir.join("entitlement");
    fs::create_dir(&keys).unwrap();
    for name in ["77.pem", "77-key.pem"] {
        fs::write(keys.join(name), "key").unwrap();
    }
    let script = "mount -t tmpfs none /mnt && mkdir -p /mnt/up /mnt/work /mnt/pki/entitlement && \
                  cp -a /etc/pki/. /mnt/pki 2> /dev/null; cp \"$1\"/* /mnt/pki/entitlement && \
                  mkdir -p /etc/pki && mount --bind /mnt/pki /etc/pki || exit 99; shift; exec \"$@\"";
    let keys = keys.display().to_string();
    case.prefix = ["unshare", "-m", "sh", "-c", script, "sh", &keys].map(str::to_owned).to_vec();
    // A repository whose certificate is not there would be an error.
    case.run(&["init", "-r", &config]).succeeds();
}
