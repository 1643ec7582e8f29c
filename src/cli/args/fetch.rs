//! What can be typed for getting sources.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use ipnet::IpNet;

use super::StoreArgs;
use crate::resources::HOST_POLICY;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Fetch {
    /// Address of a git repository, or of a source package.
    pub(in crate::cli) url: String,
    /// Where it goes; made, or empty [default: the name of the package].
    pub(in crate::cli) directory: Option<PathBuf>,
    /// Branch, tag or other ref [default: the server's own branch].
    #[arg(long = "ref", value_name = "REF")]
    pub(in crate::cli) reference: Option<String>,
    /// The commit, in place of a ref.
    #[arg(long, value_name = "HASH")]
    pub(in crate::cli) commit: Option<String>,
    /// The spec, if there are several.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) spec: Option<String>,
    /// Get the whole history, and keep it beside the spec.
    #[arg(long)]
    pub(in crate::cli) history: bool,
    /// What the SHA-256 of a source package must be.
    #[arg(long, value_name = "HASH")]
    pub(in crate::cli) sha256: Option<String>,
    /// A private network that sources may come from, as 10.0.0.0/8.
    #[arg(long, value_name = "NETWORK")]
    pub(in crate::cli) private_network: Vec<IpNet>,
    /// File with the places of lookasides, in place of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) lookasides: Option<PathBuf>,
    /// Get what pointers of git LFS point to.
    #[arg(long)]
    pub(in crate::cli) lfs: bool,
    /// Classes of this host, over those of the program; git has the limits of `default`.
    #[arg(long, value_name = "FILE", default_value = HOST_POLICY)]
    pub(in crate::cli) resources: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Show errors only.
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,
}
