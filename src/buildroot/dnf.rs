//! Command lines of package managers, and what they must see of the host.

use std::path::{Path, PathBuf};

use super::sandboxes::BUILDROOT;
use crate::mock_config::{Manager, MockOptions};

/// Where the configuration of the package manager is inside its sandbox.
pub const CONFIG: &str = "/run/albs-node/dnf.conf";
/// Where its cache is inside its sandbox.
pub const CACHE: &str = "/var/cache/dnf";
/// rpm's database in a buildroot unless its own rpm says otherwise.
pub const DEFAULT_DBPATH: &str = "/var/lib/rpm";

/// rpm's own plugins for transactions (rpm-plugins(8)), but for that of SELinux. They act on the
/// system that rpm runs on: its logs, its power, its security policy. `unshare` wants namespaces,
/// which installs may not make, and ends the transaction without them; scriptlets are in the
/// sandbox, and have the network of dnf (policies/profiles/install.toml).
const PLUGINS: [&str; 9] = [
    "audit",
    "dbus_announce",
    "fapolicyd",
    "fsverity",
    "ima",
    "prioreset",
    "syslog",
    "systemd_inhibit",
    "unshare",
];

/// A package manager that carries out a config's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageManager {
    /// Program.
    pub program: PathBuf,
    /// Which it is.
    pub kind: Manager,
}

/// No package manager of the host can install what the config wants.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the config wants the package manager {wanted}, and this host has none that could stand in"
)]
pub struct NoPackageManager {
    wanted: Manager,
}

impl NoPackageManager {
    /// What an operator can do.
    pub fn hint(&self) -> String {
        "install one (apt-get install dnf dnf-plugins-core, or dnf install dnf), or set \
         config_opts['use_bootstrap'] and config_opts['use_bootstrap_image'] to use that of an image"
            .to_owned()
    }
}

/// A sentence about a package manager of the host that stands in for the one the config wants.
/// None if it is the one, or one that is used for it everywhere.
pub fn stand_in_note(options: &MockOptions, host: &PackageManager) -> Option<String> {
    let wanted = options.package_manager;
    // microdnf cannot install into another root; mock uses dnf for it as well.
    let expected = if wanted == Manager::Microdnf { Manager::Dnf4 } else { wanted };
    // In a bootstrap root there is the right one.
    let stands_in = host.kind != expected && !options.use_bootstrap;
    stands_in.then(|| {
        let used = host.kind;
        format!(
            "the config wants {wanted}, which this host does not have; {used} is used instead \
             (install {wanted}, or set config_opts['use_bootstrap'] = True to use the target's own)"
        )
    })
}

/// Which package managers can do the work of another, the best first.
fn stand_ins(wanted: Manager) -> [Manager; 3] {
    match wanted {
        Manager::Dnf4 | Manager::Microdnf => [Manager::Dnf4, Manager::Dnf5, Manager::Yum],
        Manager::Dnf5 => [Manager::Dnf5, Manager::Dnf4, Manager::Yum],
        Manager::Yum => [Manager::Yum, Manager::Dnf4, Manager::Dnf5],
    }
}

/// The package managers that can install the one of the config, the best first.
pub(super) fn installers(options: &MockOptions) -> Vec<PackageManager> {
    let kinds = stand_ins(options.package_manager).into_iter().chain([Manager::Microdnf]);
    let usual = |kind| match kind {
        Manager::Dnf4 => &["/usr/bin/dnf-3", "/usr/bin/dnf"][..],
        Manager::Dnf5 => &["/usr/bin/dnf5"],
        Manager::Yum => &["/usr/bin/yum"],
        Manager::Microdnf => &["/usr/bin/microdnf"],
    };
    let with = |kind| usual(kind).iter().map(move |program| (kind, program));
    kinds
        .flat_map(with)
        .map(|(kind, program)| PackageManager { program: program.into(), kind })
        .collect()
}

/// Which package manager a program is, by the name of the file that its links lead to.
fn kind_of(program: &Path) -> Option<Manager> {
    let name = program.file_name()?.to_str()?;
    match name {
        "dnf5" => Some(Manager::Dnf5),
        "microdnf" => Some(Manager::Microdnf),
        "yum" => Some(Manager::Yum),
        _ => name.starts_with("dnf").then_some(Manager::Dnf4),
    }
}

impl PackageManager {
    /// Chooses a program of the host. Those of one kind stand in for another where there is none,
    /// since what is asked of them is common to all; what is installed is the same.
    ///
    /// `resolve` follows the links of a path, and gives none where there is no program.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn of_host(
        options: &MockOptions,
        resolve: impl Fn(&Path) -> Option<PathBuf>,
    ) -> Result<PackageManager, NoPackageManager> {
        let wanted = options.package_manager;
        for kind in stand_ins(wanted) {
            let own = options.manager_options(kind);
            let usual = ["/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/dnf5", "/usr/bin/yum"];
            let programs = own.system_command.into_iter().chain([own.command]);
            for program in programs.chain(usual.map(str::to_owned)) {
                let program = PathBuf::from(program);
                if resolve(&program).and_then(|path| kind_of(&path)) == Some(kind) {
                    return Ok(PackageManager { program, kind });
                }
            }
        }
        Err(NoPackageManager { wanted })
    }

    /// The package manager of a bootstrap root.
    pub fn of_bootstrap(options: &MockOptions) -> PackageManager {
        let kind = options.package_manager;
        PackageManager { program: options.manager_options(kind).command.into(), kind }
    }

    /// The same where its program leads to `path`; none if that is something else.
    pub(super) fn at(self, path: &Path) -> Option<PackageManager> {
        let found = kind_of(path)?;
        // What is called yum is dnf for a long time, and takes the same arguments.
        let fits = found == self.kind || (self.kind, found) == (Manager::Yum, Manager::Dnf4);
        fits.then_some(self)
    }

    /// A complete command line for the buildroot. `command` starts with the package manager's
    /// command, such as `install`, in dnf4's words.
    pub fn command_line(&self, options: &MockOptions, command: &[String]) -> Vec<String> {
        let own = options.manager_options(self.kind);
        let (verb, arguments) = match command.split_first() {
            Some((verb, arguments)) => (verb.as_str(), arguments),
            None => ("install", &[][..]),
        };
        let (program, kind, verb) = self.program_for(options, verb);
        let mut line = vec![
            program.display().to_string(),
            "--installroot".to_owned(),
            BUILDROOT.to_owned(),
            format!("--config={CONFIG}"),
        ];
        let setopts = settings(kind);
        line.extend(setopts.iter().map(|setting| format!("--setopt={setting}")));
        line.push("--assumeyes".to_owned());
        // microdnf has no such option; without a network it fails all the same.
        if !options.online && kind != Manager::Microdnf {
            line.push("-C".to_owned());
        }
        if let Some(releasever) = &options.releasever {
            line.push(format!("--releasever={releasever}"));
        }
        if let (Some(arch), Manager::Dnf4 | Manager::Dnf5) = (&options.forcearch, kind) {
            line.push(format!("--forcearch={arch}"));
        }
        let disable = if kind == Manager::Dnf5 { "--disable-plugin" } else { "--disableplugin" };
        line.extend(own.disable_plugins.iter().map(|name| format!("{disable}={name}")));

        // A config may name the command as mock does, or as the package manager does.
        let word = verb.map(|verb| word(kind, verb));
        let avoided = |option: &&String| {
            let lists = [verb, word].into_iter().flatten().filter_map(|v| own.avoid_opts.get(v));
            lists.into_iter().any(|list| list.contains(option))
        };
        let mut common: Vec<String> =
            own.common_opts.iter().filter(|option| !avoided(option)).cloned().collect();
        if matches!(verb, None | Some("builddep")) {
            common.extend(own.builddep_opts.iter().cloned());
        }
        let groups = verb == Some("groupinstall") && kind == Manager::Dnf5;
        let arguments = arguments.iter().map(|name| match groups && !name.starts_with('-') {
            // Groups are installed by name with @ in both.
            true => format!("@{name}"),
            false => name.clone(),
        });
        let command = word.map(str::to_owned).into_iter().chain(arguments);
        // dnf5 takes options of a command only after it.
        if kind == Manager::Dnf5 {
            line.extend(command.chain(common));
        } else {
            line.extend(common.into_iter().chain(command));
        }
        line
    }

    /// Which program does the work of a verb, what kind it is, and the verb that it is given: a
    /// separate program takes the place of a command, and microdnf can do little.
    fn program_for<'a>(
        &self,
        options: &MockOptions,
        verb: &'a str,
    ) -> (PathBuf, Manager, Option<&'a str>) {
        let own = options.manager_options(self.kind);
        if let (Some(program), "builddep") = (&own.builddep_command, verb) {
            return match kind_of(Path::new(program)) {
                Some(Manager::Dnf4) => (program.into(), Manager::Dnf4, Some(verb)),
                _ => (program.into(), self.kind, None),
            };
        }
        let simple = ["install", "dnf-install", "update", "upgrade", "remove", "--version"];
        if self.kind == Manager::Microdnf && !simple.contains(&verb) {
            let beside = own.builddep_command.map(PathBuf::from);
            let is_dnf = |path: &PathBuf| kind_of(path) == Some(Manager::Dnf4);
            let usual = || options.manager_options(Manager::Dnf4).command.into();
            let program = beside.filter(is_dnf).unwrap_or_else(usual);
            return (program, Manager::Dnf4, Some(verb));
        }
        (self.program.clone(), self.kind, Some(verb))
    }
}

/// Settings that hold for every call. On the command line, paths are those of the tools' root, in
/// a file they would be those of the buildroot.
fn settings(kind: Manager) -> Vec<String> {
    // There is no SELinux inside; labels could not be set.
    let mut settings = vec![format!("cachedir={CACHE}"), "tsflags=nocontexts".to_owned()];
    if matches!(kind, Manager::Dnf4 | Manager::Dnf5) {
        // They would look for it in the buildroot otherwise.
        settings.push("varsdir=/etc/dnf/vars".to_owned());
    }
    match kind {
        Manager::Dnf4 => settings.push("logdir=/tmp".to_owned()),
        Manager::Dnf5 => {
            // The superuser's cache has an option of its own.
            settings.push(format!("system_cachedir={CACHE}"));
            settings.push("logdir=/tmp".to_owned());
        }
        Manager::Yum => settings.push("logfile=/tmp/yum.log".to_owned()),
        // It refuses what it does not know.
        Manager::Microdnf => {}
    }
    settings
}

/// A command of dnf4 in the words of another package manager.
fn word(kind: Manager, verb: &str) -> &str {
    match (verb, kind) {
        // What mock calls it where dnf installs microdnf.
        ("dnf-install", _) => "install",
        ("groupinstall", Manager::Dnf5) => "install",
        ("update", Manager::Dnf5 | Manager::Microdnf) => "upgrade",
        _ => verb,
    }
}

/// Longer than any transaction takes, also where an emulator runs the scriptlets. Without a limit,
/// one that waits for ever would have a build's place for ever.
const LONGEST_MS: u64 = 6 * 3_600_000;

/// Time limit of one call in milliseconds: the config's `opstimeout`, else six hours.
pub fn timeout_ms(options: &MockOptions) -> u64 {
    if options.opstimeout > 0 { options.opstimeout.saturating_mul(1000) } else { LONGEST_MS }
}

/// Files for the sandbox of the package manager: its configuration, variables, and the macros
/// of the rpm library that installs.
pub fn files(options: &MockOptions, dbpath: &str) -> Vec<(PathBuf, String)> {
    // _netsharedpath: these are mount points, which rpm must not unpack over.
    let mut macros = format!("%_dbpath {dbpath}\n%_netsharedpath /proc:/sys\n");
    // Labels are the host's matter; inside there is no policy that would know them.
    let labels = options.plugins.selinux.then_some("selinux");
    for name in PLUGINS.into_iter().chain(labels) {
        macros += &format!("%__transaction_{name} %{{nil}}\n");
    }
    let mut files = vec![
        (CONFIG.into(), options.dnf_conf.clone()),
        ("/root/.rpmmacros".into(), macros.clone()),
        // rpm 4.20 and later read this place instead.
        ("/root/.config/rpm/macros".into(), macros),
    ];
    for (name, value) in &options.dnf_vars {
        // dnf reads the first, yum the second.
        for directory in ["/etc/dnf/vars", "/etc/yum/vars"] {
            files.push((Path::new(directory).join(name), format!("{value}\n")));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildroot::testing::options;

    #[test]
    fn rpm_loads_no_plugins() {
        let mut options = options("dnf");
        let unset = |options: &MockOptions, name: &str| {
            let line = format!("%__transaction_{name} %{{nil}}\n");
            let files = files(options, DEFAULT_DBPATH);
            files.iter().filter(|(_, content)| content.contains(&line)).count()
        };
        // In both places where rpm looks.
        assert_eq!((unset(&options, "unshare"), unset(&options, "selinux")), (2, 2));
        options.plugins.selinux = false;
        assert_eq!((unset(&options, "unshare"), unset(&options, "selinux")), (2, 0));
    }

    /// A host with these programs: path and what it leads to.
    fn host(
        programs: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&Path) -> Option<PathBuf> {
        move |path| {
            let found = programs.iter().find(|(name, _)| Path::new(name) == path)?;
            Some(found.1.into())
        }
    }

    #[test]
    fn chooses_what_is_there() {
        let chosen = |wanted: &str, programs| {
            let chosen = PackageManager::of_host(&options(wanted), host(programs));
            chosen.map(|chosen| (chosen.program.display().to_string(), chosen.kind)).ok()
        };
        let dnf4 = [("/usr/bin/dnf", "/usr/bin/dnf-3")];
        let dnf5 = [("/usr/bin/dnf", "/usr/bin/dnf5"), ("/usr/bin/dnf5", "/usr/bin/dnf5")];
        let four = Some(("/usr/bin/dnf".to_owned(), Manager::Dnf4));
        let five = Some(("/usr/bin/dnf5".to_owned(), Manager::Dnf5));
        assert_eq!(chosen("dnf", dnf4.to_vec().leak()), four);
        assert_eq!(chosen("dnf5", dnf4.to_vec().leak()), four);
        assert_eq!(chosen("dnf5", dnf5.to_vec().leak()), five);
        assert_eq!(chosen("yum", dnf4.to_vec().leak()), four);
        assert_eq!(chosen("microdnf", dnf4.to_vec().leak()), four);
        assert_eq!(chosen("dnf", dnf5.to_vec().leak()).unwrap().1, Manager::Dnf5);
        assert_eq!(chosen("dnf", &[]), None);
    }

    #[test]
    fn a_stand_in_is_told() {
        let four = PackageManager { program: "/usr/bin/dnf".into(), kind: Manager::Dnf4 };
        let note = |wanted: &str| {
            let mut options = options(wanted);
            options.use_bootstrap = false;
            stand_in_note(&options, &four)
        };
        assert_eq!(note("dnf"), None);
        assert_eq!(note("microdnf"), None);
        insta::assert_snapshot!(note("dnf5").unwrap(), @"the config wants dnf5, which this host does not have; dnf4 is used instead (install dnf5, or set config_opts['use_bootstrap'] = True to use the target's own)");
    }

    #[test]
    fn command_lines_of_every_kind() {
        let commands = [
            "install @build 'a b'",
            "groupinstall build",
            "builddep /x.src.rpm",
            "update",
            "remove gcc",
            "module enable a:1",
        ];
        let mut text = String::new();
        for kind in Manager::ALL {
            let options = options(kind.as_str());
            let manager = PackageManager::of_bootstrap(&options);
            for command in commands {
                let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
                text += &manager.command_line(&options, &words).join(" ");
                text += "\n";
            }
        }
        insta::assert_snapshot!(text);
    }
}
