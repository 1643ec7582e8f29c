//! `albs-node build`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sandbox::spec::Limits;

use super::args;
use super::error::CliError;
use super::output::{bytes, cost, note, print, sink};
use super::setup::{Setup, StoreUse};
use super::{signals, tidy};
use crate::build::outcome::BuildOutcome;
use crate::build::{self, BuildRequest};
use crate::buildroot::keep::HOST_POLICY;
use crate::mock_config::Compression;
use crate::resources::Resource;
use crate::run::{Cancel, Logs, ResultDir};
use crate::source::Source;
use crate::verdict::status;

pub(super) fn run(args: &args::Build) -> Result<u8, CliError> {
    let sources = sources(args)?;
    let store = if args.plan { StoreUse::Look } else { StoreUse::Make };
    let setup = Setup::new(&args.common, store)?;
    let cancel = Cancel::default();
    let _signals = signals::cancel(cancel.clone());
    let several = sources.len() > 1;
    let mut worst = Ok(0);
    for source in sources {
        if cancel.is_cancelled() {
            break;
        }
        let request = request(args, &setup, source, several)?;
        if args.plan {
            print_plan(&setup, &request)?;
        } else if let Err(error) = one(args, &setup, &request, &cancel) {
            // The others are built all the same; the first failure gives the status.
            if several {
                error.print();
            }
            worst = worst.and(Err(error));
        }
    }
    if !args.plan {
        tidy::start_if_due(setup.store(), Path::new(HOST_POLICY));
    }
    match worst {
        Err(error) if several => Ok(error.status()),
        // Stopped between two builds.
        Ok(_) if cancel.is_cancelled() => Ok(cancel.status()),
        result => result,
    }
}

fn one(
    args: &args::Build,
    setup: &Setup,
    request: &BuildRequest,
    cancel: &Cancel,
) -> Result<(), CliError> {
    let unusable = |error: std::io::Error| {
        let message = format!("cannot use the result directory {}", request.resultdir.display());
        CliError::new(status::RESULTDIR, Caused { message, source: error }, None)
    };
    let results = ResultDir::open(&request.resultdir).map_err(unusable)?;
    // An outcome of an earlier build must not be taken for that of this one.
    results.remove(build::outcome::FILE).map_err(unusable)?;
    let logs = Logs::create(&results, request.resources.number(Resource::Log)).map_err(unusable)?;
    let resources = &request.resources;
    let runner = setup.runner(&resources.limits(), cancel.clone(), sink(&args.common), logs);
    let (outcome, failure) = build::run(&setup.env(&runner, Some(resources)), request, &results);
    // With it, the logs are closed.
    drop(runner);
    let compressed = setup.options.plugins.compress_logs;
    if let Some(compression) = compressed
        && let Err(error) = build::plugins::compress_logs(&results, compression)
    {
        note(format_args!("the logs could not be compressed: {error}"));
    }
    if args.common.json {
        print(serde_json::json!({ "event": "finished", "outcome": outcome }));
    }
    match failure {
        None => {
            if !args.common.quiet && !args.common.json {
                report(&outcome, &request.resultdir);
            }
            Ok(())
        }
        Some(failure) => {
            let stage = failure.stage;
            let error = CliError::from(failure);
            let log = match stage {
                crate::verdict::Stage::Rpmbuild | crate::verdict::Stage::Srpm => "build.log",
                _ => "root.log",
            };
            let log = match compressed {
                Some(Compression::Gzip) => format!("{log}.gz"),
                Some(Compression::Xz) => format!("{log}.xz"),
                None => log.to_owned(),
            };
            Err(error.with_log(request.resultdir.join(log)))
        }
    }
}

fn report(outcome: &BuildOutcome, resultdir: &Path) {
    print(format_args!(
        "built {} in {:.1} s ({})",
        outcome.package.as_deref().unwrap_or("the package"),
        outcome.seconds,
        cost(&outcome.usage)
    ));
    for artifact in &outcome.artifacts {
        let path = resultdir.join(&artifact.name);
        print(format_args!("  {}  {}", path.display(), bytes(artifact.bytes)));
    }
}

fn print_plan(setup: &Setup, request: &BuildRequest) -> Result<(), CliError> {
    let input = build::inspect(&request.source)?;
    let runner = setup.runner(
        &Limits::default(),
        Cancel::default(),
        crate::run::Sink::new(|_| {}),
        Logs::none(),
    );
    let plan =
        build::plan::plan(&setup.env(&runner, Some(&request.resources)), request, &input.spec)
            .map_err(|error| CliError::new(status::GENERIC, error, None))?;
    let text = serde_json::to_string_pretty(&plan)
        .map_err(|error| CliError::new(status::GENERIC, error, None))?;
    print(text);
    Ok(())
}

fn sources(args: &args::Build) -> Result<Vec<Source>, CliError> {
    if let (Some(spec), Some(sources)) = (&args.spec, &args.sources) {
        return Ok(vec![Source::Spec { spec: existing(spec)?, sources: existing(sources)? }]);
    }
    // Each gets a result directory of its name.
    let name = |path: &PathBuf| path.file_name().map(OsStr::to_owned);
    if let Some(path) = args.packages.iter().enumerate().find_map(|(index, path)| {
        args.packages[..index].iter().any(|earlier| name(earlier) == name(path)).then_some(path)
    }) {
        let message = format!("two source packages are called {}", path.display());
        let hint = Some("build them one after the other".to_owned());
        return Err(CliError::new(status::COMMAND_LINE, message, hint));
    }
    args.packages.iter().map(|path| existing(path).map(Source::Srpm)).collect()
}

fn existing(path: &Path) -> Result<PathBuf, CliError> {
    path.canonicalize().map_err(|source| {
        let message = format!("cannot read {}", path.display());
        CliError::new(status::COMMAND_LINE, Caused { message, source }, None)
    })
}

fn request(
    args: &args::Build,
    setup: &Setup,
    source: Source,
    several: bool,
) -> Result<BuildRequest, CliError> {
    let configured = setup.options.resultdir.as_ref().map(PathBuf::from);
    let directory = args.resultdir.clone().or(configured).unwrap_or_else(|| "result".into());
    let mut resultdir = std::path::absolute(&directory).map_err(|source| {
        let message = format!("cannot use the result directory {}", directory.display());
        CliError::new(status::RESULTDIR, Caused { message, source }, None)
    })?;
    if let (true, Source::Srpm(path)) = (several, &source) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("package");
        resultdir.push(name.trim_end_matches(".rpm").trim_end_matches(".src"));
    }
    let configured = Some(setup.options.rpmbuild_timeout).filter(|seconds| *seconds > 0);
    // A source that is not usable is told by the build, which writes an outcome then.
    let package = build::inspect(&source).ok().map(|input| input.package);
    Ok(BuildRequest {
        source,
        resultdir,
        defines: args.defines.clone(),
        resources: args.resources.effective(
            package.as_deref(),
            configured,
            setup.store().path(),
        )?,
        network: setup.options.has_network(),
        reuse_source: false,
        provision: None,
        earlier: Vec::new(),
        only_source: args.only_source,
    })
}

/// A sentence and its cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Caused {
    pub(super) message: String,
    pub(super) source: std::io::Error,
}
