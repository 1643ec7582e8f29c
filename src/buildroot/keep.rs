//! How much of the store is kept, and for how long, by policy; and when it is time to look.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::disk::Size;
use super::inventory::Allowance;
use super::store::{Store, StoreError, attempt};
use crate::resources::{Amount, AmountError, Unit};

/// Where the host's own policy is.
pub const HOST_POLICY: &str = "/etc/albs-node/store.toml";
/// File of the store that was changed when it was last tidied.
const TIDIED: &str = "tidied";

/// What the policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Bytes of all trees.
    MaxSize,
    /// Bytes that are free.
    MinFree,
    /// Seconds since a tree was used.
    MaxAge,
    /// Seconds between two looks.
    Interval,
}

/// A value, and what it is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    amount: Amount,
    #[expect(dead_code, reason = "for whoever reads the file; none may be without")]
    why: String,
}

/// What is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct KeepPolicy(BTreeMap<What, Rule>);

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The text is not a policy.
    #[error("{} is not valid", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// An amount is none of that.
    #[error("the policy of the store: amount = {amount:?}")]
    Amount {
        /// What was said.
        amount: String,
        /// Why it is none.
        source: AmountError,
    },
}

impl KeepPolicy {
    /// The policy that is part of the program, with that of the host over it if the file exists.
    ///
    /// # Errors
    ///
    /// The host's file cannot be read or is not a policy.
    pub fn load(host: &Path) -> Result<KeepPolicy, KeepError> {
        let built_in = include_str!("../../policies/store.toml");
        let mut policy = KeepPolicy::parse(Path::new("policies/store.toml"), built_in)?;
        match fs::read_to_string(host) {
            Ok(text) => policy.0.extend(KeepPolicy::parse(host, &text)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KeepError::Read { path: host.to_owned(), source }),
        }
        Ok(policy)
    }

    fn parse(path: &Path, text: &str) -> Result<KeepPolicy, KeepError> {
        toml::from_str(text)
            .map_err(|source| KeepError::Syntax { path: path.to_owned(), source: Box::new(source) })
    }

    /// What trees may be and how old, and what they leave, where the store's file system has `whole`
    /// bytes.
    ///
    /// # Errors
    ///
    /// An amount of the policy is none.
    pub fn allowance(&self, whole: u64) -> Result<Allowance, KeepError> {
        Ok(Allowance {
            bytes: self.number(What::MaxSize, Unit::Bytes, Some(whole as f64))?,
            free: Size {
                bytes: self.number(What::MinFree, Unit::Bytes, Some(whole as f64))?.unwrap_or(0),
                inodes: 0,
            },
            age: self.number(What::MaxAge, Unit::Seconds, None)?,
        })
    }

    /// Whether a store that was last tidied so many seconds ago is to be looked at.
    fn is_due(&self, age: u64) -> Result<bool, KeepError> {
        let interval = self.number(What::Interval, Unit::Seconds, None)?;
        Ok(interval.is_some_and(|interval| age >= interval))
    }

    fn number(&self, what: What, unit: Unit, whole: Option<f64>) -> Result<Option<u64>, KeepError> {
        let Some(Rule { amount, .. }) = self.0.get(&what) else { return Ok(None) };
        let number = amount.number(unit, whole, None);
        let number =
            number.map_err(|source| KeepError::Amount { amount: amount.to_string(), source })?;
        Ok(number.map(|number| number as u64))
    }
}

/// Bytes of the file system that a store is on; 0 if that is not known.
pub fn file_system_bytes(store: &Store) -> u64 {
    nix::sys::statvfs::statvfs(store.path())
        .map_or(0, |data| data.blocks().saturating_mul(data.fragment_size()))
}

/// Whether it is time to tidy the store. Says so once: whoever asks next has to wait again. A new
/// store has nothing to tidy.
///
/// # Errors
///
/// The policy cannot be used, or the store.
pub fn take_turn(policy: &KeepPolicy, store: &Store) -> Result<bool, TurnError> {
    let path = store.path().join(TIDIED);
    let age = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
    let age = age.and_then(|time| SystemTime::now().duration_since(time).ok());
    let is_due = match age {
        Some(age) => policy.is_due(age.as_secs())?,
        None => false,
    };
    if is_due || age.is_none() {
        let now = SystemTime::now();
        let touched = File::create(&path).and_then(|file| file.set_modified(now));
        attempt("note when it was tidied in", &path, touched)?;
    }
    Ok(is_due)
}

/// It is not known whether it is time.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum TurnError {
    /// The policy cannot be used.
    Policy(#[from] KeepError),
    /// The store cannot be used.
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn policy(host: &str) -> Result<KeepPolicy, KeepError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.toml");
        fs::write(&path, host).unwrap();
        KeepPolicy::load(&path)
    }

    #[test]
    fn a_host_replaces_sections() {
        let month = Some(30 * 86_400);
        let allowed = |policy: &KeepPolicy| policy.allowance(1000).unwrap();
        let own = KeepPolicy::load(Path::new("/nonexistent")).unwrap();
        let free = Size { bytes: 1 << 30, inodes: 0 };
        let built_in = Allowance { bytes: Some(500), free, age: month };
        assert_eq!(allowed(&own), built_in);
        let host = policy("[max_size]\nwhy = \"w\"\namount = \"2K\"\n").unwrap();
        assert_eq!(allowed(&host), Allowance { bytes: Some(2048), ..built_in });
        let host = policy("[max_age]\nwhy = \"w\"\namount = \"none\"\n").unwrap();
        assert_eq!(allowed(&host), Allowance { age: None, ..built_in });
        for bad in ["[max]\nwhy = \"\"\namount = \"1\"", "[max_age]\namount = \"1\"", "max_age = 1"]
        {
            assert!(policy(bad).is_err(), "{bad}");
        }
        let bad = policy("[max_age]\nwhy = \"\"\namount = \"1w\"").unwrap();
        assert_eq!(
            bad.allowance(1).unwrap_err().to_string(),
            "the policy of the store: amount = \"1w\""
        );
    }

    #[test]
    fn one_of_many_has_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), None).unwrap();
        let own = KeepPolicy::load(Path::new("/nonexistent")).unwrap();
        let turn = || take_turn(&own, &store).unwrap();
        assert!(!turn() && !turn());
        let file = File::options().write(true).open(dir.path().join(TIDIED)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(4000)).unwrap();
        assert!(turn() && !turn());
    }
}
