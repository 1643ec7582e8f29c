//! `albs-node usage`: what a build has used, as a table and a chart.

use std::fmt::Write;
use std::path::Path;

use sandbox::Sample;
use serde::Deserialize;

use super::args::Usage;
use super::build::Caused;
use super::error::CliError;
use super::output::{bytes, write};
use crate::build::outcome::FILE;
use crate::run::StageRecord;
use crate::run::bill::table;
use crate::verdict::status;

/// Columns of the chart in text.
const COLUMNS: usize = 72;
/// What a column can show, from nothing to all.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The part of `outcome.json` that is drawn.
#[derive(Debug, Deserialize)]
struct Outcome {
    package: Option<String>,
    seconds: f64,
    stages: Vec<StageRecord>,
}

pub(super) fn run(args: &Usage) -> Result<u8, CliError> {
    let outcome = read(&args.resultdir)?;
    let text = if args.svg { svg(&outcome) } else { text(&outcome) };
    write(text);
    Ok(0)
}

fn read(resultdir: &Path) -> Result<Outcome, CliError> {
    let path = resultdir.join(FILE);
    let hint = Some("name the result directory of a build".to_owned());
    let failed = |source: std::io::Error| {
        let message = format!("cannot read {}", path.display());
        CliError::new(status::COMMAND_LINE, Caused { message, source }, hint.clone())
    };
    let text = std::fs::read(&path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}

/// One thing over time.
struct Curve {
    name: &'static str,
    /// Time in seconds from the beginning of the build, and how much.
    points: Vec<(f64, f64)>,
    show: fn(f64) -> String,
}

/// What is drawn: rates between two samples for what is summed up, else the value itself.
fn curves(outcome: &Outcome) -> Vec<Curve> {
    let samples: Vec<Sample> =
        outcome.stages.iter().flat_map(|stage| stage.samples.iter().copied()).collect();
    let rate = |of: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        samples
            .windows(2)
            .filter_map(|pair| {
                let seconds = pair[1].seconds - pair[0].seconds;
                // A new sandbox begins to count anew.
                let used = of(&pair[1]).checked_sub(of(&pair[0]))?;
                (seconds > 0.0).then(|| (pair[1].seconds, used as f64 / seconds))
            })
            .collect()
    };
    let value = |of: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        samples.iter().map(|sample| (sample.seconds, of(sample) as f64)).collect()
    };
    let size: fn(f64) -> String = |number| bytes(number as u64);
    let speed: fn(f64) -> String = |number| format!("{}/s", bytes(number as u64));
    vec![
        Curve {
            name: "processors",
            points: rate(|sample| sample.cpu_us),
            show: |us| format!("{:.1}", us / 1e6),
        },
        Curve { name: "memory", points: value(|sample| sample.memory_bytes), show: size },
        Curve {
            name: "processes",
            points: value(|sample| sample.pids),
            show: |number| format!("{number}"),
        },
        Curve { name: "read", points: rate(|sample| sample.io_read_bytes), show: speed },
        Curve { name: "written", points: rate(|sample| sample.io_write_bytes), show: speed },
    ]
}

impl Curve {
    fn most(&self) -> f64 {
        self.points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
    }
}

fn text(outcome: &Outcome) -> String {
    let mut text = table(&outcome.stages);
    let curves = curves(outcome);
    if curves.iter().all(|curve| curve.points.is_empty()) {
        text += "\nnothing to draw: a build is looked at once a second, in control groups\n";
        return text;
    }
    text.push('\n');
    for curve in curves {
        let most = curve.most();
        let mut columns = vec![0.0f64; COLUMNS];
        for (seconds, value) in &curve.points {
            let at = (seconds / outcome.seconds * COLUMNS as f64) as usize;
            let column = &mut columns[at.min(COLUMNS - 1)];
            *column = column.max(*value);
        }
        let line: String = columns
            .iter()
            .map(|value| match most > 0.0 {
                true => LEVELS[(value / most * 8.0).ceil().clamp(0.0, 8.0) as usize],
                false => LEVELS[0],
            })
            .collect();
        let _ = writeln!(text, "{:<10} |{line}| {}", curve.name, (curve.show)(most));
    }
    let end = format!("{:.0} s", outcome.seconds);
    let _ = writeln!(text, "{:<10}  0{end:>width$}", "", width = COLUMNS - 1);
    text
}

fn svg(outcome: &Outcome) -> String {
    const WIDTH: f64 = 800.0;
    const HEIGHT: f64 = 90.0;
    let curves = curves(outcome);
    let all = HEIGHT.mul_add(curves.len() as f64, 60.0);
    let title = outcome.package.as_deref().unwrap_or("build");
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {all}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n<text x=\"10\" y=\"20\" font-size=\"15\">{}, {:.0} s</text>\n",
        WIDTH + 220.0,
        escaped(title),
        outcome.seconds
    );
    let x = |seconds: f64| 10.0 + seconds / outcome.seconds.max(0.001) * WIDTH;
    for (index, curve) in curves.iter().enumerate() {
        let (top, most) = (HEIGHT.mul_add(index as f64, 35.0), curve.most());
        let bottom = top + HEIGHT - 20.0;
        let y = |value: f64| bottom - if most > 0.0 { value / most } else { 0.0 } * (HEIGHT - 20.0);
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(seconds, value)| format!("{:.1},{:.1}", x(*seconds), y(*value)))
            .collect();
        let _ = writeln!(
            text,
            "<line x1=\"10\" y1=\"{bottom}\" x2=\"{}\" y2=\"{bottom}\" stroke=\"#999\"/>\n\
             <polyline points=\"{}\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"1.5\"/>\n\
             <text x=\"{}\" y=\"{}\">{}: {} at most</text>",
            WIDTH + 10.0,
            points.join(" "),
            WIDTH + 20.0,
            bottom - 4.0,
            curve.name,
            (curve.show)(most)
        );
    }
    text + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
