//! Writing options as the config that sets them, for this loader and for mock's.

use std::fmt::Write;

use super::include::has_include_line;
use super::literal::is_printable;
use super::value::Value;

/// Longer lines are split over several.
const WIDTH: usize = 100;

/// The line, or lines, that set one option. `path` leads to it: the option itself, then keys of
/// the dictionaries below it.
pub fn assignment(path: &[&str], value: &Value) -> String {
    let place: String = path.iter().map(|key| format!("[{}]", Value::from(*key))).collect();
    format!("config_opts{place} = {}\n", literal(value))
}

/// The line that removes an option.
pub(super) fn deletion(name: &str) -> String {
    format!("del config_opts[{}]\n", Value::from(name))
}

/// The assignments that make an option out of its default. A dictionary is changed key by key, so
/// that one sees what is changed, unless a key of the default is gone.
///
/// `value` is what the option shall be, and `written` the same with its templates. What is not
/// the config's own is left out.
pub(super) fn changes<'a>(
    path: &mut Vec<&'a str>,
    value: &'a Value,
    written: &'a Value,
    default: Option<&Value>,
    is_own: &dyn Fn(&[&str]) -> bool,
    out: &mut String,
) {
    if default == Some(written) || !is_own(path) {
        return;
    }
    if let (Value::Dict(map), Value::Dict(written), Some(Value::Dict(default))) =
        (value, written, default)
        && map.keys().all(|key| key.as_str().is_some())
        && default.keys().all(|key| map.contains(key))
    {
        for (key, value) in map.iter() {
            let (Some(name), Some(written)) = (key.as_str(), written.get(key)) else { continue };
            path.push(name);
            changes(path, value, written, default.get(key), is_own, out);
            path.pop();
        }
        return;
    }
    out.push_str(&assignment(path, value));
}

fn literal(value: &Value) -> String {
    match value {
        Value::Str(text) => triple(text).unwrap_or_else(|| value.to_string()),
        Value::List(items) if value.to_string().len() > WIDTH => {
            let items: String = items.iter().map(|item| format!("    {item},\n")).collect();
            format!("[\n{items}]")
        }
        _ => value.to_string(),
    }
}

/// A text of several lines as one reads it. None when it is better on one line: it has no line
/// breaks, or a line that would be taken for an inclusion.
fn triple(text: &str) -> Option<String> {
    if !text.contains('\n') || has_include_line(text) {
        return None;
    }
    let mut out = String::from("\"\"\"");
    let mut symbols = text.chars().peekable();
    while let Some(symbol) = symbols.next() {
        match symbol {
            '\\' => out.push_str("\\\\"),
            // Quotes only matter in threes and before the end.
            '"' if matches!(symbols.peek(), None | Some('"')) => out.push_str("\\\""),
            '\n' | '\t' => out.push(symbol),
            _ if is_printable(symbol) => out.push(symbol),
            _ => {
                let _ = write!(out, "\\U{:08x}", u32::from(symbol));
            }
        }
    }
    out.push_str("\"\"\"");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines() {
        let text = Value::from("[main]\npath=a\\b \"\"\"x\"\n");
        let expected =
            "config_opts['dnf.conf'] = \"\"\"[main]\npath=a\\\\b \\\"\\\"\"x\"\n\"\"\"\n";
        assert_eq!(assignment(&["dnf.conf"], &text), expected);
        let text = Value::from("a\n include(1)\n");
        assert_eq!(
            assignment(&["a", "b"], &text),
            "config_opts['a']['b'] = 'a\\n include(1)\\n'\n"
        );
    }
}
