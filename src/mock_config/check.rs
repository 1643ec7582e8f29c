//! What is odd about a config, although it can be loaded.

use super::defaults::defaults;
use super::error::ConfigError;
use super::load::LoadedConfig;
use super::map::Key;
use super::repositories::{Section, flag, sections};
use super::source::Location;
use super::value::Value;
use crate::nearest::nearest;

/// Options that mock knows but has no default for, and those it fills in itself.
const WITHOUT_DEFAULT: &[&str] = &[
    "baseurl_arch",
    "bootstrap_module_enable",
    "bootstrap_module_install",
    "bootstrap_module_setup_commands",
    "cache_alterations",
    "cache_ext",
    "chroot_name",
    "chrootgid",
    "chrootuid",
    "clean",
    "config_file",
    "config_path",
    "config_paths",
    "description",
    "dist",
    "dnf.conf",
    "dnf4_builddep_opts",
    "dnf5_builddep_opts",
    "dnf_builddep_opts",
    "eln_rawhide_releasever",
    "enable_disable_repos",
    "ftp_proxy",
    "host_arch",
    "hostname",
    "http_proxy",
    "https_proxy",
    "koji_primary_repo",
    "legal_host_arches",
    "mirrored",
    "mirrorlist_arch",
    "no_proxy",
    "plugin_dir",
    "print_main_output",
    "redhat_subscription_key_id",
    "releasever",
    "releasever_major",
    "releasever_minor",
    "root",
    "rpmbuild_opts",
    "unique-ext",
    "use_bootstrap_container",
];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The config works, but probably not as meant, or not safely.
    Warning,
    /// The config cannot be used.
    Error,
}

/// One thing that is wrong with a config.
#[derive(Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one sentence.
    pub message: String,
    /// Where it was written.
    pub location: Option<Location>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Everything that is wrong with a config, worst first.
pub fn check(config: &LoadedConfig) -> Vec<Finding> {
    let mut out = Checker { config, findings: Vec::new() };
    for note in &config.notes {
        out.warn(note.text.clone(), note.location.clone(), "");
    }
    out.unknown_options();
    out.unknown_plugins();
    match config.options() {
        Err(error) => out.findings.push(Finding::from(&error)),
        Ok(options) => {
            let place = config.place(&["plugin_conf"]);
            options.without_effect.into_iter().for_each(|text| out.warn(text, place.clone(), ""));
        }
    }
    if let Ok(Some(Value::Str(conf))) = config.get("dnf.conf") {
        out.repositories(&conf);
    }
    out.contradictions();
    out.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    out.findings
}

impl From<&ConfigError> for Finding {
    fn from(error: &ConfigError) -> Self {
        let mut message = error.message().to_owned();
        if let Some(cause) = std::error::Error::source(error) {
            message.push_str(&format!(": {cause}"));
        }
        Finding {
            severity: Severity::Error,
            message,
            location: error.location().cloned(),
            hint: error.hint().map(str::to_owned),
        }
    }
}

struct Checker<'a> {
    config: &'a LoadedConfig,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn warn(&mut self, message: impl Into<String>, location: Option<Location>, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let severity = Severity::Warning;
        self.findings.push(Finding { severity, message: message.into(), location, hint });
    }

    /// Options that nobody reads: neither mock nor a template of the config.
    fn unknown_options(&mut self) {
        let known = |name: &str| {
            defaults().options.get(name).is_some()
                || defaults().aliases.contains_key(name)
                || WITHOUT_DEFAULT.contains(&name)
        };
        for name in self.config.root.keys().filter_map(Key::as_str) {
            // Every option can have another value for bootstrap roots.
            let of_bootstrap = name.strip_prefix("bootstrap_").is_some_and(known);
            if known(name) || of_bootstrap || self.is_used(name) {
                continue;
            }
            let all = defaults().options.as_dict().into_iter().flat_map(|map| map.keys());
            let all = all.filter_map(Key::as_str).chain(WITHOUT_DEFAULT.iter().copied());
            let hint = match nearest(name, all, 1).first() {
                Some(near) => format!("did you mean '{near}'?"),
                None => "no option has this name, and no template of the config uses it".to_owned(),
            };
            let place = self.config.place(&[name]);
            self.findings.push(Finding {
                severity: Severity::Warning,
                message: format!("the option '{name}' is not known"),
                location: place,
                hint: Some(hint),
            });
        }
    }

    /// Whether a template anywhere in the config names the option.
    fn is_used(&self, name: &str) -> bool {
        fn mentions(value: &Value, name: &str) -> bool {
            match value {
                Value::Str(text) => {
                    text.split("{{").skip(1).chain(text.split("{%").skip(1)).any(|part| {
                        let end = part.find("}}").or(part.find("%}")).unwrap_or(part.len());
                        let word = |symbol: char| symbol.is_alphanumeric() || symbol == '_';
                        part[..end].split(|symbol| !word(symbol)).any(|seen| seen == name)
                    })
                }
                Value::List(items) | Value::Tuple(items) => {
                    items.iter().any(|item| mentions(item, name))
                }
                Value::Dict(map) => map.iter().any(|(_, value)| mentions(value, name)),
                _ => false,
            }
        }
        self.config.root.iter().any(|(_, value)| mentions(value, name))
    }

    fn unknown_plugins(&mut self) {
        let Some(known) = defaults().options.get("plugin_conf").and_then(Value::as_dict) else {
            return;
        };
        let conf = self.config.root.get_str("plugin_conf").and_then(Value::as_dict).cloned();
        let mut unknown = Vec::new();
        for name in conf.iter().flat_map(|map| map.keys()).filter_map(Key::as_str) {
            if !known.contains(&Key::from(name)) {
                unknown.push((name.to_owned(), "setting of a plugin"));
            }
        }
        for (name, what) in unknown {
            let near = nearest(&name, known.keys().filter_map(Key::as_str), 1);
            let hint = match near.first() {
                Some(near) => format!("did you mean '{near}'?"),
                None => "settings are called PLUGIN_enable and PLUGIN_opts".to_owned(),
            };
            let place = self.config.place(&["plugin_conf", &name]);
            self.warn(format!("the {what} '{name}' is not known"), place, &hint);
        }
    }

    fn repositories(&mut self, conf: &str) {
        let place = self.config.place(&["dnf.conf"]);
        let all = sections(conf);
        let main = all.iter().find(|section| section.name == "main").cloned().unwrap_or_default();
        let repositories: Vec<&Section> =
            all.iter().filter(|section| section.name != "main").collect();
        if !repositories.iter().any(|section| is_enabled(section)) {
            let hint =
                "every [section] of dnf.conf but [main] is a repository; enabled=0 turns one off";
            self.warn("no repository is enabled", place.clone(), hint);
        }
        let mut seen: Vec<&str> = Vec::new();
        for section in repositories {
            let name = section.name.as_str();
            let before = seen.iter().filter(|known| **known == name).count();
            let mut lines = self.config.lines(&format!("[{name}]"));
            let own =
                if before < lines.len() { Some(lines.swap_remove(before)) } else { place.clone() };
            if before > 0 {
                let hint = "the package manager merges them, or takes one; give each its own name";
                self.warn(format!("there are two repositories '{name}'"), own.clone(), hint);
            }
            seen.push(name);
            if is_enabled(section) {
                self.repository(section, &main, own);
            }
        }
    }

    fn repository(&mut self, section: &Section, main: &Section, place: Option<Location>) {
        let name = &section.name;
        let checked = section.get("gpgcheck").or(main.get("gpgcheck")).and_then(flag);
        let addresses = section.addresses();
        if addresses.is_empty() {
            let hint = "set baseurl, mirrorlist or metalink";
            self.warn(format!("the repository '{name}' has no address"), place.clone(), hint);
        }
        let plain = addresses
            .iter()
            .find(|address| address.starts_with("http://") || address.starts_with("ftp://"));
        if let (Some(address), false) = (plain, checked == Some(true)) {
            let message = format!(
                "packages of '{name}' come over {address} without a check of their signatures: \
                 anybody on the way can replace them"
            );
            self.warn(message, place.clone(), "use https://, or gpgcheck=1 with a gpgkey");
        }
        if checked == Some(true) && section.get("gpgkey").or(main.get("gpgkey")).is_none() {
            let message = format!("signatures of '{name}' are checked, but it has no key");
            self.warn(message, place.clone(), "set gpgkey to the address of the key");
        }
        if section.get("sslverify").or(main.get("sslverify")).and_then(flag) == Some(false)
            && checked != Some(true)
        {
            let message = format!("neither certificates nor signatures of '{name}' are checked");
            self.warn(message, place, "remove sslverify=0, or set gpgcheck=1 with a gpgkey");
        }
    }

    /// Options that were set and have no effect because of others.
    fn contradictions(&mut self) {
        let value = |option: &str| self.config.get(option).ok().flatten().unwrap_or(Value::None);
        let is_set = |option: &str| self.config.place(&[option]).is_some();
        let is_on = |option: &str| value(option).is_true();
        let mut found: Vec<(&str, String, &str)> = Vec::new();
        if is_set("use_bootstrap_image") && is_on("use_bootstrap_image") && !is_on("use_bootstrap")
        {
            found.push((
                "use_bootstrap_image",
                "the bootstrap image is not used, since there is no bootstrap root".to_owned(),
                "set use_bootstrap to True, or leave use_bootstrap_image out",
            ));
        }
        for (what, used) in [("bootstrap", "use_bootstrap"), ("buildroot", "use_buildroot_image")] {
            let digest = format!("{what}_image_assert_digest");
            if is_set(&digest) && is_on(&digest) && !is_on(used) {
                found.push((used, format!("'{digest}' has no effect, since no image is used"), ""));
            }
        }
        if value("isolation").as_str() == Some("simple")
            && is_on("nspawn_args")
            && is_set("nspawn_args")
        {
            found.push((
                "nspawn_args",
                "nspawn_args are for isolation 'nspawn' or 'auto', and the config says 'simple'"
                    .to_owned(),
                "leave one of them out",
            ));
        }
        if let Value::Str(arches) = value("legal_host_arches") {
            found.push((
                "legal_host_arches",
                format!("legal_host_arches is the text '{arches}', so every part of it counts as an architecture"),
                "write a tuple of one with a comma: ('x86_64',)",
            ));
        }
        let manager = value("package_manager").as_str().unwrap_or_default().to_owned();
        for (other, option) in [
            ("dnf5", "dnf5_common_opts"),
            ("yum", "yum_common_opts"),
            ("microdnf", "microdnf_common_opts"),
        ] {
            if manager != other && is_set(option) && !is_on("use_bootstrap") {
                found.push((
                    option,
                    format!("'{option}' has no effect: the package manager is {manager}"),
                    "set package_manager, or use the options of the one that is used",
                ));
            }
        }
        for (option, message, hint) in found {
            let place = self.config.place(&[option]);
            self.warn(message, place, hint);
        }
    }
}

fn is_enabled(section: &Section) -> bool {
    section.get("enabled").and_then(flag) != Some(false)
}
