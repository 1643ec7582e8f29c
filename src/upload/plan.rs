//! What to do next: pure functions of what Pulp has said.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;

/// Smallest chunk that is tried where larger ones are refused.
pub(super) const LEAST_CHUNK: u64 = 64 << 10;

/// A part of an upload that Pulp has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Chunk {
    pub offset: u64,
    pub size: u64,
}

/// The parts of a file that Pulp does not have, cut into chunks.
pub(super) fn missing(size: u64, present: &[Chunk], chunk: u64) -> Vec<Range<u64>> {
    let mut present: Vec<Range<u64>> =
        present.iter().map(|part| part.offset..part.offset.saturating_add(part.size)).collect();
    present.sort_by_key(|part| part.start);
    let mut ranges = Vec::new();
    let mut at = 0;
    for part in present.into_iter().chain(std::iter::once(size..size)) {
        while at < part.start.min(size) {
            let end = at.saturating_add(chunk.max(1)).min(part.start).min(size);
            ranges.push(at..end);
            at = end;
        }
        at = at.max(part.end);
    }
    ranges
}

/// A task of Pulp.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct TaskAnswer {
    pub state: String,
    pub error: Option<TaskError>,
    #[serde(default)]
    pub created_resources: Vec<Option<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct TaskError {
    #[serde(default)]
    pub description: String,
}

/// What has become of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Commit {
    /// Nothing yet.
    Running,
    /// Pulp has looked at what it got.
    Over(Committed),
    /// Pulp could not do it.
    Failed {
        /// The state of its task.
        state: String,
        /// What it says about it.
        reason: String,
    },
}

/// What Pulp has made of what it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Committed {
    /// A new artifact.
    Created(String),
    /// There should be one: made by another commit of the same upload, or of the same content.
    LookUp,
    /// It is not the file.
    WrongChecksum,
}

/// Tells what has become of a commit.
pub(super) fn commit(task: &TaskAnswer) -> Commit {
    let created = task.created_resources.iter().flatten();
    let artifact = created.into_iter().find(|href| href.contains("/artifacts/"));
    let description = task.error.as_ref().map_or("", |error| error.description.as_str());
    match task.state.as_str() {
        "waiting" | "running" | "canceling" => Commit::Running,
        "completed" => {
            let created = artifact.map(|href| Committed::Created(href.clone()));
            Commit::Over(created.unwrap_or(Committed::LookUp))
        }
        "failed" if description.contains("already exists") => Commit::Over(Committed::LookUp),
        "failed" if description.contains("did not match") => Commit::Over(Committed::WrongChecksum),
        // canceled, skipped, and whatever comes: it is over.
        state => Commit::Failed {
            state: crate::run::plain(state),
            reason: crate::run::plain(description.lines().next().unwrap_or_default()),
        },
    }
}

/// How long to wait before looking again: a lone commit takes 0.3 s, one in a queue minutes.
pub(super) fn poll_wait(polls: u32) -> Duration {
    Duration::from_millis(50)
        .mul_f64(1.4_f64.powi(polls.min(20) as i32))
        .min(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing() {
        let missing = |size, present: &[(u64, u64)], chunk| {
            let present: Vec<_> = present
                .iter()
                .map(|(offset, size)| Chunk { offset: *offset, size: *size })
                .collect();
            let ranges = super::missing(size, &present, chunk);
            ranges.into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
        };
        assert_eq!(missing(10, &[], 4), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(missing(8, &[], 4), [(0, 4), (4, 8)]);
        assert_eq!(missing(10, &[(4, 4)], 4), [(0, 4), (8, 10)]);
        // In any order, of other sizes, overlapping.
        assert_eq!(missing(10, &[(8, 2), (0, 3)], 4), [(3, 7), (7, 8)]);
        assert_eq!(missing(10, &[(0, 6), (2, 2)], 4), [(6, 10)]);
        assert_eq!(missing(10, &[(0, 10)], 4), []);
        assert_eq!(missing(10, &[(0, u64::MAX), (5, u64::MAX)], 4), []);
        assert_eq!(missing(0, &[], 4), []);
        assert_eq!(missing(2, &[], 0), [(0, 1), (1, 2)]);
    }

    proptest::proptest! {
        #[test]
        fn present_and_missing_make_the_file(
            size in 0_u64..200,
            chunk in 1_u64..50,
            present in proptest::collection::vec((0_u64..200, 0_u64..60), 0..6),
        ) {
            let present: Vec<_> =
                present.into_iter().map(|(offset, size)| Chunk { offset, size }).collect();
            let ranges = missing(size, &present, chunk);
            for byte in 0..size {
                let have = present.iter().any(|p| (p.offset..p.offset + p.size).contains(&byte));
                let sent = ranges.iter().filter(|range| range.contains(&byte)).count();
                proptest::prop_assert_eq!(sent, usize::from(!have), "{}", byte);
            }
            proptest::prop_assert!(ranges.iter().all(|r| r.end - r.start <= chunk && r.end <= size));
        }
    }

    #[test]
    fn what_tasks_mean() {
        let of = |json: serde_json::Value| commit(&serde_json::from_value(json).unwrap());
        let failed = |description: &str| {
            of(serde_json::json!({"state": "failed", "created_resources": [],
                "error": {"traceback": "x", "description": description}}))
        };
        let artifact = "/pulp/api/v3/artifacts/1/";
        for state in ["waiting", "running", "canceling"] {
            assert_eq!(of(serde_json::json!({"state": state, "error": null})), Commit::Running);
        }
        let done = serde_json::json!({"state": "completed", "error": null,
            "created_resources": [null, artifact]});
        assert_eq!(of(done), Commit::Over(Committed::Created(artifact.into())));
        let done =
            serde_json::json!({"state": "completed", "error": null, "created_resources": []});
        assert_eq!(of(done), Commit::Over(Committed::LookUp));
        let exists =
            "[ErrorDetail(string=\"Artifact with sha256 checksum of 'a' already exists.\")]";
        assert_eq!(failed(exists), Commit::Over(Committed::LookUp));
        let wrong = failed("The sha256 checksum did not match.");
        assert_eq!(wrong, Commit::Over(Committed::WrongChecksum));
        assert_eq!(
            failed("disk\x1b full\nmore"),
            Commit::Failed { state: "failed".into(), reason: "disk\u{fffd} full".into() }
        );
        for state in ["canceled", "skipped", "something"] {
            let over = of(serde_json::json!({"state": state, "error": null}));
            assert_eq!(over, Commit::Failed { state: state.into(), reason: String::new() });
        }
    }

    #[test]
    fn polls_become_rare() {
        assert_eq!(poll_wait(0), Duration::from_millis(50));
        assert_eq!(poll_wait(u32::MAX), Duration::from_secs(1));
        let first_second: Duration = (0..5).map(poll_wait).sum();
        assert!(first_second < Duration::from_secs(1), "{first_second:?}");
    }
}
