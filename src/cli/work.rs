//! `albs-node work DIR`: builds one task of the node's outbox, from its directory to `done.json`.
//!
//! A process of its own: what takes it down takes nothing else down, and it goes on while the node
//! is replaced.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::args::{Common, ConfigSource, StoreArgs, Work};
use super::error::CliError;
use super::setup::{Setup, StoreUse};
use super::{signals, tidy};
use crate::build::outcome::BuildOutcome;
use crate::build::{self, BuildRequest};
use crate::fetch::{self, Addresses, FetchRequest, GitRequest, Places, Provision, Wanted};
use crate::node::done::{Done, Reason};
use crate::node::gather::{self, Timed};
use crate::node::settings::Settings;
use crate::node::story;
use crate::node::worker::{BUSY, CONFIG, DOING, Doing, Lock, RESULT};
use crate::resources::{Effective, HostSize, Override, Policy, Resource, ResourceError, effective};
use crate::run::{Cancel, Event, Logs, ResultDir, Sink};
use crate::task::{RefKind, Task, TaskConfig};
use crate::verdict::{Failure, Stage, status};

/// The config that is used, in the task's directory; what becomes an artifact shows no passwords.
const CONFIG_IN_USE: &str = "used.cfg";

/// What a task has come to.
struct Ended {
    failure: Option<Failure>,
    outcome: Option<BuildOutcome>,
    commit: Option<String>,
}

pub(super) fn run(args: &Work) -> Result<u8, CliError> {
    let directory = &args.directory;
    let generic = |error: std::io::Error| {
        let message = format!("cannot work in {}: {error}", directory.display());
        CliError::new(status::GENERIC, message, None)
    };
    let Some(_lock) = Lock::take(directory).map_err(generic)? else {
        return Ok(BUSY as u8);
    };
    let settings = Settings::read(directory).map_err(generic)?;
    let json = fs::read(directory.join("task.json")).map_err(generic)?;
    let json = serde_json::from_slice(&json).map_err(|error| generic(error.into()))?;
    // The node has read it before.
    let task = Task::from_json(&json)
        .map_err(|malformed| CliError::new(status::GENERIC, malformed, None))?;
    // What an earlier worker has left is of no use.
    for name in [RESULT, "upload", "sources"] {
        crate::helper::remove_tree(&directory.join(name)).map_err(generic)?;
    }
    let times = Times::default();
    let mut notes = Vec::new();
    let done = match work(directory, &task, &settings, &times) {
        Ok(ended) => finish(directory, &task, ended, &times, &mut notes),
        Err(error) => early(directory, &task, &error, &times, &mut notes),
    };
    for note in notes {
        story::add(directory, &note);
    }
    done.write(directory).map_err(generic)?;
    Ok(0)
}

/// Stages and their times, from the events.
#[derive(Debug, Clone, Default)]
struct Times(Arc<Mutex<Vec<Timed>>>);

impl Times {
    fn add(&self, name: &str, start: Timestamp, end: Timestamp) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(Timed { name: name.to_owned(), start, end });
    }

    fn all(&self) -> Vec<Timed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn work(
    directory: &Path,
    task: &Task,
    settings: &Settings,
    times: &Times,
) -> Result<Ended, CliError> {
    let broken = |message: String| CliError::new(status::CONFIG, message, None);
    let config = TaskConfig::new(task, &settings.base_arch)
        .map_err(|error| broken(format!("the task's config cannot be made: {error}")))?;
    let extras = settings.extras();
    let place = directory.join(CONFIG_IN_USE);
    for (file, extras) in [(CONFIG_IN_USE, &extras), (gather::CONFIG, &extras.without_password())] {
        let config = config.clone().with(task, extras);
        let config =
            config.map_err(|error| broken(format!("the task's config cannot be made: {error}")))?;
        let file = directory.join(file);
        fs::write(&file, config.text())
            .map_err(|error| broken(format!("cannot write {}: {error}", file.display())))?;
    }
    let mut config_opts = Vec::new();
    if !settings.build_network {
        config_opts.push(("rpmbuild_networking".to_owned(), "False".to_owned()));
    }
    let common = Common {
        source: ConfigSource { config: place.display().to_string(), configdir: None, config_opts },
        arch: None,
        forcearch: None,
        store: StoreArgs { store: Some(settings.store.clone()) },
        offline: false,
        verbose: false,
        quiet: false,
        json: false,
    };
    let cancel = Cancel::default();
    let _signals = signals::cancel(cancel.clone());
    let mut setup = Setup::new(&common, StoreUse::Make)?;
    let resultdir = directory.join(RESULT);
    let results = ResultDir::open(&resultdir)
        .map_err(|error| broken(format!("cannot use {}: {error}", resultdir.display())))?;
    let sink = sink(directory, times.clone());
    let addresses = Addresses::new(settings.private_networks.clone(), &[]);
    let closed = match addresses.allows(Ipv4Addr::LOCALHOST.into()) {
        true => Vec::new(),
        false => setup.close_loopback(),
    };
    if !closed.is_empty() {
        let text = format!(
            "repositories or proxies of the task are on this host's loopback interface, at the \
             ports {closed:?}, which are closed: albs_node.private_networks does not name it"
        );
        sink.send(&Event::Note { stage: Stage::Bootstrap, text });
    }

    let request = fetch_request(task, settings, setup.options.plugins.rpmautospec.is_some());
    let limits = |error| CliError::new(status::CONFIG, error, None);
    let mut policy = Policy::load(&settings.policies.join("resources.toml")).map_err(limits)?;
    policy.put_first(settings.amounts().into_iter().collect());
    let size = HostSize::probe(settings.slots, setup.store().path());
    // What is fetched says which class it has.
    let before = effective(&policy, &size, None, None, &[]).map_err(limits)?;
    let limited = setup.limited(&before);
    // Its logs are the story alone; those of the build come later.
    let fetching = setup.runner(&before.limits(), cancel.clone(), sink.clone(), Logs::none());
    let sources = directory.join("sources");
    let fetched = match fetch::fetch(&fetching, setup.tools(&limited), &request, &sources) {
        Ok(fetched) => fetched,
        Err(failure) => return Ok(Ended { failure: Some(failure), outcome: None, commit: None }),
    };
    for (name, start, end) in &fetched.times {
        times.add(name, *start, *end);
    }
    let commit = fetched.commit;
    let provision = fetched.repository.map(|repository| Provision {
        download: task.platform.data.allow_sources_download,
        private_networks: settings.private_networks.clone(),
        repository: Some(repository),
    });
    let package = build::inspect(&fetched.source).ok().map(|input| input.package);
    // What was fetched is not free any more.
    let size = HostSize::probe(settings.slots, setup.store().path());
    let asked = setup.options.rpmbuild_timeout;
    let resources = resources(&policy, &size, package.as_deref(), asked).map_err(limits)?;
    let request = BuildRequest {
        source: fetched.source,
        reuse_source: task.built_srpm_url.is_some(),
        provision,
        resultdir: resultdir.clone(),
        defines: Vec::new(),
        network: setup.options.has_network(),
        only_source: task.arch == "src",
        resources,
        earlier: fetching.records(),
    };
    let logs = Logs::create(&results, request.resources.number(Resource::Log))
        .map_err(|error| broken(format!("cannot use {}: {error}", resultdir.display())))?;
    // Its control group holds what is that of a build.
    drop(fetching);
    let resources = &request.resources;
    let runner = setup.runner(&resources.limits(), cancel, sink, logs);
    let (outcome, failure) = build::run(&setup.env(&runner, Some(resources)), &request, &results);
    drop(runner);
    tidy::start_if_due(setup.store(), &settings.policies.join("store.toml"));
    Ok(Ended { failure, outcome: Some(outcome), commit })
}

/// The limits of a task's build. `asked`: its own time limit in seconds, or 0; it counts if it is
/// shorter than that of this host.
fn resources(
    policy: &Policy,
    size: &HostSize,
    package: Option<&str>,
    asked: u64,
) -> Result<Effective, ResourceError> {
    let own = effective(policy, size, None, package, &[])?;
    if asked == 0 || own.number(Resource::Timeout).is_some_and(|limit| limit <= asked) {
        return Ok(own);
    }
    let from = "the task".to_owned();
    let over = Override { resource: Resource::Timeout, number: Some(asked as f64), from };
    effective(policy, size, None, package, &[over])
}

/// Events become the story, the times, and what `status` shows.
fn sink(directory: &Path, times: Times) -> Sink {
    let directory: PathBuf = directory.to_owned();
    let state = Mutex::new((Timestamp::now(), 0, 0));
    Sink::new(move |event| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::StageStarted { stage, what } => {
                state.0 = Timestamp::now();
                story::add(&directory, &format!("{stage}: {what}"));
                let doing = Doing {
                    stage: stage.as_str().to_owned(),
                    since: state.0,
                    cpu_us: state.1,
                    memory_peak_bytes: state.2,
                };
                if let Ok(text) = serde_json::to_vec(&doing) {
                    let aside = directory.join(".doing");
                    // Only `status` shows it.
                    let _ = fs::write(&aside, text)
                        .and_then(|()| fs::rename(&aside, directory.join(DOING)));
                }
            }
            Event::Note { stage, text } => story::add(&directory, &format!("{stage}: {text}")),
            Event::Line { .. } => {}
            Event::StageFinished { stage, seconds, usage, success } => {
                times.add(stage.as_str(), state.0, Timestamp::now());
                state.1 += usage.cpu_user_us + usage.cpu_system_us;
                state.2 = usage.memory_peak_bytes.unwrap_or(0).max(state.2);
                let how = if *success { "done" } else { "failed" };
                let cost = super::output::cost(usage);
                story::add(&directory, &format!("{stage}: {how} in {seconds:.1} s ({cost})"));
            }
        }
    })
}

/// A task whose build has run.
fn finish(
    directory: &Path,
    task: &Task,
    ended: Ended,
    times: &Times,
    notes: &mut Vec<String>,
) -> Done {
    let failure = ended.failure;
    if let Some(failure) = failure {
        let reason = gather::reason(&failure);
        let status = gather::status(Some(&failure));
        stderr(directory, &CliError::from(failure));
        return failed(directory, task, status, reason, ended.outcome.as_ref(), times, notes);
    }
    let outcome = ended.outcome.as_ref();
    match gather::files(directory, task, outcome, notes) {
        Ok(files) => Done {
            status: crate::task::Status::Done,
            reason: None,
            files,
            stats: gather::stats(&times.all(), outcome.map_or(&[], |outcome| &outcome.stages)),
            git_commit_hash: ended.commit.or_else(|| task.source.git_commit_hash.clone()),
            bill: gather::bill(&times.all(), outcome),
        },
        Err(error) => {
            let reason = Reason {
                phase: Stage::Collect.as_str().to_owned(),
                class: "infrastructure".to_owned(),
                message: format!("a package cannot be read again: {error}"),
                evidence: None,
                retryable: true,
            };
            let status = crate::task::Status::Failed;
            failed(directory, task, status, reason, None, times, notes)
        }
    }
}

/// A task whose build could not begin.
fn early(
    directory: &Path,
    task: &Task,
    error: &CliError,
    times: &Times,
    notes: &mut Vec<String>,
) -> Done {
    stderr(directory, error);
    let is_config = [status::CONFIG, status::ARCHITECTURE, status::COMMAND_LINE];
    let phase = if is_config.contains(&error.status()) { CONFIG } else { "setup" };
    let reason = Reason {
        phase: phase.to_owned(),
        class: "infrastructure".to_owned(),
        message: error.sentence(),
        evidence: None,
        retryable: phase == "setup",
    };
    failed(directory, task, crate::task::Status::Failed, reason, None, times, notes)
}

fn failed(
    directory: &Path,
    task: &Task,
    status: crate::task::Status,
    reason: Reason,
    outcome: Option<&BuildOutcome>,
    times: &Times,
    notes: &mut Vec<String>,
) -> Done {
    // Packages of a build that failed are nobody's.
    let outcome_without =
        outcome.map(|outcome| BuildOutcome { artifacts: Vec::new(), ..outcome.clone() });
    let files = gather::files(directory, task, outcome_without.as_ref(), notes).unwrap_or_default();
    Done {
        status,
        reason: Some(reason),
        files,
        stats: gather::stats(&times.all(), outcome.map_or(&[], |outcome| &outcome.stages)),
        git_commit_hash: task.source.git_commit_hash.clone(),
        bill: gather::bill(&times.all(), outcome),
    }
}

/// What a user of `build` would have seen.
fn stderr(directory: &Path, error: &CliError) {
    let _ = fs::write(directory.join(gather::STDERR), error.render());
    error.print();
}

/// Where the task's source is.
fn fetch_request(task: &Task, settings: &Settings, history: bool) -> FetchRequest {
    let url = match &task.built_srpm_url {
        Some(url) => Some(url),
        None => task.source.is_source_package().then_some(&task.source.url),
    };
    let wanted = match url {
        Some(url) => Wanted::Package { url: url.clone(), sha256: task.srpm_sha256() },
        None => Wanted::Repository(GitRequest {
            url: task.source.url.clone(),
            reference: task.source.git_ref.clone(),
            is_branch: match task.source.kind {
                Some(RefKind::Branch) => Some(true),
                Some(RefKind::Tag) => Some(false),
                _ => None,
            },
            // What the task of the source package has reported; it may have moved on since.
            commit: task.source.git_commit_hash.clone(),
            history,
            spec: None,
        }),
    };
    let places = Places {
        private_networks: settings.private_networks.clone(),
        sources: Some(settings.source_cache.clone()),
        mirrors: Some(settings.git_cache.clone()),
        lookasides: settings.policies.join("lookaside.toml"),
        lfs: settings.git_lfs,
    };
    FetchRequest { wanted, places }
}
