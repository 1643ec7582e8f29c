//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::size;

/// Builds RPM packages in a sandbox of its own: rootless, limited, accounted.
#[derive(Debug, Parser)]
#[command(name = "albs-node", version, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run commands in the sandbox directly, for debugging and measuring.
    Sandbox {
        #[command(subcommand)]
        command: SandboxCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SandboxCommand {
    /// Run one command. Exit status is the command's; 125 if it could not start, 124 if the time
    /// limit ended it, 137 if it was killed.
    Run(SandboxRun),
}

#[derive(Debug, ClapArgs)]
pub(super) struct SandboxRun {
    /// Directory that becomes /; without it, the host's own / is seen read-only.
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Make a path of the host visible inside, at the same place unless DST says otherwise.
    #[arg(long = "bind", value_name = "SRC[:DST[:ro]]")]
    pub(super) binds: Vec<String>,
    /// What of the network is visible.
    #[arg(long, value_enum, default_value = "none")]
    pub(super) net: Net,
    /// Memory limit in bytes, or with K, M, G, T (powers of 1024).
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(super) memory: Option<u64>,
    /// Limit on the number of processes and threads.
    #[arg(long, value_name = "N")]
    pub(super) pids: Option<u64>,
    /// Limit on processors, for example 1.5.
    #[arg(long, value_name = "N", value_parser = size::parse_cpus)]
    pub(super) cpus: Option<f64>,
    /// Kill everything after this time.
    #[arg(long, value_name = "SECS", value_parser = size::parse_seconds)]
    pub(super) timeout: Option<u64>,
    /// Print the plan as JSON instead of running it.
    #[arg(long)]
    pub(super) plan: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Net {
    /// Loopback only.
    None,
    /// The host's network.
    Host,
}
