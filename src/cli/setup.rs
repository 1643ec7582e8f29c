//! From arguments to everything that commands on buildroots need.

use std::path::{Path, PathBuf};

use sandbox::HostFacts;
use sandbox::cgroup::Obtained;
use sandbox::spec::{Limits, User};

use super::args::{Common, StoreArgs};
use super::error::CliError;
use super::memory::MemoryWatch;
use super::output::note;
use crate::buildroot::dnf::{self, NoPackageManager, PackageManager};
use crate::buildroot::key::KeyParts;
use crate::buildroot::sandboxes::{Context, HostTools};
use crate::buildroot::scratch::Tools;
use crate::buildroot::store::{Store, StoreError};
use crate::buildroot::view::{View, ViewError};
use crate::buildroot::{Env, emulation, remove, repositories, view};
use crate::helper::program;
use crate::mock_config::{
    ConfigError, ErrorKind, HostView, LoadRequest, LoadedConfig, MockOptions,
};
use crate::resources::Effective;
use crate::run::{Cancel, Logs, Runner, Sink};
use crate::verdict::status;

/// The build user inside: the numbers that mock's packages have on most hosts.
const BUILD_USER: User = User { uid: 1000, gid: 135 };

/// Everything but the runner, whose logs are known later.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) options: MockOptions,
    store: Store,
    context: Context,
    host_manager: Result<PackageManager, NoPackageManager>,
    bootstrap: Option<Bootstrap>,
    program: PathBuf,
    visible: Vec<PathBuf>,
    parts: KeyParts,
    key: String,
}

/// The root that the package manager of the config is in.
#[derive(Debug)]
struct Bootstrap {
    options: MockOptions,
    key: String,
}

/// What a command does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreUse {
    /// Works in it; it is made if missing, and swept.
    Make,
    /// Looks at what is there.
    Look,
}

impl Setup {
    pub(super) fn new(common: &Common, store_use: StoreUse) -> Result<Setup, CliError> {
        let host = match store_use {
            StoreUse::Make => host_with_groups(),
            StoreUse::Look => HostFacts::probe(),
        };
        let view = host_view(&host)?;
        let watch = MemoryWatch::start();
        let config = load_config(common, view.clone())?;
        let read = |config: &LoadedConfig| -> Result<MockOptions, CliError> {
            let options = config.options().map_err(config_error)?;
            Ok(MockOptions { online: options.online && !common.offline, ..options })
        };
        let options = read(&config)?;
        let bootstrap = match options.use_bootstrap {
            true => Some(read(&config.for_bootstrap())?.bootstrap()),
            false => None,
        };
        drop(watch);
        config.check_host(&view).map_err(config_error)?;
        let emulator = options.forcearch.as_deref().map(emulation::find).transpose();
        let emulator = emulator.map_err(|error| {
            let hint = Some(error.hint());
            CliError::new(status::ARCHITECTURE, error, hint)
        })?;
        let host_manager = PackageManager::of_host(&options, program);
        if !common.quiet {
            let found = host_manager.as_ref().ok();
            let stand_in = found.and_then(|manager| dnf::stand_in_note(&options, manager));
            config.notes.iter().for_each(note);
            stand_in.iter().chain(&options.without_effect).for_each(note);
            for address in repositories::at_own_addresses(&options, &host.network.addresses) {
                note(format_args!(
                    "{address} of the config is an address of this host, which a filtered network \
                     closes: name it as localhost"
                ));
            }
        }
        let needs_no_other = options.use_bootstrap && options.bootstrap_image.is_some();
        if let (Err(error), false) = (&host_manager, needs_no_other) {
            let hint = Some(error.hint());
            return Err(CliError::new(status::PACKAGE_MANAGER, error.clone(), hint));
        }
        if options.subscription_required && view.subscription.is_none() {
            let message = "the config wants a host with a subscription of Red Hat, and there is no \
                           key in /etc/pki/entitlement";
            let hint = "run: subscription-manager register".to_owned();
            return Err(CliError::new(status::PACKAGE_MANAGER, message, Some(hint)));
        }
        let visible = repositories::visible_paths(&options);
        check_visible(&visible)?;
        let store = store_of(&common.store, Some(&options), &host, store_use)?;
        if options.plugins.bind_mount_create && store_use == StoreUse::Make {
            create_bind_mounts(&options)?;
        }
        let mut view = build_view(&options, &host)?;
        view.emulator = emulator.filter(|found| !found.is_fixed).map(|found| found.interpreter);
        if options.plugins.selinux && store_use == StoreUse::Make {
            view.filesystems = hidden_selinux(&store)?;
        }
        let context = Context {
            build_user: User {
                uid: options.chrootuid.filter(|uid| *uid > 0).unwrap_or(BUILD_USER.uid),
                gid: options.chrootgid.filter(|gid| *gid > 0).unwrap_or(BUILD_USER.gid),
            },
            limits: Limits::default(),
            disk: None,
            hostname: options.hostname.clone().unwrap_or_else(|| "localhost".to_owned()),
            view,
            tools: HostTools::probe(),
            host,
        };
        let program = own_program()?;
        if store_use == StoreUse::Make {
            sandbox::cgroup::sweep(&context.host.cgroup);
            remove::sweep(&context, &program, &store);
        }
        let ids = context.ids(User::ROOT);
        let program_of_host = host_manager.as_ref().ok().map(|manager| manager.program.as_path());
        let parts = |options: &MockOptions, bootstrap: Option<&str>| {
            KeyParts::new(options, &ids, context.build_user, program_of_host, bootstrap)
        };
        let bootstrap = bootstrap.map(|options| {
            let key = parts(&options, None).key();
            Bootstrap { options, key }
        });
        let parts = parts(&options, bootstrap.as_ref().map(|bootstrap| bootstrap.key.as_str()));
        let key = parts.key();
        Ok(Setup { options, store, context, host_manager, bootstrap, program, visible, parts, key })
    }

    /// Key of the config's buildroot.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// What the key is made of.
    pub(super) fn key_parts(&self) -> &KeyParts {
        &self.parts
    }

    /// Where buildroots are.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the ports of the loopback interface that the config names, and gives them.
    pub(super) fn close_loopback(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.context.view.host_ports)
    }

    /// What trees of mapped ids are worked on with, within the limits of a context.
    pub(super) fn tools<'a>(&'a self, context: &'a Context) -> Tools<'a> {
        Tools { context, program: &self.program, store: &self.store }
    }

    /// What runs sandboxes; together they have these limits.
    pub(super) fn runner(&self, limits: &Limits, cancel: Cancel, sink: Sink, logs: Logs) -> Runner {
        Runner::new(self.context.host.clone(), limits, cancel, sink, logs)
    }

    /// What sandboxes have in common, with limits.
    pub(super) fn limited(&self, resources: &Effective) -> Context {
        let (limits, disk) = (resources.limits(), resources.disk());
        Context { limits, disk, ..self.context.clone() }
    }

    /// What works on buildroots, with the limits of `resources`, if there are some, on each stage.
    pub(super) fn env<'a>(&'a self, runner: &'a Runner, resources: Option<&Effective>) -> Env<'a> {
        let context = resources.map_or_else(|| self.context.clone(), |some| self.limited(some));
        let env = |options: &'a MockOptions, key: &str, bootstrap| Env {
            runner,
            store: &self.store,
            context: context.clone(),
            options,
            host_manager: self.host_manager.clone(),
            bootstrap,
            is_bootstrap: false,
            program: self.program.clone(),
            visible: self.visible.clone(),
            key: key.to_owned(),
        };
        let bootstrap = self.bootstrap.as_ref().map(|Bootstrap { options, key }| {
            Box::new(Env { is_bootstrap: true, ..env(options, key, None) })
        });
        env(&self.options, &self.key, bootstrap)
    }
}

/// What sandboxes need that work on trees of the store, whatever config they are of.
pub(super) fn maintenance_context(host: HostFacts) -> Context {
    Context {
        host,
        build_user: User::ROOT,
        limits: Limits::default(),
        disk: None,
        hostname: "localhost".to_owned(),
        view: View::default(),
        tools: HostTools::probe(),
    }
}

/// The host, after this process has got a control group that it may divide, if it had none.
pub(super) fn host_with_groups() -> HostFacts {
    let host = HostFacts::probe();
    match sandbox::cgroup::obtain(&host.cgroup) {
        Obtained::NotAsked => host,
        Obtained::Scope(_) => HostFacts::probe(),
        Obtained::Refused(why) => {
            note(format_args!("systemd gave no control group for limits: {why}"));
            host
        }
    }
}

/// Writes the list of file systems that hides SELinux, where there is something to hide.
fn hidden_selinux(store: &Store) -> Result<Option<PathBuf>, CliError> {
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let Some(text) = view::without_selinux(&filesystems) else { return Ok(None) };
    store.write("filesystems", &text).map(Some).map_err(store_error)
}

/// Makes directories of the host that the config wants to show, and wants to be made.
fn create_bind_mounts(options: &MockOptions) -> Result<(), CliError> {
    options
        .plugins
        .bind_mount
        .iter()
        .filter(|(source, _)| !Path::new(source).exists())
        .try_for_each(|(source, _)| {
            std::fs::create_dir_all(source).map_err(|error| {
                let message = format!("cannot make {source}, which the plugin bind_mount shows");
                let hint = "make it, or remove create_dirs from bind_mount_opts".to_owned();
                CliError::new(
                    status::CONFIG,
                    super::build::Caused { message, source: error },
                    Some(hint),
                )
            })
        })
}

fn build_view(options: &MockOptions, host: &HostFacts) -> Result<View, CliError> {
    let failed = |error: ViewError| {
        let hint = Some(error.hint());
        CliError::new(status::CONFIG, error, hint)
    };
    View::new(options, &host.machine, Path::exists).map_err(failed)
}

/// What configs may know of the machine: its architecture, and the ids of the build user, which
/// are the same everywhere.
pub(super) fn host_view(host: &HostFacts) -> Result<HostView, CliError> {
    let mut view =
        HostView::of_this_process().map_err(|error| CliError::new(status::GENERIC, error, None))?;
    view.arch = host.machine.clone();
    (view.uid, view.gid) = (BUILD_USER.uid, BUILD_USER.gid);
    Ok(view)
}

fn load_config(common: &Common, host: HostView) -> Result<LoadedConfig, CliError> {
    let mut overrides = common.source.config_opts.clone();
    for (option, value) in [("rpmbuild_arch", &common.arch), ("forcearch", &common.forcearch)] {
        overrides.extend(value.clone().map(|value| (option.to_owned(), value)));
    }
    load_named(&common.source.config, common.source.configdir.clone(), overrides, host)
}

pub(super) fn load_named(
    name: &str,
    configdir: Option<PathBuf>,
    overrides: Vec<(String, String)>,
    host: HostView,
) -> Result<LoadedConfig, CliError> {
    let request = load_request(name, configdir, overrides, host);
    crate::mock_config::load(&request).map_err(config_error)
}

/// A config by name, in the places where this user's configs are.
pub(super) fn load_request(
    name: &str,
    configdir: Option<PathBuf>,
    overrides: Vec<(String, String)>,
    host: HostView,
) -> LoadRequest {
    LoadRequest {
        name: name.to_owned(),
        configdir,
        home: std::env::home_dir(),
        system_dir: "/etc/mock".into(),
        overrides,
        host,
    }
}

/// The options of a config by name, without anything else being set up.
pub(super) fn options_of(name: &str, configdir: Option<PathBuf>) -> Result<MockOptions, CliError> {
    let view = host_view(&HostFacts::probe())?;
    let _watch = MemoryWatch::start();
    load_named(name, configdir, Vec::new(), view)?.options().map_err(config_error)
}

pub(super) fn config_error(error: ConfigError) -> CliError {
    let status = match error.kind() {
        ErrorKind::Architecture => status::ARCHITECTURE,
        ErrorKind::Override => status::COMMAND_LINE,
        _ => status::CONFIG,
    };
    let snippet = error.snippet();
    let hint = error.hint().map(str::to_owned);
    CliError::new(status, error, hint).with_snippet(snippet)
}

/// A missing local repository would show as an odd failure of a sandbox.
fn check_visible(visible: &[PathBuf]) -> Result<(), CliError> {
    match visible.iter().find(|path| !path.exists()) {
        None => Ok(()),
        Some(path) => Err(CliError::new(
            status::PACKAGE_MANAGER,
            format!("the repository or key {} of the config does not exist", path.display()),
            Some("check baseurl and gpgkey in the config's dnf.conf".to_owned()),
        )),
    }
}

/// The store: where the arguments say, else where the config says, else in the usual place.
pub(super) fn store_of(
    args: &StoreArgs,
    options: Option<&MockOptions>,
    host: &HostFacts,
    store_use: StoreUse,
) -> Result<Store, CliError> {
    let shared = |place: &Option<String>| {
        let place = place.as_ref().filter(|_| args.store.is_none())?;
        Some(Store::place_in(Path::new(place), host.uid))
    };
    let own = options.and_then(|options| shared(&options.basedir));
    let caches = options.and_then(|options| shared(&options.cache_topdir));
    let path = args.store.clone().or(own).unwrap_or_else(|| default_place(args));
    match store_use {
        StoreUse::Make => Store::open(&path, caches.as_deref()).map_err(store_error),
        StoreUse::Look => Ok(Store::at(path, caches)),
    }
}

/// Where the store is if no config says otherwise.
pub(super) fn default_place(args: &StoreArgs) -> PathBuf {
    args.store.clone().unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let uid = nix::unistd::geteuid().as_raw();
        Store::default_path(uid, cache, std::env::home_dir())
    })
}

pub(super) fn store_error(error: StoreError) -> CliError {
    let hint = error.hint();
    CliError::new(status::ROOT, error, hint)
}

pub(super) fn own_program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|error| {
        CliError::new(
            status::GENERIC,
            format!("cannot find this program's own path: {error}"),
            None,
        )
    })
}
