//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

mod buildroot;
mod clean;
mod fetch;
mod limits;
mod node;

pub(super) use buildroot::{
    BuildrootCommand, BuildrootExplain, BuildrootGc, BuildrootList, BuildrootVerify,
};
pub(super) use clean::{Clean, Scrub};
pub(super) use fetch::Fetch;
pub(super) use limits::{LimitArgs, LimitsCommand, LimitsShow, ResourceArgs, Usage};
pub(super) use node::{
    ConfigCheck as NodeConfigCheck, NodeArgs, NodeAsk, NodeCancel, NodeLogs, NodeStatus, Work,
};

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
    /// Build source packages, or a spec with its sources, into packages.
    Build(Box<Build>),
    /// Get a source as the node does: a git repository with what it lists of a lookaside, or a
    /// source package.
    Fetch(Box<Fetch>),
    /// Make the buildroot of a config, if it is missing.
    Init(Init),
    /// Open a shell, or run a command, in the buildroot of a config.
    Shell(Shell),
    /// Install packages into the buildroot that `shell` uses.
    Install(Install),
    /// Remove the buildroots of a config, or all.
    Clean(Clean),
    /// Look at and tidy what is kept of buildroots.
    Buildroot {
        #[command(subcommand)]
        command: BuildrootCommand,
    },
    /// Look at configs: show, list, check and compare them.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check the config of the build node, build_node.yml, and print what counts. Exit status 3 if
    /// the node could not start with it.
    ConfigCheck(NodeConfigCheck),
    /// Be the build node: take tasks of albs-web-server, build them, upload and report.
    Run(NodeArgs),
    /// Show what the node does.
    Status(NodeStatus),
    /// List the tasks that the node holds.
    Tasks(NodeAsk),
    /// Print the log of a task that the node holds.
    Logs(NodeLogs),
    /// End a task that the node holds; it is reported as failed.
    Cancel(NodeCancel),
    /// Build one task of the node's outbox.
    #[command(hide = true)]
    Work(Work),
    /// Look at what of this host matters for builds, and how to get what is missing. Exit status 1
    /// if nothing can be built.
    Doctor(Doctor),
    /// Look at the limits of builds.
    Limits {
        #[command(subcommand)]
        command: LimitsCommand,
    },
    /// Draw what a build has used over time.
    Usage(Usage),
    /// Run commands in the sandbox directly, for debugging and measuring.
    Sandbox {
        #[command(subcommand)]
        command: SandboxCommand,
    },
    /// Works on buildroots from inside a sandbox.
    #[command(hide = true)]
    Helper {
        /// The task, as JSON.
        task: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Build for this architecture, which the host runs as well: i686 on x86_64.
    #[arg(long, value_name = "ARCH")]
    pub(super) arch: Option<String>,
    /// Emulate this architecture, which the host does not run.
    #[arg(long, value_name = "ARCH")]
    pub(super) forcearch: Option<String>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Ask no repository and no registry: use what is kept, however old, and say what is missing.
    #[arg(long)]
    pub(super) offline: bool,
    /// Show what the commands write.
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Show errors only.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Print events as JSON, one a line, instead of progress.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct StoreArgs {
    /// Where buildroots are kept [default: /var/lib/albs-node-root for root, else ~/.cache/albs-node].
    #[arg(long, value_name = "DIR", env = "ALBS_NODE_STORE")]
    pub(super) store: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Build {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) resources: ResourceArgs,
    /// Where packages and logs go. With several source packages, each gets a directory in it.
    /// [default: resultdir of the config, or ./result].
    #[arg(long, value_name = "DIR")]
    pub(super) resultdir: Option<PathBuf>,
    /// Define a macro.
    #[arg(short = 'D', long = "define", value_name = "'NAME VALUE'", value_parser = define)]
    pub(super) defines: Vec<(String, String)>,
    /// Build this spec file.
    #[arg(long, value_name = "FILE", requires = "sources", conflicts_with = "packages")]
    pub(super) spec: Option<PathBuf>,
    /// Directory with the sources of the spec file.
    #[arg(long, value_name = "DIR", requires = "spec")]
    pub(super) sources: Option<PathBuf>,
    /// Make the source package only.
    #[arg(long)]
    pub(super) only_source: bool,
    /// Print what would be done as JSON, and do nothing.
    #[arg(long)]
    pub(super) plan: bool,
    /// Source packages.
    #[arg(value_name = "SRPM", required_unless_present = "spec")]
    pub(super) packages: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Doctor {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Init {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Shell {
    #[command(flatten)]
    pub(super) common: Common,
    /// Be the unprivileged build user instead of root.
    #[arg(long)]
    pub(super) unpriv: bool,
    /// The command and its arguments; without one, a login shell.
    #[arg(last = true, value_name = "CMD")]
    pub(super) command: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Install {
    #[command(flatten)]
    pub(super) common: Common,
    /// Names, capabilities, or paths of packages.
    #[arg(required = true, value_name = "PACKAGE")]
    pub(super) packages: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print what a config sets, with its templates expanded.
    Show(ConfigShow),
    /// List all configs, and which of them this host can build.
    List(ConfigList),
    /// Say what is wrong with configs. Exit status 3 if there are errors.
    Check(ConfigCheck),
    /// Print what two configs do differently. Exit status 1 if they differ.
    Diff(ConfigDiff),
    /// Print the config that a build task of albs-web-server carries.
    FromTask(ConfigFromTask),
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigSource {
    /// Mock config: a name, or the path of a .cfg file.
    #[arg(short = 'r', long = "root", value_name = "CONFIG")]
    pub(super) config: String,
    /// Search configs in this directory only.
    #[arg(long, value_name = "DIR")]
    pub(super) configdir: Option<PathBuf>,
    /// Override an option of the config.
    #[arg(long = "config-opts", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) config_opts: Vec<(String, String)>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigShow {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Print every option as JSON, also those that are as by default.
    #[arg(long)]
    pub(super) json: bool,
    /// Leave templates as they are written.
    #[arg(long)]
    pub(super) raw: bool,
    /// Print this option alone, such as dnf.conf.
    #[arg(long, value_name = "NAME")]
    pub(super) option: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigList {
    /// Search configs in this directory only.
    #[arg(long, value_name = "DIR")]
    pub(super) configdir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigCheck {
    /// Search configs and templates in this directory only.
    #[arg(long, value_name = "DIR")]
    pub(super) configdir: Option<PathBuf>,
    /// Fail on warnings as well.
    #[arg(long)]
    pub(super) strict: bool,
    /// Names, or paths of .cfg files.
    #[arg(required = true, value_name = "CONFIG")]
    pub(super) configs: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigDiff {
    /// Search configs in this directory only.
    #[arg(long, value_name = "DIR")]
    pub(super) configdir: Option<PathBuf>,
    /// Compare templates as they are written.
    #[arg(long)]
    pub(super) raw: bool,
    /// The one config.
    #[arg(value_name = "A")]
    pub(super) old: String,
    /// The other.
    #[arg(value_name = "B")]
    pub(super) new: String,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConfigFromTask {
    /// The architecture of a task that only makes a source package [default: this machine's].
    #[arg(long, value_name = "ARCH")]
    pub(super) arch: Option<String>,
    /// The task as JSON; - is standard input.
    #[arg(value_name = "TASK.json")]
    pub(super) task: PathBuf,
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
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    /// Kill everything after this time.
    #[arg(long, value_name = "SECS", value_parser = size::parse_timeout)]
    pub(super) timeout: Option<u64>,
    /// Print the plan as JSON, and do nothing.
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
    /// What the host reaches, but not the host; needs pasta or slirp4netns.
    Filtered,
    /// The host's network.
    Host,
}

/// `NAME VALUE`, as rpm's and mock's --define take it.
fn define(text: &str) -> Result<(String, String), String> {
    let text = text.trim_start();
    let (name, value) = text.split_once(char::is_whitespace).ok_or_else(|| {
        "a name and a value are expected, separated by a blank: -D 'dist .el9'".to_owned()
    })?;
    let plain = name.trim_start_matches('%');
    let start = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let base = plain.split('(').next().unwrap_or_default();
    if !start || !base.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("{name:?} is not the name of a macro"));
    }
    Ok((plain.to_owned(), value.trim().to_owned()))
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn defines() {
        assert_eq!(define("dist .el9"), Ok(("dist".into(), ".el9".into())));
        assert_eq!(define("%f(x) %{1} a"), Ok(("f(x)".into(), "%{1} a".into())));
        for bad in ["dist", "1x y", "a-b c", "%{x} y"] {
            assert!(define(bad).is_err(), "{bad}");
        }
    }
}
