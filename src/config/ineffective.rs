//! Keys of the Python node that do nothing here, and why: a config with them loads, and says so.

use super::reader::{Problems, Section};

/// What a value of such a key must be; it is still checked, as a file that is moved back to the
/// Python node should work there.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Number(i64),
    Texts,
}

const KEYS: &[(&str, Kind, &str)] = &[
    ("development_mode", Kind::Flag, "certificates are always checked"),
    ("node_id", Kind::Text, "albs-web-server never learns it"),
    ("queue_size", Kind::Number(2), "a task is taken when there is room to build it, not before"),
    ("git_cache_locks_dir", Kind::Text, "the mirrors of git repositories need no such locks"),
    ("git_repos_cache_dir", Kind::Text, "mirrors of git repositories are in albs_node.git_cache"),
    ("git_extra_options", Kind::Texts, "the Python node has stopped using it, too"),
    ("native_support", Kind::Flag, "base_arch tells what is built"),
    ("arm64_support", Kind::Flag, "base_arch tells what is built"),
    ("arm32_support", Kind::Flag, "base_arch tells what is built"),
    ("pesign_support", Kind::Flag, "a task tells whether it is for secure boot"),
    ("node_type", Kind::Text, "nothing has ever depended on it"),
    ("immudb_username", Kind::Text, NO_NOTARY),
    ("immudb_database", Kind::Text, NO_NOTARY),
    ("immudb_address", Kind::Text, NO_NOTARY),
    ("immudb_public_key_file", Kind::Text, NO_NOTARY),
    ("cache_size", Kind::Number(0), "there is one list of excluded packages, and one is kept"),
];

pub(super) const NO_NOTARY: &str = "this node does not notarise packages in immudb";

/// Takes them, and warns of each that is there.
pub(super) fn check(section: &mut Section, problems: &mut Problems) {
    for (key, kind, why) in KEYS {
        let line = section.line(key);
        let value = match kind {
            Kind::Text => section.text(key, problems).is_some(),
            Kind::Flag => section.flag(key, problems).is_some(),
            Kind::Number(least) => section.number(key, *least, problems).is_some(),
            Kind::Texts => {
                section.list(key, "a text", problems, |text| Some(text.to_owned())).is_some()
            }
        };
        if value {
            problems.warning(line, format!("{key} has no effect: {why}"), None);
        }
    }
}
