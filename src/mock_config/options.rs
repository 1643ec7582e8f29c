//! The options that a build is planned from, with their types.

mod read;

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::{ConfigError, ErrorKind};
use super::load::LoadedConfig;
use super::value::Value;
use read::Reader;

/// A config as the builder sees it: everything expanded and of the right type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MockOptions {
    /// The name of the buildroot.
    pub root: String,
    /// What the config is for, for people.
    pub description: Option<String>,
    /// The architecture that packages are installed for.
    pub target_arch: String,
    /// The architecture that rpmbuild is told to build for.
    pub rpmbuild_arch: Option<String>,
    /// The architecture that repositories are asked for.
    pub repo_arch: String,
    /// The architecture that is emulated, when the host cannot run it.
    pub forcearch: Option<String>,
    /// The hosts that can build this; empty means all.
    pub legal_host_arches: Vec<String>,
    /// The release that repositories are asked for.
    pub releasever: Option<String>,
    /// The short name of the distribution, for result directories.
    pub dist: Option<String>,

    /// `dnf`, `dnf4`, `dnf5`, `yum` or `microdnf`.
    pub package_manager: String,
    /// The program of that package manager.
    pub dnf_command: String,
    /// Arguments of its every call.
    pub dnf_common_opts: Vec<String>,
    /// Its plugins that are switched off.
    pub dnf_disable_plugins: Vec<String>,
    /// The arguments that install the package manager into a bootstrap root.
    pub dnf_install_command: Vec<String>,
    /// Its configuration file, repositories included.
    pub dnf_conf: String,
    /// Its variables.
    pub dnf_vars: BTreeMap<String, String>,
    /// How often a call is tried.
    pub package_manager_max_attempts: u32,
    /// Seconds between the tries.
    pub package_manager_attempt_delay: u64,

    /// The arguments that fill a new buildroot.
    pub chroot_setup_cmd: Vec<String>,
    /// Packages that are installed as well.
    pub chroot_additional_packages: Vec<String>,
    /// Build requirements by source package name, beyond those of its spec.
    pub more_buildreqs: BTreeMap<String, Vec<String>>,
    /// Directories to make in the buildroot.
    pub extra_chroot_dirs: Vec<String>,
    /// Files to write into the buildroot.
    pub files: BTreeMap<String, String>,
    /// RPM macros with their percent sign.
    pub macros: BTreeMap<String, String>,
    /// The environment of commands in the buildroot.
    pub environment: BTreeMap<String, String>,
    /// Module commands as they were written.
    pub module_setup_commands: Value,
    /// Modules to enable, as they were written.
    pub module_enable: Value,
    /// Modules to install, as they were written.
    pub module_install: Value,
    /// Whether the buildroot is brought up to date before a build.
    pub update_before_build: bool,
    /// Whether the buildroot is installed from a bootstrap root.
    pub use_bootstrap: bool,

    /// The user who builds.
    pub chrootuser: String,
    /// The group who builds.
    pub chrootgroup: String,
    /// The user's number.
    pub chrootuid: Option<u32>,
    /// The group's number.
    pub chrootgid: Option<u32>,
    /// The user's home.
    pub chroothome: String,
    /// The host name inside.
    pub hostname: Option<String>,

    /// Seconds that rpmbuild may take; 0 is no limit.
    pub rpmbuild_timeout: u64,
    /// Seconds that any other operation may take; 0 is no limit.
    pub opstimeout: u64,
    /// Whether the build has a network.
    pub rpmbuild_networking: bool,
    /// Whether the host's name resolution is used inside.
    pub use_host_resolv: bool,
    /// Whether `%generate_buildrequires` is honoured.
    pub dynamic_buildrequires: bool,
    /// How often it may ask for more.
    pub dynamic_buildrequires_max_loops: u32,
    /// Whether `%check` runs.
    pub check: bool,
    /// What the config asks for: `simple`, `nspawn`, `auto`, or nothing.
    pub isolation: Option<String>,
    /// Arguments for systemd-nspawn, to be translated.
    pub nspawn_args: Vec<String>,

    /// Where everything lives.
    pub basedir: String,
    /// Where the results go.
    pub resultdir: String,
}

impl MockOptions {
    pub(super) fn of(config: &LoadedConfig) -> Result<Self, ConfigError> {
        let expanded = config.expand_all()?;
        let read = Reader { config, options: &expanded };
        let package_manager = read.string("package_manager")?;
        let family = family(config, &package_manager)?;
        let of_family = |suffix: &str| format!("{family}_{suffix}");
        Ok(MockOptions {
            root: read
                .required("root", "it names the buildroot, for example 'almalinux-9-x86_64'")?,
            description: read.optional_string("description")?,
            target_arch: read.string("target_arch")?,
            rpmbuild_arch: read.optional_string("rpmbuild_arch")?,
            repo_arch: read.string("repo_arch")?,
            forcearch: read.optional_string("forcearch")?,
            legal_host_arches: read.strings("legal_host_arches")?,
            releasever: read.optional_string("releasever")?,
            dist: read.optional_string("dist")?,
            dnf_command: read.string(&of_family("command"))?,
            dnf_common_opts: read.words(&of_family("common_opts"))?,
            dnf_disable_plugins: read.words(&of_family("disable_plugins"))?,
            dnf_install_command: read.words(&of_family("install_command"))?,
            dnf_conf: read.required("dnf.conf", "it holds the repositories to install from")?,
            dnf_vars: read.string_map("dnf_vars")?,
            package_manager,
            package_manager_max_attempts: read.number("package_manager_max_attempts")?,
            package_manager_attempt_delay: read.number("package_manager_attempt_delay")?,
            chroot_setup_cmd: read.words("chroot_setup_cmd")?,
            chroot_additional_packages: read.words("chroot_additional_packages")?,
            more_buildreqs: read.words_map("more_buildreqs")?,
            extra_chroot_dirs: read.strings("extra_chroot_dirs")?,
            files: read.string_map("files")?,
            macros: read.string_map("macros")?,
            environment: read.string_map("environment")?,
            module_setup_commands: read.any("module_setup_commands"),
            module_enable: read.any("module_enable"),
            module_install: read.any("module_install"),
            update_before_build: read.flag("update_before_build")?,
            use_bootstrap: read.flag("use_bootstrap")?,
            chrootuser: read.string("chrootuser")?,
            chrootgroup: read.string("chrootgroup")?,
            chrootuid: read.optional_number("chrootuid")?,
            chrootgid: read.optional_number("chrootgid")?,
            chroothome: read.string("chroothome")?,
            hostname: read.optional_string("hostname")?,
            rpmbuild_timeout: read.number("rpmbuild_timeout")?,
            opstimeout: read.number("opstimeout")?,
            rpmbuild_networking: read.flag("rpmbuild_networking")?,
            use_host_resolv: read.flag("use_host_resolv")?,
            dynamic_buildrequires: read.flag("dynamic_buildrequires")?,
            dynamic_buildrequires_max_loops: read.number("dynamic_buildrequires_max_loops")?,
            check: read.flag("check")?,
            isolation: read.optional_string("isolation")?,
            nspawn_args: read.strings("nspawn_args")?,
            basedir: read.string("basedir")?,
            resultdir: read.string("resultdir")?,
        })
    }
}

/// The prefix of the options that belong to a package manager.
fn family(config: &LoadedConfig, manager: &str) -> Result<&'static str, ConfigError> {
    match manager {
        "dnf" | "dnf4" => Ok("dnf4"),
        "dnf5" => Ok("dnf5"),
        "yum" => Ok("yum"),
        "microdnf" => Ok("microdnf"),
        _ => {
            let message = format!("the package manager '{manager}' is not known");
            Err(ConfigError::new(ErrorKind::Value, message)
                .with_location(config.place(&["package_manager"]))
                .with_hint("there is dnf (the same as dnf4), dnf5, yum and microdnf"))
        }
    }
}
