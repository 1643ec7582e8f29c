//! `albs-node run`: the build node, from its config to its last signal.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::args::NodeArgs;
use super::error::CliError;
use super::node_config::load;
use super::setup::own_program;
use crate::config::Config;
use crate::node::{Current, Level, Node, NodeError, tell};
use crate::verdict::status;

pub(super) fn run(args: &NodeArgs) -> Result<u8, CliError> {
    let Some(config) = load(args) else { return Ok(status::CONFIG) };
    let program = own_program()?;
    let (from, to) = config.ends();
    let slots = config.threads_count;
    let told = format!(
        "albs-node {} takes tasks of {from} for {slots} slot{}, and uploads to {to}",
        env!("CARGO_PKG_VERSION"),
        if slots == 1 { "" } else { "s" },
    );
    let node = Node::new(current(config)?, program).map_err(unusable)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            let message = format!("the node's threads cannot be started: {error}");
            CliError::new(status::GENERIC, message, None)
        })?;
    tell(Level::Info, told);
    let left = runtime.block_on(async {
        let signals = tokio::spawn(signals(node.clone(), Arc::new(args.clone())));
        let result = node.run().await.map_err(unusable);
        signals.abort();
        result
    })?;
    match left {
        0 => tell(Level::Info, "everything is reported; the node ends"),
        left => {
            tell(Level::Warning, format_args!("the node ends; {left} tasks are left to the next"))
        }
    }
    Ok(0)
}

fn current(config: Config) -> Result<Current, CliError> {
    Current::new(config).map_err(unusable)
}

fn unusable(error: NodeError) -> CliError {
    let hint = match &error {
        NodeError::Outbox(_) => {
            Some("working_dir and albs_node.outbox say where it is; it must belong to this user")
        }
        NodeError::Server(_) | NodeError::Pulp(_) => {
            Some("whom to trust is told by the certificates of the package ca-certificates")
        }
        NodeError::Queue(_) => Some("albs_node.queue or --queue says where it is"),
        NodeError::Control(..) => Some("albs_node.control_socket says where it is"),
        _ => None,
    };
    let hint = hint.map(str::to_owned);
    CliError::new(status::GENERIC, error, hint)
}

/// SIGTERM and SIGINT: no new task, and the second time an end of builds. SIGUSR1: no new task.
/// SIGHUP: another config.
async fn signals(node: Arc<Node>, args: Arc<NodeArgs>) {
    let listen = |kind| signal(kind);
    let all = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
        listen(SignalKind::user_defined1()),
        listen(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut finish), Ok(mut hangup)) = all else {
        tell(Level::Error, "signals cannot be listened to");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => end(&node),
            _ = interrupt.recv() => end(&node),
            _ = finish.recv() => {
                tell(Level::Info, "SIGUSR1: no task is taken any more");
                node.finish();
            }
            _ = hangup.recv() => tokio::task::block_in_place(|| reread(&node, &args)),
        }
    }
}

fn end(node: &Node) {
    node.stop();
    tell(
        Level::Info,
        match node.is_cancelling() {
            false => "no task is taken any more; those that are held are finished and reported",
            true => {
                "builds are ended, and start again with the next node; what is built is delivered"
            }
        },
    );
}

fn reread(node: &Node, args: &NodeArgs) {
    match load(args).map(Current::new) {
        None => tell(Level::Error, "SIGHUP: the config has errors; the old one counts"),
        Some(Err(error)) => tell(
            Level::Error,
            format_args!("SIGHUP: the old config counts: {}", crate::causes::with_causes(&error)),
        ),
        Some(Ok(new)) => {
            node.reconfigure(new);
            tell(Level::Info, "SIGHUP: the config was read again");
        }
    }
}
