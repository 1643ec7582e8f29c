//! What mock does in plugins, seen in what a build leaves.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::case::{Case, Run, host};
use crate::fixture::Kind;
use crate::repository::{Package, Repository, section};

/// Lines that turn plugins on.
fn enable(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("config_opts['plugin_conf']['{name}_enable'] = True\n"))
        .collect()
}

/// A package whose `%build` runs these lines.
fn spec(case: &Case, name: &str, build: &str) -> String {
    let text = format!(
        "%global debug_package %{{nil}}\nName: {name}\nVersion: 1\nRelease: 1\nSummary: s\n\
         License: MIT\nBuildArch: noarch\n%description\n.\n%prep\n%build\nset -e\n{build}\n\
         %install\nmkdir -p %{{buildroot}}/probe\n%files\n/probe\n"
    );
    case.file(&format!("{name}.spec"), text.as_bytes())
}

fn build(case: &Case, config: &str, spec: &str) -> Run {
    let empty = case.fixture.base.join("empty").display().to_string();
    build_with(case, config, spec, &empty)
}

fn build_with(case: &Case, config: &str, spec: &str, sources: &str) -> Run {
    let result = case.result("result").display().to_string();
    case.run(&["build", "-r", config, "--spec", spec, "--sources", sources, "--resultdir", &result])
}

/// A repository with a program: a shell script of that name.
fn program(case: &Case, name: &str, script: &str) -> String {
    let repository = Repository::new(case, "extra");
    let path = format!("/usr/bin/{name}");
    let package = repository.add(&Package { name, version: "1", files: &[(&path, script)] });
    assert!(package.exists());
    repository.publish();
    section(&repository.baseurl(), "gpgcheck=0")
}

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_buildroot_is_recorded() {
    let Some(case) = Case::alone(Kind::Subids, "records") else { return };
    let lines = program(&case, "procenv", "#!/bin/sh\necho user $(id -un) in $PWD")
        + &enable(&["showrc", "procenv", "expand_spec", "buildroot_lock"])
        + "config_opts['plugin_conf']['package_state_opts']['available_pkgs'] = True\n\
           config_opts['plugin_conf']['expand_spec_opts']['rpmspec_opts'] = ['-D', 'told yes']\n";
    let config = case.config_plus("records", &lines);
    let spec = spec(&case, "recorded", "echo %{?told}");
    build(&case, &config, &spec).succeeds();
    let result = case.result("result");
    let read = |name: &str| fs::read_to_string(result.join(name)).unwrap();
    assert!(read("showrc.log").contains("_topdir"), "{}", read("showrc.log"));
    assert_eq!(read("procenv.log"), "user mockbuild in /builddir\n");
    assert!(read("expanded-spec.txt").contains("echo yes"), "{}", read("expanded-spec.txt"));
    assert!(read("available_pkgs.log").contains("\nprocenv-0:1-1.noarch\n"));
    assert!(read("hw_info.log").len() > 100);
    let lock: Value = serde_json::from_str(&read("buildroot_lock.json")).unwrap();
    assert_eq!((&lock["version"], &lock["config"]["dist"]), (&"1.1.0".into(), &"local1".into()));
    let rpms = lock["buildroot"]["rpms"].as_array().unwrap();
    let installed = read("installed_pkgs.log");
    assert_eq!(rpms.len(), installed.lines().count());
    for rpm in rpms {
        let text = |key: &str| rpm[key].as_str().unwrap_or_else(|| panic!("{rpm}")).to_owned();
        let file = format!(
            "{}-{}-{}.{}.rpm",
            text("name"),
            text("version"),
            text("release"),
            text("arch")
        );
        assert!(text("url").starts_with("file:///") && text("url").ends_with(&file), "{rpm}");
        assert_eq!(text("sigmd5").len(), 32, "{rpm}");
        assert!(rpm["signature"].is_null() && rpm.get("epoch").is_some(), "{rpm}");
    }
    case.nothing_left();
}

#[test]
fn what_is_turned_off_is_not_recorded() {
    let Some(case) = Case::shared(Kind::Subids, "unrecorded") else { return };
    let lines = "config_opts['plugin_conf']['package_state_enable'] = False\n\
                 config_opts['plugin_conf']['hw_info_enable'] = False\n";
    let config = case.config_plus("unrecorded", lines);
    build(&case, &config, &spec(&case, "unrecorded", "true")).succeeds();
    for name in ["installed_pkgs.log", "hw_info.log", "showrc.log", "buildroot_lock.json"] {
        assert!(!case.result("result").join(name).exists(), "{name}");
    }
}

#[test]
fn logs_are_compressed() {
    let Some(case) = Case::shared(Kind::Subids, "compressed") else { return };
    let config = case.config_plus("gzip", &enable(&["compress_logs"]));
    let failed = build(&case, &config, &spec(&case, "compressed", "echo before; false"));
    failed.fails(10, "rpmbuild -bb failed in %build");
    failed.tells("build.log.gz");
    let result = case.result("result");
    assert!(gunzip(&result.join("build.log.gz")).contains("before"));
    assert!(gunzip(&result.join("state.log.gz")).contains("Finish:"));
    let left: Vec<String> = fs::read_dir(&result)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".log"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let lines = enable(&["compress_logs"])
        + "config_opts['plugin_conf']['compress_logs_opts']['command'] = '/usr/bin/xz -9'\n";
    let config = case.config_plus("xz", &lines);
    build(&case, &config, &spec(&case, "compressed", "true")).succeeds();
    let mut text = String::new();
    let file = File::open(result.join("root.log.xz")).unwrap();
    liblzma::read::XzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert!(text.contains("Executing command"), "{text}");
}

#[test]
fn files_of_the_build_are_kept() {
    let Some(case) = Case::shared(Kind::Subids, "scan") else { return };
    let lines = enable(&["chroot_scan"])
        + "config_opts['plugin_conf']['chroot_scan_opts']['regexes'] = [r'^config\\.log$', 'core']\n";
    let config = case.config_plus("scan", &lines);
    let write = "mkdir -p deep/er\necho why > deep/er/config.log\necho no > config.log.old\n\
                 ln -s /etc/passwd config.log\nmkfifo core\n";
    build(&case, &config, &spec(&case, "scanned", write)).succeeds();
    let kept = case.result("result").join("chroot_scan");
    assert!(!kept.exists(), "only of failed builds");

    build(&case, &config, &spec(&case, "scanned", &format!("{write}false"))).fails(10, "%build");
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open = vec![kept.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                open.push(path)
            } else {
                files.push(path)
            }
        }
    }
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(
        files[0].ends_with("deep/er/config.log") && files[0].starts_with(kept.join("builddir"))
    );
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "why\n");

    let lines = lines
        + "config_opts['plugin_conf']['chroot_scan_opts'].update(only_failed=False, write_tar=True)\n";
    let config = case.config_plus("scan-tar", &lines);
    build(&case, &config, &spec(&case, "scanned", write)).succeeds();
    let archive = case.result("result").join("chroot_scan.tar.gz").display().to_string();
    let listed = host("tar", &["-tzf".as_ref(), archive.as_ref()]);
    assert!(listed.starts_with("chroot_scan/builddir/") && listed.lines().count() == 1, "{listed}");
    case.nothing_left();
}

#[test]
fn the_compiler_cache_outlasts_builds() {
    let Some(case) = Case::alone(Kind::Subids, "ccache") else { return };
    let lines = enable(&["ccache"])
        + "config_opts['plugin_conf']['ccache_opts'].update(max_cache_size='1G', show_stats=True)\n";
    let config = case.config_plus("ccache", &lines);
    let count = "test \"$CCACHE_UMASK\" = 002\necho x >> $CCACHE_DIR/count\necho \"builds: $(wc -l < $CCACHE_DIR/count)\"";
    for number in ["1", "2"] {
        build(&case, &config, &spec(&case, "cached", count)).succeeds();
        let log = case.log("build.log");
        for line in [
            "Set cache size limit to 1.0 GB",
            &format!("builds: {number}"),
            "Cache size (GB): 0.00 / 1.00",
        ] {
            assert!(log.contains(line), "{line}: {log}");
        }
    }
    // What nobody can count would end every build that comes later.
    let deep = "cd $CCACHE_DIR\nfor i in $(seq 1200); do mkdir d; cd d; done";
    build(&case, &config, &spec(&case, "deep", deep));
    build(&case, &config, &spec(&case, "cached", count)).succeeds();
    assert!(case.log("build.log").contains("builds: 1"), "{}", case.log("build.log"));
    case.run(&["clean", "--all"]).succeeds();
    assert_eq!(fs::read_dir(case.store.join("ccache")).unwrap().count(), 0);
}

#[test]
fn packages_are_signed_with_the_command_of_the_config() {
    let Some(case) = Case::shared(Kind::Subids, "sign") else { return };
    let home = case.dir.join("gnupg").display().to_string();
    let script = format!(
        "#!/bin/sh -e\nmkdir -p -m 700 {home}\n\
         gpg --homedir {home} --batch --passphrase '' --quick-generate-key signer rsa2048 sign never 2> /dev/null\n\
         rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name signer' --define '_gpg_path {home}' \"$@\"\n"
    );
    let script = case.file("sign.sh", script.as_bytes());
    let lines = enable(&["sign"])
        + &format!("config_opts['plugin_conf']['sign_opts']['cmd'] = 'sh {script}'\n");
    let config = case.config_plus("sign", &lines);
    build(&case, &config, &spec(&case, "signed", "true")).succeeds();
    let outcome = case.outcome("result");
    for artifact in outcome["artifacts"].as_array().unwrap() {
        let path = case.result("result").join(artifact["name"].as_str().unwrap());
        let asked = host(
            "rpm",
            &["-qp".as_ref(), "--qf".as_ref(), "%{rsaheader:pgpsig}".as_ref(), path.as_os_str()],
        );
        assert!(asked.contains("Key ID"), "{asked}");
        let sum = host("sha256sum", &[path.as_os_str()]);
        assert!(sum.starts_with(artifact["sha256"].as_str().unwrap()), "{sum}");
    }

    let lines = enable(&["sign"])
        + "config_opts['plugin_conf']['sign_opts']['cmd'] = 'echo no key; false'\n";
    let config = case.config_plus("no-key", &lines);
    let failed = build(&case, &config, &spec(&case, "signed", "true"));
    failed.fails(1, "signing failed");
    failed.tells("no key");
}

#[test]
fn releases_come_from_the_history() {
    let Some(case) = Case::alone(Kind::Subids, "autospec") else { return };
    // Stands in for rpmautospec, which the local distribution does not have: called as it is, it
    // finds the history beside the spec.
    let script = "#!/bin/sh -e\ntest \"$1\" = process-distgit\ntest -f .git/HEAD\n\
                  sed 's/%autorelease/7/' \"$2\" > \"$3\"";
    let lines = program(&case, "rpmautospec", script)
        + &enable(&["rpmautospec"])
        + "config_opts['plugin_conf']['rpmautospec_opts']['cmd_base'] = ['/usr/bin/rpmautospec', 'process-distgit']\n";
    let config = case.config_plus("autospec", &lines);
    let sources = case.dir.join("sources");
    fs::create_dir(&sources).unwrap();
    let text = fs::read_to_string(spec(&case, "history", "true")).unwrap();
    let path = sources.join("history.spec");
    fs::write(&path, text.replace("Release: 1", "Release: %autorelease")).unwrap();
    let git = |args: &[&str]| {
        let done = Command::new("git").current_dir(&sources).args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "first"]);
    for directory in [&sources, &sources.join(".git")] {
        host("chmod", &["-R".as_ref(), "a+rX".as_ref(), directory.as_os_str()]);
    }
    let place = sources.display().to_string();
    build_with(&case, &config, &path.display().to_string(), &place).succeeds();
    assert!(case.result("result").join("history-1-7.noarch.rpm").exists());
    case.nothing_left();
}

#[test]
fn old_buildroots_are_made_anew() {
    let Some(case) = Case::alone(Kind::Subids, "root-cache") else { return };
    let spec = spec(&case, "aged", "true");
    let reused = |config: &str| {
        build(&case, config, &spec).succeeds();
        case.outcome("result")["buildroot"]["reused"].as_bool().unwrap()
    };
    let config = case.config();
    assert_eq!((reused(&config), reused(&config)), (false, true));
    let info = fs::read_dir(case.store.join("roots"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("info.json"))
        .find(|path| path.exists())
        .unwrap();
    let age = |days: i64| {
        let mut value: Value = serde_json::from_slice(&fs::read(&info).unwrap()).unwrap();
        for time in ["created", "begun"] {
            value[time] = (value[time].as_i64().unwrap() - days * 86_400).into();
        }
        fs::write(&info, value.to_string()).unwrap();
    };
    age(14);
    assert!(reused(&config));
    age(2);
    assert!(!reused(&config), "16 days are more than 15");
    assert!(reused(&config));
    let longer = "config_opts['plugin_conf']['root_cache_opts']['max_age_days'] = 30\n";
    age(20);
    assert!(reused(&case.config_plus("longer", longer)));
    let off = "config_opts['plugin_conf']['root_cache_enable'] = False\n";
    assert!(!reused(&case.config_plus("off", off)));
    case.nothing_left();
}

#[test]
fn downloads_are_kept_as_long_as_the_config_says() {
    let Some(case) = Case::alone(Kind::Subids, "package-cache") else { return };
    let lines = "config_opts['plugin_conf']['yum_cache_enable'] = False\n";
    case.run(&["init", "-r", &case.config_plus("kept", "")]).succeeds();
    let cache = || {
        let mut files = Vec::new();
        let mut open = vec![case.store.join("cache")];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { files.push(path) }
            }
        }
        files.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
        files
    };
    let kept = cache();
    assert!(!kept.is_empty());
    let old = kept[0].parent().unwrap().join("old");
    host("install", &["-m".as_ref(), "666".as_ref(), "/dev/null".as_ref(), old.as_os_str()]);
    host("touch", &["-d".as_ref(), "40 days ago".as_ref(), old.as_os_str()]);
    let info = fs::read_dir(case.store.join("roots")).unwrap();
    let info = info.map(|entry| entry.unwrap().path().join("info.json")).find(|path| path.exists());
    fs::remove_file(info.unwrap()).unwrap();
    case.run(&["init", "-r", &case.config_plus("kept", "")]).succeeds();
    assert!(!old.exists() && !cache().is_empty());

    case.run(&["clean", "--all"]).succeeds();
    case.run(&["init", "-r", &case.config_plus("not-kept", lines)]).succeeds();
    assert_eq!(cache(), Vec::<PathBuf>::new());
}

#[test]
fn a_plugin_without_effect_is_told() {
    let Some(case) = Case::shared(Kind::Subids, "no-effect") else { return };
    let config = case.config_plus("no-effect", &enable(&["lvm_root"]));
    let run = build(&case, &config, &spec(&case, "told", "true"));
    run.succeeds();
    run.tells("the plugin lvm_root has no effect here: buildroots are layers anyway");
}

#[test]
fn builds_are_in_memory() {
    for kind in Kind::possible(&[Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "tmpfs") else { return };
        // What the build has written is found where workspaces are, and it is in memory.
        let config = case.config_plus("tmpfs", &enable(&["tmpfs"]));
        let spec = spec(&case, "in-memory", "touch written\necho written > started\nsleep 2");
        let empty = case.fixture.base.join("empty").display().to_string();
        let result = case.result("result").display().to_string();
        let mut running = case.start(&[
            "build",
            "-r",
            &config,
            "--spec",
            &spec,
            "--sources",
            &empty,
            "--resultdir",
            &result,
        ]);
        let builds = case.store.join("builds");
        let place = running.wait_for("a workspace in memory", |_| {
            let entries = fs::read_dir(&builds).ok()?;
            entries.flatten().find_map(|entry| fs::read_link(entry.path()).ok())
        });
        assert!(place.starts_with("/dev/shm"), "{}", place.display());
        running.wait_for_log("+ sleep 2");
        running.end().succeeds();
        assert!(!place.exists());
        case.nothing_left();

        let more = "config_opts['plugin_conf']['tmpfs_opts']['required_ram_mb'] = 1 << 30\n";
        let config = case.config_plus("too-much", &(enable(&["tmpfs"]) + more));
        let run = build(&case, &config, &spec);
        run.succeeds();
        run.tells("the build is on the disk: this host has");
    }
}
