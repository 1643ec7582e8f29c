//! What can be typed for the build node.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::config::Flags;

/// The options of the Python build node.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct NodeArgs {
    /// The config [default: ~/.config/castor/build_node.yml, if it exists].
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// Name of the node; without effect, as the key node_id.
    #[arg(short, long, value_name = "NAME")]
    id: Option<String>,
    /// Address of albs-web-server's API, in place of master_url.
    #[arg(short, long, value_name = "URL")]
    master: Option<String>,
    /// How many builds run at the same time, in place of threads_count.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    threads: Option<u64>,
    /// Where the node keeps everything, in place of working_dir.
    #[arg(short, long, value_name = "DIR")]
    working_dir: Option<PathBuf>,
    /// Tell more.
    #[arg(short, long)]
    pub(in crate::cli) verbose: bool,
}

impl NodeArgs {
    /// What goes before the config.
    pub(in crate::cli) fn flags(&self) -> Flags {
        // The config has absolute paths only; here the reader's directory is meant.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Flags {
            id: self.id.clone(),
            master: self.master.clone(),
            threads: self.threads,
            working_dir: self.working_dir.as_ref().map(absolute),
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ConfigCheck {
    #[command(flatten)]
    pub(in crate::cli) node: NodeArgs,
}
