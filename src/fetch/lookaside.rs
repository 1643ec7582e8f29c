//! Lists of sources in dist-git repositories, and where the sources are.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::sums::Sum;
use crate::source::{MAX_DEPTH, is_plain};

/// Most lines of a list.
const MOST: usize = 10_000;

/// A source that is not in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs, below the repository.
    pub path: PathBuf,
    /// Its checksum.
    pub sum: Sum,
}

/// A line that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is {text:?}; {wanted}")]
pub struct ListError {
    line: usize,
    text: String,
    wanted: &'static str,
}

/// Reads `.NAME.metadata`: `CHECKSUM PATH`, with paths below the repository.
///
/// # Errors
///
/// A line is something else, or its path leads out.
pub fn metadata(text: &str) -> Result<Vec<Entry>, ListError> {
    each(text, "a checksum and a path are expected", |line| {
        let (sum, path) = line.split_once(char::is_whitespace)?;
        // What sha256sum marks binary files with.
        let path = path.trim_start().trim_start_matches('*');
        Some(Entry { path: inside(path)?, sum: Sum::parse(sum)? })
    })
}

/// Reads `sources`: `SHA512 (FILE) = CHECKSUM`, or the old `MD5 FILE`. Files belong beside the
/// spec.
///
/// # Errors
///
/// A line is something else, or its name is none.
pub fn sources(text: &str) -> Result<Vec<Entry>, ListError> {
    each(text, "KIND (FILE) = CHECKSUM is expected", |line| {
        let (name, sum) = match line.split_once(" = ") {
            Some((file, sum)) => {
                let (kind, name) = file.split_once(" (")?;
                let sum = Sum::parse(sum.trim())?;
                if sum.kind.name() != kind.to_ascii_lowercase() {
                    return None;
                }
                (name.strip_suffix(')')?, sum)
            }
            None => {
                let (sum, name) = line.split_once(char::is_whitespace)?;
                (name.trim_start().trim_start_matches('*'), Sum::parse(sum)?)
            }
        };
        is_plain(name).then(|| Entry { path: name.into(), sum })
    })
}

fn each(
    text: &str,
    wanted: &'static str,
    read: impl Fn(&str) -> Option<Entry>,
) -> Result<Vec<Entry>, ListError> {
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = read(line).filter(|_| entries.len() < MOST);
        entries.push(entry.ok_or_else(|| ListError {
            line: index + 1,
            text: line.chars().take(200).collect(),
            wanted,
        })?);
    }
    Ok(entries)
}

/// A path that stays below the repository, no deeper than its tree may be, and out of git's own
/// directory.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let good = |part: Component<'_>| match part {
        Component::Normal(name) => {
            name.to_str().is_some_and(|name| is_plain(name) && name != ".git")
        }
        _ => false,
    };
    let depth = path.components().count();
    ((1..=MAX_DEPTH).contains(&depth) && path.components().all(good)).then(|| path.to_owned())
}

/// Where sources are, from `policies/lookaside.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookasides {
    /// The places, in the order in which they are tried.
    #[serde(default)]
    lookaside: Vec<Lookaside>,
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookaside {
    /// Who keeps it.
    pub name: String,
    /// Why it is there; for readers.
    #[serde(rename = "why")]
    _why: String,
    /// Repositories of these hosts try it before others.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The address; `{name}`, `{file}`, `{kind}` and `{sum}` stand for the package, the file, the
    /// kind of its checksum, and that.
    pub url: String,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {place}")]
pub struct PolicyError {
    place: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Lookasides {
    /// Those of the program, or of the host's file in their place, if it has one.
    ///
    /// # Errors
    ///
    /// The file is no such policy.
    pub fn load(file: &Path) -> Result<Lookasides, PolicyError> {
        let built_in = include_str!("../../policies/lookaside.toml");
        let place = file.display().to_string();
        let wrong = |place: &str, source| PolicyError { place: place.to_owned(), source };
        match std::fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).map_err(|error| wrong(&place, error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => toml::from_str(built_in)
                .map_err(|error| wrong("the built-in policy of lookasides", error.into())),
            Err(error) => Err(wrong(&place, error.into())),
        }
    }

    /// Addresses of a source, the most likely first.
    pub fn addresses(&self, host: &str, package: &str, entry: &Entry) -> Vec<String> {
        let (near, far): (Vec<_>, Vec<_>) =
            self.lookaside.iter().partition(|place| place.hosts.iter().any(|known| known == host));
        let file = entry.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let fill = |place: &Lookaside| {
            place
                .url
                .replace("{name}", &encoded(package))
                .replace("{file}", &encoded(file))
                .replace("{kind}", entry.sum.kind.name())
                .replace("{sum}", &entry.sum.hex)
        };
        near.into_iter().chain(far).map(fill).collect()
    }
}

/// A part of a path as addresses have it.
fn encoded(part: &str) -> String {
    part.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~+".contains(&b) => text.push(char::from(b)),
            b => text += &format!("%{b:02X}"),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

    #[test]
    fn lists_of_every_age() {
        let found = metadata(&format!("# x\n\n{SHA1} SOURCES/a-1.tar.xz\n")).unwrap();
        assert_eq!(found[0].path, Path::new("SOURCES/a-1.tar.xz"));
        let sha512 = "d".repeat(128);
        let found = sources(&format!("SHA512 (a b.tgz) = {sha512}\n{MD5}  old.tgz\n")).unwrap();
        assert_eq!(found[0].path, Path::new("a b.tgz"));
        assert_eq!(
            (found[1].path.as_path(), found[1].sum.hex.as_str()),
            (Path::new("old.tgz"), MD5)
        );
    }

    #[test]
    fn what_is_no_list_is_told_by_its_line() {
        for bad in ["../x", "/etc/passwd", "a/../../b", ".git/hooks/x", "-x", "a\u{7}b"] {
            let error = metadata(&format!("{SHA1} good\n{SHA1} {bad}\n")).unwrap_err();
            assert!(error.to_string().starts_with("line 2 is "), "{bad}: {error}");
        }
        let nested = |depth: usize| metadata(&format!("{SHA1} {}x\n", "d/".repeat(depth)));
        assert!(nested(MAX_DEPTH - 1).is_ok() && nested(MAX_DEPTH).is_err());
        for bad in [
            format!("SHA512 (a) = {MD5}"),
            format!("MD5 (a/b) = {MD5}"),
            format!("MD5 (..) = {MD5}"),
            "nothing".to_owned(),
            format!("{MD5} ../a"),
        ] {
            assert!(sources(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_place_comes_first() {
        let places = Lookasides::load(Path::new("/nonexistent")).unwrap();
        let entry = Entry { path: "SOURCES/a b.tgz".into(), sum: Sum::parse(SHA1).unwrap() };
        let of = |host: &str| places.addresses(host, "gtk+3", &entry);
        insta::assert_debug_snapshot!((of("git.almalinux.org"), of("gitlab.com"), of("x")));
    }
}
