//! Running git in its sandbox, and what its failures mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::spec::Network;

use super::commands;
use super::mirror;
use super::reach::Reached;
use super::remote::Remote;
use crate::buildroot::disk::{self, Size, Written};
use crate::buildroot::remove;
use crate::buildroot::scratch::Tools;
use crate::http::redacted;
use crate::run::{StageRun, plain};
use crate::verdict::{Class, Failure, classify_command, classify_share, status};

/// Longest time of one command, in milliseconds.
pub const LONGEST_MS: u64 = 3_600_000;
/// Times that a server that is away is asked.
const TRIES: u32 = 4;
/// Bytes of what a command prints that are kept.
const MOST_SAID: usize = 16 << 20;

/// What git says when the other side, or the way to it, is in trouble.
const AWAY: [&str; 17] = [
    "Could not resolve host",
    "Couldn't connect to server",
    "Failed to connect",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Connection closed",
    "Operation timed out",
    "Operation too slow",
    "early EOF",
    "RPC failed",
    "the remote end hung up",
    "Empty reply from server",
    "gnutls_handshake",
    "SSL_ERROR_SYSCALL",
    "returned error: 5",
    "returned error: 429",
];

/// git, with what it may see.
pub struct Git<'a> {
    /// What sandboxes are made of.
    pub tools: Tools<'a>,
    /// Where it runs.
    pub stage: &'a StageRun<'a>,
    /// Trees that it works on: host path, place inside, read-only.
    pub trees: Vec<(PathBuf, PathBuf, bool)>,
    /// Objects of another repository that it may use.
    pub borrows: Option<String>,
    /// What may be written to each tree, from the beginning of the fetch.
    pub limit: Size,
}

/// What a command has said, and whether it failed.
#[derive(Debug)]
pub struct Answer {
    /// Whether it did what it should.
    pub success: bool,
    /// What it wrote.
    pub said: Vec<u8>,
}

impl Answer {
    /// Its first line.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.said).lines().next().unwrap_or_default().to_owned()
    }

    /// Whether the other side was not there.
    pub fn is_away(&self) -> bool {
        let said = String::from_utf8_lossy(&self.said);
        !self.success && AWAY.iter().any(|sign| said.contains(sign))
    }
}

impl Git<'_> {
    /// Runs a command that needs no network.
    ///
    /// # Errors
    ///
    /// The sandbox could not be used. How the command ended is in the answer.
    pub fn local(&self, argv: Vec<String>) -> Result<Answer, Failure> {
        self.run(argv, None)
    }

    /// As [`Git::local`], for a command that must succeed.
    ///
    /// # Errors
    ///
    /// It failed.
    pub fn must(&self, what: &str, argv: Vec<String>) -> Result<Answer, Failure> {
        let answer = self.local(argv)?;
        if answer.success {
            return Ok(answer);
        }
        Err(failure(self.stage, what, &answer, None))
    }

    /// Runs a command that talks to a server, more than once if that is away.
    ///
    /// # Errors
    ///
    /// The sandbox could not be used, or the build was cancelled.
    pub fn remote(&self, argv: &[String], reached: &Reached) -> Result<Answer, Failure> {
        let mut attempt = 1;
        loop {
            let answer = self.run(argv.to_vec(), Some(reached));
            if !answer.as_ref().is_ok_and(|answer| answer.success) {
                self.tidy();
            }
            let answer = answer?;
            if !answer.is_away() || attempt == TRIES {
                return Ok(answer);
            }
            let wait = Duration::from_secs(1 << attempt);
            let line = told(&answer, Some(&reached.remote));
            self.stage.note(&format!("{line}; trying again in {} s", wait.as_secs()));
            self.stage.sleep(wait.as_secs());
            attempt += 1;
        }
    }

    /// Removes what git has left unfinished in a mirror, which nobody else ever would: each command
    /// that breaks off could leave as much as one may write.
    pub fn tidy(&self) {
        let is_mirror = |inside: &Path| inside == Path::new(commands::MIRROR);
        for (tree, ..) in self.trees.iter().filter(|tree| is_mirror(&tree.1) && !tree.2) {
            let halves = mirror::unfinished(tree);
            let (context, program) = (self.tools.context, self.tools.program);
            if let Err(reason) = remove::remove_within(context, program, tree, &halves) {
                let place = tree.display();
                self.stage.note(&format!("half of a fetch is left in {place}: {reason}"));
            }
        }
    }

    fn run(&self, argv: Vec<String>, reached: Option<&Reached>) -> Result<Answer, Failure> {
        let host = |name: &str| std::env::var(name).ok().filter(|_| reached.is_some());
        let addresses = reached.map_or(&[][..], |reached| &reached.addresses);
        let remote = reached.map(|reached| &reached.remote);
        let mut environment = commands::environment(remote, addresses, host);
        if let Some(objects) = &self.borrows {
            environment.insert("GIT_ALTERNATE_OBJECT_DIRECTORIES".to_owned(), objects.clone());
        }
        let network = match reached {
            None => Some(Network::None),
            Some(reached) if reached.is_local => Some(Network::Host),
            Some(_) => None,
        };
        let context = self.tools.context;
        let mut spec =
            context.fetch(&self.trees, &environment, network, argv).map_err(|error| {
                let message = "the sandbox for git could not be planned";
                let cause = Some(error.into());
                Failure::infrastructure(self.stage.stage, status::GENERIC, message, cause)
            })?;
        spec.timeout_ms = Some(LONGEST_MS);
        let mut said = Vec::new();
        let mut keep = |bytes: &[u8]| {
            let room = MOST_SAID - said.len();
            said.extend_from_slice(&bytes[..bytes.len().min(room)]);
        };
        let (outcome, beyond) =
            disk::watched(self.tools, self.stage, &self.written(), Some(self.limit), |started| {
                self.stage.raw_with(&spec, started, &mut keep)
            })?;
        if let Some(much) = beyond {
            return Err(classify_share(self.stage.stage, "git", much, &[]));
        }
        if let sandbox::Exit::CouldNotStart(error) = &outcome.exit {
            let message = format!("git could not be started: {error}");
            let hint =
                error.step.contains("execute").then(|| "install git on this host".to_owned());
            let stage = self.stage.stage;
            return Err(
                Failure::infrastructure(stage, status::ISOLATION, message, None).with_hint(hint)
            );
        }
        // git's own end by a signal is what the server has sent.
        let failure = classify_command(self.stage.stage, "git", &outcome, &spec.limits);
        if let Some(failure) = failure.filter(|failure| failure.class != Class::Infrastructure) {
            return Err(failure);
        }
        Ok(Answer { success: outcome.exit.success(), said })
    }

    /// The trees that a command may write to.
    fn written(&self) -> Vec<Written> {
        let writable = self.trees.iter().filter(|(.., read_only)| !read_only);
        let written = |(tree, inside, _): &(PathBuf, PathBuf, bool)| Written {
            tree: tree.clone(),
            place: tree.clone(),
            // What came earlier.
            has_base: inside == Path::new(commands::MIRROR),
            most: None,
        };
        writable.map(written).collect()
    }
}

/// The line of an answer that says most, without secrets of the address that was asked.
fn told(answer: &Answer, remote: Option<&Remote>) -> String {
    let said = String::from_utf8_lossy(&answer.said);
    let line =
        said.lines().rev().find(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    let line = plain(line.or_else(|| said.lines().last()).unwrap_or("git said nothing"));
    match remote {
        Some(remote) => line.replace(&remote.url, &redacted(&remote.url)),
        None => line,
    }
}

/// A command that failed, and the repository that was asked, if one was.
pub fn failure(
    stage: &StageRun<'_>,
    what: &str,
    answer: &Answer,
    remote: Option<&Remote>,
) -> Failure {
    let line = told(answer, remote);
    let is_away = answer.is_away();
    let is_full = line.contains("No space left on device");
    let class = match (is_away, is_full) {
        (_, true) => Class::Resource,
        (true, _) => Class::Infrastructure,
        _ => Class::Package,
    };
    let message = format!("{what}: {line}");
    let failure = Failure::infrastructure(stage.stage, status::SOURCE_PACKAGE, message, None);
    Failure { class, retryable: is_away, evidence: vec![line], ..failure }
}
