//! `albs-node fetch`: gets a source as the node does.

use std::path::{Path, PathBuf};

use super::args;
use super::error::CliError;
use super::output::{print, sink_of};
use super::setup::{StoreUse, host_with_groups, maintenance_context, own_program, store_of};
use super::signals;
use crate::buildroot::remove;
use crate::buildroot::sandboxes::Context;
use crate::buildroot::scratch::Tools;
use crate::fetch::{FetchRequest, GitRequest, Places, Wanted, package_of};
use crate::resources::{HostSize, Policy, effective};
use crate::run::{Cancel, Logs, Runner};
use crate::source::Source;
use crate::verdict::status;

pub(super) fn run(args: &args::Fetch) -> Result<u8, CliError> {
    let directory = args.directory.clone().unwrap_or_else(|| name_of(&args.url));
    let wrong = |message: String| CliError::new(status::COMMAND_LINE, message, None);
    if std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(wrong(format!("{} is not empty", directory.display())));
    }
    if let Some(file) = args.lookasides.as_ref().filter(|file| !file.exists()) {
        return Err(wrong(format!("there is no {}", file.display())));
    }
    let host = host_with_groups();
    let store = store_of(&args.store, None, &host, StoreUse::Make)?;
    let (context, program) = (maintenance_context(host.clone()), own_program()?);
    sandbox::cgroup::sweep(&context.host.cgroup);
    remove::sweep(&context, &program, &store);
    let cancel = Cancel::default();
    let _signals = signals::cancel(cancel.clone());
    let sink = sink_of(args.quiet, false, false);
    let resources = Policy::load(&args.resources)
        .and_then(|policy| effective(&policy, &HostSize::probe(1, store.path()), None, None, &[]))
        .map_err(|error| CliError::new(status::CONFIG, error, None))?;
    let limits = resources.limits();
    let runner = Runner::new(host, &limits, cancel, sink, Logs::none());
    let context = Context { limits, ..context };
    let tools = Tools { context: &context, program: &program, store: &store };
    let request = FetchRequest {
        wanted: wanted(args),
        places: Places {
            private_networks: args.private_network.clone(),
            sources: Some(store.path().join(crate::fetch::SOURCES_OF_STORE)),
            mirrors: Some(store.path().join(crate::fetch::MIRRORS_OF_STORE)),
            lookasides: args.lookasides.clone().unwrap_or_default(),
            lfs: args.lfs,
        },
    };
    let fetched = crate::fetch::fetch(&runner, tools, &request, &directory)?;
    match &fetched.source {
        Source::Srpm(path) => print(path.display()),
        Source::Spec { spec, sources } => {
            print(format_args!("spec     {}", spec.display()));
            print(format_args!("sources  {}", sources.display()));
        }
    }
    if let Some(commit) = &fetched.commit {
        print(format_args!("commit   {commit}"));
    }
    Ok(0)
}

fn wanted(args: &args::Fetch) -> Wanted {
    let url = args.url.clone();
    if url.ends_with(".src.rpm") {
        return Wanted::Package { url, sha256: args.sha256.clone() };
    }
    Wanted::Repository(GitRequest {
        url,
        reference: args.reference.clone(),
        is_branch: None,
        commit: args.commit.clone(),
        history: args.history,
        spec: args.spec.clone(),
    })
}

/// A directory that is named as the package.
fn name_of(url: &str) -> PathBuf {
    let name = package_of(url);
    let name = name.strip_suffix(".src.rpm").unwrap_or(name);
    let is_good = crate::source::is_plain(name);
    Path::new(if is_good { name } else { "source" }).to_owned()
}
