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
        isolation: Default::default(),
    };
    let counted =
        stages.iter().filter_map(|stage| Some((stage.memory_average_bytes?, stage.seconds)));
    total.memory_average_bytes = mean(counted);
    total
}

/// The memory in use on average over the time of some samples, in bytes. What was long is looked at
/// less often, so each counts for the time since the one before.
pub(super) fn memory_average(samples: &[Sample]) -> Option<u64> {
    let times = samples.windows(2).map(|pair| (pair[1].seconds - pair[0].seconds).max(0.0));
    let first = times.clone().next().unwrap_or(1.0);
    let weights = std::iter::once(first).chain(times);
    mean(samples.iter().map(|sample| sample.memory_bytes).zip(weights))
}

/// The mean of numbers with their weights; none of nothing.
fn mean(weighted: impl Iterator<Item = (u64, f64)>) -> Option<u64> {
    let add = |(sum, all): (f64, f64), (number, weight): (u64, f64)| {
        (sum + number as f64 * weight, all + weight)
    };
    let (sum, all) = weighted.fold((0.0, 0.0), add);
    (all > 0.0).then(|| (sum / all) as u64)
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
        assert_eq!(memory_average(&[]), None);
        assert_eq!(memory_average(&[at(5.0, 7)]), Some(7));
        // Two seconds at 100, eight at 1000.
        let samples = [at(1.0, 100), at(2.0, 100), at(10.0, 1000)];
        assert_eq!(memory_average(&samples), Some(820));
    }
}
