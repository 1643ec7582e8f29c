//! The options that a build is planned from, with their types.

mod absent;
mod image;
mod manager;
mod network;
mod nspawn;
mod plugins;
mod read;

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::ConfigError;
use super::load::LoadedConfig;
pub use image::ImageOptions;
pub use manager::{Manager, ManagerOptions, ModuleOptions};
pub use network::NetworkOptions;
pub use nspawn::{BindOption, NspawnOptions};
pub use plugins::{
    Ccache, ChrootScan, Compression, MountOption, Plugins, RootCache, RpmAutospec, TmpfsOption,
};
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

    /// The package manager that installs into the buildroot.
    pub package_manager: Manager,
    /// The options of each package manager.
    pub managers: BTreeMap<Manager, ManagerOptions>,
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
    /// What is done with modules.
    pub modules: ModuleOptions,
    /// Whether repositories and registries may be asked.
    pub online: bool,
    /// Whether the buildroot is brought up to date before a build.
    pub update_before_build: bool,
    /// Whether the buildroot is installed from a bootstrap root, whose package manager the host's
    /// installs.
    pub use_bootstrap: bool,
    /// Packages in the bootstrap root beside the package manager.
    pub bootstrap_additional_packages: Vec<String>,
    /// What is done with modules in the bootstrap root.
    pub bootstrap_modules: ModuleOptions,
    /// The image that the bootstrap root starts from.
    pub bootstrap_image: Option<ImageOptions>,
    /// The image that the buildroot starts from.
    pub buildroot_image: Option<ImageOptions>,
    /// The platform of images, `linux/amd64`, by target architecture.
    pub oci_platform_map: BTreeMap<String, String>,

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
    /// What the arguments for systemd-nspawn ask for.
    pub nspawn: NspawnOptions,
    /// How the network is reached.
    pub network: NetworkOptions,
    /// The program that builds packages.
    pub rpmbuild_command: String,
    /// Its arguments besides those that every build has.
    pub rpmbuild_opts: Vec<String>,
    /// Users of the host that exist inside by the same numbers.
    pub copy_host_users: Vec<String>,
    /// How often the build requirements of a spec may change when they are installed.
    pub static_buildrequires_max_loops: u32,
    /// What mock does in plugins.
    pub plugins: Plugins,
    /// What the config turns on that has no effect here, in sentences that say why.
    pub without_effect: Vec<String>,

    /// Where buildroots are kept, if the config says so.
    pub basedir: Option<String>,
    /// Where caches are kept, if the config says so.
    pub cache_topdir: Option<String>,
    /// Where the results go, if the config says so.
    pub resultdir: Option<String>,
    /// Whether what a build has left is kept for a shell, after success and after failure.
    pub keep: (bool, bool),
    /// Whether the repositories are for hosts with a subscription of Red Hat only.
    pub subscription_required: bool,
}

impl MockOptions {
    pub(super) fn of(config: &LoadedConfig) -> Result<Self, ConfigError> {
        let expanded = config.expand_all()?;
        let read = Reader { config, options: &expanded };
        let chroothome = read.string("chroothome")?;
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
            package_manager: Manager::of(config, &read.string("package_manager")?)?,
            managers: Manager::ALL
                .into_iter()
                .map(|manager| Ok((manager, ManagerOptions::read(&read, manager)?)))
                .collect::<Result<_, ConfigError>>()?,
            dnf_conf: read.required("dnf.conf", "it holds the repositories to install from")?,
            dnf_vars: read.string_map("dnf_vars")?,
            package_manager_max_attempts: read.number("package_manager_max_attempts")?,
            package_manager_attempt_delay: read.number("package_manager_attempt_delay")?,
            chroot_setup_cmd: read.words("chroot_setup_cmd")?,
            chroot_additional_packages: read.words("chroot_additional_packages")?,
            more_buildreqs: read.requirements("more_buildreqs")?,
            extra_chroot_dirs: read.strings("extra_chroot_dirs")?,
            files: read.files()?,
            macros: at_home(read.string_map("macros")?, &chroothome),
            environment: with_home(read.string_map("environment")?, &chroothome),
            modules: ModuleOptions::read(&read, "")?,
            online: read.flag("online")?,
            update_before_build: read.flag("update_before_build")?,
            use_bootstrap: read.flag("use_bootstrap")?,
            bootstrap_additional_packages: read.words("bootstrap_chroot_additional_packages")?,
            bootstrap_modules: ModuleOptions::read(&read, "bootstrap_")?,
            bootstrap_image: ImageOptions::read(&read, "bootstrap")?,
            buildroot_image: ImageOptions::read(&read, "buildroot")?,
            oci_platform_map: read.string_map("oci_platform_map")?,
            chrootuser: read.string("chrootuser")?,
            chrootgroup: read.string("chrootgroup")?,
            chrootuid: read.optional_number("chrootuid")?,
            chrootgid: read.optional_number("chrootgid")?,
            chroothome,
            hostname: read.optional_string("hostname")?,
            rpmbuild_timeout: read.number("rpmbuild_timeout")?,
            opstimeout: read.number("opstimeout")?,
            rpmbuild_networking: read.flag("rpmbuild_networking")?,
            use_host_resolv: read.flag("use_host_resolv")?,
            dynamic_buildrequires: read.flag("dynamic_buildrequires")?,
            dynamic_buildrequires_max_loops: read.number("dynamic_buildrequires_max_loops")?,
            check: read.flag("check")?,
            isolation: read.one_of("isolation", &["auto", "nspawn", "simple"])?,
            nspawn: NspawnOptions::read(config, &read.strings("nspawn_args")?)?,
            network: NetworkOptions::read(&read)?,
            rpmbuild_command: read.string("rpmbuild_command")?,
            rpmbuild_opts: read.words("rpmbuild_opts")?,
            copy_host_users: read.words("copy_host_users")?,
            static_buildrequires_max_loops: read.number("static_buildrequires_max_loops")?,
            plugins: Plugins::read(&read)?,
            without_effect: absent::without_effect(&read)?,
            basedir: read.own_string("basedir")?,
            cache_topdir: read.own_string("cache_topdir")?,
            resultdir: read.own_string("resultdir")?,
            keep: (read.is_refused("cleanup_on_success")?, read.is_refused("cleanup_on_failure")?),
            subscription_required: read.flag("redhat_subscription_required")?,
        })
    }
}

/// Lets the default place of builds follow the build user's home where a config moves that. mock
/// leaves the default as it is, and rpmbuild then works beside what mock looks at.
fn at_home(mut macros: BTreeMap<String, String>, home: &str) -> BTreeMap<String, String> {
    if let Some(top) = macros.get_mut("%_topdir").filter(|top| *top == "/builddir/build") {
        *top = format!("{home}/build");
    }
    macros
}

/// The variables with the build user's home, which nothing a config says can change, as in mock.
fn with_home(mut environment: BTreeMap<String, String>, home: &str) -> BTreeMap<String, String> {
    environment.insert("HOME".to_owned(), home.to_owned());
    environment
}

/// What a config says of another root than the build's.
impl MockOptions {
    /// The options of the root that the buildroot is installed from: the same repositories, and
    /// nothing in it but the package manager.
    pub fn bootstrap(&self) -> MockOptions {
        let install = self.manager_options(self.package_manager).install_command.clone();
        // An image to which something is to be added is not ready.
        let adds = !self.bootstrap_additional_packages.is_empty()
            || self.bootstrap_modules != ModuleOptions::default();
        let image = self
            .bootstrap_image
            .clone()
            .map(|image| ImageOptions { ready: image.ready && !adds, ..image });
        MockOptions {
            root: format!("{}-bootstrap", self.root),
            chroot_setup_cmd: install,
            chroot_additional_packages: self.bootstrap_additional_packages.clone(),
            modules: self.bootstrap_modules.clone(),
            extra_chroot_dirs: Vec::new(),
            files: BTreeMap::new(),
            use_bootstrap: false,
            buildroot_image: image,
            ..self.clone()
        }
    }

    /// Whether builds see the network.
    pub fn has_network(&self) -> bool {
        self.rpmbuild_networking && !self.nspawn.private_network
    }

    /// The options of a package manager.
    pub fn manager_options(&self, manager: Manager) -> ManagerOptions {
        self.managers.get(&manager).cloned().unwrap_or_default()
    }
}
