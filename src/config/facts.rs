//! What reading a config must know about the host.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use std::os::unix::fs::PermissionsExt;

/// Gives the text of a file.
pub type ReadFile = dyn Fn(&Path) -> io::Result<String>;

/// What is known about the host.
pub struct Facts {
    /// Name of the host.
    pub host_name: String,
    /// Its architecture, as `uname -m` says it.
    pub machine: String,
    /// Whether the node runs as root, which decides where things are by default.
    pub is_root: bool,
    /// Credentials that systemd has passed, by name.
    pub credentials: BTreeMap<String, String>,
    /// Mode of the config's file.
    pub config_mode: Option<u32>,
    /// Reads a file that the config names.
    pub read_file: Box<ReadFile>,
}

/// Bytes of a file with a secret that are looked at.
const MAX_SECRET: u64 = 64 << 10;

impl Facts {
    /// Looks around. `config` is the file that will be read.
    pub fn probe(config: Option<&Path>) -> Facts {
        let system = nix::sys::utsname::uname().ok();
        let text = |name: Option<&std::ffi::OsStr>| {
            name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Facts {
            host_name: text(system.as_ref().map(|system| system.nodename())),
            machine: text(system.as_ref().map(|system| system.machine())),
            is_root: nix::unistd::geteuid().is_root(),
            credentials: directory.map(|path| credentials(&path)).unwrap_or_default(),
            config_mode: config
                .and_then(|path| path.metadata().ok())
                .map(|metadata| metadata.permissions().mode()),
            read_file: Box::new(small_file),
        }
    }

    /// The host's name without its last two labels; all of it where there are no more.
    pub(super) fn node_name(&self) -> String {
        // As Python's rsplit('.', 2)[0].
        self.host_name.rsplitn(3, '.').last().unwrap_or_default().to_owned()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.credentials.keys().collect();
        f.debug_struct("Facts")
            .field("host_name", &self.host_name)
            .field("machine", &self.machine)
            .field("is_root", &self.is_root)
            .field("credentials", &names)
            .field("config_mode", &self.config_mode)
            .finish_non_exhaustive()
    }
}

fn credentials(directory: &Path) -> BTreeMap<String, String> {
    ["jwt_token", "pulp_password", "sentry_dsn"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), small_file(&directory.join(name)).ok()?)))
        .collect()
}

fn small_file(path: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_SECRET).read_to_string(&mut text)?;
    Ok(text)
}

/// Where the config is: where the command line says, else at its place in a home directory, if it
/// exists.
pub fn locate(given: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    match given {
        Some(path) => Some(match (path.strip_prefix("~"), home) {
            // Shells expand it only where it begins a word, as not in --config=~/x.
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }),
        None => {
            let path = home?.join(".config/castor/build_node.yml");
            path.exists().then_some(path)
        }
    }
}
