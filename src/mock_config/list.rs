//! All configs that a name can lead to.

use std::collections::BTreeMap;
use std::path::Path;

use super::builtin;
use super::load::LoadRequest;
use super::source::Origin;

/// A config that can be asked for by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What `-r` takes.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// Whether it is among those of distributions that are no longer supported.
    pub end_of_life: bool,
}

/// The subdirectory of configs whose distributions are no longer supported.
const EOL: &str = "eol";

/// Every config, by name. One in the user's directory hides the system's of the same name, and
/// that the built-in one, as loading does it.
pub fn list(request: &LoadRequest) -> Vec<Listed> {
    let library = request.library();
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    let mut add = |name: String, origin: Origin, end_of_life: bool| {
        let entry = Listed { name: name.clone(), origin, end_of_life };
        found.entry(name).or_insert(entry);
    };
    for directory in library.directories() {
        for name in names_in(&directory) {
            let origin = Origin::File(directory.join(format!("{name}.cfg")));
            add(name, origin, false);
        }
        for name in names_in(&directory.join(EOL)) {
            let origin = Origin::File(directory.join(EOL).join(format!("{name}.cfg")));
            add(format!("{EOL}/{name}"), origin, true);
        }
    }
    if request.configdir.is_none() {
        for name in builtin::names() {
            add(name.to_owned(), Origin::BuiltIn(format!("{name}.cfg")), false);
        }
    }
    found.into_values().collect()
}

/// The names of the configs in a directory. What cannot be listed has none.
pub(super) fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".cfg").map(str::to_owned))
        .filter(|name| name != "site-defaults" && name != "chroot-aliases")
        .collect()
}
