//! Arguments of `albs-node clean`.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, ValueEnum};

use super::StoreArgs;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Clean {
    /// Mock config whose buildroots are removed.
    #[arg(short = 'r', long = "root", value_name = "CONFIG", required_unless_present = "all")]
    pub(in crate::cli) config: Option<String>,
    /// Search configs in this directory only.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) configdir: Option<PathBuf>,
    /// Remove everything in the store.
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "config")]
    pub(in crate::cli) all: bool,
    /// Remove only this of it; can be given several times.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(in crate::cli) scrub: Vec<Scrub>,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
}

/// What `--scrub` removes, in mock's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Scrub {
    /// Everything.
    All,
    /// What shells, `install` and kept builds have left over the buildroot.
    Chroot,
    /// The bootstrap root.
    Bootstrap,
    /// Buildroots, packages and what compilers keep.
    Cache,
    /// The buildroots and the build dependencies over them.
    RootCache,
    /// What compilers keep.
    CCache,
    /// Downloaded packages and metadata.
    DnfCache,
    /// The same.
    YumCache,
}
