//! From a [`SandboxSpec`] to the [`Launch`] that `sandbox-init` carries out. Pure: nothing here
//! looks at the host other than through [`HostFacts`].

mod mounts;
mod payload;

use std::path::Path;

use crate::cgroup::CgroupPlan;
use crate::error::PlanError;
use crate::host::HostFacts;
use crate::network::{self, NetworkPlan};
use crate::outcome::{Enforcement, Layer};
use crate::spec::{Mount, SandboxSpec};
use crate::wire::{Calls, Launch, Namespace};

/// A sandbox ready to be started: what `sandbox-init` will do, what the parent does before, and
/// how much of the isolation that was asked for this host gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// For `sandbox-init`. Filters and control group paths are filled in by [`Plan::finish`].
    pub launch: Launch,
    /// Control groups to make.
    pub cgroup: CgroupPlan,
    /// Whether processes can be started in a control group.
    clone_into_group: bool,
    /// Seccomp policies that apply together, in this order.
    pub seccomp: Vec<String>,
    /// What is known beforehand of the enforcement of each layer.
    pub enforcement: Vec<(Layer, Enforcement)>,
}

/// The first kernel whose clone3(2) has CLONE_INTO_CGROUP.
const CLONE_INTO_CGROUP: (u32, u32) = (5, 7);

/// The first kernel with openat2(2).
const OPENAT2: (u32, u32) = (5, 6);
/// The first kernel with mount_setattr(2).
const MOUNT_SETATTR: (u32, u32) = (5, 12);

/// Name of the policy that answers ownership calls where only one id exists.
pub const SINGLE_ID_POLICY: &str = "single-id";

/// Plans a sandbox.
///
/// # Errors
///
/// The specification contradicts itself, or asks for something that this host cannot enforce.
pub fn plan(spec: &SandboxSpec, host: &HostFacts) -> Result<Plan, PlanError> {
    check(spec)?;
    let mut sources = mounts::Sources::default();
    let network = network::plan(spec.network, &spec.host_ports, &host.network, host.uid == 0)?;
    let cgroup = match spec.accounting || spec.limits.any() {
        true => crate::cgroup::plan(&spec.name, &spec.limits, &host.cgroup)?,
        false => CgroupPlan::none(),
    };
    let steps = mounts::steps(spec, host, &network, !cgroup.limits_memory(), &mut sources);
    let mut seccomp = spec.seccomp.clone();
    if spec.ids.is_single() {
        seccomp.push(SINGLE_ID_POLICY.to_owned());
    }
    let (restrictions, landlock) = crate::landlock::plan(&spec.landlock, host.landlock);
    let enforcement = vec![
        (Layer::Ids, ids_enforcement(spec)),
        (
            Layer::Cgroup,
            match spec.limits.any() {
                true => cgroup.enforcement(),
                false => Enforcement::Off("no limit was asked for".to_owned()),
            },
        ),
        (
            Layer::Network,
            match &network {
                NetworkPlan::None | NetworkPlan::Filtered(_) => Enforcement::Full,
                NetworkPlan::Host(None) => {
                    Enforcement::Off("the host's network is visible, as asked for".to_owned())
                }
                NetworkPlan::Host(Some(reason)) => Enforcement::Off(format!(
                    "the host's network is visible, since a filtered one cannot be had: {reason}"
                )),
            },
        ),
        (
            Layer::Seccomp,
            if spec.seccomp.is_empty() {
                Enforcement::Off("no policy was asked for".to_owned())
            } else {
                Enforcement::Full
            },
        ),
        (Layer::Landlock, landlock),
    ];
    Ok(Plan {
        launch: Launch {
            namespaces: namespaces(spec, &network),
            ids: spec.ids.clone(),
            born_in: None,
            cgroup_procs: Vec::new(),
            cgroup_dirs: Vec::new(),
            carriers: match network {
                NetworkPlan::Filtered(filtered) => filtered.carriers,
                NetworkPlan::None | NetworkPlan::Host(_) => Vec::new(),
            },
            sources: sources.into_paths(),
            become_ids: (!spec.ids.is_single()).then_some((0, 0)),
            // Any existing directory does: sources are opened before it is covered. /proc must
            // stay visible, since mounting goes through /proc/self/fd.
            stage: "/tmp".into(),
            steps,
            calls: Calls {
                openat2: host.kernel_is(OPENAT2),
                mount_setattr: host.kernel_is(MOUNT_SETATTR),
            },
            payload: payload::payload(spec, restrictions),
            timeout_ms: spec.timeout_ms,
        },
        cgroup,
        clone_into_group: host.kernel_is(CLONE_INTO_CGROUP),
        seccomp,
        enforcement,
    })
}

impl Plan {
    /// Corrects what was known beforehand of a layer.
    pub fn set_enforcement(&mut self, layer: Layer, enforcement: Enforcement) {
        self.enforcement.retain(|(known, _)| *known != layer);
        self.enforcement.push((layer, enforcement));
    }

    /// The launch with what only the parent's effects know: the compiled filter and control groups.
    pub fn finish(&self, filter: Vec<u64>, cgroup: &crate::cgroup::Cgroup) -> Launch {
        let mut launch = self.launch.clone();
        launch.payload.filter = filter;
        launch.born_in = cgroup.unified().filter(|_| self.clone_into_group);
        launch.cgroup_procs = cgroup.procs_files();
        launch.cgroup_dirs = cgroup.directories();
        launch
    }
}

fn check(spec: &SandboxSpec) -> Result<(), PlanError> {
    let name_ok = !spec.name.is_empty()
        && spec.name.len() <= 100
        && !spec.name.starts_with('.')
        && spec.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !name_ok {
        return Err(PlanError::Name(spec.name.clone()));
    }
    if spec.argv.is_empty() {
        return Err(PlanError::NoCommand);
    }
    if let Some(text) = spec
        .argv
        .iter()
        .chain(spec.environment.values())
        .chain(spec.environment.keys())
        .find(|text| text.contains('\0'))
    {
        return Err(PlanError::NulByte(text.replace('\0', "\\0")));
    }
    if spec.ids.uids.is_empty() || spec.ids.gids.is_empty() {
        return Err(PlanError::NoIds);
    }
    if !spec.ids.contains(spec.user.uid, spec.user.gid) {
        return Err(PlanError::UnmappedUser { uid: spec.user.uid, gid: spec.user.gid });
    }
    for name in &spec.capabilities {
        if name.parse::<caps::Capability>().is_err() {
            return Err(PlanError::UnknownCapability(name.clone()));
        }
    }
    for name in spec.rlimits.keys() {
        if crate::rlimit::resource(name).is_none() {
            return Err(PlanError::UnknownRlimit(name.clone()));
        }
    }
    if spec.stdio.has_terminal() {
        let has_devices = spec.mounts.iter().any(
            |mount| matches!(mount, Mount::Dev { destination } if destination == Path::new("/dev")),
        );
        if spec.keep_session || !has_devices {
            return Err(PlanError::Terminal);
        }
    }
    mounts::check(spec)
}

fn namespaces(spec: &SandboxSpec, network: &NetworkPlan) -> Vec<Namespace> {
    let n = &spec.namespaces;
    let optional = [
        (n.ipc, Namespace::Ipc),
        (n.uts, Namespace::Uts),
        (n.cgroup, Namespace::Cgroup),
        (!matches!(network, NetworkPlan::Host(_)), Namespace::Net),
    ];
    [Namespace::User, Namespace::Mount, Namespace::Pid]
        .into_iter()
        .chain(optional.into_iter().filter_map(|(wanted, ns)| wanted.then_some(ns)))
        .collect()
}

fn ids_enforcement(spec: &SandboxSpec) -> Enforcement {
    if spec.ids.is_single() {
        Enforcement::Partial(
            "only the caller's own id exists inside; ownership calls are answered as success \
             without effect, and the caller's supplementary groups stay in force"
                .to_owned(),
        )
    } else {
        Enforcement::Full
    }
}

#[cfg(test)]
mod tests;
