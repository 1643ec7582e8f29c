//! Images in files: an OCI layout, an archive of one, or an archive of docker.
//!
//! Members of archives are found by their exact names and read as bytes; nothing is unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// More members than any image's archive has.
const MAX_MEMBERS: usize = 10_000;

/// Where the parts of an image are.
#[derive(Debug)]
pub(super) enum Parts {
    Directory(PathBuf),
    /// Offset and size of each regular member.
    Archive(PathBuf, BTreeMap<String, (u64, u64)>),
}

/// `manifest.json` of docker's archives.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerManifest {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    pub layers: Vec<String>,
}

impl Parts {
    pub fn of_directory(path: &Path) -> Parts {
        Parts::Directory(path.to_owned())
    }

    pub fn of_archive(path: &Path) -> io::Result<Parts> {
        let mut members = BTreeMap::new();
        let mut links = Vec::new();
        let mut archive = tar::Archive::new(File::open(path)?);
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            if members.len() + links.len() >= MAX_MEMBERS {
                return Err(io::Error::other("the archive has too many members"));
            }
            match entry.header().entry_type() {
                tar::EntryType::Regular => {
                    members.insert(name, (entry.raw_file_position(), entry.size()));
                }
                // docker links layers that are the same.
                tar::EntryType::Symlink => {
                    let target = entry.link_name()?.map(|path| path.to_string_lossy().into_owned());
                    links.extend(target.map(|target| (name, target)));
                }
                _ => {}
            }
        }
        for (name, target) in links {
            let found =
                members.iter().find(|(known, _)| target.trim_start_matches("../") == *known);
            if let Some(place) = found.map(|(_, place)| *place) {
                members.insert(name, place);
            }
        }
        Ok(Parts::Archive(path.to_owned(), members))
    }

    pub fn has(&self, name: &str) -> bool {
        match self {
            Parts::Directory(path) => path.join(name).is_file(),
            Parts::Archive(_, members) => members.contains_key(name),
        }
    }

    /// The content of a part.
    pub fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        match self {
            Parts::Directory(path) => Ok(Box::new(File::open(path.join(name))?)),
            Parts::Archive(path, members) => {
                let (at, size) = *members.get(name).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("there is no {name} in the archive"),
                    )
                })?;
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(at))?;
                Ok(Box::new(file.take(size)))
            }
        }
    }

    pub fn document(&self, name: &str) -> io::Result<Vec<u8>> {
        super::read_document(self.open(name)?)
    }
}

/// The name of a blob in an OCI layout.
pub(super) fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
