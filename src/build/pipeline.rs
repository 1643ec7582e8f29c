//! The stages of a build, one after the other.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox::Usage;
use sandbox::spec::Mount;

use super::artifacts::Artifact;
use super::outcome::{BuildOutcome, BuildrootOutcome, SCHEMA};
use super::requires::Dependencies;
use super::{BuildRequest, commands, hw_info};
use crate::buildroot::roots::{self, Root};
use crate::buildroot::workspace::Workspace;
use crate::buildroot::{Env, disk, packages};
use crate::mock_config::MockOptions;
use crate::run::{Log, ResultDir, StageRecord, StageRun};
use crate::source::{self, Copying, Source, SourcePackage};
use crate::verdict::{Class, Failure, Stage, Verdict, classify_command, status};

/// Where the source package is seen by the package manager.
pub(super) const PACKAGE_PLACE: &str = "/run/albs-node/input.src.rpm";

/// What is found out on the way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    package: Option<String>,
    root: Option<BuildrootOutcome>,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) rejected: Vec<(String, String)>,
    tools: BTreeMap<String, String>,
}

/// Builds. The outcome is written to the result directory and returned with the failure, if there
/// was one.
pub fn run(
    env: &Env<'_>,
    request: &BuildRequest,
    results: &ResultDir,
) -> (BuildOutcome, Option<Failure>) {
    let clock = std::time::Instant::now();
    let started = jiff::Timestamp::now();
    let mut progress = Progress::default();
    for record in &request.earlier {
        env.runner.log_isolation(record.name, &record.isolation);
    }
    // Its tools take as long as a small stage, and nothing depends on it.
    let store = env.store.path().to_owned();
    let hw_info =
        env.options.plugins.hw_info.then(|| std::thread::spawn(move || hw_info::text(&store)));
    let failure = build(env, request, results, &mut progress).err();
    if let Some(Ok(text)) = hw_info.map(std::thread::JoinHandle::join) {
        // A full disk shows with the outcome.
        let _ = results.write("hw_info.log", text.as_bytes());
    }
    let records: Vec<StageRecord> = earlier(request).chain(env.runner.records()).collect();
    env.runner.logs.bill(&crate::run::bill::table(&records));
    let usage = records.iter().fold(Usage::default(), |sum, record| sum.plus(&record.usage));
    progress.tools.insert("albs-node".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    progress.tools.insert("kernel".to_owned(), env.context.host.kernel.clone());
    let outcome = BuildOutcome {
        schema: SCHEMA,
        verdict: failure.as_ref().map_or_else(Verdict::success, Failure::verdict),
        config: env.options.root.clone(),
        package: progress.package,
        buildroot: progress.root,
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        stages: records,
        usage,
        artifacts: progress.artifacts,
        rejected: progress.rejected,
        limits: env.context.limits.clone(),
        allowed: request.resources.allowed.clone(),
        tools: progress.tools,
    };
    let written = outcome.write(results);
    let failure = match (failure, written) {
        (None, Err(error)) => Some(Failure::infrastructure(
            Stage::Collect,
            status::RESULTDIR,
            format!("outcome.json could not be written to {}", request.resultdir.display()),
            Some(Box::new(error)),
        )),
        (Some(failure), Err(error)) => {
            let text = format!("outcome.json could not be written: {error}");
            env.runner.sink.send(&crate::run::Event::Note { stage: failure.stage, text });
            Some(failure)
        }
        (failure, Ok(())) => failure,
    };
    (outcome, failure)
}

/// Stages of before, without samples: their times do not count from the beginning of the build.
fn earlier(request: &BuildRequest) -> impl Iterator<Item = StageRecord> {
    let without = |record: &StageRecord| StageRecord { samples: Vec::new(), ..record.clone() };
    request.earlier.iter().map(without)
}

fn build(
    env: &Env<'_>,
    request: &BuildRequest,
    results: &ResultDir,
    progress: &mut Progress,
) -> Result<(), Failure> {
    // Read before anything is made: a bad package costs nothing then.
    let input = inspect(&request.source)?;
    if let (Source::Srpm(path), false) = (&request.source, request.only_source)
        && let Ok(package) = SourcePackage::read(path)
    {
        for_this_target(Stage::Srpm, env.options, &package)?;
    }
    let (root, workspace) = env.runner.stage(Stage::Bootstrap, "chroot init", |stage| {
        let root = roots::ensure(env, stage)?;
        let workspace = Workspace::create(env, stage, &root)?;
        Ok((root, workspace))
    })?;
    progress.root = Some(BuildrootOutcome {
        key: root.key.clone(),
        reused: root.reused,
        packages: root.info.packages,
    });
    progress.tools.extend(root.info.tools.clone());
    let jobs = env.context.limits.cpus.map(|limit| commands::jobs(limit.value));
    let build = Build::new(env, request, results, &root, &workspace, jobs);
    let result = build.stages(&input, progress);
    drop(build);
    workspace.end(env, &root, &result);
    result
}

/// Ends builds of packages that are not for the target, as rpmbuild would later.
fn for_this_target(
    stage: Stage,
    options: &MockOptions,
    package: &SourcePackage,
) -> Result<(), Failure> {
    let target = options.rpmbuild_arch.as_deref().unwrap_or(&options.target_arch);
    match package.arches.refusal(target) {
        Some(reason) => Err(Failure::excluded(stage, &package.nvr, target, reason)),
        None => Ok(()),
    }
}

/// What is known of the input without unpacking it.
#[derive(Debug)]
pub struct Input {
    /// Name of the spec file.
    pub spec: String,
    /// What the log calls the input.
    pub name: String,
    /// Name of the package, as far as it can be told from outside: a spec may say another.
    pub package: String,
}

/// Looks at the input without unpacking it.
///
/// # Errors
///
/// It is not usable.
pub fn inspect(source: &Source) -> Result<Input, Failure> {
    let unusable =
        |message: String, cause: Option<Box<dyn std::error::Error + Send + Sync>>| Failure {
            class: Class::Package,
            ..Failure::infrastructure(Stage::Srpm, status::SOURCE_PACKAGE, message, cause)
        };
    match source {
        Source::Srpm(path) => {
            let package = SourcePackage::read(path).map_err(|error| {
                unusable("the source package is not usable".into(), Some(error.into()))
            })?;
            let name = package.nvr.rsplitn(3, '-').last().unwrap_or_default().to_owned();
            Ok(Input {
                spec: package.spec,
                name: format!("{}.src.rpm", package.nvr),
                package: name,
            })
        }
        Source::Spec { spec, sources } => {
            let name = spec.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.ends_with(".spec") || !source::is_plain(name) {
                let message = format!("{} is not the name of a spec file", spec.display());
                return Err(unusable(message, None));
            }
            if !sources.is_dir() {
                let message = format!("{} is not a directory of sources", sources.display());
                return Err(unusable(message, None));
            }
            let package = name.trim_end_matches(".spec").to_owned();
            Ok(Input { spec: name.to_owned(), name: name.to_owned(), package })
        }
    }
}

pub(super) struct Build<'a> {
    pub(super) env: &'a Env<'a>,
    pub(super) request: &'a BuildRequest,
    pub(super) results: &'a ResultDir,
    pub(super) root: &'a Root,
    pub(super) workspace: &'a Workspace,
    /// Jobs that rpmbuild may start, where that is limited.
    pub(super) jobs: Cell<Option<u32>>,
    /// What was required so far.
    pub(super) dependencies: RefCell<Dependencies>,
    /// Whether packages were installed into what is thrown away after this build.
    pub(super) has_own_packages: Cell<bool>,
    /// Checksum of the input.
    pub(super) input_digest: OnceCell<String>,
}

impl<'a> Build<'a> {
    fn new(
        env: &'a Env<'a>,
        request: &'a BuildRequest,
        results: &'a ResultDir,
        root: &'a Root,
        workspace: &'a Workspace,
        jobs: Option<u32>,
    ) -> Build<'a> {
        Build {
            env,
            request,
            results,
            root,
            workspace,
            jobs: Cell::new(jobs),
            dependencies: RefCell::default(),
            has_own_packages: Cell::new(false),
            input_digest: OnceCell::new(),
        }
    }

    fn stages(&self, input: &Input, progress: &mut Progress) -> Result<(), Failure> {
        let runner = self.env.runner;
        let what = format!("buildsrpm {}", input.name);
        let source_package =
            runner.stage(Stage::Srpm, &what, |stage| self.srpm(stage, input, progress))?;
        let package = SourcePackage::read(&source_package).map_err(|error| Failure {
            class: Class::Package,
            ..Failure::infrastructure(
                Stage::Srpm,
                status::BUILD,
                "rpmbuild made a source package that is not usable",
                Some(Box::new(error)),
            )
        })?;
        progress.package = Some(package.nvr.clone());
        if self.request.only_source {
            return Ok(());
        }
        for_this_target(Stage::Srpm, self.env.options, &package)?;

        let built = self.binaries(input, &package, &source_package);
        self.after_build(built.is_err());
        let generates = built?;
        runner.stage(Stage::Collect, "collecting results", |stage| {
            if generates {
                self.collect_source_again(stage, &package.nvr, progress)?;
            }
            self.collect(stage, progress)?;
            match &self.env.options.plugins.sign {
                Some(command) => self.sign(stage, command, &mut progress.artifacts),
                None => Ok(()),
            }
        })
    }

    /// Installs what is required and builds. Says whether requirements were generated.
    fn binaries(
        &self,
        input: &Input,
        package: &SourcePackage,
        source_package: &Path,
    ) -> Result<bool, Failure> {
        let runner = self.env.runner;
        let name = format!("{}.src.rpm", package.nvr);
        let what = format!("build setup for {name}");
        let generates = runner.stage(Stage::Install, &what, |stage| {
            self.install(stage, package, source_package)?;
            let generates = self.generates(package)?;
            // Also if the spec cannot tell what it requires, what was there is known.
            self.list_packages(stage)?;
            if !generates {
                self.before_build(stage, &input.spec)?;
            }
            Ok(generates)
        })?;
        if generates {
            self.generate(package)?;
            // What is told of the buildroot is what the build sees.
            runner.stage(Stage::Install, "listing packages", |stage| {
                self.list_packages(stage)?;
                self.before_build(stage, &input.spec)
            })?;
        }
        let what = format!("rpmbuild {name}");
        runner.stage(Stage::Rpmbuild, &what, |stage| {
            let argv = commands::build_binary(self.env.options, &input.spec, generates);
            self.rpmbuild_binary(stage, argv, generates)
        })?;
        Ok(generates)
    }

    /// Makes the source package; gives its path in the result directory.
    fn srpm(
        &self,
        stage: &StageRun<'_>,
        input: &Input,
        progress: &mut Progress,
    ) -> Result<PathBuf, Failure> {
        let options = self.env.options;
        let inputs = self.workspace.directory(stage, "inputs")?;
        let with_history = options.plugins.rpmautospec.is_some();
        // The rest is for what follows.
        let most = disk::part_of_free(&inputs, 90);
        let go_on = || !stage.is_cancelled();
        let mut copying = Copying::new(with_history, most, &go_on);
        source::stage(&self.request.source, &inputs, &mut copying)
            .map_err(|error| error.failure(stage, "the source could not be copied"))?;
        let digest = source::digest(&inputs)
            .map_err(|error| error.failure(stage, "the source could not be read"))?;
        self.input_digest.get_or_init(|| digest);
        let unpack = commands::take_source(options, &self.request.source);
        let visible = Mount::Bind {
            source: inputs,
            destination: commands::originals(options).into(),
            read_only: true,
        };
        let mut spec = self.build_spec(stage, vec![visible.clone()], unpack)?;
        spec.timeout_ms = Some(600_000);
        let what = "unpacking the source package";
        let finished = self.watched(stage, &spec, Log::Root, what)?;
        if let Some(failure) = classify_command(stage.stage, what, &finished.outcome, &spec.limits)
        {
            return Err(failure);
        }
        if !finished.outcome.exit.success() {
            return Err(unpack_failure(&finished.tail));
        }

        if let (true, Source::Srpm(path)) = (self.request.reuse_source, &self.request.source)
            && self.is_same_source(stage, visible, &input.spec)?
        {
            stage.note("the source package is used as it is");
            return Ok(path.clone());
        }
        if let Some(provision) = &self.request.provision {
            self.bring_missing(stage, provision, &input.spec)?;
        }
        if let Some(autospec) = &options.plugins.rpmautospec {
            self.autospec(stage, autospec, &input.spec)?;
        }
        let argv = commands::build_source(options, &input.spec);
        self.rpmbuild(stage, argv, "rpmbuild -bs")?;
        let collected = self.take(stage, &["SRPMS"], &[])?;
        progress.rejected.extend(collected.rejected);
        let package = collected.artifacts.iter().find(|a| a.name.ends_with("src.rpm")).cloned();
        progress.artifacts.extend(collected.artifacts);
        package.map(|artifact| self.results.path().join(artifact.name)).ok_or_else(|| Failure {
            class: Class::Package,
            ..Failure::infrastructure(
                stage.stage,
                status::BUILD,
                "rpmbuild -bs left no source package",
                None,
            )
        })
    }

    fn list_packages(&self, stage: &StageRun<'_>) -> Result<(), Failure> {
        if !self.env.options.plugins.installed_packages {
            return Ok(());
        }
        let installed = match self.workspace.installed() {
            Some(installed) if !self.has_own_packages.get() => installed,
            _ => packages::installed(self.env, stage, self.workspace.root())?,
        };
        let text: String = installed.iter().flat_map(|line| [line, "\n"]).collect();
        self.record(stage, "installed_pkgs.log", &text)
    }
}

fn unpack_failure(tail: &[String]) -> Failure {
    let mut failure = Failure {
        class: Class::Package,
        ..Failure::infrastructure(
            Stage::Srpm,
            status::SOURCE_PACKAGE,
            "the source package could not be unpacked",
            None,
        )
    };
    failure.evidence = tail[tail.len().saturating_sub(3)..].to_vec();
    failure
}
