//! What mock works out after a config has been read.

use super::defaults::defaults;
use super::error::{ConfigError, ErrorKind};
use super::host::HostView;
use super::load::LoadedConfig;
use super::map::{Key, OrderedMap};
use super::source::Note;
use super::value::Value;

/// Options that describe the run and not the config. Templates can use them; they are left out
/// when a config is shown or compared.
pub(super) const OF_THE_RUN: &[&str] =
    &["chroot_name", "chrootgid", "chrootuid", "config_file", "config_path", "host_arch"];

/// What a config can see of its run from the start.
pub(super) fn run_options(
    name: &str,
    file: &str,
    directory: &str,
    host: &HostView,
) -> Vec<(&'static str, Value)> {
    vec![
        ("chroot_name", Value::from(name)),
        ("chrootgid", Value::Int(i64::from(host.gid))),
        ("chrootuid", Value::Int(i64::from(host.uid))),
        ("config_file", Value::from(file)),
        ("config_path", Value::from(directory)),
        ("host_arch", Value::from(host.arch.as_str())),
    ]
}

/// The steps between the config files and the overrides.
pub(super) fn before_overrides(options: &mut OrderedMap<Value>, host: &HostView) {
    let own_name = options.get_str("use_container_host_hostname").is_some_and(Value::is_true);
    if own_name {
        set_macro(options, "%_buildhost", Value::from(host.hostname.as_str()));
    }
    // The old name of the option wins over the new one, as it does in mock.
    if let Some(old) = options.get_str("use_bootstrap_container").cloned() {
        options.insert(Key::from("use_bootstrap"), old);
    }
}

/// The steps after everything has been said: what follows from the architectures.
pub(super) fn after_overrides(
    config: &mut LoadedConfig,
    host: &HostView,
) -> Result<(), ConfigError> {
    let target = config.get("target_arch")?.unwrap_or(Value::None);
    let Value::Str(_) = target else {
        return Err(config.wrong_type("target_arch", "the name of an architecture", &target));
    };
    if config.root.get_str("root").is_none() {
        return Err(ConfigError::new(
            ErrorKind::Missing,
            "the config does not set config_opts['root']",
        )
        .with_hint("root names the buildroot, for example 'almalinux-9-x86_64'"));
    }
    note_quoted_flags(config);
    let unset =
        |config: &LoadedConfig, key: &str| !config.root.get_str(key).is_some_and(Value::is_true);
    if config.root.get_str("rpmbuild_arch").is_none_or(|value| *value == Value::None) {
        config.set("rpmbuild_arch", target.clone());
    }
    if unset(config, "repo_arch") {
        let map = config.get("repo_arch_map")?;
        let mapped = target.as_str().and_then(|arch| map.as_ref()?.get(arch).cloned());
        config.set("repo_arch", mapped.unwrap_or_else(|| target.clone()));
    }
    if unset(config, "forcearch") && !config.is_legal_host(&host.arch)? {
        config.set("forcearch", target);
    }
    if !unset(config, "redhat_subscription_required")
        && unset(config, "redhat_subscription_key_id")
        && let Some(number) = &host.subscription
    {
        config.set("redhat_subscription_key_id", Value::from(number.as_str()));
    }
    let factor = if unset(config, "forcearch") { 1 } else { 10 };
    set_macro(&mut config.root, "%_platform_multiplier", Value::Int(factor));
    // mock's command line sets these, whatever a config says.
    config.set("additional_packages", Value::List(Vec::new()));
    config.set("online", Value::Bool(true));
    config.set("cache_alterations", Value::Bool(false));
    config.set("enable_disable_repos", Value::List(Vec::new()));
    keep_results(config)
}

/// Options that the steps here set, unless a config does.
const DERIVED: [&str; 12] = [
    "additional_packages",
    "cache_alterations",
    "cleanup_on_failure",
    "cleanup_on_success",
    "enable_disable_repos",
    "forcearch",
    "online",
    "redhat_subscription_key_id",
    "repo_arch",
    "rpmbuild_arch",
    "use_bootstrap",
    "use_bootstrap_container",
];

/// Whether what a path of keys leads to is worked out here, and so says nothing of the config.
pub(super) fn is_derived(path: &[&str]) -> bool {
    match path {
        ["macros", name] => ["%_buildhost", "%_platform_multiplier"].contains(name),
        [option, ..] => DERIVED.contains(option) || OF_THE_RUN.contains(option),
        [] => false,
    }
}

/// `'False'` in quotes is true, for mock as well. Somebody should know.
fn note_quoted_flags(config: &mut LoadedConfig) {
    let flags = defaults().options.as_dict().into_iter().flat_map(OrderedMap::iter);
    for (name, _) in flags.filter(|(_, value)| matches!(value, Value::Bool(_))) {
        let Some(name) = name.as_str() else { continue };
        let Some(Value::Str(text)) = config.root.get_str(name) else { continue };
        if text.is_empty() || text.contains("{{") || text.contains("{%") {
            continue;
        }
        let text = format!(
            "'{name}' is the text '{text}', which counts as True; write True or False without quotes"
        );
        config.notes.push(Note { text, location: config.place(&[name]) });
    }
}

/// Cleaning up afterwards would take the results along when they lie inside the buildroot.
fn keep_results(config: &mut LoadedConfig) -> Result<(), ConfigError> {
    let text = |key: &str| -> Result<String, ConfigError> {
        Ok(config.get(key)?.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    let buildroot = std::path::Path::new(&text("basedir")?).join(text("root")?);
    // As texts, as mock compares them: also what lies beside it with a longer name.
    if text("resultdir")?.starts_with(&buildroot.display().to_string()) {
        config.set("cleanup_on_success", Value::Bool(false));
        config.set("cleanup_on_failure", Value::Bool(false));
    }
    Ok(())
}

/// Sets a macro that the config has not set itself.
fn set_macro(options: &mut OrderedMap<Value>, name: &str, value: Value) {
    let key = Key::from("macros");
    if let Some(Value::Dict(macros)) = options.get(&key)
        && macros.get_str(name).is_none()
    {
        let mut macros = macros.clone();
        macros.insert(Key::from(name), value);
        options.insert(key, Value::Dict(macros));
    }
}
