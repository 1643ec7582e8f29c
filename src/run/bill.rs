//! What a build has cost, as a table for people.

use sandbox::Sample;

use super::StageRecord;

/// The table: a line for each stage, and one for all.
pub fn table(stages: &[StageRecord]) -> String {
    let mut rows = vec![
        [
            "stage",
            "wall",
            "user",
            "system",
            "peak mem",
            "mean mem",
            "pids",
            "read",
            "written",
            "stalled cpu/mem/io",
        ]
        .map(str::to_owned),
    ];
    rows.extend(stages.iter().map(row));
    let total = total(stages);
    rows.push(row(&total));
    let last = rows.len() - 1;
    rows[last][0] = "all".to_owned();
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 10]| {
        let cells =
            row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// All stages as one.
fn total(stages: &[StageRecord]) -> StageRecord {
    let mut total = StageRecord {
        name: stages.last().map_or(crate::verdict::Stage::Collect, |stage| stage.name),
        seconds: stages.iter().map(|stage| stage.seconds).sum(),
        usage: stages
            .iter()
            .fold(Default::default(), |sum: sandbox::Usage, stage| sum.plus(&stage.usage)),
        memory_average_bytes: None,
        samples: stages.iter().flat_map(|stage| stage.samples.iter().copied()).collect(),
        largest: None,
        isolation: Default::default(),
    };
    let mut memory = MemoryTime::default();
    for stage in stages {
        stage.memory_average_bytes.iter().for_each(|bytes| memory.add(*bytes, stage.seconds));
    }
    total.memory_average_bytes = memory.average();
    total
}

/// Memory in use, over time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MemoryTime {
    byte_seconds: f64,
    seconds: f64,
}

impl MemoryTime {
    /// Adds a number of bytes that were in use for so many seconds.
    fn add(&mut self, bytes: u64, seconds: f64) {
        self.byte_seconds += bytes as f64 * seconds;
        self.seconds += seconds;
    }

    /// Adds the samples of a sandbox, whose times count from its start. The longer one runs, the
    /// less often it is looked at, so each counts for the time since the one before.
    pub(super) fn sandbox(&mut self, samples: &[Sample]) {
        let mut before = 0.0;
        for sample in samples {
            self.add(sample.memory_bytes, (sample.seconds - before).max(0.0));
            before = sample.seconds;
        }
    }

    /// The mean in bytes, if there is any.
    pub(super) fn average(&self) -> Option<u64> {
        (self.seconds > 0.0).then(|| (self.byte_seconds / self.seconds) as u64)
    }
}

fn row(stage: &StageRecord) -> [String; 10] {
    let usage = &stage.usage;
    let seconds = |us: u64| format!("{:.1} s", us as f64 / 1e6);
    let some = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), size);
    let stalled = usage.pressure.map_or_else(
        || "-".to_owned(),
        |p| [p.cpu_us, p.memory_us, p.io_us].map(seconds).join(" / "),
    );
    [
        stage.name.to_string(),
        format!("{:.1} s", stage.seconds),
        seconds(usage.cpu_user_us),
        seconds(usage.cpu_system_us),
        some(usage.memory_peak_bytes),
        some(stage.memory_average_bytes),
        usage.pids_peak.map_or_else(|| "-".to_owned(), |pids| pids.to_string()),
        some(usage.io_read_bytes),
        some(usage.io_write_bytes),
        stalled,
    ]
}

/// A size for people.
pub fn size(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count >> 10),
        10_485_760..10_737_418_240 => format!("{} MiB", count >> 20),
        _ => format!("{:.1} GiB", count as f64 / (1u64 << 30) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_over_time() {
        let at = |seconds, memory_bytes| Sample { seconds, memory_bytes, ..Sample::default() };
        let mut memory = MemoryTime::default();
        assert_eq!(memory.average(), None);
        // Two seconds at 100, eight at 1000, and another sandbox of ten at 0.
        memory.sandbox(&[at(1.0, 100), at(2.0, 100), at(10.0, 1000)]);
        assert_eq!(memory.average(), Some(820));
        memory.sandbox(&[at(10.0, 0)]);
        assert_eq!(memory.average(), Some(410));
    }
}
