//! Files to upload, and parts of them as bodies of requests.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use reqwest::Body;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes that are in memory for each part that is being sent.
const BUFFER: usize = 64 << 10;

/// A file with its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case.
    pub sha256: String,
}

impl LocalFile {
    /// Reads a file for its size and checksum.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no regular file.
    pub async fn measure(path: &Path) -> io::Result<LocalFile> {
        let path = path.to_owned();
        let measured = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("it is no regular file"));
            }
            file.seek(SeekFrom::Start(0))?;
            let (size, sha256) = crate::checksum::copy(&mut file.by_ref(), &mut io::sink())?;
            Ok(LocalFile { path, size, sha256 })
        });
        measured.await.map_err(io::Error::other)?
    }

    /// Whether the size is still that of the file.
    pub(super) async fn has_its_size(&self) -> io::Result<bool> {
        Ok(tokio::fs::metadata(&self.path).await?.len() == self.size)
    }

    /// A part of it, read while it is sent.
    pub(super) async fn body(&self, range: &Range<u64>) -> io::Result<Body> {
        let mut file = tokio::fs::File::open(&self.path).await?;
        file.set_max_buf_size(BUFFER);
        file.seek(SeekFrom::Start(range.start)).await?;
        let part = file.take(range.end - range.start);
        Ok(Body::wrap_stream(ReaderStream::with_capacity(part, BUFFER)))
    }
}
