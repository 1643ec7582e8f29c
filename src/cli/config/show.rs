//! `config show`: the options of a config, as text or JSON.

use super::{request, this_host};
use crate::cli::args::ConfigShow;
use crate::cli::error::CliError;
use crate::cli::output::{note, print, write};
use crate::cli::setup::config_error;
use crate::mock_config::{Value, load};
use crate::verdict::status;

pub(super) fn run(args: &ConfigShow) -> Result<u8, CliError> {
    let config = load(&request(&args.source, this_host()?)).map_err(config_error)?;
    config.notes.iter().for_each(note);
    if let Some(option) = &args.option {
        let value = if args.raw {
            config.raw_option(option)
        } else {
            config.get(option).map_err(config_error)?
        };
        let Some(value) = value else {
            let error = format!("the config '{}' has no option '{option}'", config.name);
            let hint = config.nearest_option(option).map(|near| format!("did you mean '{near}'?"));
            return Err(CliError::new(status::CONFIG, error, hint));
        };
        match (&value, args.json) {
            (_, true) => print(json(&value)?),
            // A text as it is, with its own line end or one.
            (Value::Str(text), false) if text.ends_with('\n') => write(text),
            (Value::Str(text), false) => print(text),
            (value, false) => print(value),
        }
        return Ok(0);
    }
    if args.json {
        let value =
            if args.raw { config.raw() } else { config.expanded().map_err(config_error)? };
        print(json(&value)?);
        return Ok(0);
    }
    print(format_args!("# What {} changes of the defaults.", config.origin));
    write(config.text(!args.raw).map_err(config_error)?);
    Ok(0)
}

fn json(value: &Value) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::new(status::GENERIC, error, None))
}
