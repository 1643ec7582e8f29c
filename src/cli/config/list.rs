//! `config list`: every config by name, and whether this host can build it.

use serde::Serialize;

use super::{named, this_host};
use crate::buildroot::emulation;
use crate::cli::args::ConfigList;
use crate::cli::error::CliError;
use crate::cli::output::print;
use crate::mock_config::{HostView, Listed, LoadedConfig, MockOptions, list, load};
use crate::run::plain;
use crate::verdict::status;

/// A config as the list shows it.
#[derive(Serialize)]
struct Entry {
    name: String,
    description: String,
    file: String,
    end_of_life: bool,
    /// `yes`, `emulated`, or `no`.
    builds_here: &'static str,
    /// What it takes to build here, or why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) fn run(args: &ConfigList) -> Result<u8, CliError> {
    if let Some(directory) = args.configdir.as_ref().filter(|path| !path.is_dir()) {
        let message = format!("{} is not a directory of configs", directory.display());
        return Err(CliError::new(status::CONFIG, message, None));
    }
    let host = this_host()?;
    let request = named("", args.configdir.clone(), host.clone());
    let entries: Vec<Entry> =
        list(&request).into_iter().map(|listed| entry(listed, args, &host)).collect();
    if args.json {
        let text = serde_json::to_string_pretty(&entries)
            .map_err(|error| CliError::new(status::GENERIC, error, None))?;
        print(text);
        return Ok(0);
    }
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0).max(4);
    print(format_args!("{:width$}  {:8}  DESCRIPTION", "NAME", "HERE"));
    for entry in &entries {
        let mut about = plain(&entry.description);
        if entry.end_of_life {
            about += " (end of life)";
        }
        if let Some(reason) = &entry.reason {
            about += &format!(" ({})", plain(reason));
        }
        print(format_args!("{:width$}  {:8}  {}", entry.name, entry.builds_here, about.trim()));
    }
    Ok(0)
}

fn entry(listed: Listed, args: &ConfigList, host: &HostView) -> Entry {
    let request = named(&listed.name, args.configdir.clone(), host.clone());
    let loaded = load(&request).and_then(|config| {
        let options = config.options()?;
        Ok((config, options))
    });
    let (description, builds_here, reason) = match loaded {
        Err(error) => (String::new(), "no", Some(error.to_string())),
        Ok((config, options)) => {
            let (builds_here, reason) = here(&config, &options, host);
            (options.description.unwrap_or_default(), builds_here, reason)
        }
    };
    Entry {
        file: listed.origin.to_string(),
        name: listed.name,
        description,
        end_of_life: listed.end_of_life,
        builds_here,
        reason,
    }
}

/// Whether the host runs what the config builds.
fn here(
    config: &LoadedConfig,
    options: &MockOptions,
    host: &HostView,
) -> (&'static str, Option<String>) {
    let target = &options.target_arch;
    match config.check_host(host) {
        Ok(()) => ("yes", None),
        Err(_) if emulation::find(target).is_ok() => {
            ("emulated", Some(format!("with --forcearch {target}")))
        }
        Err(_) => ("no", Some(format!("for {}", options.legal_host_arches.join(", ")))),
    }
}
