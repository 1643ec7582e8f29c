//! The sandboxes that buildroots are made and used in: pure functions from what is wanted to a
//! [`SandboxSpec`].

mod fetch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandbox::spec::{Limits, Mount, Namespaces, Network, Root, Stdio, User};
use sandbox::{HostFacts, IdMapping, SandboxSpec};

use super::disk::Size;
use super::tools::Programs;
use super::view::View;
use crate::profile::{Profile, ProfileError, ProfileName, ProfileUser};
use crate::verdict::Stage;

/// Where the buildroot is mounted in sandboxes whose own root are the host's tools.
pub const BUILDROOT: &str = "/buildroot";
/// Where our own program is mounted in maintenance sandboxes.
pub const HELPER: &str = "/run/albs-node/albs-node";

/// Bytes of address space for work on trees: far more than any archive of a real image needs.
const MAINTENANCE_MEMORY: u64 = 4 << 30;

/// What all sandboxes of one build have in common.
#[derive(Debug, Clone)]
pub struct Context {
    /// The host.
    pub host: HostFacts,
    /// The unprivileged user of builds, inside.
    pub build_user: User,
    /// Limits on every stage.
    pub limits: Limits,
    /// What a sandbox may write to its tree, if that is limited.
    pub disk: Option<Size>,
    /// Host name inside.
    pub hostname: String,
    /// What builds and shells see besides the buildroot.
    pub view: View,
    /// Facts about the host's files that the plan depends on.
    pub tools: HostTools,
}

/// The host's programs as they are shown to sandboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostTools {
    /// Top-level links into /usr, such as `/bin` → `usr/bin`.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Directories and files to show, read-only: source on the host, place inside.
    pub binds: Vec<(PathBuf, PathBuf)>,
}

/// Parts of /etc that package managers and TLS need. Nothing that holds secrets.
const ETC: [&str; 14] = [
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "pki/ca-trust",
    "pki/tls",
    "resolv.conf",
    "rpm",
    "ssl",
];

impl HostTools {
    /// Looks at the host.
    pub fn probe() -> HostTools {
        let mut tools = HostTools::default();
        tools.binds.push(("/usr".into(), "/usr".into()));
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let path = Path::new("/").join(name);
            match (path.read_link(), path.is_dir()) {
                (Ok(target), _) => tools.links.push((path, target)),
                (Err(_), true) => tools.binds.push((path.clone(), path)),
                _ => {}
            }
        }
        for name in ETC {
            let inside = Path::new("/etc").join(name);
            // A link may lead to a place that is not shown, as that of resolv.conf does.
            if let Ok(source) = inside.canonicalize() {
                tools.binds.push((source, inside));
            }
        }
        tools
    }

    /// What names and addresses are found by.
    fn network_mounts(&self) -> Vec<Mount> {
        let names = ["/etc/hosts", "/etc/resolv.conf"];
        let binds = self
            .binds
            .iter()
            .filter(|(_, inside)| names.iter().any(|name| inside == std::path::Path::new(name)));
        binds.map(read_only).collect()
    }

    fn mounts(&self) -> Vec<Mount> {
        let links = self.links.iter().map(|(path, target)| Mount::Symlink {
            destination: path.clone(),
            target: target.clone(),
        });
        links.chain(self.binds.iter().map(read_only)).collect()
    }
}

impl Context {
    /// The id mapping for a kind of work: with a single id, the build user is that id.
    pub fn ids(&self, user: User) -> IdMapping {
        let mut ids = IdMapping::choose(&self.host, user.uid);
        if ids.is_single() {
            ids.gids[0].inside = user.gid;
        }
        ids
    }

    fn spec(
        &self,
        name: &str,
        profile: &Profile,
        root: Root,
        mounts: Vec<Mount>,
        argv: Vec<String>,
    ) -> SandboxSpec {
        let user = match profile.user {
            ProfileUser::Root => User::ROOT,
            ProfileUser::Build => self.build_user,
        };
        SandboxSpec {
            name: name.to_owned(),
            root,
            mounts,
            namespaces: Namespaces::default(),
            ids: self.ids(user),
            user,
            capabilities: profile.capabilities(),
            environment: BTreeMap::new(),
            argv,
            cwd: "/".into(),
            stdio: Stdio::CAPTURE,
            network: profile.network,
            host_ports: self.view.host_ports.clone(),
            hostname: Some(self.hostname.clone()),
            limits: self.limits.clone(),
            accounting: true,
            rlimits: sandbox::spec::no_core_dumps(),
            timeout_ms: None,
            silence_ms: None,
            seccomp: profile.seccomp.clone(),
            landlock: profile.restrictions(),
            linux32: false,
            keep_session: false,
        }
    }

    /// Gives a sandbox the network that its config opens.
    pub fn open_network(&self, spec: &mut SandboxSpec) {
        spec.network = Network::FilteredOrHost;
        spec.mounts.extend(self.view.network_mounts.clone());
        spec.environment.extend(self.view.network_environment.clone());
        self.name_servers(spec);
    }

    /// Replaces the host's name servers by what leads to them from a network of its own.
    fn name_servers(&self, spec: &mut SandboxSpec) {
        let Some(content) = sandbox::network::resolver_configuration(spec, &self.host) else {
            return;
        };
        let place = Path::new("/etc/resolv.conf");
        for mount in &mut spec.mounts {
            if matches!(mount, Mount::Bind { destination, .. } if destination == place) {
                *mount = file(place, &content);
            }
        }
    }

    /// A sandbox of a package manager, with a buildroot at [`BUILDROOT`].
    ///
    /// # Errors
    ///
    /// The profile is not valid.
    pub fn package_manager(
        &self,
        stage: Stage,
        programs: &Programs,
        buildroot: Root,
        inputs: PackageManagerInputs<'_>,
        argv: Vec<String>,
    ) -> Result<SandboxSpec, ProfileError> {
        let profile = ProfileName::of_manager(stage).load()?;
        let (root, mut mounts) = match programs {
            Programs::Host => (Root::Empty { size_bytes: 1 << 30 }, self.tools.mounts()),
            Programs::Root(root) => {
                let mut mounts = self.tools.network_mounts();
                // Its own certificates need not know those of this site.
                mounts.extend(self.view.network_mounts.clone());
                (root.clone(), mounts)
            }
        };
        mounts.extend(tools_system());
        mounts.extend(inputs.visible.iter().map(read_only));
        for (path, content) in inputs.files {
            mounts.push(file(path, content));
        }
        let destination = inputs.cache_inside.to_owned();
        mounts.push(match inputs.cache {
            Some(source) => {
                Mount::Bind { source: source.to_owned(), destination, read_only: false }
            }
            None => Mount::Tmpfs { destination, mode: 0o755, size_bytes: None },
        });
        mounts.extend(self.view.fixtures(Path::new("/")));
        let mut spec = self.spec(stage.as_str(), &profile, root, mounts, argv);
        match buildroot {
            Root::Directory { path, .. } => spec.mounts.push(Mount::Bind {
                source: path,
                destination: BUILDROOT.into(),
                read_only: false,
            }),
            Root::Overlay { layers, upper, work, volatile } => spec.mounts.push(Mount::Overlay {
                destination: BUILDROOT.into(),
                layers,
                upper,
                work,
                volatile,
            }),
            Root::Empty { size_bytes } => spec.mounts.push(Mount::Tmpfs {
                destination: BUILDROOT.into(),
                mode: 0o755,
                size_bytes: Some(size_bytes),
            }),
        }
        // What scriptlets expect.
        spec.mounts.extend(system(Path::new(BUILDROOT)));
        spec.mounts.extend(self.view.fixtures(Path::new(BUILDROOT)));
        // What the config says is for scriptlets; the rest must not depend on it.
        spec.environment = inputs.environment.clone();
        spec.environment.extend(environment(&[
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
            ("PATH", "/usr/bin:/usr/sbin:/bin:/sbin"),
            ("TMPDIR", "/tmp"),
        ]));
        spec.linux32 = self.view.installs_linux32;
        for name in ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"] {
            if let Some(value) = inputs.proxies.get(name) {
                spec.environment.insert(name.to_owned(), value.clone());
            }
        }
        self.name_servers(&mut spec);
        Ok(spec)
    }

    /// A sandbox inside a buildroot.
    ///
    /// # Errors
    ///
    /// The profile is not valid.
    pub fn chroot(
        &self,
        stage: &str,
        profile: ProfileName,
        root: Root,
        mounts: Vec<Mount>,
        environment: &BTreeMap<String, String>,
        argv: Vec<String>,
    ) -> Result<SandboxSpec, ProfileError> {
        let is_question = profile == ProfileName::Query;
        let profile = profile.load()?;
        let mut all = system(Path::new("/"));
        all.extend(self.view.fixtures(Path::new("/")));
        if !is_question {
            all.extend(self.view.mounts.clone());
        }
        all.extend(mounts);
        let mut spec = self.spec(stage, &profile, root, all, argv);
        spec.environment = environment.clone();
        if !is_question {
            spec.environment.extend(self.view.environment.clone());
            spec.rlimits.extend(self.view.rlimits.clone());
        }
        spec.linux32 = self.view.linux32;
        Ok(spec)
    }

    /// A sandbox of our own program, which works on `trees`: host path, place inside, read-only.
    ///
    /// # Errors
    ///
    /// The profile is not valid.
    pub fn maintenance(
        &self,
        stage: &str,
        profile: ProfileName,
        program: &Path,
        trees: &[(PathBuf, PathBuf, bool)],
        argv: &[&str],
    ) -> Result<SandboxSpec, ProfileError> {
        let profile = profile.load()?;
        let mut mounts = self.tools.mounts();
        mounts.extend(tools_system());
        mounts.push(Mount::Bind {
            source: program.to_owned(),
            destination: HELPER.into(),
            read_only: true,
        });
        mounts.extend(trees.iter().map(bind));
        let argv = [HELPER, "helper"].iter().chain(argv).map(|arg| (*arg).to_owned()).collect();
        let mut spec =
            self.spec(stage, &profile, Root::Empty { size_bytes: 1 << 20 }, mounts, argv);
        spec.environment = environment(&[("PATH", "/usr/bin:/bin")]);
        // The work is ours, and must not fail for a limit that is meant for the build.
        spec.limits = Limits::default();
        spec.accounting = false;
        // It reads what others have written, and must not be made to take all of the memory.
        spec.rlimits.insert("AS".to_owned(), MAINTENANCE_MEMORY);
        Ok(spec)
    }
}

/// What a package manager needs besides the buildroot.
#[derive(Debug, Clone, Copy)]
pub struct PackageManagerInputs<'a> {
    /// Host paths to show, read-only: path and place inside.
    pub visible: &'a [(PathBuf, PathBuf)],
    /// Files to write: place inside and content.
    pub files: &'a [(PathBuf, String)],
    /// Package cache on the host, if anything is kept.
    pub cache: Option<&'a Path>,
    /// Its place inside.
    pub cache_inside: &'a Path,
    /// Variables of the config.
    pub environment: &'a BTreeMap<String, String>,
    /// Proxy settings, by the names of their variables.
    pub proxies: &'a BTreeMap<String, String>,
}

/// A tree of the host: its path, its place inside, whether it is read-only.
fn bind((source, inside, read_only): &(PathBuf, PathBuf, bool)) -> Mount {
    Mount::Bind { source: source.clone(), destination: inside.clone(), read_only: *read_only }
}

fn read_only((source, inside): &(PathBuf, PathBuf)) -> Mount {
    Mount::Bind { source: source.clone(), destination: inside.clone(), read_only: true }
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(path: &Path, content: &str) -> Mount {
    Mount::File { destination: path.to_owned(), content: content.to_owned(), mode: 0o644 }
}

/// Users of the tools root: its own root and nobody else, whatever the host's are.
fn tools_system() -> Vec<Mount> {
    let mut mounts = system(Path::new("/"));
    mounts.push(Mount::Tmpfs { destination: "/tmp".into(), mode: 0o1777, size_bytes: None });
    mounts.push(Mount::Directory { destination: "/var/tmp".into(), mode: 0o1777 });
    mounts.push(file(Path::new("/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n"));
    mounts.push(file(Path::new("/etc/group"), "root:x:0:\n"));
    mounts
}

/// The kernel's file systems, as programs expect them below `root`.
fn system(root: &Path) -> Vec<Mount> {
    vec![
        Mount::Proc { destination: root.join("proc") },
        Mount::Sys { destination: root.join("sys") },
        Mount::Dev { destination: root.join("dev") },
    ]
}
