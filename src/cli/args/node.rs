//! What can be typed for the build node.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use crate::config::Flags;

/// The options of the Python build node.
#[derive(Debug, Clone, Default, ClapArgs)]
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
    /// A directory to take tasks from and bring everything to, in place of albs-web-server and Pulp.
    #[arg(long, value_name = "DIR")]
    queue: Option<PathBuf>,
    /// Tell more.
    #[arg(short, long)]
    pub(in crate::cli) verbose: bool,
}

impl NodeArgs {
    /// A config alone.
    pub(in crate::cli) fn of(config: &Path) -> NodeArgs {
        NodeArgs { config: Some(config.to_owned()), ..NodeArgs::default() }
    }

    /// What goes before the config.
    pub(in crate::cli) fn flags(&self) -> Flags {
        // The config has absolute paths only; here the reader's directory is meant.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Flags {
            id: self.id.clone(),
            master: self.master.clone(),
            threads: self.threads,
            working_dir: self.working_dir.as_ref().map(absolute),
            queue: self.queue.as_ref().map(absolute),
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ConfigCheck {
    #[command(flatten)]
    pub(in crate::cli) node: NodeArgs,
}

/// How a running node is found.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct NodeAsk {
    /// The config of the node, which says where its socket is.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// The socket of the node, in place of control_socket.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct NodeStatus {
    #[command(flatten)]
    pub(in crate::cli) node: NodeAsk,
    /// Show it again every second.
    #[arg(long)]
    pub(in crate::cli) watch: bool,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct NodeLogs {
    #[command(flatten)]
    pub(in crate::cli) node: NodeAsk,
    /// Go on as the log grows, until the task is gone.
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// Number of the task.
    #[arg(value_name = "TASK")]
    pub(in crate::cli) task: i64,
    /// The log: task, build, root, state, worker.
    #[arg(value_name = "LOG", default_value = "task")]
    pub(in crate::cli) log: String,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct NodeCancel {
    #[command(flatten)]
    pub(in crate::cli) node: NodeAsk,
    /// Number of the task.
    #[arg(value_name = "TASK")]
    pub(in crate::cli) task: i64,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Work {
    /// The task's directory.
    #[arg(value_name = "DIR")]
    pub(in crate::cli) directory: PathBuf,
}
