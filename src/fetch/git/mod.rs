//! git repositories: fetched by git in a sandbox, from where the rules for addresses allow.
//!
//! One commit alone where the server gives one; else, and where the history is wanted, everything,
//! through a mirror of the repository.

pub(super) mod archive;
mod commands;
mod mirror;
mod reach;
mod remote;
mod run;
mod submodules;

use std::path::{Path, PathBuf};

use commands::{MIRROR, PLACE};
use mirror::Mirror;
pub(super) use mirror::{KEPT, prune};
use reach::{Reached, reach};
pub use remote::{Remote, package_of};
pub(super) use run::LONGEST_MS;
use run::{Answer, Git, failure};

use super::address::Addresses;
use super::download::Downloads;
use super::{GitRequest, unusable};
use crate::buildroot::disk::Size;
use crate::buildroot::scratch::{Scratch, Tools};
use crate::http::redacted;
use crate::run::StageRun;
use crate::verdict::{Class, Failure, status};

/// The environment of git where no server is asked.
pub(super) fn environment() -> std::collections::BTreeMap<String, String> {
    commands::environment(None, &[], |_| None)
}

/// Repositories in one another.
const DEEPEST: u32 = 4;
/// Submodules of one repository, and of its submodules.
const MOST_SUBMODULES: usize = 100;

/// A repository that is checked out, in a tree of mapped ids.
pub struct Checkout<'a> {
    scratch: Scratch<'a>,
    /// The commit.
    pub commit: String,
    /// Where it was, at the end of all redirections.
    pub remote: Remote,
}

impl Checkout<'_> {
    /// Where it is on the host. Whatever is in it is not trusted.
    pub fn tree(&self) -> PathBuf {
        self.scratch.tree().join("tree")
    }
}

/// What fetching of repositories has in common.
pub struct Fetching<'a> {
    /// What sandboxes are made of.
    pub tools: Tools<'a>,
    /// Where it runs.
    pub stage: &'a StageRun<'a>,
    /// Where from.
    pub rules: &'a Addresses,
    /// A client that keeps to them.
    pub downloads: &'a Downloads,
    /// What may be written to each tree.
    pub limit: Size,
    /// Directory of mirrors; none are kept without.
    pub mirrors: Option<&'a Path>,
}

/// What is wanted of a repository.
struct Wanted<'a> {
    /// Names to try, the best first; none is what the server's own branch is.
    names: Vec<String>,
    /// A commit that goes before all names.
    commit: Option<&'a str>,
    history: bool,
}

impl<'a> Fetching<'a> {
    /// Checks out what is wanted, with its submodules.
    ///
    /// # Errors
    ///
    /// The server is away (infrastructure), or has no such thing (package).
    pub fn checkout(&self, request: &GitRequest) -> Result<Checkout<'a>, Failure> {
        let remote = Remote::parse(&request.url).ok_or_else(|| {
            let url = redacted(&request.url);
            let message = format!("{url} is not the address of a git repository on a server");
            unusable(self.stage, message)
        })?;
        let is_good = request.reference.as_deref().is_none_or(crate::task::is_git_ref)
            && request.commit.as_deref().is_none_or(crate::task::is_git_ref);
        if !is_good {
            return Err(unusable(self.stage, "the ref is no name that git accepts".to_owned()));
        }
        if let Some(mirrors) = self.mirrors {
            for problem in prune(mirrors, self.tools, KEPT, &|| mirror::is_short(mirrors)) {
                self.stage.note(&problem);
            }
        }
        let scratch = Scratch::new(self.tools, self.stage)?;
        let wanted = Wanted {
            names: names(request),
            commit: request.commit.as_deref(),
            history: request.history,
        };
        let place = format!("{PLACE}/tree");
        let mut count = 0;
        let (commit, remote) =
            self.repository(&scratch, &remote, &wanted, &place, 0, &mut count)?;
        Ok(Checkout { scratch, commit, remote })
    }

    /// Checks out a repository to a place inside; gives the commit, and where it was.
    fn repository(
        &self,
        scratch: &Scratch<'_>,
        remote: &Remote,
        wanted: &Wanted<'_>,
        place: &str,
        depth: u32,
        count: &mut usize,
    ) -> Result<(String, Remote), Failure> {
        let reached = reach(self.stage, remote, self.rules, self.downloads)?;
        let git = self.git(scratch, Vec::new(), None);
        git.must("a repository could not be made", commands::init(place))?;
        let commit = match self.alone(&git, &reached, wanted, place)? {
            Some(commit) => commit,
            None => self.with_history(scratch, &reached, wanted, place)?,
        };
        git.must("the commit could not be checked out", commands::checkout(place, &commit))?;
        self.submodules(scratch, &git, &reached.remote, place, depth, count)?;
        Ok((commit, reached.remote))
    }

    /// The commit without its history, if that is enough and the server gives it.
    fn alone(
        &self,
        git: &Git<'_>,
        reached: &Reached,
        wanted: &Wanted<'_>,
        place: &str,
    ) -> Result<Option<String>, Failure> {
        if wanted.history {
            return Ok(None);
        }
        let names: Vec<&str> = match wanted.commit {
            // Another name would be another commit.
            Some(commit) => vec![commit],
            None if wanted.names.is_empty() => vec!["HEAD"],
            None => wanted.names.iter().map(String::as_str).collect(),
        };
        for name in names {
            let argv = commands::fetch_one(place, &reached.remote.url, name);
            let answer = git.remote(&argv, reached)?;
            if answer.success {
                let found =
                    git.must("no commit was fetched", commands::commit_of(place, "FETCH_HEAD"))?;
                return Ok(Some(found.line()));
            }
            if answer.is_away() {
                return Err(self.unfetched(&answer, &reached.remote));
            }
        }
        Ok(None)
    }

    /// The commit with everything that the server has.
    fn with_history(
        &self,
        scratch: &Scratch<'_>,
        reached: &Reached,
        wanted: &Wanted<'_>,
        place: &str,
    ) -> Result<String, Failure> {
        let url = &reached.remote.url;
        let opened = self.mirrors.and_then(|cache| match Mirror::open(cache, url) {
            Ok(mirror) => Some(mirror),
            Err(error) => {
                let place = cache.display();
                self.stage.note(&format!("the mirror in {place} cannot be used: {error}"));
                None
            }
        });
        let git = match &opened {
            Some(mirror) if mirror.is_own() => {
                let trees = vec![(mirror.dir.clone(), MIRROR.into(), false)];
                let git = self.git(scratch, trees, None);
                let was_filled = mirror.is_filled();
                let answer = mirror.update(&git, reached).inspect_err(|failure| {
                    // What is half there would stay, and come once more each time.
                    let is_limit = matches!(failure.class, Class::Resource | Class::Timeout);
                    if is_limit && !was_filled {
                        let _ = mirror.clear(self.tools);
                    }
                })?;
                if answer.is_away() {
                    return Err(self.unfetched(&answer, &reached.remote));
                }
                let from = format!("file://{}", mirror::place());
                if answer.success && git.local(commands::fetch_history(place, &from))?.success {
                    git
                } else {
                    // Broken, or what it holds is in the way of what the server has now.
                    self.stage.note("the mirror of the repository is made anew");
                    mirror.clear(self.tools).map_err(|reason| {
                        let message = format!("a mirror could not be removed: {reason}");
                        Failure::infrastructure(self.stage.stage, status::ROOT, message, None)
                    })?;
                    let git = self.git(scratch, Vec::new(), None);
                    self.directly(&git, reached, place)?;
                    git
                }
            }
            other => {
                let filled = other.as_ref().filter(|mirror| mirror.is_filled());
                let trees = filled.map(|mirror| (mirror.dir.clone(), MIRROR.into(), true));
                let borrows = filled.map(|_| format!("{}/objects", mirror::place()));
                let git = self.git(scratch, trees.into_iter().collect(), borrows);
                self.directly(&git, reached, place)?;
                git
            }
        };
        let commit = self.find(&git, reached, wanted, place)?;
        if git.borrows.is_some() {
            git.must("the repository could not be packed", commands::repack(place))?;
        }
        Ok(commit)
    }

    fn directly(&self, git: &Git<'_>, reached: &Reached, place: &str) -> Result<(), Failure> {
        let answer = git.remote(&commands::fetch_history(place, &reached.remote.url), reached)?;
        match answer.success {
            true => Ok(()),
            false => Err(self.unfetched(&answer, &reached.remote)),
        }
    }

    /// The commit that is wanted, in what was fetched.
    fn find(
        &self,
        git: &Git<'_>,
        reached: &Reached,
        wanted: &Wanted<'_>,
        place: &str,
    ) -> Result<String, Failure> {
        let known = |name: &str| -> Result<Option<String>, Failure> {
            let answer = git.local(commands::commit_of(place, name))?;
            Ok(answer.success.then(|| answer.line()))
        };
        if let Some(commit) = wanted.commit {
            if let Some(found) = known(commit)? {
                return Ok(found);
            }
            // Of no branch any more; some servers give it all the same.
            let answer =
                git.remote(&commands::fetch_ref(place, &reached.remote.url, commit), reached)?;
            return match known(commit)? {
                Some(found) => Ok(found),
                None => Err(self.unfetched(&answer, &reached.remote)),
            };
        }
        for name in &wanted.names {
            let plain = name.strip_prefix("refs/heads/").map(|name| format!("origin/{name}"));
            for name in [plain.as_ref(), Some(name), Some(&format!("origin/{name}"))] {
                if let Some(found) = name.map(|name| known(name)).transpose()?.flatten() {
                    return Ok(found);
                }
            }
        }
        let last = wanted.names.last().map_or("HEAD", String::as_str);
        let answer = git.remote(&commands::fetch_ref(place, &reached.remote.url, last), reached)?;
        match answer.success.then(|| known("FETCH_HEAD")).transpose()?.flatten() {
            Some(found) => Ok(found),
            None => Err(self.unfetched(&answer, &reached.remote)),
        }
    }

    fn submodules(
        &self,
        scratch: &Scratch<'_>,
        git: &Git<'_>,
        remote: &Remote,
        place: &str,
        depth: u32,
        count: &mut usize,
    ) -> Result<(), Failure> {
        let settings = git.local(commands::list_submodules(place))?;
        if !settings.success {
            return Ok(());
        }
        let tree = git.must("the commit could not be listed", commands::list(place))?;
        for submodule in submodules::submodules(&tree.said, &settings.said) {
            *count += 1;
            if depth == DEEPEST || *count > MOST_SUBMODULES {
                return Err(unusable(
                    self.stage,
                    "the repository has too many submodules".to_owned(),
                ));
            }
            let path = crate::run::plain(&submodule.path);
            let there = remote.relative(&submodule.url).ok_or_else(|| {
                let url = crate::run::plain(&redacted(&submodule.url));
                unusable(
                    self.stage,
                    format!("the submodule {path} is at {url}, which is no server's address"),
                )
            })?;
            self.stage.note(&format!("submodule {path}: {}", redacted(&there.url)));
            let wanted =
                Wanted { names: Vec::new(), commit: Some(&submodule.commit), history: false };
            let place = format!("{place}/{}", submodule.path);
            self.repository(scratch, &there, &wanted, &place, depth + 1, count)?;
        }
        Ok(())
    }

    fn git(
        &self,
        scratch: &Scratch<'_>,
        mut trees: Vec<(PathBuf, PathBuf, bool)>,
        borrows: Option<String>,
    ) -> Git<'a> {
        trees.push((scratch.tree(), PLACE.into(), false));
        Git { tools: self.tools, stage: self.stage, trees, borrows, limit: self.limit }
    }

    fn unfetched(&self, answer: &Answer, remote: &Remote) -> Failure {
        let what = format!("{} could not be fetched", redacted(&remote.url));
        failure(self.stage, &what, answer, Some(remote))
    }
}

/// The names that a ref may have on the server, the best first.
fn names(request: &GitRequest) -> Vec<String> {
    let Some(name) = &request.reference else { return Vec::new() };
    let typed = match request.is_branch {
        Some(true) => Some(format!("refs/heads/{name}")),
        Some(false) => Some(format!("refs/tags/{name}")),
        None => None,
    };
    typed.into_iter().chain([name.clone()]).collect()
}
