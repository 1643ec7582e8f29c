//! `key=value` from the command line.

use super::error::{ConfigError, ErrorKind};
use super::map::{Key, OrderedMap};
use super::source::{Origin, SourceMap, Span};
use super::value::Value;

/// What overrides set, each with the place that says so.
pub(super) fn read(
    overrides: &[(String, String)],
    map: &mut SourceMap,
) -> Result<OrderedMap<(Value, Span)>, ConfigError> {
    let mut out: OrderedMap<(Value, Span)> = OrderedMap::new();
    for (name, text) in overrides {
        let shown = format!("{name}={text}");
        let (_, base) = map.add_file(Origin::CommandLine, &shown);
        let span = Span::new(base, base + shown.len() as u32);
        if name.trim().is_empty() {
            return Err(ConfigError::new(ErrorKind::Override, "an override needs a name")
                .with_location(map.locate(span))
                .with_hint("overrides are written as option=value"));
        }
        let key = Key::from(name.as_str());
        let value = match out.get(&key) {
            None => typed(text),
            Some((Value::List(items), _)) => {
                Value::List(items.iter().cloned().chain([typed(text)]).collect())
            }
            // mock's way to ask for a list of one: the same name again, with nothing.
            Some((first, _)) if text.is_empty() => Value::List(vec![first.clone()]),
            Some((first, _)) => Value::List(vec![first.clone(), typed(text)]),
        };
        out.insert(key, (value, span));
    }
    Ok(out)
}

/// Words for booleans and None, and whole numbers, are those; the rest is text.
fn typed(text: &str) -> Value {
    match text {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        "none" | "None" => Value::None,
        _ => text.trim().parse().map_or_else(|_| Value::from(text), Value::Int),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pairs: &[(&str, &str)]) -> Vec<String> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let out = read(&pairs, &mut SourceMap::default()).unwrap();
        out.iter().map(|(key, (value, _))| format!("{}={value}", key.to_text())).collect()
    }

    #[test]
    fn words_have_types_and_repetition_makes_a_list() {
        let pairs =
            [("a", "True"), ("b", "-7"), ("c", "none"), ("d", "x=y"), ("e", "1"), ("e", "z")];
        assert_eq!(seen(&pairs), ["a=True", "b=-7", "c=None", "d='x=y'", "e=[1, 'z']"]);
        assert_eq!(seen(&[("a", "x"), ("a", "")]), ["a=['x']"]);
    }
}
