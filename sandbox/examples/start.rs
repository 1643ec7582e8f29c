//! Starts sandboxes from one process that stays, as a build does for its stages:
//! `start COUNT none|all`, the latter with the limits of a build. Runs /bin/true and prints a
//! line for each: microseconds of wall-clock, and of processor time of this process and all that
//! were started.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use sandbox::spec::{Limit, Limits, Mount, Namespaces, Network, Root, Stdio, User};
use sandbox::{HostFacts, IdMapping, Sandbox, SandboxSpec};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, limits] = arguments.as_slice() else { return Err("start COUNT none|all".into()) };
    let host = HostFacts::probe();
    let mut spec = spec(&host);
    if limits == "all" {
        spec.limits = Limits {
            memory_bytes: Some(Limit::required(1 << 30)),
            pids: Some(Limit::required(100)),
            cpus: Some(Limit::required(1.0)),
            ..Limits::default()
        };
    }
    for _ in 0..count.parse()? {
        let (start, before) = (Instant::now(), used()?);
        let outcome = Sandbox::spawn(&spec, &host)?.wait(&mut |_| {})?;
        let micros = start.elapsed().as_micros();
        if !outcome.exit.success() {
            return Err(format!("/bin/true: {:?}", outcome.exit).into());
        }
        println!("{micros} {}", used()? - before);
    }
    Ok(())
}

/// What `albs-node sandbox run -- /bin/true` asks for.
fn spec(host: &HostFacts) -> SandboxSpec {
    let tmpfs = |destination: &str, mode| Mount::Tmpfs {
        destination: destination.into(),
        mode,
        size_bytes: None,
    };
    SandboxSpec {
        name: "bench".to_owned(),
        root: Root::Directory { path: "/".into(), read_only: true },
        mounts: vec![
            Mount::Proc { destination: "/proc".into() },
            Mount::Sys { destination: "/sys".into() },
            Mount::Dev { destination: "/dev".into() },
            tmpfs("/tmp", 0o1777),
            tmpfs("/var/tmp", 0o1777),
            tmpfs("/run", 0o755),
        ],
        namespaces: Namespaces::default(),
        ids: IdMapping::choose(host, 0),
        user: User::ROOT,
        capabilities: Vec::new(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        argv: vec!["/bin/true".to_owned()],
        cwd: "/".into(),
        stdio: Stdio::INHERIT,
        network: Network::None,
        host_ports: Vec::new(),
        hostname: Some("sandbox".to_owned()),
        limits: Limits::default(),
        accounting: false,
        rlimits: sandbox::spec::no_core_dumps(),
        timeout_ms: None,
        silence_ms: None,
        seccomp: ["calls", "base", "terminal"].map(str::to_owned).to_vec(),
        landlock: Vec::new(),
        linux32: false,
        keep_session: true,
    }
}

/// Processor time so far, in µs.
fn used() -> nix::Result<i64> {
    let one = |who| {
        let usage = getrusage(who)?;
        Ok((usage.user_time() + usage.system_time()).num_microseconds())
    };
    Ok(one(UsageWho::RUSAGE_SELF)? + one(UsageWho::RUSAGE_CHILDREN)?)
}
