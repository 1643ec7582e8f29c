//! Which repositories a repository has in it. Pure.

use std::collections::BTreeMap;
use std::path::{Component, Path};

/// A repository in another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Where it is, relative to the other.
    pub path: String,
    /// Its address, as the other one has it.
    pub url: String,
    /// The commit that is wanted.
    pub commit: String,
}

/// Submodules from the answers of [`super::commands::list`] and
/// [`super::commands::list_submodules`]. One without an address is left out: git leaves its
/// directory empty as well.
pub fn submodules(tree: &[u8], settings: &[u8]) -> Vec<Submodule> {
    let tree = String::from_utf8_lossy(tree);
    let settings = String::from_utf8_lossy(settings);
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    let mut urls: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in settings.split('\0') {
        let Some((key, value)) = entry.split_once('\n') else { continue };
        let Some(key) = key.strip_prefix("submodule.") else { continue };
        if let Some(name) = key.strip_suffix(".path") {
            paths.insert(value, name);
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.insert(name, value);
        }
    }
    let one = |entry: &str| {
        let (what, path) = entry.split_once('\t')?;
        let mut what = what.split(' ');
        // A link to a commit of another repository (git-fast-import(1)).
        let is_link = what.next() == Some("160000");
        let commit = what.nth(1)?;
        let url = urls.get(paths.get(path)?)?;
        let good = is_link && is_inside(path);
        good.then(|| Submodule {
            path: path.to_owned(),
            url: (*url).to_owned(),
            commit: commit.to_owned(),
        })
    };
    tree.split('\0').filter_map(one).collect()
}

fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(name) if name != ".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_have_addresses() {
        let tree =
            b"100644 blob aa\t.gitmodules\x00160000 commit bb\tlib/x\x00160000 commit cc\tz\0\
            160000 commit dd\t../out\0";
        let settings = b"submodule.the.lib.path\nlib/x\0submodule.the.lib.url\n../x.git\0\
            submodule.o.path\n../out\0submodule.o.url\nhttps://h/o\0";
        let expected =
            Submodule { path: "lib/x".into(), url: "../x.git".into(), commit: "bb".into() };
        assert_eq!(submodules(tree, settings), [expected]);
        assert!(submodules(b"", b"").is_empty());
    }
}
