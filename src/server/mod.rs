//! The client of albs-web-server. Every function is one try; `retry` says when the next one is
//! due. Dropping a future ends its call.
//!
//! Source: routes and schemas of albs-web-server (`alws/routers/build_node.py`), and what a running
//! one answers.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response};
use serde::Serialize;
use serde_json::Value as Json;

use crate::config::Config;
use crate::http::{self, HttpError};
use crate::queue::QueueError;
use crate::retry::Trouble;
use crate::task::{BuildDone, GetTask, MalformedTask, Ping, Task, exclusions};

/// Bytes of a task: one with hundreds of repositories has some hundred KiB.
const MAX_TASK: usize = 16 << 20;
/// Bytes of the list of excluded packages.
const MAX_EXCLUSIONS: usize = 1 << 20;
/// Most names in that list: the server answers 500 to 40 000, and to 5 000 it does not.
const MAX_EXCLUDED: usize = 5000;

/// How albs-web-server is reached.
#[derive(Clone)]
pub struct Server {
    client: Client,
    /// Ends with a slash.
    base: String,
    authorization: HeaderValue,
}

/// What the server has to do.
#[derive(Debug)]
pub enum Received {
    /// Nothing.
    Nothing,
    /// A task, and the text that it was read from.
    Task(Box<Task>, Json),
    /// One that must be reported as failed, if it has a number.
    Malformed(MalformedTask, Json),
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It waits for the server's worker. A ping of the task from now on would make a slow worker
    /// give it out again.
    Queued,
    /// The task was finished before, by a report that was taken for lost or by somebody else.
    Known,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServerError {
    source: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Call(#[from] HttpError),
    /// A directory is in the place of the server.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl ServerError {
    /// What it means for the next try.
    pub fn trouble(&self) -> Trouble {
        match &self.source {
            Cause::Call(error) => error.trouble(),
            Cause::Queue(_) => Trouble::Passing { retry_after: None },
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> Option<u16> {
        match &self.source {
            Cause::Call(error) => error.status(),
            Cause::Queue(_) => None,
        }
    }

    /// What can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self.status() {
            Some(401) => Some("jwt_token is wrong or has expired; configure a new one"),
            Some(403) => Some("jwt_token is missing, or its user is not verified on the server"),
            Some(404 | 405) => Some(
                "master_url must be the address of the API, like https://build.example.org/api/v1/",
            ),
            Some(422) => Some("the server is newer or older than this node expects"),
            Some(500) => {
                Some("the server's own log tells more; its database or broker may be away")
            }
            _ => match &self.source {
                Cause::Call(error) => error.hint(),
                Cause::Queue(_) => Some("the queue must belong to the user of the node"),
            },
        }
    }
}

impl<T: Into<Cause>> From<T> for ServerError {
    fn from(source: T) -> Self {
        ServerError { source: source.into() }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Server {
    /// A client with the address, token and timeout of a config.
    ///
    /// # Errors
    ///
    /// The client cannot be set up.
    pub fn new(config: &Config) -> Result<Server, ServerError> {
        let bearer = format!("Bearer {}", config.jwt_token.expose());
        let mut authorization = HeaderValue::from_str(&bearer)
            .map_err(|_| content("jwt_token", "characters that no header can have"))?;
        authorization.set_sensitive(true);
        Ok(Server {
            client: http::client(Duration::from_secs(config.request_timeout))?,
            base: config.master_url.clone(),
            authorization,
        })
    }

    /// Asks for a task. Whoever has asked has taken it, also if the answer gets lost: the server
    /// gives it out again after 20 minutes without a ping.
    ///
    /// # Errors
    ///
    /// No answer, or one that is no task and not nothing.
    pub async fn get_task(&self, ask: &GetTask) -> Result<Received, ServerError> {
        let (call, answer) = self.post("get_task", ask).await?;
        if !answer.status().is_success() {
            return Err(http::refusal(&call, answer).await.into());
        }
        let body = http::body(&call, answer, MAX_TASK).await?;
        let json: Json = serde_json::from_slice(&body).map_err(|error| {
            content(&call, &format!("no JSON ({error}): {}", http::summary("", &body)))
        })?;
        Ok(match json {
            Json::Null => Received::Nothing,
            json => match Task::from_json(&json) {
                Ok(task) => Received::Task(Box::new(task), json),
                Err(malformed) => Received::Malformed(malformed, json),
            },
        })
    }

    /// Tells that tasks are still held.
    ///
    /// # Errors
    ///
    /// No answer, or a no.
    pub async fn ping(&self, ping: &Ping) -> Result<(), ServerError> {
        let (call, answer) = self.post("ping", ping).await?;
        if !answer.status().is_success() {
            return Err(http::refusal(&call, answer).await.into());
        }
        // The connection can be used again only when the answer was read.
        http::body(&call, answer, MAX_TASK).await?;
        Ok(())
    }

    /// Reports what became of a task.
    ///
    /// # Errors
    ///
    /// No answer, or a no. After [`Trouble::Lost`] the report was usually queued all the same, and
    /// one that comes before the first was processed is processed as well.
    pub async fn build_done(&self, report: &BuildDone) -> Result<Delivered, ServerError> {
        let (call, answer) = self.post("build_done", report).await?;
        let status = answer.status();
        if status.as_u16() == 409 {
            return Ok(Delivered::Known);
        }
        if !status.is_success() {
            return Err(http::refusal(&call, answer).await.into());
        }
        // A yes is a yes, however the rest of it arrives.
        let _ = http::body(&call, answer, MAX_TASK).await;
        Ok(Delivered::Queued)
    }

    /// Gets the list of packages that this node does not build, from [`Config::exclusions`]. There
    /// may be none.
    ///
    /// # Errors
    ///
    /// No answer, or a no other than 404.
    pub async fn exclusions(&self, url: &str) -> Result<Vec<String>, ServerError> {
        let call = format!("GET {url}");
        // It is another server: it does not get the token, and files may lie elsewhere than said.
        let mut url = url.to_owned();
        for _ in 0..5 {
            let answer = self.client.get(&url).send().await;
            let answer = answer.map_err(|error| HttpError::transfer(&call, error))?;
            let status = answer.status();
            if status.as_u16() == 404 {
                return Ok(Vec::new());
            }
            if status.is_redirection() {
                let next = answer.headers().get(reqwest::header::LOCATION);
                let next = next.and_then(|to| answer.url().join(to.to_str().ok()?).ok());
                if let Some(next) = next.filter(|next| ["http", "https"].contains(&next.scheme())) {
                    url = next.into();
                    continue;
                }
            }
            if !status.is_success() {
                return Err(http::refusal(&call, answer).await.into());
            }
            let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let is_page = kind.is_some_and(|kind| kind.contains("html"));
            let body = http::body(&call, answer, MAX_EXCLUSIONS).await?;
            if is_page {
                // A login form in place of the list would exclude nothing.
                let page = http::summary("text/html", &body);
                return Err(content(&call, &format!("a page instead of a list: {page}")));
            }
            let list = exclusions(&String::from_utf8_lossy(&body));
            if list.len() > MAX_EXCLUDED {
                let what = format!("more than {MAX_EXCLUDED} names, which the server cannot take");
                return Err(content(&call, &what));
            }
            return Ok(list);
        }
        Err(content(&call, "a circle of redirections"))
    }

    async fn post(
        &self,
        name: &str,
        body: &impl Serialize,
    ) -> Result<(String, Response), ServerError> {
        let url = format!("{}build_node/{name}", self.base);
        let call = format!("POST {url}");
        let body = serde_json::to_vec(body).map_err(|error| content(&call, &error.to_string()))?;
        let request = self
            .client
            .post(url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let answer = request.send().await.map_err(|error| HttpError::transfer(&call, error))?;
        Ok((call, answer))
    }
}

fn content(call: &str, what: &str) -> ServerError {
    HttpError::Content { call: call.to_owned(), what: what.to_owned() }.into()
}
