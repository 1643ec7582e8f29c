//! What mock's options are before any config, and the other names that some of them have.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::value::Value;

const DATA: &str = include_str!("../../policies/mock/defaults.json");

/// The table of defaults.
#[derive(Debug)]
pub(super) struct Defaults {
    pub options: Value,
    /// Other name to real name.
    pub aliases: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    options: serde_json::Value,
    /// JSON pointers to what is a tuple in `options`.
    tuples: Vec<String>,
    aliases: BTreeMap<String, String>,
}

/// The defaults, read once.
pub(super) fn defaults() -> &'static Defaults {
    static DEFAULTS: LazyLock<Defaults> =
        LazyLock::new(|| read(DATA).expect("a test reads the compiled-in defaults"));
    &DEFAULTS
}

/// What an option is before any config.
pub fn default_option(name: &str) -> Option<Value> {
    defaults().options.get(name).cloned()
}

fn read(data: &str) -> Option<Defaults> {
    let file: File = serde_json::from_str(data).ok()?;
    let options = with_tuples(&file.options, "", &file.tuples)?;
    Some(Defaults { options, aliases: file.aliases })
}

fn with_tuples(json: &serde_json::Value, pointer: &str, tuples: &[String]) -> Option<Value> {
    let below = |key: &str, json| with_tuples(json, &format!("{pointer}/{key}"), tuples);
    match json {
        serde_json::Value::Array(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(at, item)| below(&at.to_string(), item))
                .collect::<Option<_>>()?;
            let is_tuple = tuples.iter().any(|tuple| tuple == pointer);
            Some(if is_tuple { Value::Tuple(items) } else { Value::List(items) })
        }
        serde_json::Value::Object(map) => {
            let entries =
                map.iter().map(|(key, json)| Some((key.as_str().into(), below(key, json)?)));
            Some(Value::Dict(entries.collect::<Option<_>>()?))
        }
        other => Value::from_json(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_table_is_sound() {
        let defaults = read(DATA).unwrap();
        assert_eq!(defaults.options.get("target_arch"), Some(&Value::from("i386")));
        let Some(Value::List(trust)) = defaults.options.get("ssl_copied_ca_trust_dirs") else {
            panic!("no list");
        };
        assert!(matches!(trust[0], Value::Tuple(_)));
        for (alias, real) in &defaults.aliases {
            assert!(defaults.options.get(alias).is_none(), "{alias} is the alias of {real}");
        }
    }
}
