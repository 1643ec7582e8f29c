//! `albs-node sandbox run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox::spec::{Mount, Namespaces, Network, Root, Stdio, User};
use sandbox::{Exit, HostFacts, IdMapping, Sandbox, SandboxError, SandboxSpec};

use super::args::{Net, SandboxRun};
use super::error::CliError;
use super::output::{complain, print};
use super::setup::host_with_groups;
use super::{signals, terminal};
use crate::verdict::status::COMMAND_LINE;

/// The command could not be started, as env(1) and podman-run(1) have it.
const COULD_NOT_START: u8 = 125;
/// Ended at the time limit, as timeout(1) has it.
const TIMED_OUT: u8 = 124;
/// Killed: 128 + SIGKILL.
const KILLED: u8 = 137;

pub(super) fn run(args: &SandboxRun) -> Result<u8, CliError> {
    let mut host = HostFacts::probe();
    let spec = spec(args, &host)?;
    if args.plan {
        return print_plan(&spec, &host);
    }
    if spec.limits.any() {
        host = host_with_groups();
        sandbox::cgroup::sweep(&host.cgroup);
    }
    let sandbox = Sandbox::spawn(&spec, &host).map_err(could_not_start)?;
    let _forwarding = signals::forward(sandbox.killer(), &spec);
    let outcome = sandbox.wait(&mut |_| {}).map_err(could_not_start)?;
    match outcome.exit {
        Exit::Exited(status) => Ok(status as u8),
        Exit::Signaled(signal) => Ok((128 + signal) as u8),
        Exit::TimedOut => {
            let seconds = args.timeout.unwrap_or(0) as f64 / 1000.0;
            complain(format_args!("albs-node: killed after {seconds} s"));
            Ok(TIMED_OUT)
        }
        Exit::OomKilled => {
            complain("albs-node: killed at the memory limit");
            Ok(KILLED)
        }
        Exit::Cancelled | Exit::Silent => Ok(KILLED),
        Exit::CouldNotStart(failure) => {
            let hint = failure.hint.clone();
            Err(CliError::new(COULD_NOT_START, failure, hint))
        }
    }
}

fn could_not_start(error: SandboxError) -> CliError {
    let hint = error.hint();
    CliError::new(COULD_NOT_START, error, hint)
}

fn print_plan(spec: &SandboxSpec, host: &HostFacts) -> Result<u8, CliError> {
    let plan = sandbox::plan::plan(spec, host).map_err(|error| {
        let hint = error.hint();
        CliError::new(COULD_NOT_START, error, hint)
    })?;
    let text = serde_json::to_string_pretty(&plan.launch)
        .map_err(|error| CliError::new(COULD_NOT_START, error, None))?;
    print(text);
    Ok(0)
}

fn spec(args: &SandboxRun, host: &HostFacts) -> Result<SandboxSpec, CliError> {
    let path = |name: &str| PathBuf::from(name);
    let root = match &args.root {
        Some(dir) => Root::Directory { path: absolute(dir)?, read_only: false },
        None => Root::Directory { path: "/".into(), read_only: true },
    };
    let mut mounts = vec![
        Mount::Proc { destination: path("/proc") },
        Mount::Sys { destination: path("/sys") },
        Mount::Dev { destination: path("/dev") },
        Mount::Tmpfs { destination: path("/tmp"), mode: 0o1777, size_bytes: None },
        Mount::Tmpfs { destination: path("/var/tmp"), mode: 0o1777, size_bytes: None },
    ];
    if args.root.is_none() {
        // Sockets of the host's services.
        mounts.push(Mount::Tmpfs { destination: path("/run"), mode: 0o755, size_bytes: None });
    }
    for bind in &args.binds {
        mounts.push(parse_bind(bind)?);
    }
    let mut spec = SandboxSpec {
        name: "run".to_owned(),
        root,
        mounts,
        namespaces: Namespaces::default(),
        ids: IdMapping::choose(host, 0),
        user: User::ROOT,
        capabilities: Vec::new(),
        environment: environment(),
        argv: args.command.clone(),
        cwd: "/".into(),
        stdio: Stdio::INHERIT,
        network: match args.net {
            Net::None => Network::None,
            Net::Filtered => Network::Filtered,
            Net::Host => Network::Host,
        },
        host_ports: Vec::new(),
        hostname: Some("sandbox".to_owned()),
        limits: args.limits.to_limits(),
        accounting: false,
        rlimits: sandbox::spec::no_core_dumps(),
        timeout_ms: args.timeout.filter(|ms| *ms > 0),
        silence_ms: None,
        seccomp: ["calls", "base"].map(str::to_owned).to_vec(),
        landlock: Vec::new(),
        linux32: false,
        keep_session: false,
    };
    terminal::attach(&mut spec);
    Ok(spec)
}

/// A small environment of its own: the caller's may hold secrets.
fn environment() -> BTreeMap<String, String> {
    let fixed = [("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/"), ("LANG", "C.UTF-8")];
    let mut environment: BTreeMap<_, _> =
        fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    if let Ok(term) = std::env::var("TERM") {
        environment.insert("TERM".to_owned(), term);
    }
    environment
}

fn parse_bind(text: &str) -> Result<Mount, CliError> {
    let wrong = |why: &str| {
        CliError::new(
            COMMAND_LINE,
            format!("--bind {text}: {why}"),
            Some("write --bind SRC[:DST[:ro]]".to_owned()),
        )
    };
    let mut parts = text.split(':');
    let source = parts.next().filter(|s| !s.is_empty()).ok_or_else(|| wrong("no source"))?;
    let source = absolute(Path::new(source))?;
    let destination = match parts.next() {
        Some("") => return Err(wrong("no destination")),
        Some(destination) => PathBuf::from(destination),
        None => source.clone(),
    };
    let read_only = match parts.next() {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(_) => return Err(wrong("only ro or rw can stand at the end")),
    };
    if parts.next().is_some() {
        return Err(wrong("too many colons"));
    }
    Ok(Mount::Bind { source, destination, read_only })
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    path.canonicalize().map_err(|error| {
        CliError::new(COULD_NOT_START, format!("cannot use {}: {error}", path.display()), None)
    })
}
