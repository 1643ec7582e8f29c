//! What one repository holds now: the steps from its addresses to a checksum.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha512};

use super::address::Address;
use super::cache::{Entry, File, Validators};
use super::error::AttemptError;
use super::fetch::{Answer, Fetcher, local};
use super::lists::{self, Metalink};
use super::repository::{Access, Repository, Source};
use super::{How, Revision};
use crate::checksum;

/// Mirrors of a list that are asked, until one answers.
const MAX_MIRRORS: usize = 5;
/// How often each address is asked while it may be a matter of moments.
const ROUNDS: u32 = 2;
/// How long is waited between.
const PAUSE: Duration = Duration::from_millis(300);
/// All that is tried for one repository takes no more than this many times its `timeout`.
const MAX_TIMEOUTS: u32 = 3;

/// What all repositories of a config have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// By what they are set up with; all there are.
    pub clients: BTreeMap<Access, Fetcher>,
    /// Where what is known is kept.
    pub directory: PathBuf,
    /// What variables stand for in lists of mirrors.
    pub variables: Variables,
    pub offline: bool,
    /// Seconds since 1970.
    pub now: u64,
    pub stop: AtomicBool,
}

/// Puts variables into a text.
pub(super) struct Variables(pub Box<dyn Fn(&str) -> String + Send + Sync>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variables(..)")
    }
}

/// The index of a repository, somewhere.
struct Index {
    address: Address,
    /// What it is said to be.
    sha512: Option<String>,
}

/// Learns what a repository holds, or what was tried.
pub(super) fn revision(
    shared: &Shared,
    repository: &Repository,
) -> Result<Revision, Vec<AttemptError>> {
    let file = File::of(&shared.directory, repository);
    let deadline = Instant::now() + repository.access.timeout * MAX_TIMEOUTS;
    let check = Check { shared, repository, known: file.read(), file, deadline };
    check.run()
}

struct Check<'a> {
    shared: &'a Shared,
    repository: &'a Repository,
    file: File,
    known: Option<Entry>,
    deadline: Instant,
}

impl Check<'_> {
    fn run(&self) -> Result<Revision, Vec<AttemptError>> {
        let Some(first) = self.repository.source.first() else {
            return Err(vec![AttemptError::NoAddress]);
        };
        // Files are read, however new what is known may be: it costs less than to find out.
        let is_read = match self.repository.source {
            Source::Baseurls(_) if first.is_local() => {
                let index = Index { address: first.index(), sha512: None };
                if let Ok(revision) = self.index(&index) {
                    return Ok(revision);
                }
                false
            }
            Source::Metalink(_) => first.is_local(),
            _ => false,
        };
        if let (Some(entry), false) = (&self.known, is_read) {
            let fresh = entry.is_fresh(self.shared.now, self.repository.expire);
            if fresh || self.shared.offline {
                return Ok(self.revision(entry.clone(), How::Cached));
            }
        }
        match &self.repository.source {
            Source::Baseurls(addresses) => {
                let plain = |address: &Address| Index { address: address.index(), sha512: None };
                let indexes: Vec<Index> = addresses.iter().map(plain).collect();
                self.attempts(&indexes, |index| self.index(index))
            }
            Source::Mirrorlist(list, others) => self.mirrorlist(list, others),
            Source::Metalink(address) => self.metalink(address),
        }
    }

    fn mirrorlist(
        &self,
        list: &Address,
        others: &[Address],
    ) -> Result<Revision, Vec<AttemptError>> {
        let usual = others.iter().cloned().map(Ok);
        let read = self.attempts(std::slice::from_ref(list), |list| {
            let text = self.document(list)?;
            let named = lists::mirrors(&text);
            let named = named.iter().map(|text| Address::new(&(self.shared.variables.0)(text)));
            let named: Vec<_> = self.usable(list, named.collect()).collect();
            match named.is_empty() {
                true => Err(content(list, "it names no address of a repository")),
                false => Ok(named),
            }
        });
        let mut failed = Vec::new();
        let mirrors: Vec<_> = match read {
            Ok(named) => usual.chain(named).collect(),
            Err(errors) if others.is_empty() => return Err(errors),
            Err(errors) => {
                failed = errors;
                usual.collect()
            }
        };
        let index = |address: Address| Index { address: address.index(), sha512: None };
        let mirrors = mirrors.into_iter().map(|mirror| mirror.map(index)).collect();
        self.ask_mirrors(mirrors).map_err(|errors| failed.into_iter().chain(errors).collect())
    }

    fn metalink(&self, address: &Address) -> Result<Revision, Vec<AttemptError>> {
        enum Told {
            Revision(Revision),
            Mirrors(Metalink),
        }
        let told = self.attempts(std::slice::from_ref(address), |address| {
            let (text, validators) = match self.get(address)? {
                Answer::NotModified => return self.not_modified(address).map(Told::Revision),
                Answer::Document(text, validators) => (text, validators),
            };
            let metalink = lists::metalink(&text).map_err(|reason| content(address, reason))?;
            match &metalink.sha256 {
                Some(sha256) => {
                    let from = address.to_string();
                    let entry = Entry::new(from, sha256.clone(), validators, self.shared.now);
                    Ok(Told::Revision(self.keep(entry, How::Metalink)))
                }
                None => Ok(Told::Mirrors(metalink)),
            }
        })?;
        let metalink = match told {
            Told::Revision(revision) => return Ok(revision),
            Told::Mirrors(metalink) => metalink,
        };
        let mirrors = self.usable(address, metalink.indexes);
        let index = |address| Index { address, sha512: metalink.sha512.clone() };
        let mirrors: Vec<_> = mirrors.map(|mirror| mirror.map(index)).collect();
        if mirrors.is_empty() {
            return Err(vec![content(address, "it has neither a checksum nor a usable address")]);
        }
        self.ask_mirrors(mirrors)
    }

    /// The addresses of a list from which something could be had. Only a list of this host may
    /// name files of this host.
    fn usable(
        &self,
        list: &Address,
        named: Vec<Address>,
    ) -> impl Iterator<Item = Result<Address, AttemptError>> + use<> {
        let files = list.is_local();
        named.into_iter().filter(Address::is_supported).map(move |mirror| {
            match mirror.is_local() && !files {
                true => Err(AttemptError::LocalMirror(mirror)),
                false => Ok(mirror),
            }
        })
    }

    /// Asks mirrors in their order, but first the one that answered before: others may be ahead
    /// of it or behind, and only its marks are known.
    fn ask_mirrors(
        &self,
        mut mirrors: Vec<Result<Index, AttemptError>>,
    ) -> Result<Revision, Vec<AttemptError>> {
        let from = self.known.as_ref().map(|entry| entry.from.as_str());
        mirrors.sort_by_key(|mirror| {
            let address = mirror.as_ref().ok().map(|index| index.address.to_string());
            address.as_deref() != from || from.is_none()
        });
        mirrors.truncate(MAX_MIRRORS);
        let (good, bad): (Vec<_>, Vec<_>) = mirrors.into_iter().partition(Result::is_ok);
        let good: Vec<Index> = good.into_iter().flatten().collect();
        let mut failed: Vec<AttemptError> = bad.into_iter().filter_map(Result::err).collect();
        match self.attempts(&good, |index| self.index(index)) {
            Ok(revision) => Ok(revision),
            Err(errors) => {
                failed.splice(0..0, errors);
                Err(failed)
            }
        }
    }

    /// Does something with the first address that lets it be done. Those that may have had a bad
    /// moment are asked again.
    fn attempts<A, T>(
        &self,
        addresses: &[A],
        ask: impl Fn(&A) -> Result<T, AttemptError>,
    ) -> Result<T, Vec<AttemptError>> {
        let mut errors = Vec::new();
        let mut left: Vec<&A> = addresses.iter().collect();
        for round in 0..ROUNDS {
            if round > 0 && !left.is_empty() {
                std::thread::sleep(PAUSE);
            }
            for address in std::mem::take(&mut left) {
                let over =
                    Instant::now() >= self.deadline || self.shared.stop.load(Ordering::Relaxed);
                if over && !errors.is_empty() {
                    return Err(errors);
                }
                match ask(address) {
                    Ok(value) => return Ok(value),
                    Err(error) => {
                        if error.is_passing() {
                            left.push(address);
                        }
                        errors.push(error);
                    }
                }
            }
        }
        Err(errors)
    }

    /// What the index at an address is now.
    fn index(&self, index: &Index) -> Result<Revision, AttemptError> {
        let address = &index.address;
        let (text, validators) = match address.is_local() {
            true => (local(address)?, Validators::default()),
            false => match self.get(address)? {
                Answer::NotModified => return self.not_modified(address),
                Answer::Document(text, validators) => (text, validators),
            },
        };
        lists::check_index(&text).map_err(|reason| content(address, reason))?;
        if let Some(promised) = &index.sha512 {
            let seen: String = Sha512::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
            if seen != *promised {
                return Err(content(address, "its SHA-512 is not that of the metalink"));
            }
        }
        let sha256 = checksum::of(&text);
        let entry = Entry::new(address.to_string(), sha256, validators, self.shared.now);
        Ok(match address.is_local() {
            true => self.revision(entry, How::Local),
            false => self.keep(entry, How::Fetched),
        })
    }

    /// A list, wherever it is.
    fn document(&self, address: &Address) -> Result<Vec<u8>, AttemptError> {
        if address.is_local() {
            return local(address);
        }
        match self.request(address, &Validators::default())? {
            Answer::Document(text, _) => Ok(text),
            Answer::NotModified => Err(content(address, "it is no answer to what was asked")),
        }
    }

    /// What is at an address, unless it is what is known from there.
    fn get(&self, address: &Address) -> Result<Answer, AttemptError> {
        if address.is_local() {
            return Ok(Answer::Document(local(address)?, Validators::default()));
        }
        let from = address.to_string();
        let known = self.known.as_ref().filter(|entry| entry.from == from);
        let marks = known.map(|entry| entry.validators.clone()).unwrap_or_default();
        self.request(address, &marks)
    }

    fn request(&self, address: &Address, known: &Validators) -> Result<Answer, AttemptError> {
        if !address.is_supported() {
            return Err(AttemptError::Unsupported(address.clone()));
        }
        if self.shared.offline {
            return Err(AttemptError::Offline(address.clone()));
        }
        let fetcher = &self.shared.clients[&self.repository.access];
        fetcher.get(address, self.repository.login.as_ref(), known, self.deadline)
    }

    /// What is known is still so.
    fn not_modified(&self, address: &Address) -> Result<Revision, AttemptError> {
        let Some(entry) = self.known.clone() else {
            return Err(content(address, "it is no answer to what was asked"));
        };
        Ok(self.keep(Entry { checked: self.shared.now, ..entry }, How::NotModified))
    }

    /// Remembers what was learned.
    fn keep(&self, entry: Entry, how: How) -> Revision {
        // Nothing is wrong without it, the next request is only not conditional.
        let _ = self.file.write(&entry);
        self.revision(entry, how)
    }

    fn revision(&self, entry: Entry, how: How) -> Revision {
        Revision { sha256: entry.sha256, from: entry.from, checked: entry.checked, how }
    }
}

fn content(address: &Address, reason: impl Into<String>) -> AttemptError {
    AttemptError::Content { address: address.clone(), reason: reason.into() }
}
