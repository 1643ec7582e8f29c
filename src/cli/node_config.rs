//! The config of the build node: reading it, and `config-check`.

use std::path::{Path, PathBuf};

use super::args::{NodeArgs, NodeConfigCheck};
use super::error::CliError;
use super::output::{complain, write};
use crate::config::{Config, Facts, Reading, locate, read};
use crate::run::plain;
use crate::verdict::status;

/// Prints everything that is wrong to standard error, and the config as it counts.
pub(super) fn check(args: &NodeConfigCheck) -> Result<u8, CliError> {
    if let Some(config) = load(&args.node) {
        write(&config);
        return Ok(0);
    }
    Ok(status::CONFIG)
}

/// The config of this command line, or nothing if it has errors; all of them, and warnings, are
/// printed.
pub(super) fn load(args: &NodeArgs) -> Option<Config> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = locate(args.config.as_deref(), home.as_deref());
    if args.verbose {
        match &file {
            Some(file) => complain(format_args!("note: the config is {}", file.display())),
            None => complain("note: there is no config, only defaults"),
        }
    }
    let facts = Facts::probe(file.as_deref());
    let text = file.as_deref().map(|file| (file, content(file)));
    let text = text.as_ref().map(|(file, text)| (*file, text.as_deref().map_err(Clone::clone)));
    let Reading { config, problems } = read(text, &args.flags(), &facts);
    for problem in problems {
        complain(plain(&problem.to_string()));
        if let Some(hint) = problem.hint {
            complain(format_args!("  hint: {}", plain(&hint)));
        }
    }
    config
}

fn content(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("line {line} is not UTF-8")
    })
}
