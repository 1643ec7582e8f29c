//! What can go wrong before a sandbox starts.

use std::path::PathBuf;

/// A specification that cannot be carried out on this host.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The name would not do as a directory name.
    #[error("the sandbox name {0:?} is not usable: letters, digits, '.', '_' and '-' only")]
    Name(String),
    /// No program.
    #[error("no command was given")]
    NoCommand,
    /// A string that C cannot take.
    #[error("the argument {0:?} contains a NUL byte")]
    NulByte(String),
    /// Empty id maps.
    #[error("the id mapping is empty")]
    NoIds,
    /// The user does not exist inside.
    #[error("user {uid} with group {gid} is not in the id mapping")]
    UnmappedUser {
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
    },
    /// No such capability.
    #[error("unknown capability {0:?}")]
    UnknownCapability(String),
    /// No such resource limit.
    #[error("unknown resource limit {0:?}")]
    UnknownRlimit(String),
    /// A destination outside the root, or the root itself.
    #[error("the mount destination {} is not an absolute path below /", .0.display())]
    Destination(PathBuf),
    /// A host path that cannot be passed on.
    #[error("the host path {} is not absolute or not UTF-8", .0.display())]
    Source(PathBuf),
    /// A terminal that the sandbox cannot have.
    #[error("a terminal of its own needs a session of its own and a /dev of its own")]
    Terminal,
    /// An overlay without layers.
    #[error("an overlay root needs at least one layer")]
    NoLayers,
    /// A filtered network that this host does not have.
    #[error("a filtered network cannot be had: {0}")]
    NoFilteredNetwork(String),
    /// A required limit that this host cannot enforce.
    #[error("the {limit} limit cannot be enforced: {reason}")]
    Limit {
        /// Which limit.
        limit: &'static str,
        /// Why not.
        reason: String,
        /// What would help.
        hint: String,
    },
}

impl PlanError {
    /// What an operator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            PlanError::Limit { hint, .. } => Some(hint.clone()),
            PlanError::UnmappedUser { .. } => Some(
                "give the calling user a range of 65536 ids in /etc/subuid and /etc/subgid"
                    .to_owned(),
            ),
            PlanError::NoFilteredNetwork(_) => Some(
                "install passt, which has pasta, or slirp4netns; /dev/net/tun must be writable"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// A sandbox that could not be started or watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The specification cannot be carried out.
    #[error("cannot plan the sandbox {name}")]
    Plan {
        /// Name of the sandbox.
        name: String,
        /// Why not.
        source: PlanError,
    },
    /// A seccomp policy is wrong.
    #[error("cannot compile the seccomp policy")]
    Seccomp(#[from] crate::seccomp::SeccompError),
    /// A control group could not be made or read.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
    /// The program that applies the plan is missing.
    #[error("sandbox-init was not found in {}", tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoInit {
        /// Where it was searched.
        tried: Vec<PathBuf>,
    },
    /// A system call of the parent failed.
    #[error("{action}")]
    System {
        /// What was attempted.
        action: String,
        /// The cause.
        source: std::io::Error,
    },
}

impl SandboxError {
    /// What an operator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            SandboxError::Plan { source, .. } => source.hint(),
            SandboxError::Cgroup(error) => error.hint(),
            SandboxError::NoInit { .. } => {
                Some("install sandbox-init beside albs-node or in ../libexec/albs-node".to_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn system(action: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        SandboxError::System { action: action.into(), source: source.into() }
    }
}
