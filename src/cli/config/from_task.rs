//! `config from-task`: the mock config that a build task carries.

use std::io::Read;
use std::path::Path;

use super::this_host;
use crate::cli::args::ConfigFromTask;
use crate::cli::error::CliError;
use crate::cli::output::write;
use crate::task::{Task, TaskConfig};
use crate::verdict::status;

pub(super) fn run(args: &ConfigFromTask) -> Result<u8, CliError> {
    let text = read(&args.task)?;
    let is_none = |what: String| {
        let message = format!("{} is not a build task: {what}", args.task.display());
        let hint = "a task is the answer of build_node/get_task, as one JSON object";
        CliError::new(status::CONFIG, message, Some(hint.to_owned()))
    };
    let json = serde_json::from_str(&text).map_err(|error| is_none(error.to_string()))?;
    let task = Task::from_json(&json).map_err(|error| is_none(error.to_string()))?;
    let arch = match &args.arch {
        Some(arch) => arch.clone(),
        None => this_host()?.arch,
    };
    let config = TaskConfig::new(&task, &arch).map_err(|error| {
        CliError::new(status::CONFIG, format!("task {}: {error}", task.id), None)
    })?;
    write(config.text());
    Ok(0)
}

/// The text of a file; `-` is standard input.
fn read(path: &Path) -> Result<String, CliError> {
    let read = match path.to_str() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => std::fs::read_to_string(path),
    };
    read.map_err(|error| {
        CliError::new(status::CONFIG, format!("cannot read {}: {error}", path.display()), None)
    })
}
