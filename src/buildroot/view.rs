//! What a config makes visible in the sandboxes of builds and shells, besides the buildroot. Pure,
//! but for a look at the host's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox::spec::Mount;

use crate::mock_config::{MockOptions, MountOption};

/// Architectures with 32 bits, whose builds are to see such a machine on a 64-bit host.
const BITS_32: [&str; 12] = [
    "armhfp", "armv5tel", "armv6hl", "armv7hl", "armv7l", "athlon", "i386", "i486", "i586", "i686",
    "ppc", "s390",
];

/// Where hosts have their certificates in one file.
const CA_BUNDLES: [&str; 4] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// What builds and shells see and are limited by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Mounts over the buildroot.
    pub mounts: Vec<Mount>,
    /// Mounts that only make sense with a network: name resolution and certificates.
    pub network_mounts: Vec<Mount>,
    /// TCP ports of this host's loopback interface at which repositories and proxies are.
    pub host_ports: Vec<u16>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// Variables that only make sense with a network.
    pub network_environment: BTreeMap<String, String>,
    /// Limits of each process, by name without `RLIMIT_`.
    pub rlimits: BTreeMap<String, u64>,
    /// Whether it is a 32-bit machine.
    pub linux32: bool,
    /// Whether it is one for the package manager, which asks the machine what repositories are for.
    pub installs_linux32: bool,
    /// An emulator that the kernel starts by its path inside.
    pub emulator: Option<PathBuf>,
    /// A list of file systems to show instead of the kernel's.
    pub filesystems: Option<PathBuf>,
}

/// Something that a config wants to see cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// It is not there.
    #[error("the config wants to show {path} inside, which this host does not have")]
    Missing {
        /// The path on the host.
        path: String,
    },
    /// It takes privileges that nothing here has.
    #[error("the config wants a file system of type {kind} at {path}, which only root could mount")]
    Kind {
        /// The type.
        kind: String,
        /// The place.
        path: String,
    },
    /// It is no place.
    #[error("the config wants to show something at {path}, which is not an absolute path")]
    Place {
        /// The place.
        path: String,
    },
}

impl ViewError {
    /// What can be done.
    pub fn hint(&self) -> String {
        match self {
            ViewError::Missing { .. } => {
                "check the plugin bind_mount and nspawn_args; bind_mount_opts may say create_dirs"
            }
            ViewError::Kind { .. } => {
                "mount it on the host, and show it with the plugin bind_mount"
            }
            ViewError::Place { .. } => "places inside begin with a slash",
        }
        .to_owned()
    }
}

impl View {
    /// Works out the view. `machine` is the host's architecture, `exists` looks at the host.
    ///
    /// # Errors
    ///
    /// See [`ViewError`].
    pub fn new(
        options: &MockOptions,
        machine: &str,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<View, ViewError> {
        let target = options.rpmbuild_arch.as_deref().unwrap_or(&options.target_arch);
        let is_32 = |arch: &str| BITS_32.contains(&arch) && !BITS_32.contains(&machine);
        let mut view = View {
            linux32: is_32(target),
            installs_linux32: is_32(&options.target_arch),
            rlimits: options.nspawn.rlimits.clone(),
            environment: options.nspawn.environment.clone(),
            host_ports: super::repositories::host_ports(options),
            ..View::default()
        };
        for bind in &options.nspawn.binds {
            view.bind(&bind.source, &bind.destination, bind.read_only, &exists)?;
        }
        for (source, destination) in &options.plugins.bind_mount {
            view.bind(source, destination, false, &exists)?;
        }
        for path in &options.nspawn.tmpfs {
            let destination = absolute(path)?;
            view.mounts.push(Mount::Tmpfs { destination, mode: 0o1777, size_bytes: None });
        }
        for mount in &options.plugins.mount {
            view.mount(mount, &exists)?;
        }
        if options.use_host_resolv {
            for path in ["/etc/hosts", "/etc/resolv.conf"].map(Path::new) {
                if exists(path) {
                    view.network_mounts.push(read_only(path, path.to_owned()));
                }
            }
        }
        view.certificates(options, &exists)?;
        view.network_environment = options.network.proxies.clone();
        Ok(view)
    }

    /// What every root has besides its own: the list of file systems, if it is not the kernel's,
    /// and the emulator of its programs.
    pub fn fixtures(&self, root: &Path) -> Vec<Mount> {
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let filesystems =
            self.filesystems.iter().map(|source| read_only(source, root.join("proc/filesystems")));
        let emulator = self.emulator.iter().map(|program| read_only(program, below(program)));
        filesystems.chain(emulator).collect()
    }

    fn bind(
        &mut self,
        source: &str,
        destination: &str,
        read_only: bool,
        exists: &impl Fn(&Path) -> bool,
    ) -> Result<(), ViewError> {
        let source = PathBuf::from(source);
        if !source.is_absolute() || !exists(&source) {
            return Err(ViewError::Missing { path: source.display().to_string() });
        }
        let destination = absolute(destination)?;
        self.mounts.push(Mount::Bind { source, destination, read_only });
        Ok(())
    }

    /// What mount(8) would do, as far as it needs no privilege on the host.
    fn mount(
        &mut self,
        mount: &MountOption,
        exists: &impl Fn(&Path) -> bool,
    ) -> Result<(), ViewError> {
        let MountOption { device, path, kind, options } = mount;
        let options: Vec<&str> = options.split(',').collect();
        let option = |name: &str| options.iter().find_map(|option| option.strip_prefix(name));
        match kind.as_str() {
            "tmpfs" => {
                let mode = option("mode=").and_then(|mode| u32::from_str_radix(mode, 8).ok());
                self.mounts.push(Mount::Tmpfs {
                    destination: absolute(path)?,
                    mode: mode.unwrap_or(0o1777),
                    size_bytes: option("size=").and_then(size),
                });
                Ok(())
            }
            "" | "none" | "bind" | "auto" if device.starts_with('/') => {
                self.bind(device, path, options.contains(&"ro"), exists)
            }
            _ => Err(ViewError::Kind { kind: kind.clone(), path: path.clone() }),
        }
    }

    fn certificates(
        &mut self,
        options: &MockOptions,
        exists: &impl Fn(&Path) -> bool,
    ) -> Result<(), ViewError> {
        let network = &options.network;
        for (source, destination) in network.trust.iter().chain(&network.certificates) {
            let source = Path::new(source);
            if exists(source) {
                self.network_mounts.push(read_only(source, absolute(destination)?));
            }
        }
        if let Some(place) = &network.ca_bundle {
            let bundle = CA_BUNDLES.map(Path::new).into_iter().find(|path| exists(path));
            if let Some(bundle) = bundle {
                self.network_mounts.push(read_only(bundle, absolute(place)?));
            }
        }
        Ok(())
    }
}

/// The kernel's list of file systems without that of SELinux, by which programs find out whether
/// it is turned on. None when it is not there anyway.
pub fn without_selinux(filesystems: &str) -> Option<String> {
    let is_selinux = |line: &&str| line.split_whitespace().next_back() == Some("selinuxfs");
    filesystems.lines().find(is_selinux)?;
    let others = filesystems.lines().filter(|line| !is_selinux(line));
    Some(others.flat_map(|line| [line, "\n"]).collect())
}

fn read_only(source: &Path, destination: PathBuf) -> Mount {
    Mount::Bind { source: source.to_owned(), destination, read_only: true }
}

fn absolute(path: &str) -> Result<PathBuf, ViewError> {
    if path.starts_with('/') && !path.trim_matches('/').is_empty() {
        return Ok(path.into());
    }
    Err(ViewError::Place { path: path.to_owned() })
}

/// Bytes, as mount(8) takes them for tmpfs: with k, m or g. A percentage is left to the kernel.
fn size(text: &str) -> Option<u64> {
    let (number, factor) = match text.to_ascii_lowercase().strip_suffix(['k', 'm', 'g']) {
        Some(number) => {
            let shift = match text.to_ascii_lowercase().chars().last() {
                Some('k') => 10,
                Some('m') => 20,
                _ => 30,
            };
            (number.to_owned(), 1u64 << shift)
        }
        None => (text.to_owned(), 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selinux_is_hidden_where_it_is() {
        let with = "nodev\tsysfs\nnodev\tselinuxfs\n\text4\n";
        assert_eq!(without_selinux(with).as_deref(), Some("nodev\tsysfs\n\text4\n"));
        assert_eq!(without_selinux("nodev\tsysfs\n"), None);
    }

    #[test]
    fn sizes_of_tmpfs() {
        assert_eq!(
            [size("64k"), size("2G"), size("100"), size("50%")],
            [Some(65536), Some(2 << 30), Some(100), None]
        );
    }
}
