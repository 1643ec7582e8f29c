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
            next_look: None,
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
        let sample_due = now >= self.next_sample;
        if sample_due || self.next_look.is_some_and(|look| now >= look) {
            let seconds = now.duration_since(self.started).as_secs_f64();
            let sample = cgroup.and_then(|cgroup| cgroup.sample(seconds));
            self.look(now, sample.as_ref(), cgroup);
            if let Some(sample) = sample.filter(|_| sample_due) {
                self.keep(sample);
            }
        }
        if sample_due {
            self.next_sample = now + self.interval;
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

    fn look(&mut self, now: Instant, sample: Option<&Sample>, cgroup: Option<&Cgroup>) {
        let is_short = match (sample, self.memory_limit) {
            (Some(sample), Some(limit)) => sample.memory_bytes > limit / 2,
            _ => false,
        };
        self.next_look = is_short.then(|| now + SHORT_INTERVAL);
        if let Some(seen) = cgroup.filter(|_| is_short).and_then(Cgroup::largest) {
            // The largest of the whole run is the one that the limit was hit by, or close to it.
            if self.largest.as_ref().is_none_or(|known| seen.bytes >= known.bytes) {
                self.largest = Some(seen);
            }
        }
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
