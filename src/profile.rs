//! Profiles: what each kind of work may do, from `policies/profiles`.

use sandbox::landlock::Restriction;
use sandbox::spec::Network;
use serde::{Deserialize, Serialize};

use crate::verdict::Stage;

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
    /// What the command gives up by Landlock.
    #[serde(default)]
    landlock: Vec<LandlockRule>,
    /// What it may do besides where that is asked for.
    #[serde(default, rename = "permission")]
    permissions: Vec<PermissionRule>,
}

/// What a build may do that is refused otherwise. A profile says what it takes; one that does not
/// know a permission does not give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Making user namespaces, and in them what their root may do.
    UserNamespaces,
    /// The kernel's asynchronous I/O (io_setup(2)).
    KernelAio,
}

impl Permission {
    /// Its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Permission::UserNamespaces => "user_namespaces",
            Permission::KernelAio => "kernel_aio",
        }
    }
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

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LandlockRule {
    deny: Vec<Restriction>,
    /// Likewise.
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionRule {
    name: Permission,
    /// Seccomp policies that come after those of the profile.
    seccomp: Vec<String>,
    /// Likewise.
    #[serde(rename = "why")]
    _why: String,
}

impl Profile {
    /// Seccomp policies with those that permissions add.
    pub fn seccomp_with(&self, allowed: &[Permission]) -> Vec<String> {
        let asked = self.permissions.iter().filter(|rule| allowed.contains(&rule.name));
        self.seccomp.iter().chain(asked.flat_map(|rule| &rule.seccomp)).cloned().collect()
    }

    /// What the command gives up by Landlock.
    pub fn restrictions(&self) -> Vec<Restriction> {
        self.landlock.iter().flat_map(|rule| rule.deny.iter().copied()).collect()
    }

    /// Names of the capabilities that stay.
    pub fn capabilities(&self) -> Vec<String> {
        self.capabilities.iter().flat_map(|rule| rule.names.iter().cloned()).collect()
    }
}

/// The profiles that are part of the program: one for each stage of a build, and for what is done
/// to trees besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileName {
    /// git gets a repository.
    Fetch,
    /// dnf makes a buildroot, with scriptlets.
    Bootstrap,
    /// The source package is unpacked and made.
    Srpm,
    /// dnf installs build dependencies, with scriptlets.
    Install,
    /// rpmbuild.
    Rpmbuild,
    /// Our own program reads what a build has written.
    Collect,
    /// An interactive shell.
    Shell,
    /// Questions to programs of a buildroot.
    Query,
    /// Our own program changes trees of builds.
    Maintenance,
}

impl ProfileName {
    /// All of them.
    pub const ALL: [ProfileName; 9] = [
        ProfileName::Fetch,
        ProfileName::Bootstrap,
        ProfileName::Srpm,
        ProfileName::Install,
        ProfileName::Rpmbuild,
        ProfileName::Collect,
        ProfileName::Shell,
        ProfileName::Query,
        ProfileName::Maintenance,
    ];

    /// The profile of the package manager in a stage.
    pub fn of_manager(stage: Stage) -> ProfileName {
        match stage {
            Stage::Bootstrap => ProfileName::Bootstrap,
            _ => ProfileName::Install,
        }
    }

    /// The profile of what a package brings, in a stage.
    pub fn of_build(stage: Stage) -> ProfileName {
        match stage {
            Stage::Srpm => ProfileName::Srpm,
            _ => ProfileName::Rpmbuild,
        }
    }

    /// The name of its file, and the text in it.
    fn file(self) -> (&'static str, &'static str) {
        macro_rules! file {
            ($name:literal) => {
                ($name, include_str!(concat!("../policies/profiles/", $name, ".toml")))
            };
        }
        match self {
            ProfileName::Fetch => file!("fetch"),
            ProfileName::Bootstrap => file!("bootstrap"),
            ProfileName::Srpm => file!("srpm"),
            ProfileName::Install => file!("install"),
            ProfileName::Rpmbuild => file!("rpmbuild"),
            ProfileName::Collect => file!("collect"),
            ProfileName::Shell => file!("shell"),
            ProfileName::Query => file!("query"),
            ProfileName::Maintenance => file!("maintenance"),
        }
    }

    /// The name of its file.
    pub fn as_str(self) -> &'static str {
        self.file().0
    }

    /// The profile.
    ///
    /// # Errors
    ///
    /// The file is not a valid profile.
    pub fn load(self) -> Result<Profile, ProfileError> {
        let (name, text) = self.file();
        toml::from_str(text).map_err(|source| ProfileError { name, source: Box::new(source) })
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
        for name in ProfileName::ALL {
            let profile = name.load().unwrap();
            for policy in &profile.seccomp_with(&[Permission::UserNamespaces]) {
                sandbox::seccomp::load(policy, None).unwrap();
            }
            assert!(profile.user == ProfileUser::Root || profile.capabilities().is_empty());
        }
    }

    #[test]
    fn permissions_are_for_rpmbuild_and_come_last() {
        for name in ProfileName::ALL {
            let profile = name.load().unwrap();
            assert_eq!(profile.seccomp_with(&[]), profile.seccomp);
            let allowed = profile.seccomp_with(&[Permission::UserNamespaces]);
            match name {
                ProfileName::Rpmbuild => assert_eq!(allowed, ["calls", "base", "namespaces"]),
                _ => assert_eq!(allowed, profile.seccomp, "{}", name.as_str()),
            }
        }
    }
}
