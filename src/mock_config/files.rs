//! Where configs are: the directories of the host and the ones compiled in.

use std::path::{Path, PathBuf};

use super::builtin;
use super::error::{ConfigError, ErrorKind};
use super::list::names_in;
use super::source::Origin;
use crate::nearest::nearest;

/// A file larger than this is not a config.
const MAX_BYTES: u64 = 1 << 20;

/// Where mock itself has its configs; absolute inclusions name it.
const SYSTEM: &str = "/etc/mock";

/// A file and its text.
#[derive(Debug)]
pub(super) struct Found {
    pub origin: Origin,
    pub text: String,
}

/// The places to look at.
#[derive(Debug)]
pub(super) struct Library<'a> {
    pub configdir: Option<&'a Path>,
    pub home: Option<&'a Path>,
    pub system_dir: &'a Path,
}

impl Library<'_> {
    /// The directory that relative inclusions start from.
    pub fn config_dir(&self) -> &Path {
        self.configdir.unwrap_or(self.system_dir)
    }

    /// Finds a config by its name, or by its path.
    pub fn find(&self, name: &str) -> Result<Found, ConfigError> {
        // A name with a slash is one in a subdirectory, such as `eol/fedora-30-x86_64`.
        let below = name.contains('/') && !Path::new(name).is_absolute() && !name.contains("..");
        let named = below
            && self.directories().iter().any(|path| path.join(format!("{name}.cfg")).is_file());
        if name.ends_with(".cfg") || (name.contains('/') && !named) {
            let path = Path::new(name);
            // mock resolves links here, so that the file cannot include itself by another name.
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            return self.open(&Origin::File(path)).map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    let hint = if name.ends_with(".cfg") {
                        "check the path, or give the name of a config without .cfg"
                    } else {
                        "a path needs its extension .cfg, a name has no slash"
                    };
                    ConfigError::new(ErrorKind::NotFound, format!("no config file at {name}"))
                        .with_hint(hint)
                }
                _ => error,
            });
        }
        let file = format!("{name}.cfg");
        for directory in self.directories() {
            let path = directory.join(&file);
            if path.is_file() {
                return self.open(&Origin::File(path.canonicalize().unwrap_or(path)));
            }
        }
        match builtin::get(&file) {
            Some(text) if self.configdir.is_none() => {
                Ok(Found { origin: Origin::BuiltIn(file), text: text.to_owned() })
            }
            _ => Err(self.no_such_config(name)),
        }
    }

    /// Where configs are looked for by name, in order.
    pub fn directories(&self) -> Vec<PathBuf> {
        match self.configdir {
            Some(directory) => vec![directory.to_owned()],
            None => {
                let home = self.home.map(|home| home.join(".config/mock"));
                home.into_iter().chain([self.system_dir.to_owned()]).collect()
            }
        }
    }

    fn no_such_config(&self, name: &str) -> ConfigError {
        let directories = self.directories();
        let mut looked: Vec<_> =
            directories.iter().map(|path| path.display().to_string()).collect();
        let mut known: Vec<String> = directories.iter().flat_map(|path| names_in(path)).collect();
        if self.configdir.is_none() {
            looked.push("the built-in configs".to_owned());
            known.extend(builtin::names().map(str::to_owned));
        }
        let message =
            format!("there is no config called '{name}'; looked in {}", looked.join(", "));
        let near = nearest(name, known.iter().map(String::as_str), 3);
        let hint = match near.as_slice() {
            [] => {
                "give the name of a config without .cfg, or the path of a file with it".to_owned()
            }
            names => format!("did you mean {}?", names.join(" or ")),
        };
        ConfigError::new(ErrorKind::NotFound, message).with_hint(hint)
    }

    /// What an inclusion means.
    pub fn included(&self, path: &str, built_in: bool) -> Origin {
        let path = Path::new(path);
        match path.strip_prefix(SYSTEM) {
            Ok(below) => Origin::File(self.system_dir.join(below)),
            Err(_) if path.is_absolute() => Origin::File(path.to_owned()),
            Err(_) if built_in => Origin::BuiltIn(path.display().to_string()),
            Err(_) => Origin::File(self.config_dir().join(path)),
        }
    }

    /// Where a path is that configs may ask about: their own directories, and those of the keys
    /// and releases that configs choose by. None for every other one.
    pub fn visible(&self, path: &Path) -> Option<PathBuf> {
        const OPEN: &[&str] = &[
            "/etc/pki",
            "/etc/rpm",
            "/etc/yum.repos.d",
            "/etc/os-release",
            "/etc/redhat-release",
            "/etc/fedora-release",
            "/etc/centos-release",
            "/etc/almalinux-release",
            "/etc/debian_version",
            "/usr",
        ];
        if let Ok(below) = path.strip_prefix(SYSTEM) {
            return Some(self.system_dir.join(below));
        }
        let own = self.home.map(|home| home.join(".config/mock"));
        let own = own.as_deref().into_iter().chain([self.config_dir()]);
        let mut open = own.chain(OPEN.iter().map(Path::new));
        open.any(|directory| path.starts_with(directory)).then(|| path.to_owned())
    }

    pub fn include_hint(&self, built_in: bool) -> String {
        if built_in {
            return "built-in configs include built-in templates".to_owned();
        }
        format!(
            "relative paths start at {}; --configdir names another directory",
            self.config_dir().display()
        )
    }

    /// Reads a file. One that is not there is an error of kind `NotFound`.
    pub fn open(&self, origin: &Origin) -> Result<Found, ConfigError> {
        let text = match origin {
            Origin::File(path) => read(path)?,
            Origin::BuiltIn(name) => {
                builtin::get(name).map(str::to_owned).ok_or_else(|| not_found(origin))?
            }
            Origin::CommandLine => return Err(not_found(origin)),
        };
        Ok(Found { origin: origin.clone(), text })
    }
}

fn not_found(origin: &Origin) -> ConfigError {
    ConfigError::new(ErrorKind::NotFound, format!("{origin} does not exist"))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let origin = Origin::File(path.to_owned());
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => not_found(&origin),
        _ => ConfigError::new(ErrorKind::Io, format!("cannot read {origin}"))
            .with_source(error)
            .with_hint("the file and its directories must be readable for the user who builds"),
    };
    let data = std::fs::metadata(path).map_err(failed)?;
    if !data.is_file() {
        return Err(ConfigError::new(ErrorKind::Io, format!("{origin} is not a regular file")));
    }
    if data.len() > MAX_BYTES {
        let message = format!("{origin} is larger than {} MiB", MAX_BYTES >> 20);
        return Err(ConfigError::new(ErrorKind::Limit, message).with_hint("is it a config at all?"));
    }
    // Files of the kernel tell about the process and the machine, and some never end.
    let real = path.canonicalize().map_err(failed)?;
    if ["/proc", "/sys"].iter().any(|kernel| real.starts_with(kernel)) {
        return Err(ConfigError::new(ErrorKind::Io, format!("{origin} is a file of the kernel"))
            .with_hint("a config is made of files of its own"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::new(ErrorKind::Syntax, format!("{origin} is not UTF-8 in line {line}"))
            .with_hint("convert the file to UTF-8")
    })?;
    // Python reads text with every kind of line end as one.
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}
