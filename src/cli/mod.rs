//! Command line: arguments, human output, exit codes. Nothing else prints.

mod args;
mod error;
mod sandbox_run;
mod signals;
mod size;

use std::process::ExitCode;

use clap::Parser;

pub use error::CliError;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap's own status 2 means something else to callers of mock.
            let status = if error.use_stderr() { error::COMMAND_LINE } else { 0 };
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
    match &args.command {
        args::Command::Sandbox { command: args::SandboxCommand::Run(run) } => sandbox_run::run(run),
    }
}
