//! What builds ask of the sandbox and `sandbox run` does not: a session and a user of its own,
//! capabilities, captured output, overlay layers, the bill.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use sandbox::landlock::Restriction;
use sandbox::outcome::{Enforcement, Layer, UsageSource};
use sandbox::spec::{
    IoLimits, Limit, Limits, Mount, Namespaces, Network, Root, SandboxSpec, Stdio, User,
};
use sandbox::{Exit, HostFacts, IdMapping, Outcome, Sandbox};
use serde_json::{Value, json};

use crate::harness::{
    open_directory, own, own_range_or_skip, programs, skip, temporary_directory, unlimited,
};
use crate::processes::started;

/// A command as a build stage would have it.
pub fn spec(command: &[&str]) -> SandboxSpec {
    let host = HostFacts::probe();
    SandboxSpec {
        name: "test".to_owned(),
        root: Root::Directory { path: "/".into(), read_only: true },
        mounts: vec![
            Mount::Proc { destination: "/proc".into() },
            Mount::Sys { destination: "/sys".into() },
            Mount::Dev { destination: "/dev".into() },
            Mount::Tmpfs { destination: "/tmp".into(), mode: 0o1777, size_bytes: Some(1 << 20) },
        ],
        namespaces: Namespaces::default(),
        ids: IdMapping::choose(&host, 0),
        user: User { uid: 1000, gid: 135 },
        capabilities: Vec::new(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        argv: command.iter().map(|word| (*word).to_owned()).collect(),
        cwd: "/tmp".into(),
        stdio: Stdio::CAPTURE,
        network: Network::None,
        host_ports: Vec::new(),
        hostname: Some("builder".to_owned()),
        limits: Limits::default(),
        accounting: true,
        rlimits: BTreeMap::from([("NOFILE".to_owned(), 256)]),
        silence_ms: None,
        timeout_ms: Some(20_000),
        seccomp: vec!["base".to_owned()],
        landlock: Vec::new(),
        linux32: false,
        keep_session: false,
    }
}

fn run(spec: &SandboxSpec) -> (Outcome, String) {
    // Its processes are children of this one, which others would take for orphans.
    let _started = started();
    let sandbox = Sandbox::spawn(spec, &HostFacts::probe()).expect("start");
    let mut output = Vec::new();
    let outcome = sandbox.wait(&mut |bytes| output.extend_from_slice(bytes)).expect("wait");
    (outcome, String::from_utf8_lossy(&output).into_owned())
}

fn look(change: impl FnOnce(&mut SandboxSpec)) -> Value {
    let programs = programs();
    let probe = programs.path().join("probe");
    let mut spec = spec(&["/tmp/probe"]);
    spec.mounts.push(Mount::Bind {
        source: probe,
        destination: "/tmp/probe".into(),
        read_only: true,
    });
    change(&mut spec);
    let (outcome, output) = run(&spec);
    assert_eq!(outcome.exit, Exit::Exited(0), "{output}");
    serde_json::from_str(&output).expect("JSON of the probe")
}

#[test]
fn a_32_bit_machine_is_what_uname_says() {
    if own_range_or_skip().is_none() {
        return;
    }
    let uname = |linux32| {
        let mut spec = spec(&["uname", "-m"]);
        spec.linux32 = linux32;
        run(&spec).1.trim().to_owned()
    };
    let machine = HostFacts::probe().machine;
    assert_eq!(uname(false), machine);
    let started = started();
    let setarch = std::process::Command::new("setarch").args(["linux32", "uname", "-m"]).output();
    drop(started);
    if setarch.is_ok_and(|done| done.stdout.trim_ascii() == machine.as_bytes()) {
        eprintln!("not tested: this kernel has no other name for 32-bit programs");
        return;
    }
    let expected = match machine.as_str() {
        "x86_64" => "i686",
        "aarch64" => "armv8l",
        "ppc64le" => "ppcle",
        other => other,
    };
    assert_eq!(uname(true), expected);
}

#[test]
fn a_build_user_in_a_session_of_its_own() {
    if own_range_or_skip().is_none() {
        return;
    }
    let seen = look(|_| {});
    assert_eq!(seen["uids"], json!([1000, 1000, 1000, 1000]));
    assert_eq!(seen["gids"], json!([135, 135, 135, 135]));
    assert_eq!(seen["groups"], json!([]));
    assert_eq!((&seen["session"], &seen["process_group"]), (&json!(2), &json!(2)));
    assert_eq!(seen["cwd"], "/tmp");
    assert_eq!(seen["environment"], json!({ "PATH": "/usr/bin:/bin" }));
    assert_eq!(seen["limits"]["nofile"], json!([256, 256]));
    assert_eq!(seen["seccomp"]["mode"], 2);
    assert_eq!(seen["descriptors"]["0"], "/dev/null");
    for set in ["ambient", "bounding", "effective", "inheritable", "permitted"] {
        assert_eq!(seen["capabilities"][set], 0, "{set}");
    }
}

#[test]
fn capabilities_are_those_asked_for() {
    if own_range_or_skip().is_none() {
        return;
    }
    let chown_and_kill = json!(1 << 0 | 1 << 5);
    let some = |spec: &mut SandboxSpec| {
        spec.capabilities = vec!["CAP_CHOWN".to_owned(), "CAP_KILL".to_owned()];
    };
    let seen = look(some);
    for set in ["ambient", "bounding", "effective", "inheritable", "permitted"] {
        assert_eq!(seen["capabilities"][set], chown_and_kill, "{set} of an ordinary user");
    }
    let seen = look(|spec| {
        some(spec);
        spec.user = User::ROOT;
    });
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(seen["capabilities"][set], chown_and_kill, "{set} of root");
    }
    assert_eq!(seen["capabilities"]["ambient"], 0);
}

#[test]
fn overlay_layers() {
    if own_range_or_skip().is_none() {
        return;
    }
    let dir = temporary_directory();
    let path = |name: &str| open_directory(&dir.path().join(name));
    let (lower, upper, work) = (path("lower"), path("upper"), path("work"));
    fs::write(lower.join("below"), "below").expect("write");
    let mut spec = spec(&["sh", "-c", "cat /tmp/o/below; echo new > /tmp/o/new; rm /tmp/o/below"]);
    spec.mounts.push(Mount::Overlay {
        destination: "/tmp/o".into(),
        layers: vec![lower.clone()],
        upper: upper.clone(),
        work,
        volatile: false,
    });
    let (outcome, output) = run(&spec);
    assert_eq!((outcome.exit, output.as_str()), (Exit::Exited(0), "below"));
    assert_eq!(fs::read_to_string(upper.join("new")).expect("the new file"), "new\n");
    assert!(lower.join("below").exists() && !lower.join("new").exists());
}

#[test]
fn the_bill() {
    if own_range_or_skip().is_none() {
        return;
    }
    if let Some(reason) = unlimited(own()) {
        return skip(&reason);
    }
    let mut spec = spec(&["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"]);
    spec.limits = Limits { memory_bytes: Some(Limit::required(64 << 20)), ..Limits::default() };
    let (outcome, _) = run(&spec);
    assert_eq!(outcome.exit, Exit::Exited(0));
    let usage = &outcome.usage;
    let cpu = Duration::from_micros(usage.cpu_user_us + usage.cpu_system_us).as_secs_f64();
    assert!(cpu > 0.005 && cpu < outcome.seconds * 1.5, "{cpu} s of {} s", outcome.seconds);
    assert_ne!(usage.source, UsageSource::Rusage);
    assert!(usage.memory_peak_bytes.is_some_and(|peak| (1 << 16..=64 << 20).contains(&peak)));
    assert_eq!((usage.oom_kills, outcome.leftovers), (0, 0));
}

#[test]
fn a_disk_that_cannot_be_limited_stops_nothing_that_need_not_be() {
    let mut spec = spec(&["true"]);
    // Nobody has it.
    let (disk, limit) = (Some("4000:1".to_owned()), Limit::optional(1 << 20));
    spec.limits.io = IoLimits { disk, write_bytes: Some(limit), ..IoLimits::default() };
    let told = |outcome: &Outcome| {
        let layers = outcome.enforcement.iter().find(|(layer, _)| *layer == Layer::Cgroup);
        layers.map(|(_, enforcement)| enforcement.clone()).unwrap()
    };
    let (outcome, output) = run(&spec);
    assert_eq!(outcome.exit, Exit::Exited(0), "{output}");
    let partial = |text: &str| {
        let limits = text.strip_prefix("not enforced here: ");
        limits.is_some_and(|limits| limits.split(", ").any(|limit| limit == "io write"))
    };
    match told(&outcome) {
        Enforcement::Off(_) => {}
        Enforcement::Partial(text) if partial(&text) => {}
        other => panic!("{other:?}"),
    }
    spec.limits.io.write_bytes = Some(Limit::required(1 << 20));
    assert!(Sandbox::spawn(&spec, &HostFacts::probe()).is_err());
}

#[test]
fn leftovers_are_counted() {
    if own_range_or_skip().is_none() {
        return;
    }
    let (outcome, _) = run(&spec(&["sh", "-c", "sleep 100 & sleep 100 & exit 3"]));
    assert_eq!((outcome.exit, outcome.leftovers), (Exit::Exited(3), 2));
}

#[test]
fn killers_and_drops_end_everything() {
    if own_range_or_skip().is_none() {
        return;
    }
    let mut sleep = spec(&["sleep", "1000"]);
    let started = started();
    let sandbox = Sandbox::spawn(&sleep, &HostFacts::probe()).expect("start");
    let killer = sandbox.killer();
    std::thread::spawn(move || killer.kill());
    assert_eq!(sandbox.wait(&mut |_| {}).expect("wait").exit, Exit::Cancelled);
    // Returns only when everything is gone.
    drop(Sandbox::spawn(&sleep, &HostFacts::probe()).expect("start"));
    drop(started);
    sleep.argv = vec!["sh".to_owned(), "-c".to_owned(), "kill -9 $$".to_owned()];
    assert_eq!(run(&sleep).0.exit, Exit::Signaled(9));
}

#[test]
fn a_full_tmpfs_is_full() {
    if own_range_or_skip().is_none() {
        return;
    }
    let (outcome, output) = run(&spec(&["sh", "-c", "head -c 2M /dev/zero > /tmp/x"]));
    assert_ne!(outcome.exit, Exit::Exited(0));
    assert!(output.contains("No space left on device"), "{output}");
}

/// Landlock holds where a namespace does not: with the host's network, abstract sockets of the
/// host are out of reach all the same.
#[test]
fn what_is_given_up_by_landlock() {
    use std::os::linux::net::SocketAddrExt;
    if own_range_or_skip().is_none() {
        return;
    }
    let version = HostFacts::probe().landlock;
    if version < 6 {
        return skip(&format!("version {version} of Landlock has no scopes"));
    }
    let name = format!("albs-node-test-landlock-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("an address");
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("listen");
    let attempt = format!("unix-abstract:{name}");
    let tried = |landlock: &[Restriction]| {
        let seen = look(|spec| {
            spec.argv.extend(["try".to_owned(), attempt.clone(), "mount:tmpfs".to_owned()]);
            spec.network = Network::Host;
            spec.seccomp = Vec::new();
            spec.user = User::ROOT;
            spec.capabilities = vec!["CAP_SYS_ADMIN".to_owned()];
            spec.landlock = landlock.to_vec();
        });
        (seen[attempt.as_str()].clone(), seen["mount:tmpfs"].clone())
    };
    assert_eq!(tried(&[]), (json!("ok"), json!("ok")));
    assert_eq!(tried(&[Restriction::AbstractSockets]), (json!("EPERM"), json!("ok")));
    assert_eq!(tried(&[Restriction::Devices]), (json!("ok"), json!("EPERM")));
}
