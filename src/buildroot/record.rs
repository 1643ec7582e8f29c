//! Small files of the store that are there completely or not at all.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::store::{StoreError, attempt};

/// The record of a tree in the store, beside it. Its existence says that the tree is complete.
pub(super) const INFO: &str = "info.json";

/// What a record says; none if it is missing, or not what this program writes.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a record aside and renames it, so that nobody ever reads half of it. It may be lost with
/// the host's power: then it is missing, or empty, which is no record either.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn write(path: &Path, record: &impl Serialize) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let aside = path.with_file_name(name);
    let write = || -> io::Result<()> {
        fs::write(&aside, serde_json::to_vec_pretty(record)?)?;
        fs::rename(&aside, path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    attempt("record", path, written)
}
