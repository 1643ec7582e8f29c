//! The project's own configs, for a host that has none.

macro_rules! table {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../policies/mock/etc/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = table![
    "almalinux-8-aarch64.cfg",
    "almalinux-8-ppc64le.cfg",
    "almalinux-8-x86_64.cfg",
    "almalinux-9-aarch64.cfg",
    "almalinux-9-ppc64le.cfg",
    "almalinux-9-x86_64.cfg",
    "almalinux-10-aarch64.cfg",
    "almalinux-10-ppc64le.cfg",
    "almalinux-10-x86_64.cfg",
    "templates/almalinux.tpl",
    "templates/almalinux-8.tpl",
    "templates/almalinux-9.tpl",
    "templates/almalinux-10.tpl",
];

/// The text of a file, by its path below the directory of configs.
pub(super) fn get(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

/// The names of the configs, as `-r` takes them.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().filter_map(|(name, _)| name.strip_suffix(".cfg"))
}
