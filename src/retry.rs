//! When to try again: pure, the caller waits.

use std::time::Duration;

/// Longest wait that a server can ask for.
const MOST_ASKED: Duration = Duration::from_secs(3600);

/// How tries follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// About how long to wait after the first failure; each further one doubles it.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// How long to wait at least when a request may have been carried out although no answer came.
    pub lost: Duration,
    /// How many tries there are where the other side may be at fault or what was sent; where it is
    /// surely the other side, there is no limit.
    pub doubtful: u32,
}

impl Backoff {
    /// For what must arrive, however long it takes.
    pub const DELIVER: Backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_secs(300),
        lost: Duration::from_secs(180),
        doubtful: 8,
    };
    /// For what can be asked again at any time.
    pub const ASK: Backoff = Backoff {
        first: Duration::from_secs(2),
        most: Duration::from_secs(60),
        lost: Duration::ZERO,
        doubtful: u32::MAX,
    };
    /// For uploads, which continue where they broke off.
    pub const UPLOAD: Backoff = Backoff {
        first: Duration::from_millis(500),
        most: Duration::from_secs(60),
        lost: Duration::ZERO,
        doubtful: 8,
    };
}

/// What a failed try says about the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The other side cannot be reached, or cannot answer now.
    Passing {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The request may have been carried out.
    Lost,
    /// The other side failed, maybe on what was sent.
    Doubtful,
    /// Somebody has to change something first: a password, an address, a certificate.
    Operator,
    /// The answer will be the same.
    Final,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after this time.
    Wait(Duration),
    /// Do not.
    GiveUp,
}

impl Backoff {
    /// What to do after a failed try. `attempt` counts tries from 1, `jitter` is a random number
    /// from 0 to 1 that keeps many nodes from coming back at the same moment.
    pub fn next(&self, attempt: u32, trouble: Trouble, jitter: f64) -> Next {
        let jitter = jitter.clamp(0.0, 1.0);
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let usual = doubled.min(self.most).mul_f64(0.5 + jitter / 2.0);
        match trouble {
            Trouble::Final => Next::GiveUp,
            Trouble::Doubtful if attempt >= self.doubtful => Next::GiveUp,
            Trouble::Doubtful | Trouble::Passing { retry_after: None } => Next::Wait(usual),
            Trouble::Passing { retry_after: Some(asked) } => {
                Next::Wait(usual.max(asked.min(MOST_ASKED) + self.first.mul_f64(jitter)))
            }
            Trouble::Lost => Next::Wait(usual.max(self.lost.mul_f64(1.0 + jitter / 4.0))),
            Trouble::Operator => Next::Wait(self.most.mul_f64(0.5 + jitter / 2.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_secs(60),
        lost: Duration::from_secs(180),
        doubtful: 3,
    };
    const PASSING: Trouble = Trouble::Passing { retry_after: None };

    fn seconds(attempt: u32, trouble: Trouble, jitter: f64) -> Option<f64> {
        match BACKOFF.next(attempt, trouble, jitter) {
            Next::Wait(time) => Some(time.as_secs_f64()),
            Next::GiveUp => None,
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = (1..9).map(|n| seconds(n, PASSING, 1.0).unwrap()).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(seconds(1_000_000, PASSING, 0.0), Some(30.0));
        assert_eq!(seconds(0, PASSING, 0.0), Some(0.5));
    }

    #[test]
    fn what_a_server_asks_for_is_kept() {
        let asked = |seconds| Trouble::Passing { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(seconds(1, asked(20), 0.5), Some(20.5));
        assert_eq!(seconds(7, asked(20), 1.0), Some(60.0));
        assert_eq!(seconds(1, asked(1_000_000), 0.0), Some(3600.0));
    }

    #[test]
    fn who_is_at_fault_decides() {
        assert_eq!(seconds(1, Trouble::Final, 0.5), None);
        assert_eq!(seconds(2, Trouble::Doubtful, 1.0), Some(2.0));
        assert_eq!(seconds(3, Trouble::Doubtful, 1.0), None);
        assert_eq!(seconds(1, Trouble::Lost, 0.0), Some(180.0));
        assert_eq!(seconds(1, Trouble::Operator, 1.0), Some(60.0));
    }
}
