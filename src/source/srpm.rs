//! Headers of packages, read by a parser in safe Rust. Payloads are never unpacked here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::libc;
use rpm::IndexTag;

use super::arches::Arches;

/// What is known of a source package from its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// `name-version-release`.
    pub nvr: String,
    /// Name of the spec file in it.
    pub spec: String,
    /// What it requires, as rpmspec(8) lists it.
    pub requires: BTreeSet<String>,
    /// What it conflicts with, likewise.
    pub conflicts: BTreeSet<String>,
    /// Architectures that it is for.
    pub arches: Arches,
}

/// A file that is not a usable source package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourcePackageError {
    /// The header cannot be read.
    #[error("{} is not a package, or is incomplete", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<rpm::Error>,
    },
    /// A package of another kind.
    #[error("{} is a binary package; a source package is needed", .0.display())]
    Binary(PathBuf),
    /// A name that leads out of the directory of sources.
    #[error("{} contains the name {name:?}, which is not a plain one", path.display())]
    UnsafeName {
        /// The file.
        path: PathBuf,
        /// The name in it.
        name: String,
    },
    /// A link, a device or the like, which rpmbuild never puts into one.
    #[error("{} contains {name:?}, which is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// The name in it.
        name: String,
    },
    /// None, or more than one.
    #[error("{} contains {count} spec files; exactly one is needed", path.display())]
    Specs {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

impl SourcePackage {
    /// Reads the header of the source package at `path`.
    ///
    /// # Errors
    ///
    /// The file is not a source package with one spec and plain file names.
    pub fn read(path: &Path) -> Result<SourcePackage, SourcePackageError> {
        let header =
            |source| SourcePackageError::Header { path: path.to_owned(), source: Box::new(source) };
        super::header::check(path).map_err(|source| header(source.into()))?;
        let metadata = rpm::PackageMetadata::open(path).map_err(header)?;
        if !metadata.is_source_package() {
            return Err(SourcePackageError::Binary(path.to_owned()));
        }
        // Not joined by the parser: a long directory would be copied for each of many names.
        let names = metadata.get_file_paths_split().map_err(header)?;
        let modes = match metadata.header.get_entry_data_as_u16_array(IndexTag::RPMTAG_FILEMODES) {
            Err(rpm::Error::TagNotFound(_)) => Vec::new(),
            modes => modes.map_err(header)?,
        };
        for (index, (directory, name)) in names.iter().enumerate() {
            if !directory.is_empty() || !is_plain(name) {
                let name = cut(&format!("{directory}{name}"));
                return Err(SourcePackageError::UnsafeName { path: path.to_owned(), name });
            }
            let mode = modes.get(index).map_or(0, |mode| u32::from(*mode));
            if mode & libc::S_IFMT != libc::S_IFREG {
                let (path, name) = (path.to_owned(), cut(name));
                return Err(SourcePackageError::NotAFile { path, name });
            }
        }
        let names = names.iter().map(|(_, name)| *name);
        let specs: Vec<&str> = names.filter(|name| name.ends_with(".spec")).collect();
        let [spec] = specs.as_slice() else {
            return Err(SourcePackageError::Specs { path: path.to_owned(), count: specs.len() });
        };
        let field = |value: Result<&str, rpm::Error>| {
            let value = value.map_err(header)?;
            // What rpm allows. The name is shown, and becomes a part of file names.
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-~^".contains(&b);
            match !value.is_empty() && value.bytes().all(plain) {
                true => Ok(value.to_owned()),
                false => {
                    Err(SourcePackageError::UnsafeName { path: path.to_owned(), name: cut(value) })
                }
            }
        };
        Ok(SourcePackage {
            nvr: format!(
                "{}-{}-{}",
                field(metadata.get_name())?,
                field(metadata.get_version())?,
                field(metadata.get_release())?
            ),
            spec: (*spec).to_owned(),
            requires: metadata.get_requires().map_err(header)?.iter().map(requirement).collect(),
            conflicts: metadata.get_conflicts().map_err(header)?.iter().map(requirement).collect(),
            arches: Arches {
                is_noarch: metadata.get_arch().is_ok_and(|arch| arch == "noarch"),
                exclude: arches(&metadata, IndexTag::RPMTAG_EXCLUDEARCH).map_err(header)?,
                exclusive: arches(&metadata, IndexTag::RPMTAG_EXCLUSIVEARCH).map_err(header)?,
            },
        })
    }
}

/// As much of a name as an error shows.
fn cut(name: &str) -> String {
    name.chars().take(200).collect()
}

fn arches(metadata: &rpm::PackageMetadata, tag: IndexTag) -> Result<Vec<String>, rpm::Error> {
    match metadata.header.get_entry_data_as_string_array(tag) {
        Err(rpm::Error::TagNotFound(_)) => Ok(Vec::new()),
        found => Ok(found?.iter().map(|arch| (*arch).to_owned()).collect()),
    }
}

/// `name >= version`.
fn requirement(dependency: &rpm::Dependency) -> String {
    use rpm::DependencyFlags as Flags;
    let signs = [(Flags::LESS, "<"), (Flags::GREATER, ">"), (Flags::EQUAL, "=")];
    let sign: String = signs
        .iter()
        .filter(|(flag, _)| dependency.flags.contains(*flag))
        .map(|(_, sign)| *sign)
        .collect();
    match sign.is_empty() {
        true => dependency.name.clone(),
        false => format!("{} {sign} {}", dependency.name, dependency.version),
    }
}

/// A file name without directories, control characters or leading dash.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.starts_with('-')
        && !name.chars().any(|c| c == '/' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names() {
        assert!(is_plain("hello-2.10.tar.gz") && is_plain("a b"));
        for bad in ["", "..", "/etc/passwd", "../x", "a/b", "-rf", "a\nb"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_a_package() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.src.rpm");
        std::fs::write(&path, b"\xed\xab\xee\xdb\x03\x00").unwrap();
        assert!(matches!(SourcePackage::read(&path), Err(SourcePackageError::Header { .. })));
    }
}
