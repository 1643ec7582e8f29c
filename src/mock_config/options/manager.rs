//! Package managers: which there are, and the options that each has of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::read::Reader;
use crate::mock_config::error::{ConfigError, ErrorKind};
use crate::mock_config::load::LoadedConfig;

/// A package manager that mock knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// DNF up to version 4.
    Dnf4,
    /// DNF 5.
    Dnf5,
    /// YUM 3.
    Yum,
    /// microdnf, with dnf beside it for what it cannot do.
    Microdnf,
}

impl Manager {
    /// All of them.
    pub const ALL: [Manager; 4] = [Manager::Dnf4, Manager::Dnf5, Manager::Yum, Manager::Microdnf];

    /// The prefix of its options, which is also its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Manager::Dnf4 => "dnf4",
            Manager::Dnf5 => "dnf5",
            Manager::Yum => "yum",
            Manager::Microdnf => "microdnf",
        }
    }

    /// The one that `package_manager` names.
    pub(super) fn of(config: &LoadedConfig, name: &str) -> Result<Manager, ConfigError> {
        // In mock's configs `dnf` is what it was before there was a fifth.
        let name = if name == "dnf" { "dnf4" } else { name };
        Manager::ALL.into_iter().find(|manager| manager.as_str() == name).ok_or_else(|| {
            let message = format!("the package manager '{name}' is not known");
            ConfigError::new(ErrorKind::Value, message)
                .with_location(config.place(&["package_manager"]))
                .with_hint("there is dnf (the same as dnf4), dnf5, yum and microdnf")
        })
    }
}

impl std::fmt::Display for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The options of one package manager, `dnf5_command` and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ManagerOptions {
    /// Its program in a bootstrap root.
    pub command: String,
    /// Its program on the host, if that is another.
    pub system_command: Option<String>,
    /// Arguments of its every call.
    pub common_opts: Vec<String>,
    /// Common arguments that are left out, by the command that does not take them.
    pub avoid_opts: BTreeMap<String, Vec<String>>,
    /// Plugins that are switched off.
    pub disable_plugins: Vec<String>,
    /// The command that installs it into a bootstrap root.
    pub install_command: Vec<String>,
    /// The program that installs build dependencies, if that is another.
    pub builddep_command: Option<String>,
    /// Arguments of that program or command.
    pub builddep_opts: Vec<String>,
}

impl ManagerOptions {
    pub(super) fn read(read: &Reader<'_>, manager: Manager) -> Result<Self, ConfigError> {
        let option = |suffix: &str| format!("{manager}_{suffix}");
        Ok(ManagerOptions {
            command: read.string(&option("command"))?,
            system_command: read.optional_string(&option("system_command"))?,
            common_opts: read.words(&option("common_opts"))?,
            avoid_opts: read.words_map(&option("avoid_opts"))?,
            disable_plugins: read.words(&option("disable_plugins"))?,
            install_command: read.words(&option("install_command"))?,
            builddep_command: read.optional_string(&option("builddep_command"))?,
            builddep_opts: read.words(&option("builddep_opts"))?,
        })
    }
}

/// What is done with modules in a new root, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModuleOptions {
    /// Commands and their modules: `("disable", ["postgresql"])`.
    pub setup_commands: Vec<(String, Vec<String>)>,
    /// Modules to enable.
    pub enable: Vec<String>,
    /// Modules to install.
    pub install: Vec<String>,
}

impl ModuleOptions {
    /// Reads the options with this prefix: none, or `bootstrap_`.
    pub(super) fn read(read: &Reader<'_>, prefix: &str) -> Result<Self, ConfigError> {
        let option = |name: &str| format!("{prefix}module_{name}");
        Ok(ModuleOptions {
            setup_commands: read
                .pairs(&option("setup_commands"))?
                .into_iter()
                .map(|(command, modules)| (command, modules_of(&modules)))
                .collect(),
            enable: read.words(&option("enable"))?,
            install: read.words(&option("install"))?,
        })
    }
}

/// `a:1, b:2`.
fn modules_of(text: &str) -> Vec<String> {
    text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
