//! What a build would do, as data that can be printed: `albs-node build --plan`.

use std::path::PathBuf;

use sandbox::IdMapping;
use sandbox::spec::{Limits, Network, User};
use serde::Serialize;

use super::{BuildRequest, commands};
use crate::buildroot::{Env, dnf, route};
use crate::profile::{Profile, ProfileError, ProfileName};
use crate::source::Source;
use crate::verdict::Stage;

/// A build before it starts.
#[derive(Debug, Serialize)]
pub struct BuildPlan {
    /// Name of the mock config.
    pub config: String,
    /// What is built.
    pub source: Source,
    /// Where packages and logs go.
    pub resultdir: PathBuf,
    /// Name of the buildroot in the store.
    pub buildroot: String,
    /// Whether the buildroot exists already.
    pub buildroot_exists: bool,
    /// Which ids of the host exist in the sandboxes of the package manager.
    pub ids: IdMapping,
    /// Limits of every stage.
    pub limits: Limits,
    /// The stages in their order.
    pub stages: Vec<PlannedStage>,
}

/// One stage.
#[derive(Debug, Serialize)]
pub struct PlannedStage {
    /// Name.
    pub name: Stage,
    /// Profile of its sandboxes.
    pub profile: &'static str,
    /// Who runs its commands, inside.
    pub user: User,
    /// What of the network they see.
    pub network: Network,
    /// Seccomp policies of their system call filter.
    pub seccomp: Vec<String>,
    /// Capabilities they keep.
    pub capabilities: Vec<String>,
    /// Wall-clock limit of each command in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The commands. Empty where nothing needs to be done.
    pub commands: Vec<Vec<String>>,
}

/// A build cannot be planned.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum PlanError {
    /// A profile is not valid.
    Profile(#[from] ProfileError),
    /// Nothing can install packages.
    PackageManager(#[from] dnf::NoPackageManager),
}

/// Plans a build.
///
/// # Errors
///
/// See [`PlanError`].
pub fn plan(env: &Env<'_>, request: &BuildRequest, spec: &str) -> Result<BuildPlan, PlanError> {
    let options = env.options;
    let manager = env.manager()?;
    let (key, exists) = route::planned(env);
    let stage = |name, profile: ProfileName, timeout_ms, commands| -> Result<_, ProfileError> {
        let loaded: Profile = profile.load()?;
        let build = loaded.user == crate::profile::ProfileUser::Build;
        Ok(PlannedStage {
            name,
            profile: profile.as_str(),
            user: if build { env.context.build_user } else { User::ROOT },
            network: if build && request.network {
                Network::FilteredOrHost
            } else {
                loaded.network
            },
            seccomp: loaded.seccomp_with(&request.resources.allowed),
            capabilities: loaded.capabilities(),
            timeout_ms,
            commands,
        })
    };
    let operations = Some(dnf::timeout_ms(options));
    let setup = match exists {
        true => Vec::new(),
        false => crate::buildroot::bootstrap::setup_commands(options)
            .iter()
            .map(|command| manager.command_line(options, command))
            .collect(),
    };
    let dependencies = commands::build_dependencies(super::pipeline::PACKAGE_PLACE);
    let dependencies = manager.command_line(options, &dependencies);
    let source = vec![
        commands::take_source(options, &request.source),
        commands::build_source(options, spec),
    ];
    let binary = vec![commands::build_binary(options, spec, false)];
    Ok(BuildPlan {
        config: options.root.clone(),
        source: request.source.clone(),
        resultdir: request.resultdir.clone(),
        buildroot: key,
        buildroot_exists: exists,
        ids: env.context.ids(User::ROOT),
        limits: env.context.limits.clone(),
        stages: vec![
            stage(Stage::Bootstrap, ProfileName::Bootstrap, operations, setup)?,
            stage(Stage::Srpm, ProfileName::Srpm, request.timeout_ms(), source)?,
            stage(Stage::Install, ProfileName::Install, operations, vec![dependencies])?,
            stage(Stage::Rpmbuild, ProfileName::Rpmbuild, request.timeout_ms(), binary)?,
            stage(Stage::Collect, ProfileName::Collect, None, Vec::new())?,
        ],
    })
}
