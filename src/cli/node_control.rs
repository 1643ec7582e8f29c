//! `status`, `tasks`, `logs`, `cancel`: questions to a running node.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

use super::args::{NodeAsk, NodeCancel, NodeLogs, NodeStatus};
use super::error::CliError;
use super::output::{bytes, print, write};
use crate::config::{Facts, Flags, locate, read};
use crate::node::{Request, ask};
use crate::run::plain;
use crate::verdict::status as exit;

pub(super) fn status(args: &NodeStatus) -> Result<u8, CliError> {
    loop {
        let answer = question(&args.node, &Request::Status)?;
        if args.watch && io::stdout().is_terminal() {
            // Home, and away with what was there.
            write("\x1b[H\x1b[2J");
        }
        if args.node.json {
            print(&answer);
        } else {
            write(summary(&answer));
            write(table(&answer));
        }
        if !args.watch {
            return Ok(0);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

pub(super) fn tasks(args: &NodeAsk) -> Result<u8, CliError> {
    let answer = question(args, &Request::Status)?;
    if args.json {
        print(&answer["tasks"]);
    } else {
        write(table(&answer));
    }
    Ok(0)
}

pub(super) fn cancel(args: &NodeCancel) -> Result<u8, CliError> {
    let answer = question(&args.node, &Request::Cancel { task: args.task })?;
    if args.node.json {
        print(answer);
    } else {
        print(format_args!("task {} will be reported as failed", args.task));
    }
    Ok(0)
}

pub(super) fn logs(args: &NodeLogs) -> Result<u8, CliError> {
    let request = Request::Logs { task: args.task };
    let answer = question(&args.node, &request)?;
    let directory = PathBuf::from(answer["directory"].as_str().unwrap_or_default());
    let place = match args.log.as_str() {
        "task" | "worker" => directory.join(format!("{}.log", args.log)),
        "build" | "root" | "state" => directory.join(format!("result/{}.log", args.log)),
        other => {
            let message = format!("there is no log {}", plain(other));
            let hint = Some("the logs are task, build, root, state, worker".to_owned());
            return Err(CliError::new(exit::COMMAND_LINE, message, hint));
        }
    };
    let mut at = 0;
    loop {
        match File::open(&place) {
            Ok(file) => at = copy_from(file, at).map_err(|error| unreadable(&place, &error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && args.follow => {}
            Err(error) => return Err(unreadable(&place, &error)),
        }
        if !args.follow {
            return Ok(0);
        }
        // The task is gone when it is reported, and the node may end before.
        if !directory.exists() || question(&args.node, &request).is_err() {
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Prints a log from an offset on, without what could speak to the terminal. Says where it ends; a
/// log that was begun anew is read from its beginning.
fn copy_from(mut file: File, at: u64) -> io::Result<u64> {
    use std::io::Seek;
    let length = file.metadata()?.len();
    let at = if length < at { 0 } else { at };
    file.seek(io::SeekFrom::Start(at))?;
    let mut text = Vec::new();
    file.take(64 << 20).read_to_end(&mut text)?;
    // A line that is not complete comes with the next look.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut out = io::stdout().lock();
    for line in String::from_utf8_lossy(&text[..whole]).lines() {
        if writeln!(out, "{}", plain(line)).is_err() {
            break;
        }
    }
    Ok(at + whole as u64)
}

fn unreadable(place: &Path, error: &io::Error) -> CliError {
    CliError::new(exit::GENERIC, format!("cannot read {}: {error}", place.display()), None)
}

/// Asks the node of this config.
fn question(args: &NodeAsk, request: &Request) -> Result<Json, CliError> {
    let socket = match &args.socket {
        Some(socket) => socket.clone(),
        None => configured(args.config.as_deref())?,
    };
    ask(&socket, request).map_err(|error| {
        let message = format!("the node at {} does not answer: {error}", socket.display());
        let hint = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Some("is it running? its config is named with -c FILE, its socket with --socket")
            }
            io::ErrorKind::PermissionDenied => Some("only root and the node's own user may ask"),
            _ => None,
        };
        CliError::new(exit::GENERIC, message, hint.map(str::to_owned))
    })
}

fn configured(file: Option<&Path>) -> Result<PathBuf, CliError> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = locate(file, home.as_deref());
    let facts = Facts::probe(file.as_deref());
    let text = file
        .as_deref()
        .map(|file| (file, std::fs::read_to_string(file).map_err(|error| error.to_string())));
    let text = text.as_ref().map(|(file, text)| (*file, text.as_deref().map_err(Clone::clone)));
    match read(text, &Flags::default(), &facts).config {
        Some(config) => Ok(config.own.control_socket),
        None => {
            let message = "the node's config has errors";
            let hint = Some("albs-node config-check tells them".to_owned());
            Err(CliError::new(exit::CONFIG, message, hint))
        }
    }
}

fn summary(status: &Json) -> String {
    let text = |json: &Json| plain(json.as_str().unwrap_or("-"));
    let (counts, caches) = (&status["counts"], &status["caches"]);
    let state = match status["stopping"].as_str() {
        Some(how) => how.to_owned(),
        None => match status["not_taking"].as_str() {
            Some(why) => format!("takes no task: {}", plain(why)),
            None => "takes tasks".to_owned(),
        },
    };
    format!(
        "albs-node {} (pid {}), since {}: {state}\n\
         server {}  pulp {}\n\
         slots {} of {} free; taken {}, done {}, failed {}, excluded {}, built again {}; uploaded {}\n\
         outbox {} tasks, {} to deliver; kept {} buildroots, {} layers, {} mirrors, {} sources ({})\n",
        text(&status["version"]),
        status["pid"],
        text(&status["started"]),
        text(&status["server"]),
        text(&status["pulp"]),
        status["slots"]["free"],
        status["slots"]["all"],
        counts["taken"],
        counts["done"],
        counts["failed"],
        counts["excluded"],
        counts["again"],
        bytes(counts["uploaded_bytes"].as_u64().unwrap_or(0)),
        status["outbox"]["held"],
        status["outbox"]["delivering"],
        caches["buildroots"],
        caches["layers"],
        caches["mirrors"],
        caches["sources"],
        bytes(caches["sources_bytes"].as_u64().unwrap_or(0)),
    )
}

fn table(status: &Json) -> String {
    let mut rows = vec![
        ["task", "arch", "platform", "state", "since", "cpu", "memory", "source"]
            .map(str::to_owned),
    ];
    for task in status["tasks"].as_array().into_iter().flatten() {
        let text = |key: &str| match &task[key] {
            Json::Null => "-".to_owned(),
            Json::String(text) => plain(text),
            other => other.to_string(),
        };
        let source = text("source");
        let source = source.trim_end_matches(".git").rsplit('/').next().unwrap_or_default();
        rows.push([
            text("task"),
            text("arch"),
            text("platform"),
            text("state"),
            text("since"),
            task["cpu_us"].as_u64().map_or("-".into(), |us| format!("{:.1} s", us as f64 / 1e6)),
            task["memory_peak_bytes"].as_u64().map_or("-".into(), bytes),
            source.to_owned(),
        ]);
    }
    if rows.len() == 1 {
        return "no tasks\n".to_owned();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
