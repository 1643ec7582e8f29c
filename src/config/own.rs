//! The section `albs_node`: what the Python node has no key for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::facts::Facts;
use super::problem::Severity;
use super::reader::{Problems, Section, told};
use super::yaml::Value;
use crate::nearest::nearest;
use crate::resources::{Amount, Resource, Unit};

/// What the network of rpmbuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildNetwork {
    /// What the task says; the server's tasks open it.
    Task,
    /// There is none, whatever tasks say.
    None,
}

/// The section `albs_node`. Fields have the names of their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// Directory of the host's policies, such as `resources.toml`.
    pub policies: PathBuf,
    /// Directory of buildroots.
    pub store: PathBuf,
    /// Directory of tasks that are not reported yet.
    pub outbox: PathBuf,
    /// Directory that tasks come from and go to, in place of albs-web-server and Pulp.
    pub queue: Option<PathBuf>,
    /// Directory of sources, by checksum.
    pub source_cache: PathBuf,
    /// Directory of mirrors of git repositories.
    pub git_cache: PathBuf,
    /// Whether pointers of git LFS are replaced with what they point to.
    pub git_lfs: bool,
    /// Directory of the programs that sign for secure boot.
    pub pesign_directory: PathBuf,
    /// Socket for `albs-node status` and the like.
    pub control_socket: PathBuf,
    /// Where metrics are served.
    pub metrics_address: Option<SocketAddr>,
    /// Limits that go before those of a package's class.
    pub limits: BTreeMap<Resource, Amount>,
    /// Bytes that must be free on the disk of the outbox and the store for one more build.
    pub free_disk: u64,
    /// Inodes that must be free there.
    pub free_inodes: u64,
    /// Load per processor from which on no task is taken.
    pub max_load: f64,
    /// Private networks that sources may come from.
    pub private_networks: Vec<IpNet>,
    /// What the network of rpmbuild is.
    pub build_network: BuildNetwork,
    /// Whether tasks are taken although the list of excluded packages cannot be had.
    pub ignore_missing_exclusions: bool,
    /// How often a task is built again after a failure of the infrastructure.
    pub infrastructure_retries: u64,
    /// Seconds between two questions for a task when there was none.
    pub poll_interval: u64,
    /// Seconds between two messages about what is held.
    pub ping_interval: u64,
    /// Seconds after which a report is repeated whose answer got lost.
    pub report_repeat: u64,
}

/// Reads the section; without one there are only defaults.
pub(super) fn read(
    section: Option<Section>,
    working_dir: &Path,
    mock_basedir: Option<PathBuf>,
    flag: Option<PathBuf>,
    facts: &Facts,
    problems: &mut Problems,
) -> Own {
    let mut section = section.unwrap_or_else(|| Section::new("albs_node.", Vec::new(), problems));
    let s = &mut section;
    let size = |text: &str| {
        let amount = Amount(text.to_owned()).number(Unit::Bytes, None, None).ok()??;
        Some(amount as u64)
    };
    let network = |text: &str| match text {
        "task" => Some(BuildNetwork::Task),
        "none" => Some(BuildNetwork::None),
        _ => None,
    };
    let inside = |name: &str| working_dir.join(name);
    let default_socket = if facts.is_root {
        PathBuf::from("/run/albs-node/control.sock")
    } else {
        inside("control.sock")
    };
    let own = Own {
        policies: s.path("policies", problems).unwrap_or_else(|| "/etc/albs-node".into()),
        store: s.path("store", problems).or(mock_basedir).unwrap_or_else(|| inside("store")),
        outbox: s.path("outbox", problems).unwrap_or_else(|| inside("outbox")),
        queue: flag.or(s.path("queue", problems)),
        source_cache: s.path("source_cache", problems).unwrap_or_else(|| inside("sources")),
        git_cache: s.path("git_cache", problems).unwrap_or_else(|| inside("git")),
        git_lfs: s.flag("git_lfs", problems).unwrap_or(false),
        pesign_directory: s
            .path("pesign_directory", problems)
            .unwrap_or_else(|| "/opt/pesign".into()),
        control_socket: s.path("control_socket", problems).unwrap_or(default_socket),
        metrics_address: s.parsed("metrics_address", "an address with a port", problems, |text| {
            text.parse().ok()
        }),
        limits: s
            .section("limits", problems)
            .map(|section| limits(section, problems))
            .unwrap_or_default(),
        free_disk: s.parsed("free_disk", "a size, like 10G", problems, size).unwrap_or(10 << 30),
        free_inodes: s.number("free_inodes", 0, problems).unwrap_or(200_000),
        max_load: s.fraction("max_load", (0.1, 1000.0), problems).unwrap_or(4.0),
        private_networks: s
            .list("private_networks", "a network, like 10.0.0.0/8", problems, |text| {
                text.parse().ok()
            })
            .unwrap_or_default(),
        build_network: s
            .parsed("build_network", "task or none", problems, network)
            .unwrap_or(BuildNetwork::Task),
        ignore_missing_exclusions: s.flag("ignore_missing_exclusions", problems).unwrap_or(false),
        infrastructure_retries: s.number("infrastructure_retries", 0, problems).unwrap_or(2),
        poll_interval: s.number("poll_interval", 1, problems).unwrap_or(10),
        ping_interval: s.number("ping_interval", 1, problems).unwrap_or(10),
        report_repeat: s.number("report_repeat", 1, problems).unwrap_or(180),
    };
    section.end(Severity::Error, problems);
    own
}

/// Limits by the names of what they limit.
fn limits(mut section: Section, problems: &mut Problems) -> BTreeMap<Resource, Amount> {
    let mut limits = BTreeMap::new();
    for entry in section.rest() {
        let resource = Resource::ALL.into_iter().find(|known| known.name() == entry.key);
        let Some(resource) = resource else {
            let near = nearest(&entry.key, Resource::ALL.map(Resource::name), 1);
            let hint = near.first().map(|near| format!("did you mean {near}?"));
            let message = format!("there is no key albs_node.limits.{}", entry.key);
            problems.error(Some(entry.line), message, hint);
            continue;
        };
        let Value::Word { text, .. } = &entry.value.value else {
            let message = format!(
                "albs_node.limits.{} must be an amount, but it is {}",
                entry.key,
                told(&entry.value)
            );
            problems.error(Some(entry.line), message, None);
            continue;
        };
        let amount = Amount(text.clone());
        // What a share is one of is known when a build is planned.
        match amount.number(resource.unit(), resource.has_share().then_some(1.0), Some(1)) {
            Ok(_) => {
                limits.insert(resource, amount);
            }
            Err(error) => {
                let message = format!("albs_node.limits.{} is {text:?}: {error}", entry.key);
                problems.error(Some(entry.line), message, None);
            }
        }
    }
    limits
}
