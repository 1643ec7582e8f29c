//! Arguments of `albs-node buildroot`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{Common, StoreArgs};
use crate::buildroot::keep::HOST_POLICY;
use crate::cli::size;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BuildrootCommand {
    /// List what is kept: size, age, last use, and who uses it.
    List(BuildrootList),
    /// Say what decides the content of a config's buildroot, and whether it is there; for a source
    /// package, also whether its dependencies are.
    Explain(Box<BuildrootExplain>),
    /// Remove what was not used for long, and what does not fit; without limits here, by the
    /// policy of this host. Builds start this, and do not wait for it.
    Gc(BuildrootGc),
    /// Compare everything that is kept with what was put there. What has changed is removed, unless
    /// it is in use, and made anew when it is needed. Exit status 1 if something has.
    Verify(BuildrootVerify),
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct BuildrootList {
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct BuildrootExplain {
    #[command(flatten)]
    pub(in crate::cli) common: Common,
    /// Source package.
    #[arg(value_name = "SRPM")]
    pub(in crate::cli) package: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct BuildrootGc {
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Keep at most so many bytes, or with K, M, G, T.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(in crate::cli) max_size: Option<u64>,
    /// Where less is free on the store's file system, remove until half as much more is.
    #[arg(long, value_name = "SIZE", value_parser = size::parse_or_zero)]
    pub(in crate::cli) min_free: Option<u64>,
    /// The same for inodes.
    #[arg(long, value_name = "NUMBER")]
    pub(in crate::cli) min_free_inodes: Option<u64>,
    /// Remove what was not used for this time: seconds, or with m, h, d.
    #[arg(long, value_name = "TIME", value_parser = size::parse_age)]
    pub(in crate::cli) max_age: Option<u64>,
    /// The policy where none of these is given.
    #[arg(long, value_name = "FILE", default_value = HOST_POLICY)]
    pub(in crate::cli) policy: PathBuf,
    /// Sources that may go for that, before buildroots do.
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    pub(in crate::cli) source_cache: Option<PathBuf>,
    /// Mirrors of repositories that may go for that, if nobody has used them for six hours.
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    pub(in crate::cli) git_cache: Option<PathBuf>,
    /// Say what would be removed.
    #[arg(short = 'n', long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct BuildrootVerify {
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
}
