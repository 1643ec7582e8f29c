//! `plugin_conf`: what mock does in plugins and this program does by itself.

use serde::Serialize;

use super::read::{Read, Reader};
use crate::mock_config::error::{ConfigError, ErrorKind};
use crate::mock_config::map::OrderedMap;
use crate::mock_config::value::Value;

/// Every plugin that the config turns on, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plugins {
    /// Paths of the host to show inside, and whether a missing one is made.
    pub bind_mount: Vec<(String, String)>,
    /// Whether missing directories of the host are made for that.
    pub bind_mount_create: bool,
    /// File systems to mount.
    pub mount: Vec<MountOption>,
    /// Files of the buildroot to keep.
    pub chroot_scan: Option<ChrootScan>,
    /// How macros of rpmautospec are expanded.
    pub rpmautospec: Option<RpmAutospec>,
    /// How long a buildroot is good for.
    pub root_cache: RootCache,
    /// Days that downloaded packages are kept; nothing is kept without a number.
    pub package_cache_days: Option<u64>,
    /// Whether `installed_pkgs.log` is written.
    pub installed_packages: bool,
    /// Whether `available_pkgs.log` is written.
    pub available_packages: bool,
    /// Whether `hw_info.log` is written.
    pub hw_info: bool,
    /// Whether programs inside take SELinux for turned off.
    pub selinux: bool,
    /// The program that logs are compressed with at the end.
    pub compress_logs: Option<Compression>,
    /// The compiler cache.
    pub ccache: Option<Ccache>,
    /// The command that signs packages, with `%(rpms)s` in it.
    pub sign: Option<String>,
    /// Whether `showrc.log` has all macros of rpm.
    pub showrc: bool,
    /// Whether `procenv.log` has the environment of a process.
    pub procenv: bool,
    /// Arguments of rpmspec for `expanded-spec.txt`.
    pub expand_spec: Option<Vec<String>>,
    /// Whether `buildroot_lock.json` tells exactly what was installed.
    pub buildroot_lock: bool,
    /// Builds in memory.
    pub tmpfs: Option<TmpfsOption>,
}

/// A file system to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountOption {
    /// Device, or name.
    pub device: String,
    /// Place inside.
    pub path: String,
    /// Type of the file system.
    pub kind: String,
    /// Options of mount(8).
    pub options: String,
}

/// Which files of a buildroot are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChrootScan {
    /// Regular expressions; one that is found in the name or the path is enough.
    pub regexes: Vec<String>,
    /// Whether only failed builds are looked at.
    pub only_failed: bool,
    /// Whether the files go into one archive.
    pub write_tar: bool,
}

/// How `%autorelease` and `%autochangelog` become what they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RpmAutospec {
    /// What is installed for it.
    pub requires: Vec<String>,
    /// The command; the spec before and after are added.
    pub command: Vec<String>,
}

/// How long a buildroot is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RootCache {
    /// Whether it is kept at all.
    pub enabled: bool,
    /// After how many days it is made anew.
    pub max_age_days: Option<u64>,
}

/// A program that compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// gzip(1).
    Gzip,
    /// xz(1).
    Xz,
}

/// The compiler cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ccache {
    /// How large it may become, as ccache(1) reads it.
    pub max_size: String,
    /// Whether statistics go to the log.
    pub show_stats: bool,
    /// Whether the working directory is part of the key.
    pub hashdir: bool,
    /// How its files are compressed, if the config says so.
    pub compress: Option<String>,
}

/// Builds in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TmpfsOption {
    /// MiB of memory that the host must have; with less, builds are on the disk.
    pub required_ram_mb: u64,
}

impl Plugins {
    pub(super) fn read(read: &Reader<'_>) -> Read<Self> {
        let conf = Conf::of(read)?;
        let opts = |name: &str| conf.below(&format!("{name}_opts"));
        let is_on = |name: &str| conf.flag(&format!("{name}_enable"));
        let bind_mount = opts("bind_mount")?;
        let mount = opts("mount")?;
        Ok(Plugins {
            bind_mount: match is_on("bind_mount")? {
                true => bind_mount.rows("dirs", 2)?.into_iter().map(pair).collect(),
                false => Vec::new(),
            },
            bind_mount_create: bind_mount.flag("create_dirs")?,
            mount: match is_on("mount")? {
                true => mount.rows("dirs", 2)?.into_iter().map(mount_option).collect(),
                false => Vec::new(),
            },
            chroot_scan: when(is_on("chroot_scan")?, || {
                let opts = opts("chroot_scan")?;
                Ok(ChrootScan {
                    regexes: opts.regexes("regexes")?,
                    only_failed: opts.flag("only_failed")?,
                    write_tar: opts.flag("write_tar")?,
                })
            })?,
            rpmautospec: when(is_on("rpmautospec")?, || {
                let opts = opts("rpmautospec")?;
                Ok(RpmAutospec {
                    requires: opts.words("requires")?,
                    command: opts.words("cmd_base")?,
                })
            })?,
            root_cache: {
                let opts = opts("root_cache")?;
                RootCache {
                    enabled: is_on("root_cache")?,
                    max_age_days: match opts.flag("age_check")? {
                        true => opts.number("max_age_days")?,
                        false => None,
                    },
                }
            },
            package_cache_days: match is_on("yum_cache")? {
                true => Some(opts("yum_cache")?.number("max_age_days")?.unwrap_or(u64::MAX)),
                false => None,
            },
            installed_packages: is_on("package_state")?
                && opts("package_state")?.flag("installed_pkgs")?,
            available_packages: is_on("package_state")?
                && opts("package_state")?.flag("available_pkgs")?,
            hw_info: is_on("hw_info")?,
            selinux: is_on("selinux")?,
            compress_logs: when(is_on("compress_logs")?, || opts("compress_logs")?.compression())?,
            ccache: when(is_on("ccache")?, || {
                let opts = opts("ccache")?;
                Ok(Ccache {
                    max_size: opts.text("max_cache_size")?.unwrap_or_else(|| "4G".to_owned()),
                    show_stats: opts.flag("show_stats")?,
                    hashdir: opts.flag("hashdir")?,
                    compress: opts.text("compress")?,
                })
            })?,
            sign: when(is_on("sign")?, || {
                let opts = opts("sign")?;
                let part = |name| Ok::<_, ConfigError>(opts.text(name)?.unwrap_or_default());
                Ok(format!("{} {}", part("cmd")?, part("opts")?))
            })?,
            showrc: is_on("showrc")?,
            procenv: is_on("procenv")?,
            expand_spec: when(is_on("expand_spec")?, || {
                opts("expand_spec")?.words("rpmspec_opts")
            })?,
            buildroot_lock: is_on("buildroot_lock")?,
            tmpfs: when(is_on("tmpfs")?, || {
                let opts = opts("tmpfs")?;
                Ok(TmpfsOption { required_ram_mb: opts.number("required_ram_mb")?.unwrap_or(0) })
            })?,
        })
    }
}

fn when<T>(on: bool, read: impl FnOnce() -> Read<T>) -> Read<Option<T>> {
    if on { read().map(Some) } else { Ok(None) }
}

fn pair(row: Vec<String>) -> (String, String) {
    let mut row = row.into_iter();
    (row.next().unwrap_or_default(), row.next().unwrap_or_default())
}

fn mount_option(row: Vec<String>) -> MountOption {
    let mut row = row.into_iter();
    let mut next = || row.next().unwrap_or_default();
    MountOption { device: next(), path: next(), kind: next(), options: next() }
}

/// A dictionary somewhere below `plugin_conf`.
pub(super) struct Conf<'a> {
    read: &'a Reader<'a>,
    path: Vec<String>,
    map: Option<&'a OrderedMap<Value>>,
}

impl<'a> Conf<'a> {
    pub(super) fn of(read: &'a Reader<'a>) -> Read<Self> {
        let path = vec!["plugin_conf".to_owned()];
        match read.options.get_str("plugin_conf") {
            None | Some(Value::None) => Ok(Conf { read, path, map: None }),
            Some(Value::Dict(map)) => Ok(Conf { read, path, map: Some(map) }),
            Some(other) => Err(read.wrong(&["plugin_conf"], "a dictionary", other)),
        }
    }

    fn value(&self, name: &str) -> &'a Value {
        self.map.and_then(|map| map.get_str(name)).unwrap_or(&Value::None)
    }

    fn wrong(&self, name: &str, wanted: &str, value: &Value) -> ConfigError {
        let path: Vec<&str> = self.path.iter().map(String::as_str).chain([name]).collect();
        self.read.wrong(&path, wanted, value)
    }

    pub(super) fn below(&self, name: &str) -> Read<Conf<'a>> {
        let path = self.path.iter().cloned().chain([name.to_owned()]).collect();
        match self.value(name) {
            Value::None => Ok(Conf { read: self.read, path, map: None }),
            Value::Dict(map) => Ok(Conf { read: self.read, path, map: Some(map) }),
            other => Err(self.wrong(name, "a dictionary", other)),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Read<bool> {
        match self.value(name) {
            value @ (Value::None | Value::Bool(_) | Value::Int(_) | Value::Str(_)) => {
                Ok(value.is_true())
            }
            other => Err(self.wrong(name, "True or False", other)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Read<Option<String>> {
        match self.value(name) {
            Value::None => Ok(None),
            Value::Str(text) => Ok(Some(text.clone())),
            Value::Int(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            other => Err(self.wrong(name, "a string", other)),
        }
    }

    fn number(&self, name: &str) -> Read<Option<u64>> {
        match self.value(name) {
            Value::None => Ok(None),
            Value::Int(number) => {
                let number = u64::try_from(*number).ok();
                number.map(Some).ok_or_else(|| self.wrong(name, "0 or more", self.value(name)))
            }
            other => Err(self.wrong(name, "a whole number", other)),
        }
    }

    fn words(&self, name: &str) -> Read<Vec<String>> {
        match self.value(name) {
            Value::None => Ok(Vec::new()),
            Value::Str(text) => Ok(super::read::split(text)),
            Value::List(items) | Value::Tuple(items) => items
                .iter()
                .map(|item| match item {
                    Value::Str(text) => Ok(text.clone()),
                    other => Err(self.wrong(name, "a list of strings", other)),
                })
                .collect(),
            other => Err(self.wrong(name, "a list of strings", other)),
        }
    }

    /// Rows of at least so many strings.
    fn rows(&self, name: &str, least: usize) -> Read<Vec<Vec<String>>> {
        let items = match self.value(name) {
            Value::None => return Ok(Vec::new()),
            Value::List(items) | Value::Tuple(items) => items,
            other => return Err(self.wrong(name, "a list of pairs of strings", other)),
        };
        let row = |item: &Value| match item {
            Value::List(row) | Value::Tuple(row) if row.len() >= least => {
                row.iter().map(|part| part.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        items
            .iter()
            .map(|item| {
                row(item).ok_or_else(|| self.wrong(name, "a list of pairs of strings", item))
            })
            .collect()
    }

    /// Regular expressions that can be understood.
    fn regexes(&self, name: &str) -> Read<Vec<String>> {
        let regexes = self.words_of_list(name)?;
        for regex in &regexes {
            if let Err(error) = regex::RegexBuilder::new(regex).size_limit(1 << 20).build() {
                let message = format!("'{regex}' is not a regular expression that works here");
                let path: Vec<&str> = self.path.iter().map(String::as_str).chain([name]).collect();
                return Err(ConfigError::new(ErrorKind::Value, message)
                    .with_location(self.read.config.place(&path))
                    .with_source(error)
                    .with_hint("references back and looking around are not supported"));
            }
        }
        Ok(regexes)
    }

    /// A single string is one item here, whatever it contains.
    fn words_of_list(&self, name: &str) -> Read<Vec<String>> {
        match self.value(name) {
            Value::Str(text) => Ok(vec![text.clone()]),
            _ => self.words(name),
        }
    }

    fn compression(&self) -> Read<Compression> {
        let command = self.text("command")?.unwrap_or_else(|| "gzip".to_owned());
        let program = command.split_whitespace().next().unwrap_or_default();
        match program.rsplit('/').next().unwrap_or_default() {
            "gzip" | "pigz" => Ok(Compression::Gzip),
            "xz" => Ok(Compression::Xz),
            _ => {
                let path: Vec<&str> =
                    self.path.iter().map(String::as_str).chain(["command"]).collect();
                let message = format!("logs cannot be compressed with '{command}'");
                Err(ConfigError::new(ErrorKind::Value, message)
                    .with_location(self.read.config.place(&path))
                    .with_hint("there is gzip and xz"))
            }
        }
    }
}
