//! `config diff`: what two configs do differently.

use similar::TextDiff;

use super::{named, this_host};
use crate::cli::args::ConfigDiff;
use crate::cli::error::CliError;
use crate::cli::output::write;
use crate::cli::setup::config_error;
use crate::mock_config::load;

/// Exit status when there are differences, as diff(1) has it.
const DIFFERENT: u8 = 1;

pub(super) fn run(args: &ConfigDiff) -> Result<u8, CliError> {
    let host = this_host()?;
    let text = |name: &str| {
        let config = load(&named(name, args.configdir.clone(), host.clone()))?;
        config.text(!args.raw)
    };
    let old = text(&args.old).map_err(config_error)?;
    let new = text(&args.new).map_err(config_error)?;
    if old == new {
        return Ok(0);
    }
    let diff = TextDiff::from_lines(&old, &new);
    write(diff.unified_diff().context_radius(1).header(&args.old, &args.new));
    Ok(DIFFERENT)
}
