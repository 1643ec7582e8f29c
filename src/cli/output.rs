//! Progress for people, on a terminal or in a log, and events for programs.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sandbox::Usage;

use super::args::Common;
pub(super) use crate::run::bill::size as bytes;
use crate::run::{Event, Sink};

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Not at all.
    Quiet,
    /// A line for each stage.
    Plain,
    /// A line for each stage and for each line of output.
    Verbose,
    /// A line that moves.
    Terminal,
    /// JSON, one event a line, on standard output.
    Json,
}

/// The sink that the arguments ask for.
pub(super) fn sink(common: &Common) -> Sink {
    sink_of(common.quiet, common.verbose, common.json)
}

/// As [`sink`], for commands that have other arguments.
pub(super) fn sink_of(quiet: bool, verbose: bool, json_wanted: bool) -> Sink {
    let style = if json_wanted {
        Style::Json
    } else if quiet {
        Style::Quiet
    } else if verbose {
        Style::Verbose
    } else if std::io::stderr().is_terminal() {
        Style::Terminal
    } else {
        Style::Plain
    };
    let bar = Mutex::new(None::<ProgressBar>);
    Sink::new(move |event| match style {
        Style::Quiet => {}
        Style::Json => json(event),
        Style::Plain | Style::Verbose => say(event, style == Style::Verbose),
        Style::Terminal => {
            if let Ok(mut bar) = bar.lock() {
                draw(&mut bar, event);
            }
        }
    })
}

/// Prints a line to standard output. A reader that is gone does not end a build, as `println!`
/// would.
pub(super) fn print(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints text that has its own line ends to standard output, likewise.
pub(super) fn write(text: impl std::fmt::Display) {
    let _ = write!(std::io::stdout().lock(), "{text}");
}

/// Prints a line to standard error, likewise.
pub(super) fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints a remark to standard error.
pub(super) fn note(text: impl std::fmt::Display) {
    // What it is about may come from a config.
    let text = crate::run::plain(&text.to_string());
    let _ = writeln!(std::io::stderr().lock(), "note: {text}");
}

fn json(event: &Event) {
    if let Ok(text) = serde_json::to_string(event) {
        print(text);
    }
}

fn say(event: &Event, verbose: bool) {
    let mut out = std::io::stderr().lock();
    let _ = match event {
        Event::StageStarted { stage, what } => writeln!(out, "{stage}: {what}"),
        Event::Line { line, .. } if verbose => writeln!(out, "  | {line}"),
        Event::Line { .. } => Ok(()),
        Event::Note { stage, text } => writeln!(out, "{stage}: {text}"),
        Event::StageFinished { .. } => writeln!(out, "{}", finished(event)),
    };
}

fn draw(bar: &mut Option<ProgressBar>, event: &Event) {
    match event {
        Event::StageStarted { stage, what } => {
            let spinner = ProgressBar::new_spinner().with_prefix(stage.to_string());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix:<9} {elapsed:>4}  {wide_msg:.dim}")
            {
                spinner.set_style(style);
            }
            spinner.set_message(what.clone());
            spinner.enable_steady_tick(Duration::from_millis(120));
            *bar = Some(spinner);
        }
        Event::Line { line, .. } => {
            if let Some(bar) = bar {
                bar.set_message(line.clone());
            }
        }
        Event::Note { stage, text } => match bar {
            Some(bar) => bar.println(format!("  {stage}: {text}")),
            None => complain(format_args!("  {stage}: {text}")),
        },
        Event::StageFinished { .. } => {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            complain(finished(event));
        }
    }
}

fn finished(event: &Event) -> String {
    let Event::StageFinished { stage, seconds, usage, success } = event else {
        return String::new();
    };
    let how = if *success { "done" } else { "failed" };
    format!("{stage}: {how} in {seconds:.1} s ({})", cost(usage))
}

/// `1.2 s CPU, 34 MiB memory`.
pub(super) fn cost(usage: &Usage) -> String {
    let cpu = (usage.cpu_user_us + usage.cpu_system_us) as f64 / 1e6;
    let mut parts = VecDeque::from([format!("{cpu:.1} s CPU")]);
    if let Some(peak) = usage.memory_peak_bytes {
        parts.push_back(format!("{} peak memory", bytes(peak)));
    }
    if let Some(written) = usage.io_write_bytes.filter(|written| *written > 0) {
        parts.push_back(format!("{} written", bytes(written)));
    }
    Vec::from(parts).join(", ")
}
