//! One try to upload one file.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt};

use super::error::Reason;
use super::plan::{self, Chunk, Commit, Committed, LEAST_CHUNK};
use super::{LocalFile, Pulp, Step, Uploaded};

/// How often an upload is begun anew, or continued, in one try.
const ROUNDS: u32 = 12;
/// How often Pulp may have received something else than was sent.
const DAMAGED: u32 = 3;

type Note<'a> = dyn Fn(Step<'_>) + Sync + 'a;

impl Pulp {
    /// One try. `resume` is the upload that an earlier one has begun, and then that of this one.
    pub(super) async fn attempt(
        &self,
        file: &LocalFile,
        resume: &mut Option<String>,
        note: &Note<'_>,
    ) -> Result<Uploaded, Reason> {
        if !file.has_its_size().await.map_err(Reason::Read)? {
            return Err(Reason::Changed);
        }
        // Sending a small file costs no more than asking for it. An empty one has no chunks.
        let is_small = file.size <= self.options.whole_bytes;
        if file.size == 0 || (is_small && resume.is_none()) {
            match self.post_whole(file).await {
                Ok(href) => return Ok(Uploaded { href, was_there: false }),
                Err(Reason::Call(error)) if error.status() == Some(413) && file.size > 0 => {}
                Err(Reason::Call(error)) if error.status() == Some(400) => {
                    return self.refused(file, error.into()).await;
                }
                Err(reason) => return Err(reason),
            }
        }
        if let Some(href) = self.find(&file.sha256).await? {
            self.end(resume, note).await;
            return Ok(Uploaded { href, was_there: true });
        }
        self.in_chunks(file, resume, note).await
    }

    /// After a no: somebody else may have been faster, or what was sent is not what was measured.
    async fn refused(&self, file: &LocalFile, reason: Reason) -> Result<Uploaded, Reason> {
        if let Some(href) = self.find(&file.sha256).await? {
            return Ok(Uploaded { href, was_there: true });
        }
        unchanged(file).await?;
        Err(reason)
    }

    async fn in_chunks(
        &self,
        file: &LocalFile,
        resume: &mut Option<String>,
        note: &Note<'_>,
    ) -> Result<Uploaded, Reason> {
        let mut chunk = self.options.chunk_bytes;
        let mut damaged = 0;
        for _ in 0..ROUNDS {
            let (href, present) = self.upload_of(file, resume, note).await?;
            let ranges = plan::missing(file.size, &present, chunk);
            let sent = futures_util::stream::iter(ranges)
                .map(|range| self.put_chunk(&href, file, range))
                .buffer_unordered(self.workers())
                .try_collect::<()>()
                .await;
            match sent {
                Ok(()) => {}
                // Something in front of Pulp wants smaller ones.
                Err(Reason::Call(error)) if error.status() == Some(413) && chunk > LEAST_CHUNK => {
                    chunk = (chunk.min(file.size) / 2).max(LEAST_CHUNK);
                    continue;
                }
                Err(reason) if is_gone(&reason) => {
                    forget(resume, note);
                    continue;
                }
                Err(reason) => return Err(reason),
            }
            match self.commit(&href, &file.sha256).await {
                Ok(Committed::Created(artifact)) => {
                    forget(resume, note);
                    return Ok(Uploaded { href: artifact, was_there: false });
                }
                Ok(Committed::WrongChecksum) => {
                    let upload = self.look_at_upload(&href).await?;
                    if !plan::missing(file.size, &upload.chunks, chunk).is_empty() {
                        continue;
                    }
                    unchanged(file).await?;
                    damaged += 1;
                    self.end(resume, note).await;
                    if damaged == DAMAGED {
                        return Err(Reason::Damaged(damaged));
                    }
                }
                Ok(Committed::LookUp) => {
                    let found = self.find(&file.sha256).await?.ok_or(Reason::NotFound)?;
                    self.end(resume, note).await;
                    return Ok(Uploaded { href: found, was_there: true });
                }
                // It was committed before, by a try whose answer got lost, or has expired.
                Err(reason) if is_gone(&reason) => {
                    forget(resume, note);
                    if let Some(href) = self.find(&file.sha256).await? {
                        return Ok(Uploaded { href, was_there: true });
                    }
                }
                Err(reason) => return Err(reason),
            }
        }
        Err(Reason::NotFound)
    }

    /// The upload to continue, and what Pulp has of it; a new one if there is none.
    async fn upload_of(
        &self,
        file: &LocalFile,
        resume: &mut Option<String>,
        note: &Note<'_>,
    ) -> Result<(String, Vec<Chunk>), Reason> {
        if let Some(href) = resume.clone() {
            match self.look_at_upload(&href).await {
                Ok(upload) if upload.size == file.size => return Ok((href, upload.chunks)),
                Ok(_) => self.end(resume, note).await,
                Err(reason) if is_gone(&reason) => forget(resume, note),
                Err(reason) => return Err(reason),
            }
        }
        let href = self.create_upload(file.size).await?;
        note(Step::Begun { href: &href });
        *resume = Some(href.clone());
        Ok((href, Vec::new()))
    }

    /// Asks for the artifact, and waits for it.
    async fn commit(&self, href: &str, sha256: &str) -> Result<Committed, Reason> {
        let task = self.commit_upload(href, sha256).await?;
        let begin = Instant::now();
        for polls in 0.. {
            tokio::time::sleep(plan::poll_wait(polls)).await;
            match self.look_at_task(&task).await {
                Ok(answer) => match plan::commit(&answer) {
                    Commit::Running => {}
                    Commit::Failed { state, reason } => {
                        return Err(Reason::Task { task, state, reason });
                    }
                    Commit::Over(committed) => return Ok(committed),
                },
                // Tasks are cleaned up: it is over.
                Err(reason) if is_gone(&reason) => return Ok(Committed::LookUp),
                Err(reason) => return Err(reason),
            }
            if begin.elapsed() > self.options.commit {
                break;
            }
        }
        Err(Reason::Deadline { task, after: begin.elapsed() })
    }

    /// Removes an upload that is of no use any more; Pulp itself would keep it.
    async fn end(&self, resume: &mut Option<String>, note: &Note<'_>) {
        if let Some(href) = resume.clone() {
            // Whatever it answers, the file is delivered.
            let _ = self.delete_upload(&href).await;
            forget(resume, note);
        }
    }
}

fn forget(resume: &mut Option<String>, note: &Note<'_>) {
    if resume.take().is_some() {
        note(Step::Ended);
    }
}

fn is_gone(reason: &Reason) -> bool {
    matches!(reason, Reason::Call(error) if error.status() == Some(404))
}

/// Whether the file is still the one whose checksum was taken.
async fn unchanged(file: &LocalFile) -> Result<(), Reason> {
    let now = LocalFile::measure(&file.path).await.map_err(Reason::Read)?;
    if now.sha256 == file.sha256 { Ok(()) } else { Err(Reason::Changed) }
}
