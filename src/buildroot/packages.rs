//! Package operations on a buildroot: installing with a package manager, asking the buildroot's
//! own rpm.

use std::path::PathBuf;

use sandbox::SandboxSpec;
use sandbox::spec::{Network, Root};

use super::disk::{self, Written};
use super::sandboxes::PackageManagerInputs;
use super::store::{Lock, LockKind, Store};
use super::tools::Tools;
use super::{Env, caches, dnf, share};
use crate::profile::ProfileName;
use crate::run::{Lines, Log, Running, StageRun};
use crate::verdict::{
    Class, Failure, classify_command, classify_package_manager, classify_share, on_full_disk,
    status,
};

/// Percent of what is free that one run may write, as of the default class of builds.
const MOST_OF_DISK: u64 = 90;
/// Bytes of an answer that are kept; a list of ten thousand packages is smaller.
const MAX_ANSWER: usize = 16 << 20;

/// A package in mock's `installed_pkgs.log`.
const FORMAT: &str = "%{nevra} %{buildtime} %{size} %{pkgid} %{installtime}\\n";
/// Milliseconds for a question to rpm. Nothing that takes longer is one.
const QUESTION_MS: u64 = 600_000;
/// Milliseconds for a question to the package manager, unless the config has a limit.
const LONG_QUESTION_MS: u64 = 3_600_000;

/// Free bytes of a disk that is as good as full: less than the databases of package managers,
/// which are written anew.
const FULL: u64 = 16 << 20;

/// One call of the package manager.
#[derive(Debug)]
pub struct Request<'a> {
    /// The package manager and what it runs among.
    pub tools: &'a Tools,
    /// The buildroot.
    pub root: Root,
    /// rpm's database in it.
    pub dbpath: &'a str,
    /// The package manager's command and arguments.
    pub command: &'a [String],
    /// Host paths to show besides those of the repositories: path and place inside.
    pub visible: &'a [(PathBuf, PathBuf)],
    /// What it is for, as the start of a sentence.
    pub what: &'a str,
}

/// Calls the package manager, as often as the config says if repositories do not answer.
///
/// # Errors
///
/// It failed, with the verdict.
pub fn run(env: &Env<'_>, stage: &StageRun<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let attempts = env.options.package_manager_max_attempts.max(1);
    let mut attempt = 1;
    loop {
        match run_once(env, stage, request) {
            // The first attempt may have failed for what only looks like a fault of the config:
            // mirrors of different age, metadata that changed meanwhile.
            Err(failure) if attempt < attempts && may_pass(&failure) && !stage.is_cancelled() => {
                let delay = env.options.package_manager_attempt_delay;
                stage.note(&format!("{failure}; trying again in {delay} s"));
                stage.sleep(delay);
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Whether trying again has a chance: not against a limit.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.class, Class::Infrastructure | Class::Dependency)
}

/// As [`run`], but only rpm's database gets what is installed, and no file.
///
/// # Errors
///
/// It failed, with the verdict.
pub fn run_for_database(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    request: &Request<'_>,
) -> Result<(), Failure> {
    let flags = "--setopt=tsflags=nocontexts,justdb,noscripts,notriggers".to_owned();
    let mut argv = request.tools.manager.command_line(env.options, request.command);
    argv.insert(1, flags.clone());
    // Of what is said twice, some package managers take the first and some the last.
    argv.retain(|word| *word == flags || !word.starts_with("--setopt=tsflags="));
    carry_out(env, stage, request, argv)
}

/// What is in rpm's database, in the format of [`installed`], by the rpm beside the package
/// manager.
///
/// # Errors
///
/// rpm failed.
pub fn listed(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    request: &Request<'_>,
) -> Result<Vec<String>, Failure> {
    let argv = ["rpm", "--root", super::sandboxes::BUILDROOT, "-qa", "--qf", FORMAT];
    let mut spec = manager_spec(env, stage, request, argv.map(str::to_owned).to_vec())?;
    spec.stdio.stderr = sandbox::spec::Stdout::Null;
    let output = ask(stage, spec, Some(QUESTION_MS), request.what)?;
    Ok(sorted(&output))
}

fn sorted(output: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        output.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn run_once(env: &Env<'_>, stage: &StageRun<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let argv = request.tools.manager.command_line(env.options, request.command);
    carry_out(env, stage, request, argv)
}

fn carry_out(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    request: &Request<'_>,
    argv: Vec<String>,
) -> Result<(), Failure> {
    // Before the cache is made: whoever tidies the store may remove it until then.
    let _lock = lock_cache(env, stage)?;
    share::fill(env, stage)?;
    let mut spec = manager_spec(env, stage, request, argv)?;
    spec.timeout_ms = Some(dnf::timeout_ms(env.options));
    let limits = spec.limits.clone();
    let written = written(env, request);
    let limit = disk::part_of_free(env.store.path(), MOST_OF_DISK);
    let (finished, beyond) = disk::watched(env.tools(), stage, &written, Some(limit), |started| {
        stage.sandbox_with(&spec, Log::Root, started)
    })?;
    if let Some(much) = beyond {
        let cache = env.store.caches().join(&env.key);
        if much.size.is_beyond_counting() && cache.exists() {
            // Every later one would be ended for it.
            caches::empty(env, stage, &cache, "the package cache may be too deep")?;
        }
        return Err(classify_share(stage.stage, request.what, much, &finished.tail));
    }
    let failure = classify_package_manager(
        stage.stage,
        request.what,
        &finished.outcome,
        &limits,
        &finished.tail,
    );
    match failure {
        None => Ok(()),
        Some(failure) if is_full(env.store) => Err(on_full_disk(failure)),
        Some(failure) => Err(failure),
    }
}

/// The trees that scriptlets can write to.
fn written(env: &Env<'_>, request: &Request<'_>) -> Vec<Written> {
    let cache = env.options.plugins.package_cache_days.and_then(|_| env.store.cache(&env.key).ok());
    let cache = cache.map(|tree| Written { place: tree.clone(), tree, has_base: true, most: None });
    // One of several in a build has less left, of which what came before is no part.
    let root = Written::of(&request.root).map(|root| Written { has_base: true, ..root });
    root.into_iter().chain(cache).collect()
}

/// Whether hardly anything is free where the store is.
fn is_full(store: &Store) -> bool {
    disk::free(store.path()).bytes < FULL
}

/// The package cache belongs to one package manager at a time. dnf's own locks hold the numbers of
/// processes, which mean nothing in another sandbox.
pub(super) fn lock_cache(env: &Env<'_>, stage: &StageRun<'_>) -> Result<Lock, Failure> {
    let path = env.store.caches().join(format!("{}.lock", env.key));
    super::roots::take(stage, &path, LockKind::Exclusive, "package cache")
}

fn manager_spec(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    request: &Request<'_>,
    argv: Vec<String>,
) -> Result<SandboxSpec, Failure> {
    let cache = env
        .store
        .cache(&env.key)
        .map_err(|error| super::roots::store_failure(stage.stage, error))?;
    let same_place = env.visible.iter().map(|path| (path.clone(), path.clone()));
    let visible: Vec<_> = same_place.chain(request.visible.iter().cloned()).collect();
    let inputs = PackageManagerInputs {
        visible: &visible,
        files: &dnf::files(env.options, request.dbpath),
        cache: env.options.plugins.package_cache_days.map(|_| cache.as_path()),
        cache_inside: dnf::CACHE.as_ref(),
        environment: &env.options.environment,
        proxies: &env.options.network.proxies,
    };
    let programs = &request.tools.programs;
    let spec = env
        .context
        .package_manager(stage.stage, programs, request.root.clone(), inputs, argv)
        .map_err(|error| {
            let message = "the package manager's sandbox could not be planned";
            Failure::infrastructure(stage.stage, status::GENERIC, message, Some(Box::new(error)))
        })?;
    // Whatever it takes its cache for.
    let network = if env.options.online { spec.network } else { Network::None };
    Ok(SandboxSpec { network, ..spec })
}

/// The question for the package manager's version, which has no need of the buildroot.
///
/// # Errors
///
/// Its sandbox could not be planned.
pub fn version_question(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    tools: &Tools,
) -> Result<SandboxSpec, Failure> {
    let root = Root::Empty { size_bytes: 1 << 20 };
    let dbpath = dnf::DEFAULT_DBPATH;
    let request = Request { tools, root, dbpath, command: &[], visible: &[], what: "" };
    let argv = tools.manager.command_line(env.options, &["--version".to_owned()]);
    let spec = manager_spec(env, stage, &request, argv)?;
    Ok(SandboxSpec { network: Network::None, ..spec })
}

/// The version that the package manager tells; none if it tells none.
///
/// # Errors
///
/// Its sandbox could not be used.
pub fn version(question: Running<'_>) -> Result<Option<String>, Failure> {
    let mut lines = Lines::default();
    // Its exit status says whether its own package is in the buildroot, which does not matter.
    question.wait(&mut |bytes| lines.add(bytes, |_| {}))?;
    let digit = |line: &&String| line.contains(|c: char| c.is_ascii_digit());
    Ok(lines.into_tail().iter().rfind(digit).cloned())
}

/// What the package manager answers to a question.
///
/// # Errors
///
/// It failed.
pub fn answer(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    request: &Request<'_>,
) -> Result<String, Failure> {
    let argv = request.tools.manager.command_line(env.options, request.command);
    let _lock = lock_cache(env, stage)?;
    let mut spec = manager_spec(env, stage, request, argv)?;
    // What it remarks is no part of the answer.
    spec.stdio.stderr = sandbox::spec::Stdout::Null;
    // It may have to load what repositories have.
    let timeout = dnf::timeout_ms(env.options).min(LONG_QUESTION_MS);
    ask(stage, spec, Some(timeout), request.what)
}

/// What the buildroot's rpm says is installed, in mock's format of `installed_pkgs.log`.
///
/// # Errors
///
/// rpm failed.
pub fn installed(env: &Env<'_>, stage: &StageRun<'_>, root: Root) -> Result<Vec<String>, Failure> {
    let argv = ["rpm", "-qa", "--qf", FORMAT].map(str::to_owned).to_vec();
    let output = query(env, stage, root, argv)?;
    Ok(sorted(&output))
}

/// Runs a short command in the buildroot and gives what it wrote.
///
/// # Errors
///
/// It failed.
pub fn query(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    root: Root,
    argv: Vec<String>,
) -> Result<String, Failure> {
    let what = format!("asking {}", argv[0]);
    // Not the build user's home, whose macro files a build may have written.
    let mut environment = env.options.environment.clone();
    environment.insert("HOME".to_owned(), "/root".to_owned());
    let spec = env
        .context
        .chroot(stage.stage.as_str(), ProfileName::Query, root, Vec::new(), &environment, argv)
        .map_err(|error| {
            let message = format!("{what} could not be planned");
            Failure::infrastructure(stage.stage, status::GENERIC, message, Some(Box::new(error)))
        })?;
    ask(stage, spec, Some(QUESTION_MS), &what)
}

fn ask(
    stage: &StageRun<'_>,
    mut spec: SandboxSpec,
    timeout_ms: Option<u64>,
    what: &str,
) -> Result<String, Failure> {
    spec.timeout_ms = timeout_ms;
    spec.accounting = false;
    let mut output = Vec::new();
    let outcome = stage.raw(&spec, &mut |bytes| {
        if output.len() < MAX_ANSWER {
            output.extend_from_slice(bytes);
        }
    })?;
    if let Some(failure) = classify_command(stage.stage, what, &outcome, &spec.limits) {
        return Err(failure);
    }
    let output = String::from_utf8_lossy(&output);
    if !outcome.exit.success() {
        let message = format!("{what} failed with {}", outcome.exit);
        let mut failure = Failure::infrastructure(stage.stage, status::ROOT, message, None);
        let lines: Vec<&str> = output.lines().collect();
        let last = &lines[lines.len().saturating_sub(3)..];
        failure.evidence = last.iter().map(|line| crate::run::plain(line)).collect();
        return Err(failure);
    }
    // What the programs only remark is no answer.
    let answers = output.lines().filter(|line| !line.starts_with("warning: "));
    Ok(answers.flat_map(|line| [line, "\n"]).collect())
}
