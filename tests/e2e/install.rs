//! Packages in a fresh root: what was built runs there, and what a distribution brings survives
//! being installed by an ordinary user.

use std::collections::BTreeMap;
use std::fs;

use crate::case::Case;
use crate::fixture::Kind;
use crate::packages::{built, rpms};

#[test]
fn what_was_built_installs_and_runs() {
    let names = ["hello", "zlib", "lua"];
    let Some(results) = names.into_iter().map(built).collect::<Option<Vec<_>>>() else { return };
    let Some(case) = Case::alone(Kind::Subids, "installed") else { return };
    let config = case.config();
    let paths: Vec<String> = results
        .iter()
        .flat_map(|result| rpms(result))
        .map(|path| path.display().to_string())
        .filter(|path| !path.ends_with(".src.rpm") && !path.contains("debug"))
        .collect();
    let mut args = vec!["install", "-r", &config];
    args.extend(paths.iter().map(String::as_str));
    case.run(&args).succeeds();

    let shell = |command: &[&str]| {
        let run = case.run(&[&["shell", "-r", &config, "-q", "--"], command].concat());
        assert_eq!(run.stderr, "", "{run:?}");
        run
    };
    assert_eq!(shell(&["hello"]).stdout, "Hello, world!\n");
    assert_eq!(shell(&["hello", "-g", "a  b"]).stdout, "a  b\n");
    assert_eq!(shell(&["lua", "-e", "print(6 * 7, _VERSION)"]).stdout, "42\tLua 5.4\n");
    let library = shell(&["bash", "-c", "rpm -q zlib; rpm -V hello zlib lua lua-libs"]).stdout;
    assert_eq!(library, "zlib-1.2.13-10.local1.x86_64\n");
    let compile = "cd /tmp && cp /usr/share/doc/zlib-devel*/example.c . \
                   && gcc example.c -lz -o example && ./example && pkg-config --modversion zlib lua";
    let run = case.run(&["install", "-r", &config, "gcc", "pkgconf"]);
    run.succeeds();
    let compiled = shell(&["bash", "-c", compile]);
    compiled.succeeds();
    assert!(compiled.stdout.contains("zlib version 1.2.13"), "{compiled:?}");
    assert!(compiled.stdout.ends_with("1.2.13\n5.4.4\n"), "{compiled:?}");
    // The command's own status, and its signal as shells have it.
    assert_eq!(shell(&["bash", "-c", "exit 42"]).status, 42);
    assert_eq!(shell(&["bash", "-c", "kill -9 $$"]).status, 137);
    let user = case.run(&["shell", "-r", &config, "-q", "--unpriv", "--", "id", "-un"]);
    assert_eq!(user.stdout, "mockbuild\n", "{user:?}");

    case.run(&["clean", "-r", &config]).succeeds();
    case.nothing_left();
    for part in ["roots", "sessions", "builds", "cache"] {
        let left: Vec<_> = fs::read_dir(case.store.join(part)).unwrap().collect();
        assert!(left.is_empty(), "{part}: {left:?}");
    }
}

/// `key: value` lines of the probe's log.
fn seen(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        seen.entry(key.to_owned()).or_default().push(value.trim().to_owned());
    }
    seen
}

#[test]
fn scriptlets_see_a_system() {
    for kind in Kind::possible(&[Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "scriptlets") else { return };
        let config = case.config();
        case.run(&["install", "-r", &config, "scriptlet-probe", "owner-probe"]).succeeds();
        let shell =
            |line: &str| case.run(&["shell", "-r", &config, "-q", "--", "bash", "-c", line]);
        let run = shell("cat /var/log/scriptlet-probe.log");
        run.succeeds();
        let seen = seen(&run.stdout);
        assert_eq!(seen["scriptlet"], ["post", "posttrans"], "{kind:?}");
        assert!(
            seen["ids"].iter().all(|ids| ids.starts_with("uid=0(root) gid=0(root)")),
            "{seen:?}"
        );
        assert!(seen["cwd"].iter().all(|cwd| cwd == "/"), "{seen:?}");
        assert!(seen["umask"].iter().all(|umask| umask == "0022"), "{seen:?}");
        assert!(seen["account"].iter().all(|line| line.starts_with("probe:x:")), "{seen:?}");
        assert!(!seen.contains_key("proc"), "there is a /proc: {seen:?}");
        devices(&seen["dev"]);
        for directory in ["/proc", "/dev", "/sys", "/tmp", "/var/tmp"] {
            let start = format!("{directory} ");
            assert!(seen["directory"].iter().any(|line| line.starts_with(&start)), "{seen:?}");
        }
        // Nothing of the caller's environment, and of its host's mounts only what is shown.
        let environment = &seen["env"];
        assert!(environment.iter().all(|line| !line.contains("ALBS")), "{environment:?}");
        assert!(seen["NoNewPrivs"].iter().all(|value| value == "1"), "{seen:?}");
        assert!(seen["Seccomp"].iter().all(|value| value == "2"), "{seen:?}");
        let map: Vec<&str> = seen["uid_map"][0].split_whitespace().collect();
        match kind {
            Kind::NoSubids => assert_eq!(map, ["0", "61000", "1"]),
            _ => assert_eq!(map, ["0", "6100000", "65536"]),
        }
        owners(kind, &shell("stat -c '%a %U %G %n' /usr/share/owner-probe/*").stdout);
        if kind == Kind::Subids {
            let verified = shell("rpm -V owner-probe scriptlet-probe");
            assert_eq!((verified.status, verified.stdout.as_str()), (0, ""), "{verified:?}");
            let capability = shell(
                "getcap /usr/share/owner-probe/capable || /usr/sbin/getcap \
                                    /usr/share/owner-probe/capable",
            );
            assert!(
                capability.stdout.contains("cap_net_raw=ep") || capability.status == 127,
                "{capability:?}"
            );
        }
        case.nothing_left();
    }
}

fn devices(devices: &[String]) {
    let expected = [
        ("null", "character special file 666 1,3"),
        ("zero", "character special file 666 1,5"),
        ("full", "character special file 666 1,7"),
        ("random", "character special file 666 1,8"),
        ("urandom", "character special file 666 1,9"),
        ("tty", "character special file 666 5,0"),
        ("pts", "directory 755 "),
        ("shm", "directory 1777 "),
        ("fd", "directory "),
        ("stdin", ""),
        ("stdout", ""),
        ("stderr", ""),
    ];
    for (name, what) in expected {
        let line = devices.iter().find(|line| line.starts_with(&format!("{name} ")));
        let rest = line.and_then(|line| line.split_once(' ')).map(|(_, rest)| rest);
        assert!(rest.is_some_and(|rest| rest.starts_with(what)), "{name}: {devices:#?}");
        assert_ne!(rest, Some("missing"), "{name}");
    }
}

fn owners(kind: Kind, listing: &str) {
    let lines: Vec<&str> = listing.lines().collect();
    let expected = match kind {
        // Only one id exists, so all belongs to it, and bits that chown would clear stay.
        Kind::NoSubids => [
            "755 root root /usr/share/owner-probe/capable",
            "640 root root /usr/share/owner-probe/foreign",
            "2755 root root /usr/share/owner-probe/setgid",
            "4755 root root /usr/share/owner-probe/setuid",
        ],
        _ => [
            "755 root root /usr/share/owner-probe/capable",
            "640 daemon mail /usr/share/owner-probe/foreign",
            "2755 root tty /usr/share/owner-probe/setgid",
            "4755 root root /usr/share/owner-probe/setuid",
        ],
    };
    assert_eq!(lines, expected, "{kind:?}");
}

/// Between a keyboard and a screen, a shell has a terminal of its own, in the buildroot.
#[test]
fn a_shell_at_a_terminal() {
    let Some(mut case) = Case::shared(Kind::Subids, "shell-terminal") else { return };
    let terminal = "import os, pty, sys\n\
                    sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    case.prefix = ["python3", "-c", terminal].map(str::to_owned).to_vec();
    let config = case.config();
    let script = "tty; test -t 0 && test -t 1 && echo both; ls /dev/pts; \
                  stty size > /dev/null && echo sized; readlink /proc/self/fd/0; exit 9";
    let run = case.run(&["shell", "-q", "-r", &config, "--", "bash", "-c", script]);
    assert_eq!(run.status, 9, "{run:?}");
    let screen = run.stdout.replace('\r', "");
    assert!(screen.contains("/dev/pts/0\nboth\n0  ptmx\nsized\n/dev/pts/0\n"), "{run:?}");
    // Typed by nobody: the end of input ends it.
    let run = case.run(&["shell", "-q", "-r", &config, "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(run.status, 137, "{run:?}");
    case.nothing_left();
}
