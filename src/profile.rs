//! Profiles: what each kind of work may do, from `policies/profiles`.

use sandbox::spec::Network;
use serde::Deserialize;

/// What one kind of work may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the profile is for.
    pub description: String,
    /// What of the network is visible.
    pub network: Network,
    /// Why.
    pub why_network: String,
    /// Seccomp policies.
    pub seccomp: Vec<String>,
    /// Who runs the command.
    pub user: ProfileUser,
    /// Capabilities that stay.
    #[serde(default, rename = "capability")]
    capabilities: Vec<CapabilityRule>,
}

/// Who runs the command of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileUser {
    /// Root of the sandbox.
    Root,
    /// The unprivileged user of builds.
    Build,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapabilityRule {
    names: Vec<String>,
    /// Every rule must have one; it is for its readers.
    #[serde(rename = "why")]
    _why: String,
}

impl Profile {
    /// Names of the capabilities that stay.
    pub fn capabilities(&self) -> Vec<String> {
        self.capabilities.iter().flat_map(|rule| rule.names.iter().cloned()).collect()
    }
}

/// The profiles that are part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileName {
    /// dnf with scriptlets.
    Install,
    /// rpmbuild.
    Build,
    /// An interactive shell.
    Shell,
    /// Questions to programs of a buildroot.
    Query,
    /// Our own program on trees of builds.
    Maintenance,
}

impl ProfileName {
    /// The name of its file.
    pub fn as_str(self) -> &'static str {
        match self {
            ProfileName::Install => "install",
            ProfileName::Build => "build",
            ProfileName::Shell => "shell",
            ProfileName::Query => "query",
            ProfileName::Maintenance => "maintenance",
        }
    }

    /// The profile.
    ///
    /// # Errors
    ///
    /// The file is not a valid profile.
    pub fn load(self) -> Result<Profile, ProfileError> {
        let text = match self {
            ProfileName::Install => include_str!("../policies/profiles/install.toml"),
            ProfileName::Build => include_str!("../policies/profiles/build.toml"),
            ProfileName::Shell => include_str!("../policies/profiles/shell.toml"),
            ProfileName::Query => include_str!("../policies/profiles/query.toml"),
            ProfileName::Maintenance => include_str!("../policies/profiles/maintenance.toml"),
        };
        toml::from_str(text)
            .map_err(|source| ProfileError { name: self.as_str(), source: Box::new(source) })
    }
}

/// A profile that is not valid.
#[derive(Debug, thiserror::Error)]
#[error("the profile {name} is not valid")]
pub struct ProfileError {
    name: &'static str,
    source: Box<toml::de::Error>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_valid() {
        use ProfileName::*;
        for name in [Install, Build, Shell, Query, Maintenance] {
            let profile = name.load().unwrap();
            for policy in &profile.seccomp {
                sandbox::seccomp::load(policy, None).unwrap();
            }
            assert!(profile.user == ProfileUser::Root || profile.capabilities().is_empty());
        }
    }
}
