//! Taking packages out of a build's tree.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use crate::buildroot::sandboxes::Context;
use crate::buildroot::workspace::Workspace;
use crate::buildroot::{Env, maintenance};
use crate::checksum;
use crate::helper::{MANIFEST, Manifest, Task, is_package_name};
use crate::run::{ResultDir, StageRun, plain};
use crate::verdict::{Class, Failure, classify_command, status};

/// All packages of a build together, in bytes; more is a flood.
const MAX_BYTES: u64 = 64 << 30;

/// A package in the result directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// File name.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// What was taken and what was left in the tree.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) artifacts: Vec<Artifact>,
    pub(super) rejected: Vec<(String, String)>,
}

/// Copies the packages in `directories` of a build's tree to `resultdir`, except those whose names
/// are among `earlier`: what one stage has delivered, code of a later one does not replace.
///
/// The tree is read inside a sandbox, which sends regular files with names of packages; names are
/// checked again here, and each file appears under its name only when it is complete.
pub(super) fn collect(
    env: &Env<'_>,
    stage: &StageRun<'_>,
    workspace: &Workspace,
    directories: &[String],
    results: &ResultDir,
    earlier: &[Artifact],
) -> Result<Collected, Failure> {
    let place = Path::new("/run/albs-node/tree");
    // What was taken earlier lies in the tree as well.
    let taken: u64 = earlier.iter().map(|artifact| artifact.bytes).sum();
    let most_bytes = most_bytes(&env.context).saturating_sub(taken);
    let directories = directories.to_vec();
    let task = Task::Collect { root: place.to_owned(), directories, most_bytes };
    let trees = [(workspace.written(), place.to_owned(), true)];
    let failed = |message: String, source: Option<Box<dyn std::error::Error + Send + Sync>>| {
        Failure::infrastructure(stage.stage, status::RESULTDIR, message, source)
    };
    let mut spec =
        maintenance::spec(&env.context, &env.program, stage.stage.as_str(), &task, &trees)
            .map_err(|error| failed("the collection could not be planned".into(), Some(error)))?;
    spec.stdio.stderr = sandbox::spec::Stdout::Null;

    let earlier: Vec<String> = earlier.iter().map(|artifact| artifact.name.clone()).collect();
    let (outcome, received) =
        stage.received(&spec, |reader| receive_entries(reader, results, &earlier, most_bytes))?;
    if let Some(failure) =
        classify_command(stage.stage, "collecting results", &outcome, &spec.limits)
    {
        return Err(failure);
    }
    match received {
        Ok((collected, None)) => Ok(collected),
        Ok((_, Some(error))) => Err(Failure {
            class: Class::Package,
            evidence: vec![plain(&error)],
            ..failed("the packages that the build left could not be taken".to_owned(), None)
        }),
        Err(error) => {
            let class = match error.raw_os_error() {
                Some(code) if code == nix::errno::Errno::ENOSPC as i32 => Class::Resource,
                _ => Class::Infrastructure,
            };
            let message = "the packages could not be copied to the result directory".to_owned();
            Err(Failure { class, ..failed(message, Some(error.into())) })
        }
    }
}

/// How many bytes a build may leave as results: as many as it may write, since they are copied to
/// where nothing else limits them.
pub(super) fn most_bytes(context: &Context) -> u64 {
    context.disk.map_or(u64::MAX, |limit| limit.bytes).min(MAX_BYTES)
}

/// Reads the archive and writes the packages.
fn receive_entries(
    reader: &mut impl Read,
    results: &ResultDir,
    earlier: &[String],
    most_bytes: u64,
) -> io::Result<(Collected, Option<String>)> {
    let mut collected = Collected::default();
    // Headers and padding of at most 4096 files, and the manifest.
    const MORE: u64 = 16 << 20;
    let mut archive = tar::Archive::new(reader.take(most_bytes.saturating_add(MORE)));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path_bytes().into_owned();
        if name == MANIFEST.as_bytes() {
            let manifest: Manifest = serde_json::from_reader(entry.take(1 << 20))?;
            let rejected = manifest.rejected.into_iter();
            collected.rejected.extend(rejected.map(|(name, why)| (plain(&name), plain(&why))));
            return Ok((collected, manifest.error));
        }
        let Some(name) = is_package_name(&name) else {
            return Err(io::Error::other("the archive holds a file that is not a package"));
        };
        if earlier.iter().any(|known| known == name) {
            let reason = "a second package of that name".to_owned();
            collected.rejected.push((name.to_owned(), reason));
            continue;
        }
        collected.artifacts.push(receive_file(&mut entry, name, results)?);
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is incomplete"))
}

/// Size and SHA-256 of a file.
pub(super) fn checksum(path: &Path) -> io::Result<(u64, String)> {
    checksum::copy(&mut File::open(path)?, &mut io::sink())
}

fn receive_file(content: &mut impl Read, name: &str, results: &ResultDir) -> io::Result<Artifact> {
    let mut pending = results.pending()?;
    let (bytes, sha256) = checksum::copy(content, pending.file())?;
    pending.publish(name)?;
    Ok(Artifact { name: name.to_owned(), bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a helper sends that nobody controls any more: names and contents.
    fn received(
        entries: &[(&[u8], &str)],
    ) -> (io::Result<(Collected, Option<String>)>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let results = ResultDir::open(&dir.path().join("inside/result")).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            // As it is: the library refuses to write what it would refuse to read.
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.append(&header, content.as_bytes()).unwrap();
        }
        let bytes = archive.into_inner().unwrap();
        let received =
            receive_entries(&mut bytes.as_slice(), &results, &["old.rpm".to_owned()], 99);
        let mut left: Vec<String> = [dir.path().join("inside"), dir.path().join("inside/result")]
            .iter()
            .flat_map(|dir| std::fs::read_dir(dir).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        (received, left)
    }

    #[test]
    fn a_helper_that_was_taken_over_writes_packages_only() {
        let end: (&[u8], &str) = (MANIFEST.as_bytes(), r#"{"taken":[],"rejected":[]}"#);
        let (good, left) = received(&[(b"a-1-1.noarch.rpm", "a"), (b"old.rpm", "b"), end]);
        let (collected, _) = good.unwrap();
        assert_eq!((collected.artifacts.len(), collected.rejected.len()), (1, 1));
        assert_eq!(left, ["a-1-1.noarch.rpm", "result"]);
        for name in [
            &b"../x.rpm"[..],
            b"/etc/x.rpm",
            b"a/x.rpm",
            b"..",
            b"build.log",
            b".x.rpm",
            b"-rf.rpm",
            b"a\nb.rpm",
            b"\x1b[2Jx.rpm",
            b"\xff.rpm",
        ] {
            let (result, left) = received(&[(name, "x"), end]);
            assert!(result.is_err(), "{}", String::from_utf8_lossy(name));
            assert_eq!(left, ["result"], "{}", String::from_utf8_lossy(name));
        }
        // Without an end, it may have been killed.
        assert!(received(&[(b"a-1-1.noarch.rpm", "a")]).0.is_err());
    }
}
