//! What a task must not reach of the host. A task comes from a server: what it says is about the
//! package, the buildroot and the repositories, not about files of whoever runs the node. Such
//! options are for the host's own configs.

use serde_json::Value as Json;

use super::{Task, TaskConfigError};

/// Options that name paths of the host, or show some.
const OPTIONS: [&str; 11] = [
    "basedir",
    "bootstrap_image",
    "buildroot_image",
    "cache_topdir",
    "redhat_subscription_required",
    "resultdir",
    "rootdir",
    "ssl_copied_ca_trust_dirs",
    "ssl_extra_certs",
    "use_bootstrap_image",
    "use_buildroot_image",
];
/// Plugins that show parts of the host, or run commands there.
const PLUGINS: [&str; 3] = ["bind_mount_", "mount_", "sign_"];
/// Addresses of repositories.
const SCHEMES: [&str; 3] = ["http://", "https://", "ftp://"];

/// Whether a task keeps to itself.
///
/// # Errors
///
/// It does not; the option is named.
pub(super) fn check(task: &Task) -> Result<(), TaskConfigError> {
    let data = &task.platform.data;
    let refused = |option: String, value: String| TaskConfigError::Value {
        option,
        wanted: "left to the host's own config",
        value,
    };
    let mock = "platform.data.mock";
    let is_used = |value: &Json| !matches!(value, Json::Null | Json::Bool(false));
    for (name, value) in data.mock.iter().filter(|(_, value)| is_used(value)) {
        if OPTIONS.contains(&name.as_str()) {
            return Err(refused(format!("{mock}.{name}"), value.to_string()));
        }
    }
    let plugins = data.mock.get("plugin_conf").and_then(Json::as_object).into_iter().flatten();
    for (name, value) in plugins.filter(|(_, value)| is_used(value)) {
        if PLUGINS.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(refused(format!("{mock}.plugin_conf.{name}"), value.to_string()));
        }
    }
    let arguments = data.mock.get("nspawn_args").map(texts).unwrap_or_default();
    if let Some(bind) = arguments.iter().find(|argument| argument.contains("--bind")) {
        return Err(refused(format!("{mock}.nspawn_args"), (*bind).to_owned()));
    }
    for (name, value) in &data.yum {
        // Those are paths where the package manager runs, and would be shown there.
        let is_path = |text: &&str| text.contains("file:") || text.trim_start().starts_with('/');
        let matters = name.starts_with("ssl")
            || ["gpgkey", "baseurl", "mirrorlist", "metalink"].contains(&name.as_str());
        if let Some(path) = texts(value).iter().find(|text| matters && is_path(text)) {
            return Err(refused(format!("platform.data.yum.{name}"), (*path).to_owned()));
        }
    }
    for repository in &task.repositories {
        let url = repository.url.trim();
        if !SCHEMES.iter().any(|scheme| url.to_ascii_lowercase().starts_with(scheme)) {
            return Err(TaskConfigError::Value {
                option: format!("repositories.{}", repository.name),
                wanted: "the address of a server (http, https or ftp)",
                value: url.to_owned(),
            });
        }
    }
    Ok(())
}

/// All texts in a value.
fn texts(value: &Json) -> Vec<&str> {
    match value {
        Json::String(text) => vec![text],
        Json::Array(items) => items.iter().flat_map(texts).collect(),
        Json::Object(map) => map.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
