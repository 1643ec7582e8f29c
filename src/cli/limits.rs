//! Limits of the command line.

use sandbox::spec::{Limit, Limits};

use super::args::LimitArgs;

impl LimitArgs {
    /// What was asked for by hand is required: a limit that does not hold is worse than none.
    pub(super) fn to_limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory.map(Limit::required),
            // Memory that goes to swap instead is no limit; but a host may not count swap.
            swap_bytes: self.memory.map(|_| Limit::optional(0)),
            pids: self.pids.map(Limit::required),
            cpus: self.cpus.map(Limit::required),
        }
    }
}
