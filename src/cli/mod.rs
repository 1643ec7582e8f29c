//! Command line: arguments, human output, exit codes. Nothing else prints.

mod args;
mod build;
mod buildroot;
mod clean;
mod config;
mod doctor;
mod error;
mod fetch;
mod limits;
mod memory;
mod node;
mod node_config;
mod node_control;
mod output;
mod root;
mod sandbox_run;
mod setup;
mod signals;
mod size;
mod terminal;
mod tidy;
mod usage;
mod work;

use std::process::ExitCode;

use clap::Parser;

pub use error::CliError;

use crate::verdict::status;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap's own status 2 means something else to callers of mock.
            let status = if error.use_stderr() { status::COMMAND_LINE } else { 0 };
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    match run(&args) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            error.print();
            ExitCode::from(error.status())
        }
    }
}

fn run(args: &args::Args) -> Result<u8, CliError> {
    use args::{Command, LimitsCommand, SandboxCommand};
    match &args.command {
        Command::Build(args) => build::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Init(args) => root::init(args),
        Command::Shell(args) => root::shell(args),
        Command::Install(args) => root::install(args),
        Command::Clean(args) => clean::run(args),
        Command::Buildroot { command } => buildroot::run(command),
        Command::Config { command } => config::run(command),
        Command::ConfigCheck(args) => node_config::check(args),
        Command::Run(args) => node::run(args),
        Command::Status(args) => node_control::status(args),
        Command::Tasks(args) => node_control::tasks(args),
        Command::Logs(args) => node_control::logs(args),
        Command::Cancel(args) => node_control::cancel(args),
        Command::Work(args) => work::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Limits { command: LimitsCommand::Show(args) } => limits::show(args),
        Command::Usage(args) => usage::run(args),
        Command::Sandbox { command: SandboxCommand::Run(args) } => sandbox_run::run(args),
        Command::Helper { task } => helper(task),
    }
}

/// Inside a maintenance sandbox; what is printed goes to the log of the build.
fn helper(task: &str) -> Result<u8, CliError> {
    let task = serde_json::from_str(task)
        .map_err(|error| CliError::new(status::COMMAND_LINE, error, None))?;
    match crate::helper::run(&task) {
        Ok(()) => Ok(0),
        Err(error) => {
            output::complain(error);
            Ok(status::GENERIC)
        }
    }
}
