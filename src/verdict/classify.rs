//! From how a command ended and what it said to a failure. Pure.

use sandbox::Outcome;
use sandbox::spec::Limits;

use super::ended::{classify_command, classify_package, exit_of};
use super::patterns::{
    CONFLICT, DISK_FULL, DISK_FULL_HINT, NO_PACKAGE, NO_REPOSITORY, NOT_FOR_THIS, NOT_TRUSTED,
};
use super::{Class, Failure, Hit, Stage, offline, status};
use crate::buildroot::disk::TooLarge;
use crate::resources::Resource;
use crate::run::bill::size as bytes;

/// How the package manager failed; none if it did not.
pub fn classify_package_manager(
    stage: Stage,
    what: &str,
    outcome: &Outcome,
    limits: &Limits,
    tail: &[String],
) -> Option<Failure> {
    if outcome.exit.success() {
        return None;
    }
    if let Some(failure) = classify_command(stage, what, outcome, limits) {
        return Some(failure);
    }
    let with = |class, message: String, patterns: &[&str], retryable, hint: Option<&str>| Failure {
        stage,
        class,
        section: None,
        message,
        evidence: matching(tail, patterns),
        hint: hint.map(str::to_owned),
        status: status::PACKAGE_MANAGER,
        limit: None,
        retryable,
        source: None,
    };
    let says = |patterns: &[&str]| !matching(tail, patterns).is_empty();
    // A build asks for it, or else the config.
    let missing = match stage {
        Stage::Install => Class::Dependency,
        _ => Class::Infrastructure,
    };
    Some(if says(&DISK_FULL) {
        with(
            Class::Resource,
            format!("{what} failed: the disk is full"),
            &DISK_FULL,
            false,
            Some(DISK_FULL_HINT),
        )
    } else if let Some(missing) = offline::missing(tail) {
        let message = format!("{what} failed offline: {missing}");
        with(Class::Infrastructure, message, &[], false, Some("run it once without --offline"))
    } else if says(&NO_PACKAGE) {
        let message = format!("{what} failed: a package is missing from the repositories");
        with(missing, message, &NO_PACKAGE, false, None)
    } else if says(&NOT_TRUSTED) {
        with(
            Class::Infrastructure,
            format!("{what} failed: a package's signature is not trusted"),
            &NOT_TRUSTED,
            false,
            Some("check gpgkey of the repository in the config's dnf.conf"),
        )
    } else if says(&CONFLICT) {
        let message = format!("{what} failed: packages cannot be installed together");
        with(missing, message, &CONFLICT, false, None)
    } else if says(&NO_REPOSITORY) {
        with(
            Class::Infrastructure,
            format!("{what} failed: a repository cannot be reached"),
            &NO_REPOSITORY,
            true,
            Some("check the repositories of the config and this host's network"),
        )
    } else {
        let mut failure = with(
            Class::Infrastructure,
            format!("{what} failed with {}", outcome.exit),
            &["rror"],
            false,
            None,
        );
        if failure.evidence.is_empty() {
            failure.evidence = last(tail, 3);
        }
        failure
    })
}

/// A failure while hardly anything was free on the disk: programs that find that out by files that
/// cannot be opened for writing, as those of an overlay, say something else.
pub fn on_full_disk(failure: Failure) -> Failure {
    match failure.class {
        Class::Infrastructure => Failure {
            class: Class::Resource,
            message: format!("{failure}: the disk is full"),
            hint: Some(DISK_FULL_HINT.to_owned()),
            retryable: false,
            ..failure
        },
        _ => failure,
    }
}

/// How work on the store by our own helpers failed.
pub fn classify_helper(stage: Stage, message: String, tail: &[String]) -> Failure {
    let full = matching(tail, &DISK_FULL);
    let failure = Failure::infrastructure(stage, status::ROOT, message, None);
    if full.is_empty() {
        return Failure { evidence: last(tail, 3), ..failure };
    }
    Failure {
        class: Class::Resource,
        message: format!("{failure}: the disk is full"),
        evidence: full,
        hint: Some(DISK_FULL_HINT.to_owned()),
        ..failure
    }
}

/// What rpmbuild has said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// The last lines.
    pub tail: &'a [String],
    /// The section of the spec that it was in.
    pub section: Option<&'a str>,
    /// Whether little is free where it has written: what it says of a full disk may be true.
    pub lacks_room: bool,
}

/// How rpmbuild failed; none if it did not.
pub fn classify_rpmbuild(
    stage: Stage,
    what: &str,
    outcome: &Outcome,
    limits: &Limits,
    Said { tail, section: executing, lacks_room }: Said<'_>,
) -> Option<Failure> {
    if outcome.exit.success() {
        return None;
    }
    let section = tail.iter().rev().find_map(|line| section(line));
    let known = section.as_deref().or(executing);
    if let Some(failure) = classify_package(stage, what, known, outcome, limits) {
        let section = known.map(str::to_owned);
        return Some(Failure { section, evidence: evidence(tail), ..failure });
    }
    // Tests of a package may say so as well.
    let full_lines = if lacks_room { matching(tail, &DISK_FULL) } else { Vec::new() };
    let full = !full_lines.is_empty();
    // rpmbuild refuses before it executes anything; later, these are words of the package.
    let excluded = tail.iter().find(|line| {
        let refusal = line.strip_prefix("error: ").filter(|_| known.is_none());
        refusal.is_some_and(|why| NOT_FOR_THIS.iter().any(|sign| why.starts_with(sign)))
    });
    if let Some(line) = excluded {
        return Some(Failure {
            evidence: vec![line.clone()],
            ..Failure::excluded(stage, "the package", "this architecture", String::new())
        });
    }
    let (class, message) = match &section {
        _ if full => (Class::Resource, format!("{what} failed: the disk is full")),
        Some(section) => (Class::Package, format!("{what} failed in {section}")),
        None => (Class::Package, format!("{what} failed with {}", outcome.exit)),
    };
    Some(Failure {
        stage,
        class,
        evidence: if full { full_lines } else { evidence(tail) },
        section,
        message,
        hint: full.then(|| DISK_FULL_HINT.to_owned()),
        status: status::BUILD,
        limit: None,
        retryable: false,
        source: None,
    })
}

/// What a build that was ended for what it wrote says of it.
pub fn classify_disk(stage: Stage, what: &str, much: TooLarge, said: Said<'_>) -> Failure {
    let TooLarge { size, limit } = much;
    let place = said.section.map_or_else(String::new, |section| format!(" in {section}"));
    let hit = |name, value, used| Hit { name, value: Some(value), used: Some(used) };
    let (message, hint, limit) = if size.bytes > limit.bytes {
        let (is, most) = (bytes(size.bytes), bytes(limit.bytes));
        let hint = format!("try --disk {}M", (limit.bytes >> 20).saturating_mul(2).max(1));
        let message = format!("{what} hit the disk limit of {most}{place}: it has written {is}");
        (message, hint, hit(Resource::Disk, limit.bytes, size.bytes))
    } else {
        let (is, most) = (size.inodes, limit.inodes);
        let hint = format!("try --inodes {}", most.saturating_mul(2));
        let message = format!("{what} hit the limit of {most} files{place}: it has made {is}");
        (message, hint, hit(Resource::Inodes, most, is))
    };
    Failure {
        stage,
        class: Class::Resource,
        section: said.section.map(str::to_owned),
        message,
        evidence: last(said.tail, 3),
        hint: Some(hint),
        status: exit_of(stage),
        limit: Some(limit),
        retryable: false,
        source: None,
    }
}

/// A package manager or git that has taken what it may of the disk.
pub fn classify_share(stage: Stage, what: &str, much: TooLarge, tail: &[String]) -> Failure {
    let said = Said { tail, ..Said::default() };
    let failure = classify_disk(stage, what, much, said);
    let hint =
        "no more of the disk was free for it: make room where the store is, with albs-node clean";
    failure.with_hint(Some(hint.to_owned()))
}

/// The section that rpmbuild names: `error: Bad exit status from /var/tmp/rpm-tmp.x (%build)`.
fn section(line: &str) -> Option<String> {
    let rest = line.split_once("Bad exit status from ")?.1;
    let (_, name) = rest.rsplit_once('(')?;
    let name = name.trim_end().strip_suffix(')')?;
    (name.starts_with('%') && name.len() < 40).then(|| name.to_owned())
}

/// The last lines that look like errors, rpmbuild's own summary last.
fn evidence(tail: &[String]) -> Vec<String> {
    let speaks = |line: &&String| {
        let line = line.to_ascii_lowercase();
        ["error", "fatal", "failed", "cannot ", "no such file", "undefined reference", "not found"]
            .iter()
            .any(|word| line.contains(word))
            && !line.starts_with("rpm build errors")
    };
    let mut found: Vec<String> = Vec::new();
    for line in tail.iter().filter(speaks) {
        if !found.iter().any(|known| known.trim() == line.trim()) {
            found.push(line.clone());
        }
    }
    match found.is_empty() {
        true => last(tail, 3),
        false => last(&found, 4),
    }
}

fn matching(tail: &[String], patterns: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in tail.iter().filter(|line| patterns.iter().any(|pattern| line.contains(pattern))) {
        if !found.contains(line) {
            found.push(line.clone());
        }
    }
    found.truncate(4);
    found
}

fn last(lines: &[String], count: usize) -> Vec<String> {
    lines[lines.len().saturating_sub(count)..].to_vec()
}
