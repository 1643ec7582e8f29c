//! The two ends of a task's way through the node: who gives it and takes the report, and where its
//! files go. Either albs-web-server and Pulp, or a directory in the place of both.

use super::NodeError;
use super::tell::{Level, tell};
use crate::config::Config;
use crate::queue::{Queue, Taken};
use crate::retry::Backoff;
use crate::server::{Delivered, Received, Server, ServerError};
use crate::task::{BuildDone, GetTask, Ping};
use crate::upload::{Pulp, PulpOptions, Step, UploadError, Uploaded, Wanted};

/// Both ends.
#[derive(Debug)]
pub(super) enum Ends {
    /// Services.
    Services {
        /// albs-web-server.
        server: Box<Server>,
        /// Pulp.
        pulp: Box<Pulp>,
    },
    /// A directory.
    Queue(Queue),
}

impl Ends {
    /// What a config says.
    ///
    /// # Errors
    ///
    /// A client cannot be set up, or the directory not be made.
    pub fn new(config: &Config) -> Result<Ends, NodeError> {
        if let Some(path) = &config.own.queue {
            return Ok(Ends::Queue(Queue::open(path)?));
        }
        Ok(Ends::Services {
            server: Box::new(Server::new(config).map_err(NodeError::Server)?),
            pulp: Box::new(Pulp::new(PulpOptions::new(config)).map_err(NodeError::Pulp)?),
        })
    }

    /// Gets a task.
    pub async fn get_task(&self, ask: &GetTask) -> Result<Received, ServerError> {
        match self {
            Ends::Services { server, .. } => server.get_task(ask).await,
            Ends::Queue(queue) => {
                let Taken { received, refused } = tokio::task::block_in_place(|| queue.take(ask))?;
                refused.iter().for_each(|why| tell(Level::Error, why));
                Ok(received)
            }
        }
    }

    /// Tells what is held. In a directory, that can be seen.
    pub async fn ping(&self, ping: &Ping) -> Result<(), ServerError> {
        match self {
            Ends::Services { server, .. } => server.ping(ping).await,
            Ends::Queue(_) => Ok(()),
        }
    }

    /// Reports.
    pub async fn build_done(&self, report: &BuildDone) -> Result<Delivered, ServerError> {
        match self {
            Ends::Services { server, .. } => server.build_done(report).await,
            Ends::Queue(queue) => Ok(tokio::task::block_in_place(|| queue.report(report))?),
        }
    }

    /// The list of packages that are not built here. Whoever fills a directory knows.
    pub async fn exclusions(&self, url: &str) -> Result<Vec<String>, ServerError> {
        match self {
            Ends::Services { server, .. } => server.exclusions(url).await,
            Ends::Queue(_) => Ok(Vec::new()),
        }
    }

    /// Brings a file to where it belongs.
    pub async fn upload(
        &self,
        wanted: &Wanted,
        journal: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<Uploaded, UploadError> {
        match self {
            Ends::Services { pulp, .. } => pulp.upload(wanted, &Backoff::UPLOAD, journal).await,
            Ends::Queue(queue) => {
                let kept = tokio::task::block_in_place(|| queue.keep(&wanted.file));
                match kept.map_err(|error| UploadError::kept(&wanted.file.path, error))? {
                    Some(href) => Ok(Uploaded { href, was_there: false }),
                    None => Err(UploadError::changed(&wanted.file.path)),
                }
            }
        }
    }

    /// Goes on with what an earlier node had from here.
    pub fn take_up(&self, is_held: impl Fn(i64) -> bool) -> Result<(), NodeError> {
        match self {
            Ends::Services { .. } => Ok(()),
            Ends::Queue(queue) => Ok(queue.put_back(is_held)?),
        }
    }
}
