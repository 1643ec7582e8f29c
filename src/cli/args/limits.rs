//! What can be typed about limits and usage.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::StoreArgs;
use crate::cli::size;
use crate::resources::{HOST_POLICY, Resource};

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct LimitArgs {
    /// Memory limit of every stage in bytes, or with K, M, G, T (powers of 1024).
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::cli) memory: Option<u64>,
    /// Limit on the number of processes and threads of every stage.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) pids: Option<u64>,
    /// Limit on processors of every stage; also sets how many jobs rpmbuild starts.
    #[arg(long, value_name = "N", value_parser = size::parse_cpus)]
    pub(in crate::cli) cpus: Option<f64>,
}

/// What decides of the limits of a build.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ResourceArgs {
    #[command(flatten)]
    pub(in crate::cli) limits: LimitArgs,
    /// Class of resources: default, small, large, nested, or one of /etc/albs-node/resources.toml
    /// [default: by the name of the package].
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) class: Option<String>,
    /// Kill rpmbuild after this time; 0 is no limit [default: rpmbuild_timeout of the config, or
    /// the class].
    #[arg(long, value_name = "SECS", value_parser = size::parse_timeout)]
    pub(in crate::cli) timeout: Option<u64>,
    /// Kill rpmbuild when it has written nothing for this time; 0 is no limit.
    #[arg(long, value_name = "SECS", value_parser = size::parse_timeout)]
    pub(in crate::cli) silence: Option<u64>,
    /// Limit on what every stage reads from the disk in a second, in bytes, or with K, M, G, T.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::cli) io_read: Option<u64>,
    /// Limit on what every stage writes to the disk in a second, in bytes, or with K, M, G, T.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::cli) io_write: Option<u64>,
    /// Limit on what rpmbuild writes in bytes, or with K, M, G, T.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::cli) disk: Option<u64>,
    /// Limit on files, directories and links that rpmbuild makes.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) inodes: Option<u64>,
    /// Bytes of each log that are kept, the beginning and the end; or with K, M, G, T.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::cli) log_size: Option<u64>,
    /// Any limit by its name in resources.toml, such as swap=0 or open_files=4096; "none" lifts it.
    #[arg(long = "limit", value_name = "NAME=AMOUNT", value_parser = super::super::limits::parse)]
    pub(in crate::cli) named: Vec<(Resource, Option<f64>)>,
    /// Classes of this host, over those of the program.
    #[arg(long, value_name = "FILE", default_value = HOST_POLICY)]
    pub(in crate::cli) resources: PathBuf,
    /// Number of builds at a time on this host, by which shares of it are divided. With more than one,
    /// `shared` limits of classes count.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) slots: u32,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LimitsCommand {
    /// Show the limits of a build on this host, and where each comes from.
    Show(LimitsShow),
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct LimitsShow {
    /// Those of the node with this config: its slots, its store, its own limits.
    #[arg(short = 'c', long, value_name = "FILE", conflicts_with_all = ["resources", "slots", "store"])]
    pub(in crate::cli) config: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) resources: ResourceArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Name of the source package.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) package: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Usage {
    /// Draw an SVG instead of text.
    #[arg(long)]
    pub(in crate::cli) svg: bool,
    /// Result directory of a build.
    #[arg(value_name = "RESULTDIR")]
    pub(in crate::cli) resultdir: PathBuf,
}
