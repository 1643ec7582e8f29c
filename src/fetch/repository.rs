//! A source from a git repository: the commit, copied out of the sandbox; what it lists of a
//! lookaside; its spec.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::address::Addresses;
use super::cache::SourceCache;
use super::download::Downloads;
use super::git::{Fetching, Remote};
use super::layout::{self, LayoutError};
use super::listed::{Got, Listed};
use super::lookaside::{Entry, Lookasides};
use super::{Fetched, GitRequest, Places};
use crate::buildroot::scratch::Tools;
use crate::run::StageRun;
use crate::source::{self, Source};
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
        let (tree, commit) = self.check_out(request, directory)?;
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
        self.lookaside(entries, &sources, host, package)?;
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
    ) -> Result<(PathBuf, String), Failure> {
        let fetching = Fetching {
            tools: self.tools,
            stage: self.stage,
            rules: self.addresses,
            downloads: self.downloads,
            mirrors: self.places.mirrors.as_deref(),
        };
        let checkout = fetching.checkout(request)?;
        let named = request.reference.as_deref().unwrap_or("the server's own branch");
        self.stage.note(&format!("commit {} of {named}", checkout.commit));
        let tree = directory.join("tree");
        source::copy_tree(&checkout.tree(), &tree, true, 0).map_err(|error| {
            self.infrastructure("the repository could not be copied", error.into())
        })?;
        Ok((tree, checkout.commit))
    }

    /// Gets what is listed.
    fn lookaside(
        &self,
        entries: Vec<Entry>,
        sources: &Path,
        host: &str,
        package: &str,
    ) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let lookasides = Lookasides::load(&self.places.lookasides)
            .map_err(|error| self.infrastructure("lookasides cannot be used", error.into()))?;
        let cache = self.places.sources.as_deref().map(SourceCache::open).transpose();
        let cache = cache.map_err(|error| {
            self.infrastructure("the cache of sources cannot be used", error.into())
        })?;
        let listed = Listed {
            lookasides: &lookasides,
            downloads: self.downloads,
            cache: cache.as_ref(),
            host,
            package,
        };
        // Threads may ask this, but not tell the log: the runner is of this one.
        let cancel = self.stage.cancel();
        let wait = |time| cancel.wait(time);
        let mut failed = None;
        for (entry, got) in listed.get(entries, sources, &wait) {
            let name = entry.path.display();
            match got {
                Got::Present => {}
                Got::Cached => self.stage.note(&format!("{name} was there already")),
                Got::Downloaded(bytes) => {
                    let kind = entry.sum.kind.name();
                    self.stage.note(&format!("{name} has {bytes} bytes, and the right {kind}"));
                }
                // rpmbuild says whether it is needed.
                Got::Missing => self.stage.note(&format!(
                    "{name} is listed with {} {}, and no lookaside has it",
                    entry.sum.kind.name(),
                    entry.sum.hex
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
