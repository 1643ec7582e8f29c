//! A source from a git repository: the commit, copied out of the sandbox; what it lists of a
//! lookaside; its spec.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::address::Addresses;
use super::allowance::PERCENT;
use super::cache::SourceCache;
use super::download::Downloads;
use super::git::{Fetching, Remote};
use super::layout::{self, LayoutError};
use super::lfs;
use super::listed::{Got, Keeper, Listed};
use super::lookaside::{Entry, Lookasides};
use super::{Fetched, GitRequest, Places};
use crate::buildroot::disk;
use crate::buildroot::scratch::Tools;
use crate::run::{StageRun, plain};
use crate::source::{self, Copying, Source};
use crate::verdict::{Class, Failure, status};

/// What getting it takes.
pub(super) struct Repository<'a> {
    pub(super) tools: Tools<'a>,
    pub(super) stage: &'a StageRun<'a>,
    pub(super) addresses: &'a Addresses,
    pub(super) downloads: &'a Downloads,
    pub(super) places: &'a Places,
}

impl Repository<'_> {
    pub(super) fn get(&self, request: &GitRequest, directory: &Path) -> Result<Fetched, Failure> {
        let started = Timestamp::now();
        let (tree, commit, found_at) = self.check_out(request, directory)?;
        let checked_out = Timestamp::now();
        let specs = layout::specs(&tree).map_err(|error| self.unusable(error))?;
        let remote = Remote::parse(&request.url);
        let package = remote.as_ref().map_or("", Remote::package);
        let chosen = layout::choose(&specs, request.spec.as_deref(), package)
            .map_err(|error| self.unusable(error))?;
        self.stage.note(&format!("{} is built, since {}", chosen.path.display(), chosen.why));
        let entries = layout::listed(&tree).map_err(|error| self.unusable(error))?;
        let sources = layout::gather(&tree, &chosen.path, request.history)
            .map_err(|error| self.unusable(error))?;
        let host = remote.as_ref().map_or("", |remote| remote.host.as_str());
        let cache = self.places.sources.as_deref().map(SourceCache::open).transpose();
        let cache = cache.map_err(|error| {
            self.infrastructure("the cache of sources cannot be used", error.into())
        })?;
        self.lookaside(entries, &sources, host, package, cache.as_ref())?;
        self.lfs(&sources, &found_at, cache.as_ref())?;
        let in_sources = sources.join(".git");
        let repository = if in_sources.exists() { in_sources } else { tree.join(".git") };
        Ok(Fetched {
            source: Source::Spec { spec: tree.join(&chosen.path), sources },
            commit: Some(commit),
            repository: Some(repository),
            times: vec![
                ("git_checkout", started, checked_out),
                ("sources_unpack", checked_out, Timestamp::now()),
            ],
        })
    }

    /// Copies the commit to a tree of this user.
    fn check_out(
        &self,
        request: &GitRequest,
        directory: &Path,
    ) -> Result<(PathBuf, String, Remote), Failure> {
        let fetching = Fetching {
            tools: self.tools,
            stage: self.stage,
            rules: self.addresses,
            downloads: self.downloads,
            limit: disk::part_of_free(self.tools.store.path(), PERCENT),
            mirrors: self.places.mirrors.as_deref(),
        };
        let most = disk::part_of_free(directory, PERCENT);
        let checkout = fetching.checkout(request)?;
        let named = request.reference.as_deref().unwrap_or("the server's own branch");
        self.stage.note(&format!("commit {} of {named}", checkout.commit));
        let tree = directory.join("tree");
        let go_on = || !self.stage.is_cancelled();
        source::copy_tree(&checkout.tree(), &tree, &mut Copying::new(true, most, &go_on), 0)
            .map_err(|error| error.failure(self.stage, "the repository could not be copied"))?;
        Ok((tree, checkout.commit, checkout.remote))
    }

    /// Gets what is listed.
    fn lookaside(
        &self,
        entries: Vec<Entry>,
        sources: &Path,
        host: &str,
        package: &str,
        cache: Option<&SourceCache>,
    ) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let lookasides = Lookasides::load(&self.places.lookasides)
            .map_err(|error| self.infrastructure("lookasides cannot be used", error.into()))?;
        let addresses = |entry: &Entry| {
            lookasides
                .addresses(host, package, entry)
                .iter()
                .map(|url| url.as_str().into())
                .collect()
        };
        let listed = Listed {
            keeper: Keeper::Lookasides,
            addresses: &addresses,
            downloads: self.downloads,
            cache,
        };
        self.obtain(&listed, entries, sources)
    }

    /// Gets what pointers of LFS among the sources point to, if that is allowed.
    fn lfs(
        &self,
        sources: &Path,
        remote: &Remote,
        cache: Option<&SourceCache>,
    ) -> Result<(), Failure> {
        let pointers = lfs::pointers(sources).map_err(|error| {
            self.infrastructure("the sources cannot be looked through", error.into())
        })?;
        let Some(first) = pointers.first() else { return Ok(()) };
        if !self.places.lfs {
            self.stage.note(&format!(
                "{} is but a pointer of git LFS, as {} of the sources are; what they point to is \
                 not got unless albs_node.git_lfs (or --lfs) allows it",
                plain(&first.entry.path.to_string_lossy()),
                pointers.len()
            ));
            return Ok(());
        }
        if pointers.len() > lfs::MOST {
            let message = "the repository has too many pointers of git LFS";
            return Err(super::unusable(self.stage, message));
        }
        let bytes = pointers.iter().fold(0, |sum: u64, pointer| sum.saturating_add(pointer.size));
        let room = self.downloads.allowance().left();
        if bytes > room {
            let message = format!(
                "the files of git LFS have {bytes} bytes, which is more than sources may have of \
                 what is free: {room}"
            );
            return Err(Failure { class: Class::Resource, ..super::unusable(self.stage, message) });
        }
        let cancel = self.stage.cancel();
        let wait = |time| cancel.wait(time);
        for some in pointers.chunks(lfs::AT_ONCE) {
            let places = lfs::places(some, remote, self.downloads, &wait).map_err(|error| {
                let message = "the server of git LFS does not give its files";
                super::failure(self.stage, message, error)
            })?;
            let addresses =
                |entry: &Entry| places.get(&entry.sum.hex).cloned().into_iter().collect();
            let listed = Listed {
                keeper: Keeper::Lfs,
                addresses: &addresses,
                downloads: self.downloads,
                cache,
            };
            let entries = some.iter().map(|pointer| pointer.entry.clone()).collect();
            self.obtain(&listed, entries, sources)?;
        }
        Ok(())
    }

    /// Gets sources by their checksums.
    fn obtain(
        &self,
        listed: &Listed<'_>,
        entries: Vec<Entry>,
        sources: &Path,
    ) -> Result<(), Failure> {
        // Threads may ask this, but not tell the log: the runner is of this one.
        let cancel = self.stage.cancel();
        let wait = |time| cancel.wait(time);
        let mut failed = None;
        for (entry, got) in listed.get(entries, sources, &wait) {
            let name = plain(&entry.path.to_string_lossy());
            match got {
                Got::Present => {}
                Got::Cached => self.stage.note(&format!("{name} was there already")),
                Got::Downloaded(bytes) => {
                    let kind = entry.sum.kind.name();
                    self.stage.note(&format!("{name} has {bytes} bytes, and the right {kind}"));
                }
                // rpmbuild says whether it is needed.
                Got::Missing => self.stage.note(&format!(
                    "{name} is listed with {} {}, and no {} has it",
                    entry.sum.kind.name(),
                    entry.sum.hex,
                    listed.keeper.name()
                )),
                Got::Failed(error) => {
                    let message = format!("the source {name} could not be downloaded");
                    failed = failed.or(Some(super::failure(self.stage, &message, error)));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn unusable(&self, error: LayoutError) -> Failure {
        let class = match &error {
            LayoutError::Io { .. } => Class::Infrastructure,
            _ => Class::Package,
        };
        Failure { class, ..self.infrastructure("the repository cannot be built", error.into()) }
    }

    fn infrastructure(
        &self,
        message: &str,
        error: Box<dyn std::error::Error + Send + Sync>,
    ) -> Failure {
        let code = status::SOURCE_PACKAGE;
        Failure::infrastructure(self.stage.stage, code, message, Some(error))
    }
}
