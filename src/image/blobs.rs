//! Files of images, kept under the checksums of their content, and what they belong to.
//!
//! Whoever uses this holds the lock of the directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::platform::Platform;
use super::reference::Reference;
use crate::checksum;

/// The directory of all files.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    directory: PathBuf,
    records: PathBuf,
}

/// What was found under the name of an image, for one platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of the manifest.
    pub manifest: String,
    /// Of all files that belong to it.
    pub blobs: Vec<String>,
}

impl Blobs {
    pub fn open(directory: &Path) -> io::Result<Blobs> {
        let blobs = Blobs { directory: directory.join("sha256"), records: directory.join("names") };
        fs::create_dir_all(&blobs.directory)?;
        fs::create_dir_all(&blobs.records)?;
        Ok(blobs)
    }

    /// The directory that the files are in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn record_path(&self, reference: &Reference, platform: &Platform) -> PathBuf {
        let name = format!("{} {platform}", reference.text);
        self.records.join(checksum::of(name.as_bytes())).with_extension("json")
    }

    pub fn record(&self, reference: &Reference, platform: &Platform) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.record_path(reference, platform)).ok()?).ok()
    }

    pub fn set_record(
        &self,
        reference: &Reference,
        platform: &Platform,
        record: &Record,
    ) -> io::Result<()> {
        fs::write(self.record_path(reference, platform), serde_json::to_vec(record)?)
    }

    /// Removes files that belong to no image whose name is known: those of files that were read,
    /// those that names meant before, and what killed processes have left.
    pub fn prune(&self) -> io::Result<()> {
        let mut kept = BTreeSet::new();
        for entry in fs::read_dir(&self.records)? {
            let record = fs::read(entry?.path())?;
            let record = serde_json::from_slice::<Record>(&record).ok();
            kept.extend(record.into_iter().flat_map(|record| record.blobs));
        }
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !kept.contains(&format!("sha256:{name}")) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub fn has(&self, digest: &str) -> bool {
        self.path(digest).is_file()
    }

    /// Where the file with that digest is, or would be.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest.strip_prefix("sha256:").unwrap_or(digest))
    }

    /// Keeps what a reader gives. A digest that it has not, or more bytes than `most`, is an error,
    /// and then nothing is kept. Gives the digest that it has.
    pub fn keep(
        &self,
        content: &mut dyn Read,
        digest: Option<&str>,
        most: u64,
    ) -> io::Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = self.directory.join(format!(".new.{}.{count}", std::process::id()));
        let result = write(content, &aside, most).and_then(|seen| match digest {
            Some(wanted) if wanted != seen => Err(unexpected(&seen, wanted)),
            _ => fs::rename(&aside, self.path(&seen)).map(|()| seen),
        });
        if result.is_err() {
            let _ = fs::remove_file(&aside);
        }
        result
    }
}

fn write(content: &mut dyn Read, path: &Path, most: u64) -> io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt;
    // Helpers inside sandboxes read it as another user.
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(path)?;
    let (bytes, checksum) = checksum::copy(&mut content.take(most.saturating_add(1)), &mut file)?;
    if bytes > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    // Its name promises the content, also after a power cut.
    file.sync_all()?;
    Ok(format!("sha256:{checksum}"))
}

pub(super) fn unexpected(seen: &str, wanted: &str) -> io::Error {
    io::Error::other(format!("its checksum is {seen}, and should be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_promised_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let digest = blobs.keep(&mut &b"abc"[..], None, 10).unwrap();
        assert!(digest.starts_with("sha256:ba7816bf"));
        assert_eq!(fs::read(blobs.path(&digest)).unwrap(), b"abc");
        assert!(blobs.keep(&mut &b"other"[..], Some(&digest), 10).is_err());
        assert!(blobs.keep(&mut &b"too long"[..], None, 3).is_err());
        assert_eq!(fs::read_dir(directory.path().join("sha256")).unwrap().count(), 1);
    }

    #[test]
    fn what_belongs_to_no_name_goes() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let keep = |text: &str| blobs.keep(&mut text.as_bytes(), None, 10).unwrap();
        let (manifest, layer, old) = (keep("manifest"), keep("layer"), keep("old"));
        fs::write(blobs.directory().join(".new.1.1"), "half").unwrap();
        let reference = Reference::parse("example.org/x").unwrap();
        let platform = Platform::of_target("x86_64", &Default::default());
        let record = Record { manifest: manifest.clone(), blobs: vec![manifest, layer] };
        blobs.set_record(&reference, &platform, &record).unwrap();
        blobs.prune().unwrap();
        assert_eq!(blobs.record(&reference, &platform).unwrap().blobs, record.blobs);
        assert!(record.blobs.iter().all(|digest| blobs.has(digest)) && !blobs.has(&old));
        assert_eq!(fs::read_dir(blobs.directory()).unwrap().count(), 2);
    }
}
