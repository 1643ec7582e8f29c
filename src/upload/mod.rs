//! Uploads to Pulp.
//!
//! [`Pulp::upload`] delivers one file, however long it takes: what is there already is found by its
//! checksum, small files go in one request, large ones in chunks that are sent side by side and
//! that a later try does not send again. [`Pulp::upload_all`] does so with many, each with a result
//! of its own. Dropping a future ends the work; what Pulp has got by then can be used later, since
//! its address was passed to the caller's journal before the first byte was sent.
//!
//! Source: pulpcore's REST API (`/pulp/api/v3/docs/`), and what a running one answers.

mod attempt;
mod client;
mod error;
mod file;
mod plan;
mod session;

use std::time::Duration;

use futures_util::StreamExt;

pub use client::Pulp;
pub use error::UploadError;
pub use file::LocalFile;

use crate::config::Config;
use crate::retry::{Backoff, Next};
use crate::secret::Secret;

/// How Pulp is used.
#[derive(Debug, Clone)]
pub struct PulpOptions {
    /// Its address, without a slash at the end.
    pub host: String,
    /// Who uploads.
    pub user: String,
    /// Their password.
    pub password: Secret,
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
    /// Bytes up to which a file is sent in one request.
    pub whole_bytes: u64,
    /// Requests with content that are under way at the same time, those of all files together.
    pub workers: usize,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How long Pulp may take to make an artifact of an upload: tasks wait where all its workers
    /// are busy or away.
    pub commit: Duration,
}

impl PulpOptions {
    /// What a config says.
    pub fn new(config: &Config) -> PulpOptions {
        PulpOptions {
            host: config.pulp_host.clone(),
            user: config.pulp_user.clone(),
            password: config.pulp_password.clone(),
            chunk_bytes: config.pulp_chunk_size,
            // nginx in front of Pulp refuses requests of more than 10 MB.
            whole_bytes: config.pulp_chunk_size.min(8 << 20),
            workers: config.pulp_uploader_max_workers as usize,
            timeout: Duration::from_secs(config.pulp_timeout),
            commit: Duration::from_secs(900),
        }
    }
}

/// A file that Pulp has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its artifact, as a path on Pulp's host.
    pub href: String,
    /// Whether it was there without this upload.
    pub was_there: bool,
}

/// A file that is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The file.
    pub file: LocalFile,
    /// The unfinished upload of an earlier try, as [`Step::Begun`] told it.
    pub resume: Option<String>,
}

/// What a caller may want to write down, or tell.
#[derive(Debug)]
pub enum Step<'a> {
    /// Chunks go to this upload from now on; a later try can continue it.
    Begun {
        /// Its path on Pulp's host.
        href: &'a str,
    },
    /// The upload is of no use any more.
    Ended,
    /// A try has failed; the next one comes after a while.
    Failed {
        /// Why.
        error: &'a UploadError,
        /// How long the wait is.
        wait: Duration,
    },
}

/// Gets every step, with the index of the file that it is about.
pub type Journal<'a> = dyn Fn(usize, Step<'_>) + Sync + 'a;

impl Pulp {
    /// Uploads one file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or has changed, or Pulp refuses it for good. Other troubles are
    /// waited for as `backoff` says.
    pub async fn upload(
        &self,
        wanted: &Wanted,
        backoff: &Backoff,
        journal: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<Uploaded, UploadError> {
        let mut resume = wanted.resume.clone();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(&wanted.file, &mut resume, journal).await {
                Ok(uploaded) => return Ok(uploaded),
                Err(reason) => UploadError::new(&wanted.file.path, reason),
            };
            match backoff.next(attempt, error.trouble(), fastrand::f64()) {
                Next::GiveUp => return Err(error),
                Next::Wait(wait) => {
                    journal(Step::Failed { error: &error, wait });
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Uploads many files side by side; each has its own result, in the order of the files.
    pub async fn upload_all(
        &self,
        files: &[Wanted],
        backoff: &Backoff,
        journal: &Journal<'_>,
    ) -> Vec<Result<Uploaded, UploadError>> {
        let one = |(index, wanted)| async move {
            (index, self.upload(wanted, backoff, &|step| journal(index, step)).await)
        };
        let uploads = futures_util::stream::iter(files.iter().enumerate()).map(one);
        let mut results: Vec<_> = uploads.buffer_unordered(self.workers()).collect().await;
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}
