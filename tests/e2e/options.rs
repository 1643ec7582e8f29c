//! What the options of a config do, seen by the build itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::case::{Case, Run, host};
use crate::fixture::Kind;
use crate::repository::{Package, Repository, section};

/// A package whose `%build` runs these lines; it builds if they all succeed.
fn spec(case: &Case, head: &str, build: &str) -> String {
    let text = format!(
        "%global debug_package %{{nil}}\nName: probe\nVersion: 1\nRelease: 1\nSummary: s\n\
         License: MIT\nBuildArch: noarch\n{head}\n%description\n.\n%prep\n%build\nset -e\n{build}\n\
         %install\nmkdir -p %{{buildroot}}/probe\n%files\n/probe\n"
    );
    case.file("probe.spec", text.as_bytes())
}

fn build(case: &Case, config: &str, spec: &str, more: &[&str]) -> Run {
    let empty = case.fixture.base.join("empty").display().to_string();
    let result = case.result("result").display().to_string();
    let args = ["build", "-r", config, "--spec", spec, "--sources", &empty, "--resultdir", &result];
    case.run(&[&args[..], more].concat())
}

#[test]
fn builds_see_what_the_config_says() {
    let Some(case) = Case::alone(Kind::Subids, "options") else { return };
    let shown = case.dir.join("shown");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("file"), "from the host").unwrap();
    let shown = shown.display();
    let lines = format!(
        "config_opts['files']['/etc/of-config'] = 'text of {{{{ root }}}}\\n'
config_opts['extra_chroot_dirs'] += ['/run/extra/dir']
config_opts['environment']['OF_CONFIG'] = 'variable'
config_opts['macros']['%of_config'] = 'macro'
config_opts['hostname'] = 'own-name'
config_opts['copy_host_users'] = ['daemon']
config_opts['nspawn_args'] += ['--rlimit=RLIMIT_NOFILE=333', '--bind-ro', '{shown}:/shown-ro',
    '--setenv=OF_NSPAWN=seen', '--tmpfs=/in-memory', '--capability=cap_ipc_lock']
config_opts['plugin_conf']['bind_mount_opts']['dirs'].append(('{shown}', '/shown'))
config_opts['plugin_conf']['mount_opts']['dirs'].append(('tmpfs', '/mounted', 'tmpfs', 'size=1m,mode=0777'))
"
    );
    let config = case.config_plus("options", &lines);
    let spec = spec(
        &case,
        "",
        "test \"$(cat /etc/of-config)\" = 'text of local-x86_64'
test -d /run/extra/dir
test \"$OF_CONFIG %{of_config} $OF_NSPAWN\" = 'variable macro seen'
test \"$(uname -n)\" = own-name
grep '^daemon:x:1:1:' /etc/passwd
test \"$(ulimit -n)\" = 333
test \"$(cat /shown/file /shown-ro/file)\" = 'from the hostfrom the host'
! touch /shown-ro/new 2> /dev/null
echo x > /in-memory/x
echo x > /mounted/x
test \"$(df -k --output=size /mounted | tail -1)\" -eq 1024
",
    );
    build(&case, &config, &spec, &[]).succeeds();
    case.nothing_left();
}

#[test]
fn what_cannot_be_shown_is_told_before_anything_is_made() {
    let Some(case) = Case::alone(Kind::Subids, "not-shown") else { return };
    let spec = spec(&case, "", "true");
    let refused = |name: &str, line: &str| {
        let run = build(&case, &case.config_plus(name, line), &spec, &[]);
        assert_eq!(run.status, 3, "{}", run.stderr);
        run
    };
    refused("missing", "config_opts['nspawn_args'] += ['--bind=/no/such/path']")
        .tells("the config wants to show /no/such/path inside, which this host does not have");
    refused("kind", "config_opts['plugin_conf']['mount_opts']['dirs'] = [('srv:/x', '/x', 'nfs')]")
        .tells("a file system of type nfs at /x, which only root could mount");
    refused("argument", "config_opts['nspawn_args'] += ['--boot']")
        .tells("the nspawn argument --boot has no equivalent in this sandbox");
    refused("limit", "config_opts['nspawn_args'] += ['--rlimit=RLIMIT_NONE=1']")
        .tells("names a limit that does not exist: NONE");
    assert!(
        !case.store.join("roots").exists()
            || fs::read_dir(case.store.join("roots")).unwrap().count() == 0
    );
}

#[test]
fn a_build_for_32_bits_sees_such_a_machine() {
    if std::env::consts::ARCH != "x86_64" {
        eprintln!(
            "skipped: only x86_64 has a 32-bit machine that the local distribution stands for"
        );
        return;
    }
    let Some(case) = Case::alone(Kind::Subids, "linux32") else { return };
    let spec = spec(&case, "", "test \"$(uname -m)\" = i686");
    build(&case, &case.config(), &spec, &["--arch", "i686"]).succeeds();
    case.nothing_left();
}

#[test]
fn another_architecture_needs_an_emulator() {
    let Some(case) = Case::alone(Kind::Subids, "forcearch") else { return };
    let lines =
        "config_opts['legal_host_arches'] = ('s390x',)\nconfig_opts['target_arch'] = 's390x'\n";
    let config = case.config_plus("s390x", lines);
    let spec = spec(&case, "", "true");
    build(&case, &config, &spec, &[]).fails(6, "cannot be built on");
    if fs::exists("/proc/sys/fs/binfmt_misc/qemu-s390x").unwrap() {
        eprintln!("skipped: this host has an emulator for s390x");
        return;
    }
    build(&case, &config, &spec, &["--forcearch", "s390x"])
        .fails(6, "programs of s390x cannot run here: the kernel has no handler qemu-s390x");
}

/// A repository with packages that only these tests have.
fn repository(case: &Case) -> Repository {
    let repository = Repository::new(case, "extra");
    let macros = "%of_package yes\n";
    for (name, files) in [
        ("gen-one", vec![("/gen/one", "1")]),
        ("gen-two", vec![("/gen/two", "2")]),
        ("more", vec![("/gen/more", "m")]),
        ("with-macros", vec![("/usr/lib/rpm/macros.d/macros.of-package", macros)]),
    ] {
        repository.add(&Package { name, version: "1", files: &files });
    }
    repository.publish();
    repository
}

#[test]
fn requirements_are_generated_until_the_spec_is_content() {
    let Some(case) = Case::alone(Kind::Subids, "generated") else { return };
    let lines = section(&repository(&case).baseurl(), "gpgcheck=0");
    let config = case.config_plus("generated", &lines);
    let head =
        "%generate_buildrequires\necho gen-one\nif test -e /gen/one; then echo gen-two; fi\n";
    let text =
        fs::read_to_string(spec(&case, "", "test -e /gen/one\ntest -e /gen/two\ntest -e prepared"))
            .unwrap()
            .replace("%prep\n", &format!("%prep\necho prepared >> prepared\n{head}"))
            .replace("%install\n", "test \"$(wc -l < prepared)\" = 1\n%install\n");
    let generated = case.file("generated.spec", text.as_bytes());
    let run = build(&case, &config, &generated, &[]);
    run.succeeds();
    assert_eq!(run.stderr.matches("rpmbuild -br").count(), 3, "{}", run.stderr);
    // The source package has what was generated.
    let source = case.result("result").join("probe-1-1.src.rpm");
    let requires = host("rpm", &["-qp".as_ref(), "--requires".as_ref(), source.as_os_str()]);
    assert!(requires.lines().any(|line| line.trim() == "gen-two"), "{requires}");
    let outcome = case.outcome("result");
    let names: Vec<&str> = outcome["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| artifact["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["probe-1-1.src.rpm", "probe-1-1.noarch.rpm"]);
    case.nothing_left();

    let run =
        build(&case, &config, &generated, &["--config-opts", "dynamic_buildrequires_max_loops=1"]);
    run.fails(10, "the spec still requires more after 1 rounds of installing");
    run.tells("raise dynamic_buildrequires_max_loops");

    let never = text.replace("echo gen-one", "echo no-such-package");
    let never = case.file("never.spec", never.as_bytes());
    build(&case, &config, &never, &[]).fails(30, "a package is missing from the repositories");
    let refused = ["--config-opts", "dynamic_buildrequires=False"];
    let run = build(&case, &config, &generated, &refused);
    run.fails(10, "the spec has %generate_buildrequires, which the config does not support");
    let broken = text.replace("echo gen-one", "echo broken; exit 3");
    let broken = case.file("broken.spec", broken.as_bytes());
    build(&case, &config, &broken, &[]).fails(10, "rpmbuild -br failed in %generate_buildrequires");
    case.nothing_left();
}

#[test]
fn requirements_follow_macros_and_the_config() {
    let Some(case) = Case::alone(Kind::NoSubids, "requirements") else { return };
    let lines = section(&repository(&case).baseurl(), "gpgcheck=0")
        + "config_opts['more_buildreqs']['probe-1'] = 'more >= 1'\n";
    let config = case.config_plus("requirements", &lines);
    let head = "BuildRequires: with-macros\n%{?of_package:BuildRequires: gen-one}\n";
    let spec = spec(&case, head, "test -e /gen/one\ntest -e /gen/more\ntest ! -e /gen/two");
    build(&case, &config, &spec, &[]).succeeds();
    case.nothing_left();
}

#[test]
fn a_network_only_where_the_config_opens_it() {
    let Some(case) = Case::alone(Kind::Subids, "network") else { return };
    let certificate = case.file("own.pem", b"certificate of this site");
    fs::set_permissions(&certificate, fs::Permissions::from_mode(0o644)).unwrap();
    let lines = format!(
        "config_opts['use_host_resolv'] = True\nconfig_opts['http_proxy'] = 'http://proxy:1/'\n\
         config_opts['ssl_extra_certs'] = ['{certificate}', '/etc/pki/own.pem']\n"
    );
    let config = case.config_plus("network", &lines);
    let closed = || {
        spec(
            &case,
            "",
            "test \"$(ls /sys/class/net 2> /dev/null)\" = lo || test -z \"$(ls /sys/class/net)\"
test -z \"$http_proxy\"
test ! -e /etc/pki/own.pem",
        )
    };
    build(&case, &config, &closed(), &[]).succeeds();
    let names = host("cat", &["/etc/hosts".as_ref()]);
    let first = names.lines().next().unwrap_or_default().to_owned();
    let open = spec(
        &case,
        "",
        &format!(
            "test \"$http_proxy\" = http://proxy:1/
test \"$(head -1 /etc/hosts)\" = '{first}'
test \"$(cat /etc/pki/own.pem)\" = 'certificate of this site'"
        ),
    );
    let networking = ["--config-opts", "rpmbuild_networking=True"];
    build(&case, &config, &open, &networking).succeeds();
    let line = "\nconfig_opts['nspawn_args'] += ['--private-network']\n";
    let private = case.config_plus("private", &(lines.clone() + line));
    build(&case, &private, &closed(), &networking).succeeds();

    let shell = |config: &str, script: &str| {
        let run = case.run(&["shell", "-r", config, "--unpriv", "--", "sh", "-c", script]);
        run.succeeds();
        run.stdout
    };
    let script = "echo $http_proxy; rpm --eval %_topdir; ls /sys/class/net 2> /dev/null || true";
    assert_eq!(shell(&config, script), "\n/builddir/build\nlo\n");
    let opened =
        case.config_plus("opened", &(lines + "\nconfig_opts['rpmbuild_networking'] = True\n"));
    assert!(shell(&opened, script).starts_with("http://proxy:1/\n/builddir/build\n"));
    case.nothing_left();
}

#[test]
fn rpmbuild_is_called_as_the_config_says() {
    let Some(case) = Case::shared(Kind::Subids, "rpmbuild-call") else { return };
    let lines = "config_opts['files']['/usr/bin/own-rpmbuild'] = '#!/bin/sh\\necho own: $*\\nexec rpmbuild \"$@\"\\n'\n\
                 config_opts['rpmbuild_command'] = 'sh /usr/bin/own-rpmbuild'\n\
                 config_opts['rpmbuild_opts'] = ['--define', 'of_opts set']\n";
    let spec = spec(&case, "", "test %{of_opts} = set");
    build(&case, &case.config_plus("rpmbuild", lines), &spec, &[]).succeeds();
    assert!(case.log("build.log").contains("own: -bb"), "{}", case.log("build.log"));
}

#[test]
fn builds_run_as_whom_the_config_says() {
    let Some(case) = Case::alone(Kind::Subids, "build-user") else { return };
    let trust = case.dir.join("trust");
    fs::create_dir(&trust).unwrap();
    fs::write(trust.join("ca.pem"), "authority of this site").unwrap();
    let lines = format!(
        "config_opts['chrootuser'] = 'packager'
config_opts['chrootuid'] = 2001
config_opts['chrootgid'] = 2002
config_opts['chroothome'] = '/home/packager'
config_opts['use_container_host_hostname'] = True
config_opts['rpmbuild_networking'] = True
config_opts['no_proxy'] = 'own.site'
config_opts['ssl_copied_ca_trust_dirs'] = [('{}', '/etc/own-trust')]
config_opts['dnf_vars'] = {{'of_vars': '{{{{ repo_arch }}}}'}}
",
        trust.display()
    );
    let config = case.config_plus("build-user", &lines);
    let name = host("uname", &["-n".as_ref()]);
    let spec = spec(
        &case,
        "",
        &format!(
            "test \"$(id -un):$(id -u):$(id -g)\" = packager:2001:2002
test \"$HOME\" = /home/packager
case %{{_topdir}} in /home/packager/*) ;; *) exit 1;; esac
test \"$(stat -c %u /home/packager)\" = 2001
case %{{_buildhost}} in {}*) ;; *) exit 1;; esac
test \"$no_proxy\" = own.site
test \"$(cat /etc/own-trust/ca.pem)\" = 'authority of this site'
! grep -q selinuxfs /proc/filesystems",
            name.trim()
        ),
    );
    build(&case, &config, &spec, &[]).succeeds();
    case.nothing_left();
}

#[test]
fn time_limits_are_of_the_config() {
    let Some(case) = Case::shared(Kind::Root, "time-limits") else { return };
    let slow = spec(&case, "", "echo begun; sleep 100");
    let config = case.config_plus("slow", "config_opts['rpmbuild_timeout'] = 1");
    build(&case, &config, &slow, &[])
        .fails(11, "rpmbuild -bb was killed at the time limit, after ");
    let seconds = case.outcome("result")["stages"][3]["seconds"].as_f64().unwrap();
    assert!((1.0..10.0).contains(&seconds), "{seconds}");
    case.nothing_left();
}

#[test]
fn a_package_manager_that_hangs_is_ended() {
    let Some(case) = Case::alone(Kind::Root, "hanging-manager") else { return };
    // A scriptlet is as good as a server that says nothing.
    let repository = Repository::new(&case, "slow");
    let package = repository.dir.join("slow.spec");
    let text = "Name: slow\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
                %description\n.\n%post\nsleep 100\n%files\n";
    fs::write(&package, text).unwrap();
    let define = format!("_rpmdir {}", repository.dir.display());
    host("rpmbuild", &["-bb".as_ref(), "--define".as_ref(), define.as_ref(), package.as_os_str()]);
    repository.publish();
    let lines = section(&repository.baseurl(), "gpgcheck=0")
        + "config_opts['opstimeout'] = 20\nconfig_opts['package_manager_max_attempts'] = 1\n";
    let config = case.config_plus("hanging", &lines);
    let spec = spec(&case, "BuildRequires: slow\n", "true");
    build(&case, &config, &spec, &[])
        .fails(11, "installing build dependencies was killed at the time limit, after 2");
    case.nothing_left();
}

#[test]
fn the_source_package_is_made_again_only_so_often() {
    let Some(case) = Case::alone(Kind::NoSubids, "static-rounds") else { return };
    let lines = section(&repository(&case).baseurl(), "gpgcheck=0")
        + "config_opts['static_buildrequires_max_loops'] = 1\n";
    let config = case.config_plus("static-rounds", &lines);
    let head = "BuildRequires: with-macros\n%{?of_package:BuildRequires: gen-one}\n";
    let run = build(&case, &config, &spec(&case, head, "true"), &[]);
    run.fails(10, "the spec still requires more after 1 rounds");
    run.tells("raise dynamic_buildrequires_max_loops or static_buildrequires_max_loops");
}

#[test]
fn the_package_manager_is_of_the_target() {
    if std::env::consts::ARCH != "x86_64" {
        eprintln!("skipped: only x86_64 has a 32-bit machine");
        return;
    }
    let Some(case) = Case::alone(Kind::Subids, "target-arch") else { return };
    // What a scriptlet sees is what the package manager runs in.
    let repository = Repository::new(&case, "i386");
    let text = "Name: tells\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
                %description\n.\n%post -p <lua>\nfile = io.open('/etc/of-config'):read()\n\
                print('told: ' .. posix.uname('%m') .. ' ' .. posix.getenv('OF_CONFIG') .. ' ' .. file)\n\
                %files\n";
    let package = repository.dir.join("tells.spec");
    fs::write(&package, text).unwrap();
    let define = format!("_rpmdir {}", repository.dir.display());
    host("rpmbuild", &["-bb".as_ref(), "--define".as_ref(), define.as_ref(), package.as_os_str()]);
    repository.publish();
    let parent = repository.dir.parent().unwrap().display();
    let lines = section(&format!("file://{parent}/$basearch"), "gpgcheck=0")
        + "config_opts['target_arch'] = 'i686'\nconfig_opts['legal_host_arches'] += ('x86_64',)\n\
           config_opts['chroot_setup_cmd'] = 'install tells'\n\
           config_opts['environment']['OF_CONFIG'] = 'variable'\n\
           config_opts['files']['/etc/of-config'] = 'file'\n";
    let config = case.config_plus("target-arch", &lines);
    // Nothing else can be installed, since the local distribution has no packages for it.
    let run = case.run(&["init", "-v", "-r", &config]);
    run.tells("told: i686 variable file");
    case.nothing_left();
}
