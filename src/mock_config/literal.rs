//! Writing a value as the Python literal that reads back as the same value.

use std::fmt::{self, Display, Formatter, Write};

use super::value::Value;

impl Display for Value {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => out.write_str("None"),
            Value::Bool(true) => out.write_str("True"),
            Value::Bool(false) => out.write_str("False"),
            Value::Int(number) => write!(out, "{number}"),
            Value::Float(number) => out.write_str(&float(*number)),
            Value::Str(text) => string(out, text),
            Value::List(items) => sequence(out, "[", items, "]"),
            Value::Tuple(items) if items.len() == 1 => sequence(out, "(", items, ",)"),
            Value::Tuple(items) => sequence(out, "(", items, ")"),
            Value::Dict(map) => {
                out.write_str("{")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(out, "{comma}{}: {value}", Value::from(key.clone()))?;
                }
                out.write_str("}")
            }
            Value::Set(members) if members.is_empty() => out.write_str("set()"),
            Value::Set(members) => {
                let items: Vec<Value> = members.iter().cloned().map(Value::from).collect();
                sequence(out, "{", &items, "}")
            }
        }
    }
}

fn sequence(out: &mut Formatter<'_>, open: &str, items: &[Value], close: &str) -> fmt::Result {
    out.write_str(open)?;
    for (at, item) in items.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(out, "{comma}{item}")?;
    }
    out.write_str(close)
}

/// Python's `str()` of a float: an exponent only far away from 1, and always a sign of being one.
pub(super) fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{number:?}")
}

fn string(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for symbol in text.chars() {
        match symbol {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if symbol == quote => write!(out, "\\{symbol}")?,
            _ if is_printable(symbol) => out.write_char(symbol)?,
            _ => match u32::from(symbol) {
                code @ ..=0xff => write!(out, "\\x{code:02x}")?,
                code @ ..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char(quote)
}

/// Python and Rust leave the same characters as they are, except that Rust escapes combining ones
/// that begin a string.
pub(super) fn is_printable(symbol: char) -> bool {
    let text: String = ['a', symbol].into_iter().collect();
    !symbol.is_control() && !text.escape_debug().to_string().contains("\\u{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_python_s() {
        let seen: Vec<_> = [1.0, 0.1, 1e16, 1.5e-7, -2e300].into_iter().map(float).collect();
        assert_eq!(seen, ["1.0", "0.1", "1e+16", "1.5e-07", "-2e+300"]);
    }

    #[test]
    fn strings_choose_the_quote_that_needs_no_escape() {
        assert_eq!(Value::from("it's").to_string(), "\"it's\"");
        assert_eq!(Value::from("a\n\u{1}'\"").to_string(), "'a\\n\\x01\\'\"'");
    }
}
