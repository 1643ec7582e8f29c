//! `albs-node config`: looking at configs without building anything.

mod check;
mod diff;
mod from_task;
mod list;
mod show;

use std::path::PathBuf;

use sandbox::HostFacts;

use super::args::{ConfigCommand, ConfigSource};
use super::error::CliError;
use super::memory::MemoryWatch;
use super::setup::{host_view, load_request};
use crate::mock_config::{HostView, LoadRequest};

pub(super) fn run(command: &ConfigCommand) -> Result<u8, CliError> {
    let _watch = MemoryWatch::start();
    match command {
        ConfigCommand::Show(args) => show::run(args),
        ConfigCommand::List(args) => list::run(args),
        ConfigCommand::Check(args) => check::run(args),
        ConfigCommand::Diff(args) => diff::run(args),
        ConfigCommand::FromTask(args) => from_task::run(args),
    }
}

fn this_host() -> Result<HostView, CliError> {
    host_view(&HostFacts::probe())
}

fn request(source: &ConfigSource, host: HostView) -> LoadRequest {
    load_request(&source.config, source.configdir.clone(), source.config_opts.clone(), host)
}

/// A request for a config by its name alone.
fn named(name: &str, configdir: Option<PathBuf>, host: HostView) -> LoadRequest {
    load_request(name, configdir, Vec::new(), host)
}
