//! Single calls to Pulp, made by a session that is opened when needed.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use reqwest::header::CONTENT_RANGE;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex, Semaphore};

use super::error::Reason;
use super::file::LocalFile;
use super::plan::{Chunk, TaskAnswer};
use super::session::Pass;
use super::{PulpOptions, UploadError};
use crate::http::{self, HttpError};

/// Where the API is.
const API: &str = "/pulp/api/v3";
/// Bytes of an answer; uploads of large files have long lists of chunks.
const MAX_ANSWER: usize = 8 << 20;

/// A client of Pulp.
pub struct Pulp {
    pub(super) options: PulpOptions,
    client: Client,
    pass: Mutex<Option<Arc<Pass>>>,
    /// Requests with content that may be under way.
    room: Semaphore,
}

/// What is sent along.
pub(super) enum Content<'a> {
    Nothing,
    Json(Json),
    /// A form with a part of a file, and other fields.
    Part {
        file: &'a LocalFile,
        range: Range<u64>,
        sha256: Option<&'a str>,
    },
}

#[derive(Deserialize)]
struct Href {
    pulp_href: String,
}

#[derive(Deserialize)]
struct Listed {
    results: Vec<Href>,
}

#[derive(Deserialize)]
struct Task {
    task: String,
}

/// An upload, as far as it has come.
#[derive(Deserialize)]
pub(super) struct Upload {
    pub size: u64,
    #[serde(default)]
    pub chunks: Vec<Chunk>,
}

impl fmt::Debug for Pulp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulp").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Pulp {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    ///
    /// The client cannot be set up.
    pub fn new(options: PulpOptions) -> Result<Pulp, UploadError> {
        let client = http::client(options.timeout)
            .map_err(|error| UploadError::new("to Pulp".as_ref(), error.into()))?;
        let room = Semaphore::new(options.workers.clamp(1, 1000));
        Ok(Pulp { options, client, pass: Mutex::new(None), room })
    }

    pub(super) fn workers(&self) -> usize {
        self.options.workers.clamp(1, 1000)
    }

    /// The artifact with a checksum.
    pub(super) async fn find(&self, sha256: &str) -> Result<Option<String>, Reason> {
        let path = format!("{API}/artifacts/?sha256={sha256}&fields=pulp_href");
        let listed: Listed = self.json(Method::GET, &path, Content::Nothing).await?;
        listed.results.into_iter().next().map(|found| self.own(found.pulp_href)).transpose()
    }

    /// Sends a file in one request.
    pub(super) async fn post_whole(&self, file: &LocalFile) -> Result<String, Reason> {
        let sha256 = Some(file.sha256.as_str());
        let content = Content::Part { file, range: 0..file.size, sha256 };
        let made: Href = self.json(Method::POST, &format!("{API}/artifacts/"), content).await?;
        self.own(made.pulp_href)
    }

    pub(super) async fn create_upload(&self, size: u64) -> Result<String, Reason> {
        let content = Content::Json(json!({ "size": size }));
        let made: Href = self.json(Method::POST, &format!("{API}/uploads/"), content).await?;
        self.own(made.pulp_href)
    }

    pub(super) async fn look_at_upload(&self, href: &str) -> Result<Upload, Reason> {
        self.json(Method::GET, href, Content::Nothing).await
    }

    pub(super) async fn put_chunk(
        &self,
        href: &str,
        file: &LocalFile,
        range: Range<u64>,
    ) -> Result<(), Reason> {
        let content = Content::Part { file, range, sha256: None };
        self.call(Method::PUT, href, &content).await.map(drop)
    }

    /// Asks for an artifact of an upload; gives the task that makes it.
    pub(super) async fn commit_upload(&self, href: &str, sha256: &str) -> Result<String, Reason> {
        let content = Content::Json(json!({ "sha256": sha256 }));
        let begun: Task = self.json(Method::POST, &format!("{href}commit/"), content).await?;
        self.own(begun.task)
    }

    pub(super) async fn look_at_task(&self, href: &str) -> Result<TaskAnswer, Reason> {
        let path = format!("{href}?fields=state,error,created_resources");
        self.json(Method::GET, &path, Content::Nothing).await
    }

    pub(super) async fn delete_upload(&self, href: &str) -> Result<(), Reason> {
        self.call(Method::DELETE, href, &Content::Nothing).await.map(drop)
    }

    /// A path that Pulp has told. Never an address: what is sent there includes the session.
    fn own(&self, href: String) -> Result<String, Reason> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-~:".contains(c);
        if href.starts_with('/') && !href.starts_with("//") && href.chars().all(plain) {
            return Ok(href);
        }
        let call = self.options.host.clone();
        let what = format!("{:?} where a path is expected", crate::run::plain(&href));
        Err(HttpError::Content { call, what }.into())
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Content<'_>,
    ) -> Result<T, Reason> {
        let (call, body) = self.call(method, path, &content).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let what = format!("something else ({error}): {}", http::summary("", &body));
            HttpError::Content { call, what }.into()
        })
    }

    /// One call; a session that has ended is opened again once.
    async fn call(
        &self,
        method: Method,
        path: &str,
        content: &Content<'_>,
    ) -> Result<(String, Vec<u8>), Reason> {
        let url = format!("{}{path}", self.options.host);
        let call = format!("{method} {url}");
        let mut old = None;
        loop {
            let pass = self.pass(old.as_ref()).await?;
            let room = match content {
                Content::Part { .. } => self.room.acquire().await.ok(),
                _ => None,
            };
            let request = fill(self.client.request(method.clone(), &url), content).await;
            let request = pass.show(request.map_err(Reason::Read)?);
            let answer = request.send().await.map_err(|error| HttpError::transfer(&call, error))?;
            drop(room);
            let status = answer.status().as_u16();
            let ended = [401, 403].contains(&status) && matches!(*pass, Pass::Session { .. });
            if ended && old.is_none() {
                old = Some(pass);
                continue;
            }
            if !answer.status().is_success() {
                return Err(http::refusal(&call, answer).await.into());
            }
            let body = http::body(&call, answer, MAX_ANSWER).await?;
            return Ok((call, body));
        }
    }

    /// The session, another one than `old`.
    async fn pass(&self, old: Option<&Arc<Pass>>) -> Result<Arc<Pass>, Reason> {
        let mut kept = self.pass.lock().await;
        if let Some(pass) = kept.as_ref()
            && old.is_none_or(|old| !Arc::ptr_eq(old, pass))
        {
            return Ok(pass.clone());
        }
        let pass = Arc::new(self.login().await?);
        *kept = Some(pass.clone());
        Ok(pass)
    }

    async fn login(&self) -> Result<Pass, Reason> {
        let PulpOptions { host, user, password, .. } = &self.options;
        let url = format!("{host}{API}/login/");
        let call = format!("POST {url}");
        let word = Pass::Password { user: user.clone(), password: password.clone() };
        let answer = word.show(self.client.post(&url)).send().await;
        let answer: Response = answer.map_err(|error| HttpError::transfer(&call, error))?;
        match answer.status().as_u16() {
            // Older ones have no sessions.
            404 | 405 => Ok(word),
            _ if answer.status().is_success() => {
                let session = Pass::session(host, answer.headers());
                http::body(&call, answer, MAX_ANSWER).await?;
                Ok(session.unwrap_or(word))
            }
            _ => Err(http::refusal(&call, answer).await.into()),
        }
    }
}

async fn fill(request: RequestBuilder, content: &Content<'_>) -> std::io::Result<RequestBuilder> {
    Ok(match content {
        Content::Nothing => request,
        Content::Json(json) => {
            request.header(reqwest::header::CONTENT_TYPE, "application/json").body(json.to_string())
        }
        Content::Part { file, range, sha256 } => {
            let part = Part::stream_with_length(file.body(range).await?, range.end - range.start);
            let mut form = Form::new().part("file", part.file_name("file"));
            let request = match sha256 {
                Some(sha256) => {
                    form = form.text("sha256", (*sha256).to_owned());
                    request
                }
                None => {
                    let last = range.end.saturating_sub(1);
                    let range = format!("bytes {}-{last}/{}", range.start, file.size);
                    request.header(CONTENT_RANGE, range)
                }
            };
            request.multipart(form)
        }
    })
}
