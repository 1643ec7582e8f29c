//! What is known of repositories from earlier requests: one small file for each, replaced whole,
//! so that any number of processes can read and write.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::repository::{Repository, Source};
use crate::buildroot::store::private_directory;
use crate::checksum;

/// Changes when older files cannot be understood.
const FORMAT: u32 = 1;
/// Bytes of a file; those that we write have some hundred.
const MAX_FILE: u64 = 64 << 10;
/// Bytes that a server's mark of a version may have.
const MAX_VALIDATOR: usize = 1024;
/// Where unfinished files are: they begin so.
const UNFINISHED: &str = ".unfinished";

/// What tells a server which version is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Validators {
    /// Those that servers sent, as far as they can be kept.
    pub fn new(etag: Option<&str>, last_modified: Option<&str>) -> Validators {
        let keep =
            |text: Option<&str>| text.filter(|text| text.len() <= MAX_VALIDATOR).map(str::to_owned);
        Validators { etag: keep(etag), last_modified: keep(last_modified) }
    }
}

/// What is known of one repository. Nothing in it opens anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub format: u32,
    /// The address that it is known from, without secrets.
    pub from: String,
    /// Checksum of the index.
    pub sha256: String,
    /// Marks of what that address gave: the index or the metalink.
    pub validators: Validators,
    /// When that was so: seconds since 1970.
    pub checked: u64,
}

impl Entry {
    pub fn new(from: String, sha256: String, validators: Validators, checked: u64) -> Entry {
        Entry { format: FORMAT, from, sha256, validators, checked }
    }

    /// Whether no request is needed yet: dnf's rule, in which what is as old as it may be is too
    /// old. What is from the future is never new.
    pub fn is_fresh(&self, now: u64, expire: Option<u64>) -> bool {
        let Some(age) = now.checked_sub(self.checked) else { return false };
        expire.is_none_or(|expire| age < expire)
    }
}

/// The file of one repository.
#[derive(Debug)]
pub(super) struct File {
    directory: PathBuf,
    path: PathBuf,
}

impl File {
    /// The file of what this repository is asked for, by whom. Passwords and tokens count, since
    /// servers may show different things to different clients; only a hash of them is kept.
    pub fn of(directory: &Path, repository: &Repository) -> File {
        let (kind, addresses) = match &repository.source {
            Source::Metalink(address) => ("metalink", vec![address]),
            Source::Mirrorlist(address, others) => {
                ("mirrorlist", [address].into_iter().chain(others).collect())
            }
            Source::Baseurls(addresses) => ("baseurl", addresses.iter().collect()),
        };
        let addresses: Vec<&str> = addresses.iter().map(|address| address.exact()).collect();
        let login = repository.login.as_ref().map(|login| (&login.name, &login.password));
        let identity = (kind, addresses, login, &repository.access.sslclientcert);
        let name = checksum::of(format!("{identity:?}").as_bytes());
        File { directory: directory.to_owned(), path: directory.join(format!("{name}.json")) }
    }

    /// What is known. A file that cannot be read is as none.
    pub fn read(&self) -> Option<Entry> {
        let mut text = Vec::new();
        fs::File::open(&self.path).ok()?.take(MAX_FILE).read_to_end(&mut text).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (entry.format == FORMAT).then_some(entry)
    }

    /// Keeps what is known now, unless there is no store to keep it in: somebody only looks.
    pub fn write(&self, entry: &Entry) -> io::Result<()> {
        if self.directory.parent().is_none_or(|store| !store.exists()) {
            return Ok(());
        }
        private_directory(&self.directory)?;
        let mut aside = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.directory)?;
        aside.write_all(&serde_json::to_vec(entry)?)?;
        // Whoever was quicker asked at nearly the same time; either will do.
        aside.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Removes what was not written for so long, and what killed processes left behind.
///
/// # Errors
///
/// The directory cannot be read, or a file not removed.
pub fn prune(directory: &Path, max_age: Duration) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let limit = if unfinished { max_age.min(Duration::from_secs(3600)) } else { max_age };
        // Others may replace or remove it meanwhile.
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = age.and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_some_and(|age| age > limit) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fresh() {
        let entry = Entry::new(String::new(), String::new(), Validators::default(), 1000);
        for (now, expire, expected) in [
            (1000, Some(0), false),
            (1000, Some(1), true),
            (1001, Some(1), false),
            (999, Some(100), false),
            (u64::MAX, None, true),
        ] {
            assert_eq!(entry.is_fresh(now, expire), expected, "{now} {expire:?}");
        }
    }

    #[test]
    fn old_files_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let file = fs::File::create(directory.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        make("a.json", 10_000);
        make("b.json", 200_000);
        make(".unfinished-new", 10);
        make(".unfinished-old", 10_000);
        prune(directory.path(), Duration::from_secs(100_000)).unwrap();
        let mut left: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".unfinished-new", "a.json"]);
        prune(&directory.path().join("nothing"), Duration::ZERO).unwrap();
    }
}
