//! What the parent looks at while a sandbox runs: what it uses, and whether it says anything.

use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::outcome::{Largest, Sample};

/// Samples that are kept. When there are more, every second one goes, and the next are taken half
/// as often: ten minutes with one a second, eighty with one every eight.
const MOST_SAMPLES: usize = 600;
/// Time between samples at the beginning.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between looks while memory is short, since a few of them are all there is before the
/// kernel kills.
const SHORT_INTERVAL: Duration = Duration::from_millis(100);
/// How much longer than a look the time until the next is, at least.
const REST: u32 = 20;
/// Bytes that a program takes in a second, at most: the kernel has to clear them.
const FASTEST: u64 = 1 << 30;

/// The state of watching one sandbox.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    interval: Duration,
    next_sample: Instant,
    next_look: Option<Instant>,
    memory_limit: Option<u64>,
    silence: Option<Duration>,
    last_output: Instant,
    is_silent: bool,
    samples: Vec<Sample>,
    largest: Option<Largest>,
}

impl Watch {
    /// `memory_limit` in bytes, `silence` as the longest time without output.
    pub(crate) fn new(
        started: Instant,
        memory_limit: Option<u64>,
        silence: Option<Duration>,
    ) -> Watch {
        Watch {
            started,
            interval: INTERVAL,
            next_sample: started + INTERVAL,
            next_look: memory_limit.map(|limit| started + until_short(limit, 0)),
            memory_limit,
            silence,
            last_output: started,
            is_silent: false,
            samples: Vec::new(),
            largest: None,
        }
    }

    /// The time until there is something to do.
    pub(crate) fn timeout(&self, now: Instant) -> Duration {
        let silence = self.silence.filter(|_| !self.is_silent).map(|most| self.last_output + most);
        let next = [silence, self.next_look].into_iter().flatten().fold(self.next_sample, Ord::min);
        next.saturating_duration_since(now)
    }

    /// The command has written something.
    pub(crate) fn output(&mut self, now: Instant) {
        self.last_output = now;
    }

    /// Does what is due. Tells, once, that the command has been silent for too long.
    pub(crate) fn tick(&mut self, now: Instant, cgroup: Option<&Cgroup>) -> bool {
        if now >= self.next_sample {
            let seconds = now.duration_since(self.started).as_secs_f64();
            if let Some(sample) = cgroup.and_then(|cgroup| cgroup.sample(seconds)) {
                self.keep(sample);
            }
            self.next_sample = now + self.interval;
        }
        if self.next_look.is_some_and(|look| now >= look) {
            self.look(now, cgroup);
        }
        let too_long = self.silence.is_some_and(|most| now >= self.last_output + most);
        let newly = too_long && !self.is_silent;
        self.is_silent |= too_long;
        newly
    }

    /// Whether the command was silent for too long.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// What was seen.
    pub(crate) fn into_seen(self) -> (Vec<Sample>, Option<Largest>) {
        (self.samples, self.largest)
    }

    fn look(&mut self, now: Instant, cgroup: Option<&Cgroup>) {
        let used = cgroup.and_then(Cgroup::memory_bytes);
        let (Some(limit), Some(used)) = (self.memory_limit, used) else {
            self.next_look = None;
            return;
        };
        let is_short = used > limit / 2;
        if let Some(seen) = cgroup.filter(|_| is_short).and_then(Cgroup::largest) {
            // The largest of the whole run is the one that the limit was hit by, or close to it.
            if self.largest.as_ref().is_none_or(|known| seen.bytes >= known.bytes) {
                self.largest = Some(seen);
            }
        }
        // Thousands of processes take long to look at, which is on nobody's bill.
        let pause = until_short(limit, used).max(now.elapsed() * REST);
        self.next_look = Some(Instant::now() + pause);
    }

    fn keep(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() > MOST_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.interval *= 2;
        }
    }
}

/// How soon half of a limit can be used.
fn until_short(limit: u64, used: u64) -> Duration {
    let left = (limit / 2).saturating_sub(used) as f64;
    Duration::from_secs_f64(left / FASTEST as f64).clamp(SHORT_INTERVAL, INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut watch = Watch::new(start, None, Some(Duration::from_millis(500)));
        assert_eq!(watch.timeout(start), Duration::from_millis(500));
        watch.output(at(300));
        assert!(!watch.tick(at(700), None));
        assert!(watch.tick(at(800), None));
        assert!(!watch.tick(at(900), None) && watch.is_silent());
        assert_eq!(watch.timeout(at(900)), Duration::from_millis(100));
    }

    #[test]
    fn little_memory_is_looked_at_often() {
        let ms = |limit, used| until_short(limit, used).as_millis();
        assert_eq!(ms(192 << 20, 0), 100);
        assert_eq!(ms(2 << 30, 512 << 20), 500);
        assert_eq!(ms(64 << 30, 0), 1000);
        assert_eq!(ms(64 << 30, 60 << 30), 100);
    }

    #[test]
    fn samples_are_bounded() {
        let start = Instant::now();
        let mut watch = Watch::new(start, None, None);
        for second in 0..10_000 {
            watch.keep(Sample { seconds: f64::from(second), ..Sample::default() });
        }
        assert!(watch.samples.len() <= MOST_SAMPLES && watch.samples.len() > MOST_SAMPLES / 2);
        assert!(watch.samples.is_sorted_by(|a, b| a.seconds < b.seconds));
        assert!(watch.interval > INTERVAL);
    }
}
