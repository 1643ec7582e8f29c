//! Keeping files of a build that a config asks for, found by their names.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::write::GzEncoder;

use crate::build::artifacts;
use crate::build::pipeline::Build;
use crate::buildroot::maintenance;
use crate::helper::Task;
use crate::mock_config::ChrootScan;
use crate::run::{ResultDir, StageRun};
use crate::verdict::{Failure, classify_command, status};

/// The directory of the files in the result directory, as in mock.
pub const DIRECTORY: &str = "chroot_scan";

impl Build<'_> {
    /// Takes the files. They are looked for among what the build has written, in a sandbox.
    pub(super) fn scan(&self, stage: &StageRun<'_>, scan: &ChrootScan) -> Result<(), Failure> {
        let env = self.env;
        let failed = |message: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>| {
            Failure::infrastructure(stage.stage, status::RESULTDIR, message, source)
        };
        let place = PathBuf::from("/run/albs-node/tree");
        let most_bytes = artifacts::most_bytes(&env.context);
        let task = Task::Scan { root: place.clone(), regexes: scan.regexes.clone(), most_bytes };
        let trees = [(self.workspace.written(), place, true)];
        let mut spec =
            maintenance::spec(&env.context, &env.program, stage.stage.as_str(), &task, &trees)
                .map_err(|error| failed("the scan could not be planned", Some(error)))?;
        spec.stdio.stderr = sandbox::spec::Stdout::Null;
        let (outcome, received) = stage.received(&spec, |reader| match scan.write_tar {
            true => into_tar(reader, self.results),
            false => into_files(reader, self.results),
        })?;
        let what = "scanning the buildroot";
        if let Some(failure) = classify_command(stage.stage, what, &outcome, &spec.limits) {
            return Err(failure);
        }
        let count = received.map_err(|error| {
            failed("the files could not be copied to the result directory", Some(error.into()))
        })?;
        if count > 0 {
            stage.note(&format!("chroot_scan: {count} files kept"));
        }
        Ok(())
    }
}

/// Writes the files of the archive; says how many it had.
fn into_files(reader: &mut impl Read, results: &ResultDir) -> io::Result<usize> {
    let pending = results.pending_directory()?;
    let top = pending.path();
    let mut count = 0;
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        let Some(path) = safe(&entry.path()?) else { continue };
        let path = top.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::options().write(true).create_new(true).open(&path)?;
        io::copy(&mut entry, &mut file)?;
        count += 1;
    }
    // What an earlier build left is not of this one.
    results.publish_directory(pending, DIRECTORY)?;
    Ok(count)
}

fn into_tar(reader: &mut impl Read, results: &ResultDir) -> io::Result<usize> {
    let mut pending = results.pending()?;
    let mut out = tar::Builder::new(GzEncoder::new(pending.file(), flate2::Compression::default()));
    let mut count = 0;
    for entry in tar::Archive::new(reader).entries()? {
        let entry = entry?;
        let Some(path) = safe(&entry.path()?) else { continue };
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.size());
        header.set_mode(0o644);
        out.append_data(&mut header, Path::new(DIRECTORY).join(path), entry)?;
        count += 1;
    }
    out.into_inner()?.finish()?.flush()?;
    if count > 0 {
        pending.publish(&format!("{DIRECTORY}.tar.gz"))?;
    }
    Ok(count)
}

/// A path that stays below where it is put.
fn safe(path: &Path) -> Option<PathBuf> {
    let plain = |part: &Component<'_>| match part {
        Component::Normal(name) => !name.to_string_lossy().chars().any(char::is_control),
        _ => false,
    };
    (path.components().count() > 0 && path.components().all(|part| plain(&part)))
        .then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_are_not_taken() {
        assert_eq!(safe(Path::new("builddir/x.log")), Some("builddir/x.log".into()));
        for bad in ["../x", "/x", "a/../../x", "", "a/\u{1b}[2J"] {
            assert_eq!(safe(Path::new(bad)), None, "{bad}");
        }
    }
}
