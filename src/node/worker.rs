//! What node and worker agree on: the lock that a worker holds, where it writes, and how its files
//! are called.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};

use super::done::DoneFile;
use super::story;
use crate::checksum;
use crate::task::{ArtifactKind, Names};

/// Exit status of a worker whose task has another one (EX_TEMPFAIL of sysexits.h).
pub const BUSY: i32 = 75;
/// Class of a task whose build was ended from outside.
pub const CANCELLED: &str = "cancelled";
/// Phase of a task whose config cannot be used.
pub const CONFIG: &str = "config";
/// What a worker says of itself, in the task's directory.
pub const OUTPUT: &str = "worker.log";
/// What a worker is doing: one line of JSON, see [`Doing`].
pub const DOING: &str = "doing.json";
/// Directory of what a build gives.
pub const RESULT: &str = "result";
/// Directory of files that are made for Pulp alone.
pub const UPLOAD: &str = "upload";

const LOCK: &str = "worker.lock";

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Doing {
    /// The stage.
    pub stage: String,
    /// Since when.
    pub since: Timestamp,
    /// Processor time of the stages before, in µs.
    pub cpu_us: u64,
    /// Most memory of a stage before, in bytes.
    pub memory_peak_bytes: u64,
}

/// A worker's hold on its task, for as long as it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

impl Lock {
    /// Takes the lock of a task, or gives nothing if another worker has it.
    ///
    /// # Errors
    ///
    /// The file cannot be used.
    pub fn take(directory: &Path) -> io::Result<Option<Lock>> {
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true);
        let file = file.open(directory.join(LOCK))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        lock.set_len(0)?;
        lock.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Some(Lock(lock)))
    }

    /// The process that holds the lock of a task, if one does.
    pub fn holder(directory: &Path) -> Option<i32> {
        let file = File::open(directory.join(LOCK)).ok()?;
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => None,
            Err((mut file, _)) => {
                let mut text = String::new();
                file.seek(SeekFrom::Start(0)).ok()?;
                file.read_to_string(&mut text).ok()?;
                // It may not have written its number yet; nobody is called 0.
                Some(text.trim().parse().unwrap_or(0))
            }
        }
    }
}

/// Makes an artifact of the story as far as it goes.
///
/// # Errors
///
/// It cannot be written.
pub fn story_file(directory: &Path, task: i64) -> io::Result<DoneFile> {
    let name = Names::new(task, Timestamp::now()).node_log();
    compressed(directory, &directory.join(story::FILE), &name)
}

/// Makes an artifact of a log: compressed, but under a name that says nothing of it, as the server
/// and its pages expect.
///
/// # Errors
///
/// It cannot be read or written.
pub fn compressed(directory: &Path, log: &Path, name: &str) -> io::Result<DoneFile> {
    let uploads = directory.join(UPLOAD);
    std::fs::create_dir_all(&uploads)?;
    let path = uploads.join(name);
    let mut encoder =
        flate2::write::GzEncoder::new(File::create(&path)?, flate2::Compression::default());
    io::copy(&mut File::open(log)?, &mut encoder)?;
    encoder.finish()?.sync_data()?;
    file(directory, &PathBuf::from(UPLOAD).join(name), name, ArtifactKind::BuildLog)
}

/// An artifact as it is on the disk. `path` is below the task's directory.
///
/// # Errors
///
/// It cannot be read.
pub fn file(directory: &Path, path: &Path, name: &str, kind: ArtifactKind) -> io::Result<DoneFile> {
    let mut open = File::open(directory.join(path))?;
    let (bytes, sha256) = checksum::copy(&mut open, &mut io::sink())?;
    Ok(DoneFile { name: name.to_owned(), kind, path: path.to_owned(), bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_worker() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(dir.path()), None);
        let lock = Lock::take(dir.path()).unwrap().unwrap();
        assert!(Lock::take(dir.path()).unwrap().is_none());
        assert_eq!(Lock::holder(dir.path()), Some(std::process::id() as i32));
        drop(lock);
        assert_eq!(Lock::holder(dir.path()), None);
    }

    #[test]
    fn stories_are_compressed_under_a_plain_name() {
        let dir = tempfile::tempdir().unwrap();
        story::add(dir.path(), "begun\n\x1b[2J");
        let file = story_file(dir.path(), 7).unwrap();
        assert!(file.name.starts_with("albs.7.") && file.name.ends_with(".log"));
        let content = std::fs::read(dir.path().join(&file.path)).unwrap();
        assert_eq!(file.sha256, checksum::of(&content));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&content[..]).read_to_string(&mut text).unwrap();
        assert!(text.ends_with("begun\u{fffd}\u{fffd}[2J\n"), "{text:?}");
    }
}
