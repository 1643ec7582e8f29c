//! What a package manager that may ask nobody says is missing. Pure.

use std::collections::BTreeSet;

/// Names that are told.
const SHOWN: usize = 5;

/// Reads the last lines of a package manager that was to use its cache only; gives what is not in
/// that, for people. None if it has failed for another reason.
pub(super) fn missing(tail: &[String]) -> Option<String> {
    let found = |read: fn(&str) -> Option<&str>| -> BTreeSet<&str> {
        tail.iter().filter_map(|line| read(line)).collect()
    };
    let (repositories, packages) = (found(repository), found(package));
    let what = match (repositories.is_empty(), packages.is_empty()) {
        (true, true) => return None,
        (false, _) => format!("metadata of {}", list(&repositories)),
        (true, false) => list(&packages),
    };
    Some(format!("the package cache has not {what}"))
}

/// The repository that there is nothing known of: `no cache for 'x'` of dnf4, `no cache for
/// repository "x"` of dnf5 (libdnf, Repo.cpp; libdnf5, repo.cpp).
fn repository(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("Cache-only enabled but no cache for ")?;
    after.split(['\'', '"']).nth(1)
}

/// The package of a line of dnf4's check of its cache (base.py, `_select_remote_pkgs`).
fn package(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("Package \"")?;
    let (name, rest) = after.split_once('"')?;
    rest.ends_with("has incorrect checksum").then_some(name)
}

fn list(names: &BTreeSet<&str>) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    let more = names.len() - shown.len();
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        missing(&lines)
    }

    #[test]
    fn what_is_missing() {
        let four = "Error: Failed to download metadata for repo 'a': \
                    Cache-only enabled but no cache for 'a'\n";
        assert_eq!(said(four).unwrap(), "the package cache has not metadata of a");
        let five = "Cache-only enabled but no cache for repository \"b\"\n";
        let both = format!("{four}{five}");
        assert_eq!(said(&both).unwrap(), "the package cache has not metadata of a, b");
        let line = |name| {
            format!("Package \"{name}-1-1.x\" from repository \"l\" has incorrect checksum\n")
        };
        assert_eq!(said(&line("z")).unwrap(), "the package cache has not z-1-1.x");
        let many: String = ["a", "b", "c", "d", "e", "f", "g"].map(line).concat();
        assert!(said(&many).unwrap().ends_with("e-1-1.x and 2 more"));
        assert_eq!(said("Error: nothing provides x\n"), None);
    }
}
