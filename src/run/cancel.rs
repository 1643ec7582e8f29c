//! Stopping a build from another thread.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sandbox::Killer;

use crate::verdict::status;

/// Time between looks of whoever waits.
const STEP: Duration = Duration::from_millis(100);

/// Stops a build: the running sandbox is killed and no other starts.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    signal: Option<i32>,
    running: BTreeMap<u64, Killer>,
    /// How many have been watched.
    count: u64,
}

/// Forgets the sandbox when dropped.
#[derive(Debug)]
pub struct Watch(Cancel, u64);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.state(|state| state.running.remove(&self.1));
    }
}

impl Cancel {
    /// Stops everything, because of this signal.
    pub fn cancel(&self, signal: i32) {
        self.state(|state| {
            state.signal.get_or_insert(signal);
            state.running.values().for_each(Killer::kill);
        });
    }

    /// Whether the build is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.state(|state| state.signal.is_some())
    }

    /// Waits, or less if the build is to stop. Says whether it goes on.
    pub fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(STEP));
        }
        false
    }

    /// The exit status of a program that was stopped by the signal: 128 and its number, as mock
    /// has it for SIGHUP and SIGTERM.
    pub fn status(&self) -> u8 {
        self.state(|state| state.signal)
            .and_then(|signal| u8::try_from(128 + signal).ok())
            .unwrap_or(status::INTERRUPTED)
    }

    /// Kills this sandbox too when the build is stopped, as long as the watch lives.
    pub(super) fn watch(&self, killer: Killer) -> Watch {
        let number = self.state(|state| {
            if state.signal.is_some() {
                killer.kill();
            }
            state.count += 1;
            state.running.insert(state.count, killer);
            state.count
        });
        Watch(self.clone(), number)
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
