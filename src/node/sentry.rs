//! Telling Sentry of failures that somebody who runs the node may want to know of: those of the
//! infrastructure, and none of packages.
//!
//! One event is one call, and there are few of them: the format is written here, rather than taken
//! from a crate that brings its own client, threads and way of looking at the machine.
//!
//! Source: Sentry's documentation for SDKs, "Envelopes" and "Event Payloads".

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::done::Reason;
use super::tell::{Level, tell};
use crate::causes::with_causes;
use crate::config::Config;
use crate::http::{self, HttpError};
use crate::task::Task;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls under way; when there are more failures than that at once, a few tell it all.
const MOST: usize = 4;
/// How long nothing is sent after a no, unless another time is asked for.
const PAUSE: Duration = Duration::from_secs(60);
/// Name of this client.
const CLIENT: &str = concat!("albs-node/", env!("CARGO_PKG_VERSION"));

/// Where events go, and what all of them have in common.
pub(super) struct Sentry {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    environment: String,
    server_name: String,
    room: Semaphore,
    /// Nothing is sent before this.
    quiet_until: Mutex<Option<Instant>>,
}

/// What has failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    level: &'static str,
    message: String,
    /// Events with the same are one issue.
    fingerprint: Vec<String>,
    tags: Vec<(&'static str, String)>,
    extra: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Sentry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sentry").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Event {
    /// A task that has failed for a reason that is not its own, or that is tried again for it.
    pub fn of_task(id: i64, task: Option<&Task>, reason: &Reason, is_tried_again: bool) -> Event {
        let mut tags = vec![("phase", reason.phase.clone()), ("class", reason.class.clone())];
        let mut extra = vec![("task", id.to_string())];
        if let Some(task) = task {
            tags.push(("platform", task.platform.name.clone()));
            tags.push(("arch", task.arch.clone()));
            extra.push(("source", http::without_password(&task.source.url)));
        }
        extra.extend(reason.evidence.clone().map(|line| ("evidence", line)));
        Event {
            level: if is_tried_again { "warning" } else { "error" },
            message: format!("{}: {}", reason.phase, reason.message),
            fingerprint: vec![reason.phase.clone(), words(&reason.message)],
            tags,
            extra,
        }
    }

    /// Something that keeps a finished task from being delivered.
    pub fn of_delivery(id: i64, message: &str) -> Event {
        Event {
            level: "error",
            message: format!("delivery: {message}"),
            fingerprint: vec!["delivery".into(), words(message)],
            tags: vec![("phase", "delivery".into())],
            extra: vec![("task", id.to_string())],
        }
    }
}

/// A message without what differs from case to case: numbers, paths, addresses.
fn words(message: &str) -> String {
    let is_word = |word: &&str| !word.contains(|c: char| c.is_ascii_digit() || c == '/');
    message.split_whitespace().filter(is_word).collect::<Vec<_>>().join(" ")
}

/// Whether a failure is one to be told: nobody else is to do something about it.
pub(super) fn is_told(reason: &Reason) -> bool {
    reason.class == "infrastructure"
}

impl Sentry {
    /// What a config says; nothing if there is no DSN.
    ///
    /// # Errors
    ///
    /// The DSN is none, or the client cannot be set up.
    pub fn new(config: &Config) -> Result<Option<Arc<Sentry>>, SentryError> {
        let Some(dsn) = &config.sentry_dsn else { return Ok(None) };
        let (url, key) = parts(dsn.expose()).ok_or(SentryError::Dsn)?;
        let authorization =
            format!("Sentry sentry_version=7, sentry_client={CLIENT}, sentry_key={key}");
        let mut authorization =
            HeaderValue::from_str(&authorization).map_err(|_| SentryError::Dsn)?;
        authorization.set_sensitive(true);
        Ok(Some(Arc::new(Sentry {
            client: http::client(PATIENCE)?,
            url,
            authorization,
            environment: config.sentry_environment.clone(),
            server_name: config.build_node_name.clone(),
            room: Semaphore::new(MOST),
            quiet_until: Mutex::new(None),
        })))
    }

    /// Sends an event, if Sentry wants any now. What does not arrive is told here, and lost.
    pub async fn send(&self, event: Event) {
        let Ok(_room) = self.room.try_acquire() else { return };
        let quiet = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        if quiet.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let Err(error) = self.call(&event).await else { return };
        let pause = match error.trouble() {
            crate::retry::Trouble::Passing { retry_after: Some(time) } => time,
            _ => PAUSE,
        };
        *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + pause);
        tell(
            Level::Warning,
            format_args!(
                "Sentry could not be told: {}; nothing is sent to it for {} s",
                with_causes(&error),
                pause.as_secs()
            ),
        );
    }

    async fn call(&self, event: &Event) -> Result<(), HttpError> {
        let call = format!("POST {}", self.url);
        let id = format!("{:032x}", fastrand::u128(..));
        let answer = self
            .client
            .post(self.url.clone())
            .header("X-Sentry-Auth", self.authorization.clone())
            .header(CONTENT_TYPE, "application/x-sentry-envelope")
            .body(self.envelope(event, &id, Timestamp::now()))
            .send()
            .await;
        let answer = answer.map_err(|error| HttpError::transfer(&call, error))?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(http::refusal(&call, answer).await),
        }
    }

    /// Three lines of JSON: of the envelope, of its one item, and the item.
    fn envelope(&self, event: &Event, id: &str, now: Timestamp) -> String {
        let now = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let map = |pairs: &[(&'static str, String)]| -> Json {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let item = json!({
            "event_id": id,
            "timestamp": now,
            "platform": "other",
            "level": event.level,
            "logger": "albs-node",
            "server_name": self.server_name,
            "release": concat!("albs-node@", env!("CARGO_PKG_VERSION")),
            "environment": self.environment,
            "logentry": {"formatted": event.message},
            "fingerprint": event.fingerprint,
            "tags": map(&event.tags),
            "extra": map(&event.extra),
        });
        let head = json!({"event_id": id, "sent_at": now});
        format!("{head}\n{}\n{item}\n", json!({"type": "event"}))
    }
}

/// Where envelopes go, and the key: `https://KEY@HOST/PATH/PROJECT`.
fn parts(dsn: &str) -> Option<(Url, String)> {
    let mut url = Url::parse(dsn).ok()?;
    let key = url.username().to_owned();
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let (before, project) = url.path().trim_end_matches('/').rsplit_once('/')?;
    let good = ["http", "https"].contains(&url.scheme())
        && [&key, project].iter().all(|text| !text.is_empty() && plain(text));
    let path = good.then(|| format!("{before}/api/{project}/envelope/"))?;
    url.set_path(&path);
    // Older ones have a password, which is of no use any more.
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some((url, key))
}

/// Why Sentry cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SentryError {
    /// It is none.
    #[error("sentry_dsn must be an address like https://KEY@sentry.example.org/1")]
    Dsn,
    /// The client.
    #[error(transparent)]
    Client(#[from] HttpError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_envelopes_go() {
        let of = |dsn: &str| parts(dsn).map(|(url, key)| (url.to_string(), key));
        let told = |url: &str| Some((url.to_owned(), "k".to_owned()));
        assert_eq!(of("https://k@s.example/1"), told("https://s.example/api/1/envelope/"));
        assert_eq!(
            of("http://k:old@s.example:9000/below/this/42/?a=b"),
            told("http://s.example:9000/below/this/api/42/envelope/")
        );
        for none in [
            "",
            "k@s/1",
            "ftp://k@s/1",
            "https://s/1",
            "https://k@s",
            "https://k@s/",
            "https://k@s/a b",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn what_differs_from_case_to_case_makes_no_issue_of_its_own() {
        let reason = |message: &str| Reason {
            phase: "install".into(),
            class: "infrastructure".into(),
            message: message.into(),
            evidence: Some("Errors during downloading".into()),
            retryable: true,
        };
        let of = |id, message| Event::of_task(id, None, &reason(message), false);
        let (a, b) = (
            of(1, "cannot reach http://a/x of task 1: timed out"),
            of(2, "cannot reach http://b/y of task 22: timed out"),
        );
        assert_eq!(a.fingerprint, b.fingerprint);
        assert_eq!(a.fingerprint, ["install", "cannot reach of task timed out"]);
        assert!(is_told(&reason("m")));
        assert!(!is_told(&Reason { class: "package".into(), ..reason("m") }));
    }
}
