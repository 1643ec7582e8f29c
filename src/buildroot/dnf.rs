//! Command lines of the package manager, and what it must see of the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sandboxes::BUILDROOT;
use crate::mock_config::MockOptions;

/// Where the configuration of the package manager is inside its sandbox.
pub const CONFIG: &str = "/run/albs-node/dnf.conf";
/// Where its cache is inside its sandbox.
pub const CACHE: &str = "/var/cache/dnf";
/// rpm's database in a buildroot unless its own rpm says otherwise.
pub const DEFAULT_DBPATH: &str = "/var/lib/rpm";

/// Package managers of dnf's command line, by the names that mock configs use, with the programs
/// that may provide them.
const PROGRAMS: [(&str, &[&str]); 2] =
    [("dnf5", &["/usr/bin/dnf5"]), ("dnf4", &["/usr/bin/dnf-3", "/usr/bin/dnf4", "/usr/bin/dnf"])];

/// The package manager of the host that carries out a config's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageManager {
    /// Program.
    pub program: PathBuf,
    /// `dnf4` or `dnf5`.
    pub kind: &'static str,
}

/// No package manager of the host understands the config.
#[derive(Debug, thiserror::Error)]
#[error("the config wants the package manager {wanted}, which this host does not have")]
pub struct NoPackageManager {
    wanted: String,
}

impl NoPackageManager {
    /// What an operator can do.
    pub fn hint(&self) -> String {
        match self.wanted.as_str() {
            "dnf" | "dnf4" | "dnf5" => {
                "install it: apt-get install dnf dnf-plugins-core, or dnf install dnf".to_owned()
            }
            _ => {
                "dnf4 and dnf5 are supported; set config_opts['package_manager'] = 'dnf'".to_owned()
            }
        }
    }
}

impl PackageManager {
    /// Chooses a program for the config's `package_manager`. dnf4 and dnf5 stand in for each
    /// other, since what is asked of them is common to both.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn choose(
        wanted: &str,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<PackageManager, NoPackageManager> {
        let order: &[&str] = match wanted {
            "dnf" | "dnf4" => &["dnf4", "dnf5"],
            "dnf5" => &["dnf5", "dnf4"],
            _ => return Err(NoPackageManager { wanted: wanted.to_owned() }),
        };
        for kind in order {
            for (name, programs) in PROGRAMS.iter().filter(|(name, _)| name == kind) {
                if let Some(program) = programs.iter().find(|path| exists(Path::new(path))) {
                    return Ok(PackageManager { program: program.into(), kind: name });
                }
            }
        }
        Err(NoPackageManager { wanted: wanted.to_owned() })
    }

    /// A complete command line for the buildroot. `command` starts with the package manager's
    /// command, such as `install`.
    pub fn command_line(&self, options: &MockOptions, command: &[String]) -> Vec<String> {
        let mut line = vec![
            self.program.display().to_string(),
            "--installroot".to_owned(),
            BUILDROOT.to_owned(),
            format!("--config={CONFIG}"),
            // On the command line these are paths of the host, in the file of the buildroot.
            format!("--setopt=cachedir={CACHE}"),
            "--setopt=logdir=/tmp".to_owned(),
            // There is no SELinux inside; labels could not be set.
            "--setopt=tsflags=nocontexts".to_owned(),
            "--assumeyes".to_owned(),
        ];
        if let Some(releasever) = &options.releasever {
            line.push(format!("--releasever={releasever}"));
        }
        line.extend(
            options.dnf_disable_plugins.iter().map(|name| format!("--disableplugin={name}")),
        );
        line.extend(options.dnf_common_opts.iter().cloned());
        let (verb, arguments) = match command.split_first() {
            Some((verb, arguments)) => (verb.as_str(), arguments),
            None => ("install", &[][..]),
        };
        // Groups are installed by name with @ in both.
        line.push(match verb {
            "groupinstall" if self.kind == "dnf5" => "install".to_owned(),
            verb => verb.to_owned(),
        });
        let group = |name: &String| match verb {
            "groupinstall" if self.kind == "dnf5" && !name.starts_with('-') => format!("@{name}"),
            _ => name.clone(),
        };
        line.extend(arguments.iter().map(group));
        line
    }
}

/// Time limit of one call in milliseconds, if the config has one.
pub fn timeout_ms(options: &MockOptions) -> Option<u64> {
    (options.opstimeout > 0).then_some(options.opstimeout * 1000)
}

/// Files for the sandbox of the package manager: its configuration, variables, and the macros
/// of the rpm library that installs.
pub fn files(options: &MockOptions, dbpath: &str) -> Vec<(PathBuf, String)> {
    // _netsharedpath: these are mount points, which rpm must not unpack over.
    let macros = format!("%_dbpath {dbpath}\n%_netsharedpath /proc:/sys\n");
    let mut files = vec![
        (CONFIG.into(), options.dnf_conf.clone()),
        ("/root/.rpmmacros".into(), macros.clone()),
        // rpm 4.20 and later read this place instead.
        ("/root/.config/rpm/macros".into(), macros),
    ];
    for (name, value) in &options.dnf_vars {
        files.push((Path::new("/etc/dnf/vars").join(name), format!("{value}\n")));
    }
    files
}

/// Host paths that the configuration refers to by `file://`, and by the options that are paths of
/// certificates and keys. They must be visible where the package manager runs.
pub fn visible_paths(conf: &str, arch: &str, releasever: Option<&str>) -> Vec<PathBuf> {
    const PATH_OPTIONS: [&str; 4] = ["sslcacert", "sslclientcert", "sslclientkey", "gpgkey"];
    let mut paths: Vec<PathBuf> = Vec::new();
    for line in conf.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let (option, value) = line.split_once('=').unwrap_or(("", line));
        for word in value.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
            let path = match word.strip_prefix("file://") {
                Some(path) => path,
                None if PATH_OPTIONS.contains(&option.trim()) && word.starts_with('/') => word,
                None => continue,
            };
            let mut path = path.replace("$basearch", arch).replace("$arch", arch);
            if let Some(releasever) = releasever {
                path = path.replace("$releasever", releasever);
            }
            let path = PathBuf::from(path);
            if path.is_absolute() && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// Proxy settings of a config, by the names of the variables that programs read.
pub fn proxies(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    environment
        .iter()
        .filter(|(name, value)| name.ends_with("_proxy") && !value.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_what_is_there() {
        let only = |path: &'static str| move |p: &Path| p == Path::new(path);
        let dnf = PackageManager::choose("dnf", only("/usr/bin/dnf")).unwrap();
        assert_eq!((dnf.program.to_str(), dnf.kind), (Some("/usr/bin/dnf"), "dnf4"));
        let five = PackageManager::choose("dnf4", only("/usr/bin/dnf5")).unwrap();
        assert_eq!(five.kind, "dnf5");
        assert!(PackageManager::choose("dnf", |_| false).is_err());
        assert!(PackageManager::choose("zypper", |_| true).is_err());
    }

    #[test]
    fn paths_that_repositories_need() {
        let conf = "[main]\nsslcacert=/etc/my.pem\n[a]\nbaseurl=file:///srv/r/$releasever/$basearch \
                    https://h/x\n#baseurl=file:///no\ngpgkey=file:///keys/a, file:///keys/b\n";
        let paths = visible_paths(conf, "x86_64", Some("9"));
        let text: Vec<_> = paths.iter().filter_map(|p| p.to_str()).collect();
        assert_eq!(text, ["/etc/my.pem", "/srv/r/9/x86_64", "/keys/a", "/keys/b"]);
    }
}
