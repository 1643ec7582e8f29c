//! Where the spec and the sources are in a repository of a distribution: all at its top, as Fedora
//! and CentOS Stream have them, or in SPECS and SOURCES.
//!
//! The tree is a copy of our own by now, but what it holds is not trusted: its links lead nowhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::lookaside::{self, Entry, ListError};

/// Bytes of a list of sources.
const LONGEST_LIST: u64 = 1 << 20;

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is no spec.
    #[error("the repository has no spec file, neither at its top nor in SPECS")]
    NoSpec,
    /// Not the spec that was asked for.
    #[error("the repository has no spec file {0}, neither at its top nor in SPECS")]
    NotThatSpec(String),
    /// A list of sources that cannot be read.
    #[error("{file}: {error}")]
    List {
        /// Its name.
        file: String,
        /// What is wrong.
        error: ListError,
    },
    /// A list of sources that is too long.
    #[error("{0} is longer than any list of sources")]
    LongList(String),
    /// The disk, or a link where a directory should be.
    #[error("cannot use {}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A spec that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Where it is in the repository.
    pub path: PathBuf,
    /// Why it and not another one.
    pub why: &'static str,
}

/// Chooses one of the specs that are there: the one that was named, the one that is named as the
/// package, the only one, the first of the alphabet; those at the top go first.
pub fn choose(
    specs: &[PathBuf],
    named: Option<&str>,
    package: &str,
) -> Result<Chosen, LayoutError> {
    let name_of = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let find = |name: &str| specs.iter().find(|path| name_of(path).as_deref() == Some(name));
    let chosen = |path: &PathBuf, why| Ok(Chosen { path: path.clone(), why });
    if let Some(named) = named {
        return match find(named) {
            Some(path) => chosen(path, "it was named"),
            None => Err(LayoutError::NotThatSpec(named.to_owned())),
        };
    }
    if let Some(path) = find(&format!("{package}.spec")) {
        return chosen(path, "it has the name of the repository");
    }
    match specs {
        [] => Err(LayoutError::NoSpec),
        [path] => chosen(path, "there is no other"),
        // In a given order, for every node the same.
        _ => {
            let first = specs.iter().min_by_key(|path| (path.components().count(), name_of(path)));
            first.map_or(Err(LayoutError::NoSpec), |path| {
                chosen(path, "it is the first of several by the alphabet")
            })
        }
    }
}

/// The specs of a tree.
///
/// # Errors
///
/// It cannot be read.
pub fn specs(tree: &Path) -> Result<Vec<PathBuf>, LayoutError> {
    let mut found = Vec::new();
    for below in ["", "SPECS"] {
        let directory = tree.join(below);
        if !is_directory(&directory) {
            continue;
        }
        for (name, kind) in entries(&directory)? {
            if kind.is_file() && name.ends_with(".spec") && crate::source::is_plain(&name) {
                found.push(Path::new(below).join(name));
            }
        }
    }
    Ok(found)
}

/// What the lists of a tree say that it has besides: `.NAME.metadata`, and `sources`.
///
/// # Errors
///
/// One of them is no list.
pub fn listed(tree: &Path) -> Result<Vec<Entry>, LayoutError> {
    let mut all: Vec<Entry> = Vec::new();
    let mut files = entries(tree)?;
    files.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, kind) in files {
        let is_metadata = name.starts_with('.') && name.ends_with(".metadata");
        if !kind.is_file() || !(is_metadata || name == "sources") {
            continue;
        }
        let path = tree.join(&name);
        let size = fs::symlink_metadata(&path).map_err(|source| io_error(&path, source))?.len();
        if size > LONGEST_LIST {
            return Err(LayoutError::LongList(name));
        }
        let bytes = fs::read(&path).map_err(|source| io_error(&path, source))?;
        let text = String::from_utf8_lossy(&bytes);
        let read = if is_metadata { lookaside::metadata } else { lookaside::sources };
        let list = read(&text).map_err(|error| LayoutError::List { file: name, error })?;
        for mut entry in list {
            // Where rpmbuild finds sources, all are in one directory.
            if let Ok(path) = entry.path.strip_prefix("SOURCES") {
                entry.path = path.to_owned();
            }
            if !all.iter().any(|known| known.path == entry.path) {
                all.push(entry);
            }
        }
    }
    Ok(all)
}

/// Brings all sources into one directory, and gives it: the tree itself, or SOURCES with what
/// lies at the top beside it. `history`: with `.git`, for what reads it there.
///
/// # Errors
///
/// Something cannot be moved.
pub fn gather(tree: &Path, spec: &Path, history: bool) -> Result<PathBuf, LayoutError> {
    let sources = tree.join("SOURCES");
    let has_directory = is_directory(&sources);
    if !has_directory && spec.components().count() == 1 {
        return Ok(tree.to_owned());
    }
    if !has_directory {
        fs::create_dir(&sources).map_err(|source| io_error(&sources, source))?;
    }
    for (name, _) in entries(tree)? {
        let is_other = ["SPECS", "SOURCES"].contains(&name.as_str())
            || name == ".git" && !history
            || Path::new(&name) == spec;
        let place = sources.join(&name);
        if !is_other && fs::symlink_metadata(&place).is_err() {
            let from = tree.join(&name);
            fs::rename(&from, &place).map_err(|source| io_error(&from, source))?;
        }
    }
    Ok(sources)
}

/// The place of a file in a directory of sources: no link leads to it, and its directory is there.
///
/// # Errors
///
/// Something else is in the way.
pub fn place_of(sources: &Path, name: &Path) -> Result<PathBuf, LayoutError> {
    let mut place = sources.to_owned();
    let parts: Vec<_> = name.components().collect();
    for part in &parts[..parts.len().saturating_sub(1)] {
        place.push(part);
        match fs::create_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !is_directory(&place) {
                    return Err(io_error(&place, io::Error::other("it is no directory")));
                }
            }
            made => made.map_err(|source| io_error(&place, source))?,
        }
    }
    Ok(sources.join(name))
}

/// Whether something is a regular file, and no link to one.
pub fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Names and kinds; names that are no text are nobody's sources.
fn entries(directory: &Path) -> Result<Vec<(String, fs::FileType)>, LayoutError> {
    let failed = |source| io_error(directory, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.file_type().map_err(failed)?));
        }
    }
    Ok(found)
}

fn io_error(path: &Path, source: io::Error) -> LayoutError {
    LayoutError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_that_is_chosen() {
        let specs = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let chosen = |names: &[&str], named: Option<&str>| {
            choose(&specs(names), named, "pkg").map(|chosen| chosen.path.display().to_string())
        };
        let many = ["z.spec", "b.spec", "SPECS/a.spec", "SPECS/pkg.spec"];
        assert_eq!(chosen(&many, Some("b.spec")).unwrap(), "b.spec");
        assert_eq!(chosen(&many, None).unwrap(), "SPECS/pkg.spec");
        assert_eq!(chosen(&many[..3], None).unwrap(), "b.spec");
        assert_eq!(chosen(&["SPECS/x.spec"], None).unwrap(), "SPECS/x.spec");
        assert!(matches!(chosen(&[], None), Err(LayoutError::NoSpec)));
        assert!(matches!(chosen(&many, Some("c.spec")), Err(LayoutError::NotThatSpec(_))));
    }

    #[test]
    fn links_are_neither_specs_nor_lists_nor_directories() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let outside = dir.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(&tree).unwrap();
        fs::write(outside.join("x.spec"), "").unwrap();
        fs::write(outside.join("sources"), "no list").unwrap();
        let link = |from: &str, to: &Path| std::os::unix::fs::symlink(to, tree.join(from)).unwrap();
        link("SPECS", &outside);
        link("x.spec", &outside.join("x.spec"));
        link("sources", &outside.join("sources"));
        link("SOURCES", &outside);
        link("there", &outside);
        assert_eq!(specs(&tree).unwrap(), [] as [PathBuf; 0]);
        assert_eq!(listed(&tree).unwrap(), []);
        assert!(place_of(&tree, Path::new("there/x.spec")).is_err());
        assert!(place_of(&tree, Path::new("new/x")).is_ok());
        assert!(gather(&tree, Path::new("SPECS/x.spec"), false).is_err());
    }

    #[test]
    fn both_layouts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("pkg.spec", "");
        write("sources", "900150983cd24fb0d6963f7d28e17f72  a.tgz\n");
        assert_eq!(gather(dir.path(), Path::new("pkg.spec"), true).unwrap(), dir.path());
        write("SPECS/pkg.spec", "");
        write("SOURCES/both", "of SOURCES");
        write("both", "of the top");
        write("top.patch", "");
        write(".pkg.metadata", "900150983cd24fb0d6963f7d28e17f72 SOURCES/b.tgz\n");
        let paths: Vec<_> = listed(dir.path()).unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(paths, [Path::new("b.tgz"), Path::new("a.tgz")]);
        let sources = gather(dir.path(), Path::new("SPECS/pkg.spec"), false).unwrap();
        assert_eq!(sources, dir.path().join("SOURCES"));
        assert_eq!(fs::read_to_string(sources.join("both")).unwrap(), "of SOURCES");
        assert!(is_file(&sources.join("top.patch")));
    }
}
