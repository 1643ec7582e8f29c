//! `build_node.yml`, as the Python build node reads it, and the section `albs_node` in it.
//!
//! [`read`] is pure: from the text and what is known about the host to a [`Config`] and everything
//! that is wrong, all at once. [`Facts`] gathers the latter. docs/node.md describes every key.
//!
//! Keys and defaults: `build_node/build_node_config.py` of the Python node.

mod facts;
mod ineffective;
mod own;
mod problem;
mod reader;
mod scalar;
mod secrets;
mod show;
mod yaml;

use std::path::{Path, PathBuf};

pub use facts::{Facts, ReadFile, locate};
pub use own::{BuildNetwork, Own};
pub use problem::{Problem, Severity};

use crate::resources;
use crate::secret::Secret;
use problem::Severity::Error;
use reader::{Problems, Section};
use yaml::{Node, Value};

/// Bytes of a file that is taken for a config.
const MAX_BYTES: usize = 1 << 20;
/// What the Python node has where nothing is configured; no server accepts it.
const NO_TOKEN: &str = "test_jwt";
/// Likewise.
const NO_PASSWORD: &str = "test_pwd";

/// What the node works with. Fields have the names of their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address of albs-web-server's API, with a slash at the end.
    pub master_url: String,
    /// Proxy for npm and yarn in builds.
    pub npm_proxy: Option<String>,
    /// How many builds run at the same time.
    pub threads_count: u64,
    /// Directory for everything that the node writes.
    pub working_dir: PathBuf,
    /// While this file exists, no task is taken.
    pub maintenance_mode_file: PathBuf,
    /// Where errors are reported to.
    pub sentry_dsn: Option<Secret>,
    /// Under which environment.
    pub sentry_environment: String,
    /// Which part of the traces, from 0 to 1.
    pub sentry_traces_sample_rate: f64,
    /// Address of Pulp, without a slash at the end.
    pub pulp_host: String,
    /// Who uploads.
    pub pulp_user: String,
    /// Their password.
    pub pulp_password: Secret,
    /// Bytes of a chunk of a large file.
    pub pulp_chunk_size: u64,
    /// How many chunks are on their way at the same time.
    pub pulp_uploader_max_workers: u64,
    /// Seconds that Pulp may take for one answer.
    pub pulp_timeout: u64,
    /// The architecture of this node's builds.
    pub base_arch: String,
    /// Whether the node makes source packages.
    pub build_src: bool,
    /// Seconds that albs-web-server may take for one answer.
    pub request_timeout: u64,
    /// What the node shows albs-web-server.
    pub jwt_token: Secret,
    /// Seconds for which the list of excluded packages stays valid.
    pub cache_update_interval: u64,
    /// What the list of excluded packages is below, with a slash at the end.
    pub exclusions_url: String,
    /// The name of that list.
    pub build_node_name: String,
    /// The section `albs_node`.
    pub own: Own,
}

impl Config {
    /// How many builds there are at a time.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.threads_count).unwrap_or(u32::MAX)
    }

    /// The classes of resources that builds have.
    ///
    /// # Errors
    ///
    /// The host's policy cannot be used.
    pub fn resources(&self) -> Result<resources::Policy, resources::ResourceError> {
        let mut policy = resources::Policy::load(&self.own.policies.join("resources.toml"))?;
        policy.put_first(self.own.limits.clone());
        Ok(policy)
    }

    /// Where tasks come from, and where files go.
    pub fn ends(&self) -> (String, String) {
        match &self.own.queue {
            Some(queue) => (queue.join("tasks").display().to_string(), queue.display().to_string()),
            None => (self.master_url.clone(), self.pulp_host.clone()),
        }
    }

    /// Where the list of packages is that this node does not build.
    pub fn exclusions(&self) -> String {
        format!("{}{}", self.exclusions_url, self.build_node_name)
    }
}

/// What the command line says, which goes before the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-i`: name of the node.
    pub id: Option<String>,
    /// `-m`: address of albs-web-server's API.
    pub master: Option<String>,
    /// `-t`: how many builds run at the same time.
    pub threads: Option<u64>,
    /// `-w`: directory for everything that the node writes.
    pub working_dir: Option<PathBuf>,
    /// `--queue`: directory in place of albs-web-server and Pulp.
    pub queue: Option<PathBuf>,
}

/// What a file has become.
#[derive(Debug)]
pub struct Reading {
    /// The config, if nothing is an error.
    pub config: Option<Config>,
    /// Everything that is wrong, in the order of lines.
    pub problems: Vec<Problem>,
}

/// Reads a config. `text` is the content of the file, or why it could not be read; without a file
/// there are only defaults.
pub fn read(file: Option<(&Path, Result<&str, String>)>, flags: &Flags, facts: &Facts) -> Reading {
    let path = file.as_ref().map_or(Path::new("build_node.yml"), |(path, _)| *path);
    let mut problems = Problems::new(path);
    let text = match file {
        Some((_, Ok(text))) if text.len() <= MAX_BYTES => text,
        Some((_, Ok(_))) => {
            problems.error(None, format!("it is larger than {MAX_BYTES} bytes"), None);
            ""
        }
        Some((_, Err(why))) => {
            problems.error(None, format!("cannot read it: {why}"), None);
            ""
        }
        None => "",
    };
    let entries = match yaml::read(text) {
        Ok(Some(Node { value: Value::Map(entries), .. })) => entries,
        Ok(Some(Node { value: Value::Word { text, plain: true }, .. })) if text.is_empty() => {
            Vec::new()
        }
        Ok(Some(node)) => {
            let told = reader::told(&node);
            let message = format!("keys with values are expected, but it is {told}");
            problems.error(Some(node.line), message, None);
            Vec::new()
        }
        Ok(None) => Vec::new(),
        Err(fault) => {
            let hint = "the rest of the file was not looked at".to_owned();
            problems.error(Some(fault.line), fault.message, Some(hint));
            Vec::new()
        }
    };
    let section = Section::new("", entries, &mut problems);
    let config = config(section, flags, facts, &mut problems);
    let usable = !problems.found.iter().any(Problem::is_error);
    if usable && config.own.queue.is_none() {
        missing_secrets(&config, &mut problems);
    }
    let mut problems = problems.found;
    problems.sort_by_key(|problem| problem.place.as_ref().and_then(|(_, line)| *line));
    Reading { config: usable.then_some(config), problems }
}

/// Warns of secrets without which nothing works; nodes start all the same, as that of Python does.
fn missing_secrets(config: &Config, problems: &mut Problems) {
    for (secret, default, message) in [
        (
            &config.jwt_token,
            NO_TOKEN,
            "no jwt_token is configured; albs-web-server will refuse this node",
        ),
        (
            &config.pulp_password,
            NO_PASSWORD,
            "no pulp_password is configured; Pulp will refuse uploads",
        ),
    ] {
        if secret.expose() == default {
            problems.warning(None, message.to_owned(), Some(secrets::HINT.to_owned()));
        }
    }
}

fn config(mut section: Section, flags: &Flags, facts: &Facts, problems: &mut Problems) -> Config {
    let s = &mut section;
    ineffective::check(s, problems);
    let mock_basedir = s.path("mock_basedir", problems);
    let working_dir = s.path("working_dir", problems);
    let working_dir = flags.working_dir.clone().or(working_dir);
    let working_dir = working_dir.unwrap_or_else(|| "/srv/alternatives/castor/build_node".into());
    let mut own = s.section("albs_node", problems);
    let secrets = secrets::read(s, own.as_mut(), facts, problems);
    let master = s.parsed("master_url", "an http or https address", problems, address);
    let master = match &flags.master {
        Some(flag) => address(flag).or_else(|| {
            let message = format!("--master must be an http or https address, but it is {flag:?}");
            problems.found.push(Problem { severity: Error, place: None, message, hint: None });
            None
        }),
        None => master,
    };
    let config = Config {
        master_url: slashed(master.unwrap_or_else(|| "http://web_server:8000/api/v1/".into())),
        npm_proxy: s
            .parsed("npm_proxy", "an http or https address", problems, optional_address)
            .flatten(),
        threads_count: {
            let count = s.number("threads_count", 1, problems);
            flags.threads.or(count).unwrap_or(4)
        },
        maintenance_mode_file: s
            .path("maintenance_mode_file", problems)
            .unwrap_or_else(|| "/tmp/graceful_stop".into()),
        sentry_dsn: secrets.sentry_dsn,
        sentry_environment: s.text("sentry_environment", problems).unwrap_or_else(|| "dev".into()),
        sentry_traces_sample_rate: s
            .fraction("sentry_traces_sample_rate", (0.0, 1.0), problems)
            .unwrap_or(0.2),
        pulp_host: s
            .parsed("pulp_host", "an http or https address", problems, address)
            .unwrap_or_else(|| "http://pulp".into())
            .trim_end_matches('/')
            .to_owned(),
        pulp_user: s.text("pulp_user", problems).unwrap_or_else(|| "pulp".into()),
        pulp_password: secrets.pulp_password.unwrap_or_else(|| Secret::new(NO_PASSWORD)),
        pulp_chunk_size: s.number("pulp_chunk_size", 1024, problems).unwrap_or(8 << 20),
        pulp_uploader_max_workers: s.number("pulp_uploader_max_workers", 1, problems).unwrap_or(4),
        pulp_timeout: s.number("pulp_timeout", 120, problems).unwrap_or(120),
        base_arch: s
            .parsed("base_arch", "the name of an architecture", problems, arch)
            .unwrap_or_else(|| facts.machine.clone()),
        build_src: s.flag("build_src", problems).unwrap_or(true),
        request_timeout: s.number("request_timeout", 1, problems).unwrap_or(60),
        jwt_token: secrets.jwt_token.unwrap_or_else(|| Secret::new(NO_TOKEN)),
        cache_update_interval: s.number("cache_update_interval", 0, problems).unwrap_or(600),
        exclusions_url: slashed(
            s.parsed("exclusions_url", "an http or https address", problems, address)
                .unwrap_or_else(|| {
                    "https://git.almalinux.org/almalinux/build-node-exclusions/raw/branch/main/"
                        .into()
                }),
        ),
        build_node_name: s
            .parsed("build_node_name", "a name without slashes", problems, file_name)
            .unwrap_or_else(|| facts.node_name()),
        own: own::read(own, &working_dir, mock_basedir, flags.queue.clone(), facts, problems),
        working_dir,
    };
    section.end(Error, problems);
    config
}

fn address(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    // Passwords have keys of their own.
    (url.username().is_empty() && url.password().is_none()).then_some(())?;
    any_address(text)
}

fn any_address(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let is_plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let known = ["http", "https"].contains(&url.scheme()) && url.has_host();
    (known && is_plain && url.query().is_none() && url.fragment().is_none())
        .then(|| text.to_owned())
}

/// An address, maybe with a name and password, or nothing between quotes.
fn optional_address(text: &str) -> Option<Option<String>> {
    if text.is_empty() { Some(None) } else { any_address(text).map(Some) }
}

fn slashed(address: String) -> String {
    if address.ends_with('/') { address } else { address + "/" }
}

fn arch(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!text.is_empty() && text != "src" && text.chars().all(plain)).then(|| text.to_owned())
}

fn file_name(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!text.is_empty() && !text.starts_with('.') && text.chars().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
