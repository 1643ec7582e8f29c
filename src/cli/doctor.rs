//! `albs-node doctor`.

use super::args::Doctor;
use super::error::CliError;
use super::output::print;
use super::setup::default_place;
use crate::doctor::{Facts, State, examine};
use crate::verdict::status;

pub(super) fn run(args: &Doctor) -> Result<u8, CliError> {
    let checks = examine(&Facts::probe(&default_place(&args.store)));
    if args.json {
        let text = serde_json::to_string_pretty(&checks)
            .map_err(|error| CliError::new(status::GENERIC, error, None))?;
        print(text);
    } else {
        for check in &checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Limited => "limited",
                State::Missing => "MISSING",
            };
            print(format_args!("{state:<8} {:<16} {}", check.name, check.found));
            let more = [("without", &check.without), ("fix", &check.fix)];
            for (what, text) in more {
                if let Some(text) = text {
                    print(format_args!("{:<25} {what}: {text}", ""));
                }
            }
        }
    }
    let can_build = checks.iter().all(|check| check.state != State::Missing);
    Ok(if can_build { 0 } else { status::GENERIC })
}
