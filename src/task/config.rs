//! The mock config that a task stands for.
//!
//! What the task does not say is set as the Python build node sets it, since the packages of a
//! distribution were built that way: network and name resolution in builds, no bootstrap root, no
//! signatures checked.

use serde_json::{Map, Value as Json};
use thiserror::Error;

use super::{Repository, Task, reach};
use crate::mock_config::{OrderedMap, Value, assignment};

/// One option that a task sets: the keys that lead to it, and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The option, then keys of the dictionaries below it.
    pub path: Vec<String>,
    /// What it is set to.
    pub value: Value,
}

/// The mock config of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskConfig {
    /// The name of the buildroot: platform and architecture.
    pub name: String,
    /// Everything that is set, in order.
    pub assignments: Vec<Assignment>,
    task: i64,
}

/// Why no config can be made of a task.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TaskConfigError {
    /// A text that ends up in the package manager's configuration would change its meaning.
    #[error("{what} {value:?} of the task cannot stand in a repository's configuration")]
    Text {
        /// What it is.
        what: &'static str,
        /// The text.
        value: String,
    },
    /// A value that is of no use for its option.
    #[error("{option} of the task must be {wanted}, but it is {value}")]
    Value {
        /// Where in the task it is.
        option: String,
        /// What is expected.
        wanted: &'static str,
        /// The value, as JSON.
        value: String,
    },
}

/// Options whose value the task says in another way, or that are no options of mock.
const SPECIAL: &[&str] = &[
    "macros",
    "secure_boot_macros",
    "secure_boot_additional_packages",
    "secure_boot_required_packages",
    "rpmautospec_enable",
    "target_arch",
    "use_bootstrap_container",
    "use_bootstrap",
    // The old name would win over the list that the task means.
    "yum.conf",
    "dnf.conf",
];

/// Options that are dictionaries with defaults of their own, which stay.
const MERGED: &[&str] = &["environment", "plugin_conf", "files", "more_buildreqs", "dnf_vars"];

/// What the Python node writes into `[main]` unless the task says otherwise.
const MAIN: &[(&str, &str)] = &[
    ("assumeyes", "1"),
    ("debuglevel", "1"),
    ("gpgcheck", "0"),
    ("logfile", "/var/log/yum.log"),
    ("obsoletes", "1"),
    ("reposdir", "/dev/null"),
    ("retries", "20"),
    ("rpmverbosity", "info"),
];

impl TaskConfig {
    /// Makes the config of a task. `base_arch` is the architecture that a `src` task, which says
    /// none, gets its repositories for.
    pub fn new(task: &Task, base_arch: &str) -> Result<Self, TaskConfigError> {
        let data = &task.platform.data;
        let arch = match data.mock.get("target_arch") {
            Some(arch) => text("platform.data.mock.target_arch", arch)?,
            None if task.arch == "src" => base_arch.to_owned(),
            None => task.arch.clone(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        for (what, text) in [("platform.name", &task.platform.name), ("arch", &arch)] {
            if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) {
                return Err(TaskConfigError::Value {
                    option: what.to_owned(),
                    wanted: "a name of letters, digits, dots, dashes and underscores",
                    value: text.clone(),
                });
            }
        }
        let name = format!("{}-{arch}", task.platform.name.to_lowercase());
        let mut out = TaskConfig { name: name.clone(), assignments: Vec::new(), task: task.id };
        out.set(&["root"], name.as_str());
        out.set(&["target_arch"], arch.as_str());
        out.set(&["legal_host_arches"], Value::Tuple(host_arches(&arch)));
        if let Some(dist) = &data.mock_dist {
            out.set(&["dist"], dist.as_str());
        }
        // What the Python node sets, for the task to override.
        let mut options: Vec<(&str, Value)> = vec![
            ("rpmbuild_networking", Value::Bool(true)),
            ("use_host_resolv", Value::Bool(true)),
        ];
        for (option, value) in &data.mock {
            if !SPECIAL.contains(&option.as_str()) {
                options.retain(|(known, _)| known != option);
                options.push((option, json("platform.data.mock", option, value)?));
            }
        }
        // There is never a bootstrap root, whatever the task says.
        options.push(("use_bootstrap", Value::Bool(false)));
        reach::check(task)?;
        if let Some(seconds) = data.timeout {
            options.push(("rpmbuild_timeout", Value::Int(seconds.min(i64::MAX as u64) as i64)));
        }
        for (option, value) in options {
            match value {
                Value::Dict(map) if MERGED.contains(&option) => {
                    for (key, value) in map.iter() {
                        out.set(&[option, &key.to_text()], value.clone());
                    }
                }
                value => out.set(&[option], value),
            }
        }
        out.plugins(task)?;
        out.macros(task, &arch)?;
        out.set(&["dnf.conf"], main_and_repositories(task)?.as_str());
        Ok(out)
    }

    /// The config as mock and this program read it.
    pub fn text(&self) -> String {
        let mut out = format!("# The config of task {}.\n", self.task);
        for Assignment { path, value } in &self.assignments {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            out.push_str(&assignment(&path, value));
        }
        out
    }

    pub(super) fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        self.assignments.push(Assignment { path, value: value.into() });
    }

    fn plugins(&mut self, task: &Task) -> Result<(), TaskConfigError> {
        let data = &task.platform.data;
        if data.mock.get("rpmautospec_enable").is_some_and(truth) {
            self.set(&["plugin_conf", "rpmautospec_enable"], Value::Bool(true));
        }
        if !data.custom_logs.is_empty() {
            let regexes =
                data.custom_logs.iter().map(|regex| Value::from(regex.as_str())).collect();
            self.set(&["plugin_conf", "chroot_scan_enable"], Value::Bool(true));
            self.set(&["plugin_conf", "chroot_scan_opts", "regexes"], Value::List(regexes));
            self.set(&["plugin_conf", "chroot_scan_opts", "only_failed"], Value::Bool(false));
        }
        Ok(())
    }

    /// Macros of the platform, then those for secure boot, then the definitions, which the Python
    /// node gives on rpmbuild's command line: what comes later wins.
    fn macros(&mut self, task: &Task, arch: &str) -> Result<(), TaskConfigError> {
        let data = &task.platform.data;
        let mut macros: OrderedMap<Value> = OrderedMap::new();
        if arch == "ppc64le" {
            macros.insert("%_host_cpu".into(), "ppc64le".into());
        }
        let empty = Map::new();
        let section = |option: &str| match data.mock.get(option) {
            None | Some(Json::Null) => Ok(&empty),
            Some(Json::Object(map)) => Ok(map),
            Some(other) => Err(TaskConfigError::Value {
                option: format!("platform.data.mock.{option}"),
                wanted: "an object",
                value: other.to_string(),
            }),
        };
        let secure = if task.is_secure_boot { section("secure_boot_macros")? } else { &empty };
        for map in [section("macros")?, secure, &data.definitions] {
            for (name, value) in map {
                let plain = name.trim_start_matches('%');
                let base = plain.split('(').next().unwrap_or_default();
                let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if base.is_empty()
                    || !base.chars().all(letter)
                    || plain.contains(char::is_whitespace)
                {
                    return Err(TaskConfigError::Value {
                        option: "a macro".to_owned(),
                        wanted: "called by letters, digits and underscores",
                        value: name.clone(),
                    });
                }
                let name = format!("%{plain}");
                macros.insert(name.into(), macro_value(value).into());
            }
        }
        for (name, value) in macros.iter() {
            self.set(&["macros", &name.to_text()], value.clone());
        }
        Ok(())
    }
}

/// Whether Python would take a JSON value for true.
fn truth(value: &Json) -> bool {
    Value::from_json(value).is_some_and(|value| value.is_true())
}

/// A macro's body. One without any expands to nothing, which rpm and mock want said.
fn macro_value(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Bool(flag) => i32::from(*flag).to_string(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    if text.is_empty() { "%{nil}".to_owned() } else { text }
}

fn text(option: &str, value: &Json) -> Result<String, TaskConfigError> {
    value.as_str().map(str::to_owned).ok_or_else(|| TaskConfigError::Value {
        option: option.to_owned(),
        wanted: "a text",
        value: value.to_string(),
    })
}

fn json(section: &str, option: &str, value: &Json) -> Result<Value, TaskConfigError> {
    Value::from_json(value).ok_or_else(|| TaskConfigError::Value {
        option: format!("{section}.{option}"),
        wanted: "a value that mock could use",
        value: value.to_string(),
    })
}

/// Hosts whose processors run an architecture's programs.
fn host_arches(arch: &str) -> Vec<Value> {
    let arches: &[&str] = match arch {
        "i686" | "i586" | "i386" => &["i386", "i486", "i586", "i686", "x86_64"],
        "x86_64_v2" => &["x86_64", "x86_64_v2"],
        "armhfp" => &["armv7l", "armhfp", "aarch64"],
        "noarch" => &["x86_64", "aarch64", "ppc64le", "s390x", "riscv64", "i686"],
        arch => return vec![Value::from(arch)],
    };
    arches.iter().map(|arch| Value::from(*arch)).collect()
}

fn main_and_repositories(task: &Task) -> Result<String, TaskConfigError> {
    let yum = &task.platform.data.yum;
    let mut main: Vec<(String, String)> = Vec::new();
    for (key, value) in MAIN {
        if !yum.contains_key(*key) {
            main.push(((*key).to_owned(), (*value).to_owned()));
        }
    }
    for (key, value) in yum {
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(TaskConfigError::Text { what: "the option", value: key.clone() });
        }
        let value = match value {
            Json::Null => continue,
            Json::Bool(flag) => i32::from(*flag).to_string(),
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            Json::Array(items) => {
                let words: Vec<String> =
                    items.iter().map(|item| text(key, item)).collect::<Result<_, _>>()?;
                words.join(" ")
            }
            Json::Object(_) => {
                return Err(TaskConfigError::Value {
                    option: format!("platform.data.yum.{key}"),
                    wanted: "a text, number, flag or list",
                    value: value.to_string(),
                });
            }
        };
        main.push((
            one_line("the option", key)?.to_owned(),
            one_line("the value", &value)?.to_owned(),
        ));
    }
    main.sort();
    let mut out = String::from("[main]\n");
    for (key, value) in main {
        out.push_str(&format!("{key}={value}\n"));
    }
    for repository in task.repositories.iter().filter(|repository| repository.mock_enabled) {
        let name = one_line("the repository name", &repository.name)?;
        if name.is_empty() || name == "main" || name.contains(['[', ']']) {
            return Err(TaskConfigError::Text {
                what: "the repository name",
                value: name.to_owned(),
            });
        }
        let url = one_line("the address", &repository.url)?;
        out.push_str(&format!("\n[{name}]\nname={name}\nbaseurl={url}\n"));
        if let Some(priority) = repository.priority {
            out.push_str(&format!("priority={priority}\n"));
        }
        if is_of_a_build(repository) {
            out.push_str("module_hotfixes=1\n");
        }
    }
    Ok(out)
}

fn one_line<'a>(what: &'static str, text: &'a str) -> Result<&'a str, TaskConfigError> {
    if text.chars().any(char::is_control) {
        return Err(TaskConfigError::Text { what, value: text.to_owned() });
    }
    Ok(text)
}

/// Whether a repository holds packages of a build, `AlmaLinux-9-x86_64-77-br` or `…-debug-br`:
/// those must be seen although they are in no module.
fn is_of_a_build(repository: &Repository) -> bool {
    let directory = repository.url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let Some(rest) = directory.strip_suffix("-br") else { return false };
    let rest = rest.strip_suffix("-debug").unwrap_or(rest);
    let build = rest.rsplit('-').next().unwrap_or_default();
    rest.starts_with("AlmaLinux-") && !build.is_empty() && build.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_of_builds() {
        let of = |url: &str| {
            let (name, url) = ("x".to_owned(), url.to_owned());
            is_of_a_build(&Repository { name, url, priority: None, mock_enabled: true })
        };
        let builds = [
            "http://pulp/builds/AlmaLinux-8-x86_64-77-br/",
            "http://pulp/builds/AlmaLinux-10-ppc64le-77-debug-br",
            "http://pulp/builds/AlmaLinux-Kitten-10-x86_64_v2-1234-br/",
        ];
        assert!(builds.iter().all(|url| of(url)));
        let others = [
            "http://pulp/prod/almalinux-8-baseos-x86_64/",
            "http://pulp/builds/AlmaLinux-8-br/x/",
            "http://pulp/builds/AlmaLinux-8-x86_64-br/",
        ];
        assert!(!others.iter().any(|url| of(url)));
    }
}
