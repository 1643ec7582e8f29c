//! `config check`: what is wrong with configs, for people and for hooks of repositories.

use super::{named, this_host};
use crate::cli::args::ConfigCheck;
use crate::cli::error::CliError;
use crate::cli::output::print;
use crate::mock_config::{Finding, HostView, Severity, check, load, render_snippet};
use crate::run::plain;
use crate::verdict::status;

pub(super) fn run(args: &ConfigCheck) -> Result<u8, CliError> {
    let host = this_host()?;
    let (mut errors, mut warnings) = (0, 0);
    for name in &args.configs {
        for finding in findings(name, args, &host) {
            match finding.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            show(name, &finding);
        }
    }
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let configs = count(args.configs.len(), "config");
    print(format_args!("{configs}: {}, {}", count(errors, "error"), count(warnings, "warning")));
    let bad = errors > 0 || (args.strict && warnings > 0);
    Ok(if bad { status::CONFIG } else { 0 })
}

fn findings(name: &str, args: &ConfigCheck, host: &HostView) -> Vec<Finding> {
    match load(&named(name, args.configdir.clone(), host.clone())) {
        Ok(config) => check(&config),
        Err(error) => vec![Finding::from(&error)],
    }
}

fn show(name: &str, finding: &Finding) {
    let word = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match &finding.location {
        Some(location) => location.to_string(),
        None => name.to_owned(),
    };
    print(format_args!("{}: {word}: {}", plain(&place), plain(&finding.message)));
    if let Some(location) = &finding.location {
        for line in render_snippet(location).lines().skip(1) {
            print(format_args!("  {}", plain(line)));
        }
    }
    if let Some(hint) = &finding.hint {
        print(format_args!("  hint: {}", plain(hint)));
    }
}
