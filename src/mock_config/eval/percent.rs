//! `'…' % value`.
//!
//! Source: "printf-style String Formatting" in Python's library reference.

use super::Machine;
use super::fields::ascii;
use super::heap::Item;
use super::number::MAX_PRECISION;
use super::ops;
use super::spec::{self, Spec, too_wide};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::Key;
use crate::mock_config::source::Span;

/// What stands between `%` and the letter that ends it.
#[derive(Default)]
struct Flags {
    left: bool,
    zero: bool,
    alternate: bool,
    sign: Option<char>,
    width: usize,
    precision: Option<usize>,
}

impl Machine<'_> {
    /// The `%` operator on a string.
    pub(super) fn percent(&mut self, pattern: &str, right: &Item, span: Span) -> Outcome<String> {
        let mut unused: Vec<Item> = match right {
            Item::Tuple(items) => items.iter().rev().cloned().collect(),
            other => vec![other.clone()],
        };
        let mut by_name = false;
        let mut out = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            rest = after;
            let mut value = None;
            if let Some(named) = rest.strip_prefix('(') {
                let Some((name, tail)) = named.split_once(')') else {
                    return Err(bad_pattern("`%(` is never closed", span));
                };
                value = Some(self.named(right, name, span)?);
                by_name = true;
                rest = tail;
            }
            let flags = flags(&mut rest, &mut unused, span)?;
            let Some(code) = rest.chars().next() else {
                return Err(bad_pattern("the pattern ends after `%`", span));
            };
            rest = &rest[code.len_utf8()..];
            if code == '%' {
                out.push('%');
                continue;
            }
            let value = match value.or_else(|| unused.pop()) {
                Some(value) => value,
                None => return Err(bad_pattern("the pattern needs more values", span)),
            };
            let text = self.converted_by(code, &value, &flags, span)?;
            self.heap.budget.spend(text.len(), span)?;
            out.push_str(&text);
        }
        out.push_str(rest);
        self.heap.budget.work(out.len(), span)?;
        // What has items of its own may stay unused, as in Python.
        let has_items = matches!(right, Item::Dict(_) | Item::List(_));
        if !by_name && !has_items && !unused.is_empty() {
            return Err(bad_pattern("not all values were used by the pattern", span));
        }
        Ok(out)
    }

    fn converted_by(
        &mut self,
        code: char,
        value: &Item,
        flags: &Flags,
        span: Span,
    ) -> Outcome<String> {
        let numeric = |kind| Spec {
            fill: if flags.zero && !flags.left { '0' } else { ' ' },
            align: Some(match () {
                () if flags.left => '<',
                () if flags.zero => '=',
                () => '>',
            }),
            zero: false,
            sign: flags.sign.unwrap_or('-'),
            alternate: flags.alternate,
            width: flags.width,
            separator: None,
            precision: flags.precision,
            kind: Some(kind),
        };
        match code {
            's' | 'r' | 'a' | 'c' => {
                let text = match (code, value) {
                    ('s', _) => self.text(value, span)?,
                    ('r', _) => self.literal(value, span)?,
                    ('a', _) => ascii(&self.literal(value, span)?),
                    (_, Item::Str(text)) if text.chars().count() == 1 => text.to_string(),
                    _ => {
                        let code = ops::integer(value).and_then(|code| u32::try_from(code).ok());
                        match code.and_then(char::from_u32) {
                            Some(symbol) => symbol.to_string(),
                            None => return Err(needs("`%c` needs one character", value, span)),
                        }
                    }
                };
                let shown: String = match flags.precision {
                    Some(many) if code != 'c' => text.chars().take(many).collect(),
                    _ => text,
                };
                let spec = Spec { fill: ' ', ..numeric('s') };
                let align = Some(if flags.left { '<' } else { '>' });
                Ok(spec::pad(&shown, &Spec { align, ..spec }, '>'))
            }
            'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
                let number = match (value, code) {
                    (Item::Float(number), 'd' | 'i' | 'u') if number.abs() < 9.2e18 => {
                        Some(*number as i64)
                    }
                    _ => ops::integer(value),
                };
                let Some(number) = number else {
                    return Err(needs(&format!("`%{code}` needs an integer"), value, span));
                };
                let kind = if matches!(code, 'i' | 'u') { 'd' } else { code };
                let spec = Spec { precision: None, ..numeric(kind) };
                Ok(whole(number, &spec, flags.precision))
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let Some(number) = ops::number(value) else {
                    return Err(needs(&format!("`%{code}` needs a number"), value, span));
                };
                Ok(spec::float(number, &numeric(code)))
            }
            _ => {
                let message = format!("`%{code}` in a pattern is not known");
                Err(Fault::new(ErrorKind::Value, span, message)
                    .hint("there is %s, %r, %d, %x, %f and their like; a percent sign is %%"))
            }
        }
    }

    fn named(&self, right: &Item, name: &str, span: Span) -> Outcome<Item> {
        let Item::Dict(id) = right else {
            return Err(bad_pattern("`%(name)s` needs a dictionary", span));
        };
        let key = self.resolve_alias(*id, Key::from(name));
        let found = self.heap.dict(*id).and_then(|map| map.get(&key));
        found.map(|cell| cell.item.clone()).ok_or_else(|| {
            Fault::new(ErrorKind::Name, span, format!("the pattern's key '{name}' is not set"))
        })
    }
}

/// A whole number with at least `least` digits.
fn whole(number: i64, spec: &Spec, least: Option<usize>) -> String {
    let Some(least) = least else { return spec::integer(number, spec).unwrap_or_default() };
    // The zeros go between the sign or prefix and the digits.
    let prefix = match (spec.alternate, spec.kind) {
        (true, Some('o' | 'x' | 'X')) => 2,
        _ => 0,
    };
    let sign = usize::from(number < 0 || spec.sign != '-');
    let inner = Spec { fill: '0', align: Some('='), width: least + prefix + sign, ..spec.clone() };
    let digits = spec::integer(number, &inner).unwrap_or_default();
    if spec.align == Some('=') && spec.fill == '0' {
        let wide = Spec { width: inner.width.max(spec.width), ..inner };
        return spec::integer(number, &wide).unwrap_or_default();
    }
    spec::pad(&digits, spec, '>')
}

/// Reads flags, width and precision; `*` takes them from the values.
fn flags(rest: &mut &str, unused: &mut Vec<Item>, span: Span) -> Outcome<Flags> {
    let mut flags = Flags::default();
    while let Some(symbol) = rest.chars().next() {
        match symbol {
            '-' => flags.left = true,
            '0' => flags.zero = true,
            '#' => flags.alternate = true,
            '+' => flags.sign = Some('+'),
            ' ' => flags.sign = flags.sign.or(Some(' ')),
            _ => break,
        }
        *rest = &rest[1..];
    }
    let width = size(rest, unused, span)?.unwrap_or(0);
    flags.left |= width < 0;
    flags.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        let precision = size(rest, unused, span)?.unwrap_or(0);
        flags.precision = Some(usize::try_from(precision).unwrap_or(0));
    }
    // The length of C's types means nothing here.
    if let Some(after) = rest.strip_prefix(['h', 'l', 'L']) {
        *rest = after;
    }
    if flags.width > 10_000 || flags.precision.is_some_and(|many| many > MAX_PRECISION) {
        return Err(too_wide(span));
    }
    Ok(flags)
}

fn size(rest: &mut &str, unused: &mut Vec<Item>, span: Span) -> Outcome<Option<i64>> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        return match unused.pop().as_ref().and_then(ops::integer) {
            Some(number) => Ok(Some(number)),
            None => Err(bad_pattern("`*` in the pattern needs an integer", span)),
        };
    }
    let many = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(many);
    *rest = after;
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| too_wide(span))
}

fn needs(what: &str, value: &Item, span: Span) -> Fault {
    Fault::new(ErrorKind::Type, span, format!("{what}, not {}", value.type_name()))
}

pub(super) fn bad_pattern(message: &str, span: Span) -> Fault {
    Fault::new(ErrorKind::Value, span, message)
        .hint("each %s or {} takes one value; a sign that is meant as text is written twice")
}
