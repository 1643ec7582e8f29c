//! What a command in the sandbox sees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Mode, Run, USER, USER_SUBIDS, own};

in_each_mode! { ids process confinement namespaces files devices proc_and_sys network }

fn look(mode: Mode) -> Value {
    Run::new(mode).probe(&[])
}

/// Owner and length of the only range of ids.
pub fn range(mode: Mode) -> (u32, u32) {
    let host = sandbox::HostFacts::probe();
    match mode {
        // What /etc/subuid grants comes first.
        mode if mode == own() => {
            let ids = sandbox::IdMapping::choose(&host, 0);
            assert!(
                mode != Mode::Root || !host.subuid.is_empty() || ids.uids[0].outside == 0x5000_0000
            );
            (ids.uids[0].outside, ids.uids[0].count)
        }
        Mode::Root => unreachable!("only root becomes root"),
        Mode::Subids => (USER_SUBIDS, 65536),
        Mode::Single => (USER, 1),
    }
}

fn ids(mode: Mode) {
    let seen = look(mode);
    let (outside, count) = range(mode);
    assert_ne!(outside, 0, "root of the host is nobody inside");
    assert_eq!(seen["uid_map"], json!([[0, outside, count]]));
    assert_eq!(seen["gid_map"], json!([[0, outside, count]]));
    assert_eq!(seen["uids"], json!([0, 0, 0, 0]));
    assert_eq!(seen["gids"], json!([0, 0, 0, 0]));
    assert_eq!(seen["groups"], json!([]));
    assert_eq!(seen["setgroups"], if mode == Mode::Single { "deny" } else { "allow" });
}

fn process(mode: Mode) {
    let seen = look(mode);
    assert_eq!(seen["processes"], json!({ "1": "sandbox-init", "2": "probe" }));
    assert_eq!((&seen["pid"], &seen["parent"]), (&json!(2), &json!(1)));
    // The session is the caller's, whose leader has no number in here.
    assert_eq!((&seen["session"], &seen["process_group"]), (&json!(0), &json!(0)));
    assert_eq!(seen["hostname"], "sandbox");
    assert_eq!(seen["cwd"], "/");
    assert_eq!(seen["umask"], "0022");
    assert_eq!(seen["limits"]["core"], json!([1, 1]));
    assert_eq!(
        seen["environment"],
        json!({
            "HOME": "/",
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "TERM": "dumb",
        })
    );
    let descriptors: Vec<&str> =
        seen["descriptors"].as_object().expect("a list").keys().map(String::as_str).collect();
    assert_eq!(descriptors, ["0", "1", "2"]);
}

fn confinement(mode: Mode) {
    let seen = look(mode);
    let none = json!({
        "ambient": 0, "bounding": 0, "effective": 0, "inheritable": 0, "permitted": 0
    });
    assert_eq!(seen["capabilities"], none);
    assert_eq!(seen["no_new_privs"], 1);
    assert_eq!(seen["seccomp"]["mode"], 2);
    // Kernels before 5.9 do not tell the number.
    assert!([json!(1), Value::Null].contains(&seen["seccomp"]["filters"]), "{seen}");
    assert_eq!(seen["dumpable"], true, "a debugger inside must work");
}

fn namespaces(mode: Mode) {
    let host = |name: &str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace");
        link.display().to_string()
    };
    let all = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let seen = look(mode);
    for name in all {
        assert_ne!(seen["namespaces"][name], host(name), "{name}");
    }
    let shared = Run::new(mode).option("--net").option("host").probe(&[]);
    for name in all {
        assert_eq!(shared["namespaces"][name] == host(name), name == "net", "{name}");
    }
    // The root of the control groups is the sandbox's own; 0:: is the empty version 2 of hybrids.
    for line in seen["cgroups"].as_str().expect("text").lines() {
        let ours = ["memory", "pids", "cpu", "cpuacct", "blkio"];
        let controllers = line.split(':').nth(1).expect("controllers");
        if mode == Mode::Root && controllers.split(',').any(|name| ours.contains(&name)) {
            assert!(line.ends_with(":/"), "{line}");
        }
    }
}

/// The mounts that are not hidden by later ones at the same place or above.
fn visible(seen: &Value) -> BTreeMap<String, Value> {
    let mut mounts = BTreeMap::new();
    for mount in seen["mounts"].as_array().expect("a list") {
        let at = mount["at"].as_str().expect("a path");
        mounts.retain(|path: &String, _| {
            path != at && !path.starts_with(&format!("{at}/")) || at == "/"
        });
        mounts.insert(at.to_owned(), mount.clone());
    }
    mounts
}

fn has(mount: &Value, option: &str) -> bool {
    mount["options"].as_array().expect("a list").iter().any(|o| o == option)
}

fn files(mode: Mode) {
    let seen = look(mode);
    let mounts = visible(&seen);
    let devices = ["full", "null", "random", "tty", "urandom", "zero"];
    let devices = devices.map(|name| format!("/dev/{name}"));
    let writable: BTreeSet<&str> = mounts
        .iter()
        .filter(|(_, mount)| has(mount, "rw") && mount["root"] != "/null")
        .map(|(at, _)| at.as_str())
        .filter(|at| !devices.iter().any(|device| device == at))
        .collect();
    let promised = ["/dev", "/dev/pts", "/dev/shm", "/proc", "/run", "/tmp", "/var/tmp"];
    assert_eq!(writable, BTreeSet::from(promised));
    for at in ["/dev", "/dev/shm", "/run", "/tmp", "/var/tmp"] {
        assert_eq!(mounts[at]["type"], "tmpfs", "{at}");
        assert!(has(&mounts[at], "nosuid") && has(&mounts[at], "nodev"), "{at}");
    }
    for mount in seen["mounts"].as_array().expect("a list") {
        let propagation = mount["propagation"].as_array().expect("a list");
        let shared =
            propagation.iter().any(|p| p.as_str().is_some_and(|p| p.starts_with("shared")));
        assert!(!shared, "what is mounted here must not reach the host: {mount}");
    }
    let fresh =
        [("/tmp", "1777", 1), ("/var/tmp", "1777", 0), ("/dev/shm", "1777", 0), ("/run", "755", 0)];
    for (path, permissions, entries) in fresh {
        let dir = &seen["directories"][path];
        assert_eq!((&dir["mode"], &dir["uid"]), (&json!(permissions), &json!(0)), "{path}");
        assert_eq!(dir["entries"].as_array().expect("a list").len(), entries, "{path}: {dir}");
    }
}

fn devices(mode: Mode) {
    let seen = look(mode);
    let node =
        |major: u32, minor: u32| json!({ "kind": "character", "major": major, "minor": minor });
    let link = |target: &str| json!({ "kind": "link", "target": target });
    let promised = json!({
        "fd": link("/proc/self/fd"),
        "full": node(1, 7),
        "null": node(1, 3),
        "ptmx": link("pts/ptmx"),
        "pts": { "kind": "directory" },
        "random": node(1, 8),
        "shm": { "kind": "directory" },
        "stderr": link("/proc/self/fd/2"),
        "stdin": link("/proc/self/fd/0"),
        "stdout": link("/proc/self/fd/1"),
        "tty": node(5, 0),
        "urandom": node(1, 9),
        "zero": node(1, 5),
    });
    assert_eq!(seen["devices"], promised);
    assert_eq!(seen["directories"]["/dev/pts"]["entries"], json!(["ptmx"]));
    let works = Run::new(mode).shell(
        "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c \
         && ! { echo x > /dev/full; } 2> /dev/null && echo full",
    );
    assert_eq!(
        works.text().split_whitespace().collect::<Vec<_>>(),
        ["4", "4", "full"],
        "{works:?}"
    );
}

fn proc_and_sys(mode: Mode) {
    let seen = look(mode);
    let masked = [
        "acpi",
        "asound",
        "kcore",
        "keys",
        "kpagecount",
        "latency_stats",
        "sched_debug",
        "scsi",
        "timer_list",
        "timer_stats",
    ];
    for name in masked {
        let file = &seen["proc"][name];
        let empty = [json!({ "bytes": 0 }), json!({ "entries": 0 }), json!({ "error": "ENOENT" })];
        assert!(empty.contains(file), "/proc/{name} tells something: {file}");
    }
    assert_ne!(seen["proc"]["kmsg"]["bytes"].as_u64().unwrap_or(0), 4096, "the kernel's log");
    let mounts = visible(&seen);
    assert_eq!(mounts["/proc"]["type"], "proc");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(has(&mounts["/proc"], option), "{option}");
    }
    assert!(has(&mounts["/proc/sys"], "ro") && has(&mounts["/sys"], "ro"));
    assert_eq!(seen["directories"]["/sys/fs/cgroup"]["entries"], json!([]));
    // sysfs of the host's network would tell of its interfaces, so there is none.
    let shared = Run::new(mode).option("--net").option("host").probe(&[]);
    assert_eq!(shared["directories"]["/sys"]["entries"], json!([]));
    assert_eq!(visible(&shared)["/sys"]["type"], "tmpfs");
}

fn network(mode: Mode) {
    assert_eq!(look(mode)["interfaces"], json!({ "lo": true }));
    let host: BTreeSet<String> = std::fs::read_dir("/sys/class/net")
        .expect("the host's interfaces")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let shared = Run::new(mode).option("--net").option("host").probe(&[]);
    let seen = shared["interfaces"].as_object().expect("a list");
    assert!(seen.keys().all(|name| host.contains(name)) && seen.contains_key("lo"), "{seen:?}");
}

#[test]
fn nothing_is_inherited_from_the_caller() {
    let odd = "exec 7</etc/passwd; trap '' TERM PIPE USR1; ulimit -n 512; umask 077; exec \"$@\"";
    let seen = Run::new(own()).prelude(odd).probe(&[]);
    assert_eq!(seen["descriptors"].as_object().expect("a list").len(), 3);
    assert_eq!(seen["umask"], "0022");
    assert_eq!(seen["limits"]["nofile"], json!([512, 512]));
    // The probe itself is a Rust program, which ignores SIGPIPE; so another one looks.
    let status = Run::new(own()).prelude(odd).command(&["cat", "/proc/self/status"]).text();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.expect(name).trim(), 16).expect("a mask")
    };
    assert_eq!(mask("SigBlk:"), 0);
    // 32 and 33 are the C library's own, which no program can set.
    assert_eq!(mask("SigIgn:") & !(1 << 31 | 1 << 32), 0);
    let closed = Run::new(own()).prelude("exec \"$@\" <&- 2>&-").shell("ls /proc/self/fd");
    assert_eq!(closed.code(), 0, "{closed:?}");
}

#[test]
fn plans_can_be_read() {
    let done = Run::new(own()).option("--plan").command(&["true"]);
    let plan: sandbox::wire::Launch = serde_json::from_slice(&done.stdout).expect("a launch");
    assert_eq!(plan.payload.argv, ["true"]);
    assert!(!plan.steps.is_empty());
}
