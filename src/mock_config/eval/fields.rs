//! Values put into text: `str()`, `repr()`, f-strings, and the method `format`.

use super::Machine;
use super::call::Call;
use super::freeze::Freezer;
use super::heap::Item;
use super::percent::bad_pattern;
use crate::mock_config::ast::Piece;
use crate::mock_config::error::Outcome;
use crate::mock_config::source::Span;

/// Where the values of a pattern's fields come from.
struct Values<'a> {
    items: &'a [Item],
    names: Vec<(&'a str, Item)>,
    /// How many fields without a name there have been.
    next: usize,
    /// Whether a field had a number: both kinds cannot be mixed.
    numbered: bool,
}

impl Machine<'_> {
    /// `str()` of a value.
    pub(super) fn text(&mut self, item: &Item, span: Span) -> Outcome<String> {
        match item {
            Item::Str(text) => Ok(text.to_string()),
            _ => self.literal(item, span),
        }
    }

    /// `repr()` of a value.
    pub(super) fn literal(&mut self, item: &Item, span: Span) -> Outcome<String> {
        let item = match item {
            Item::Uname => &Item::Tuple(self.uname_parts().into()),
            item => item,
        };
        let text = Freezer::new(&self.heap, span).freeze(item)?.to_string();
        // Every part of the value was looked at, which costs more than copying text.
        self.heap.budget.work(text.len().saturating_mul(16), span)?;
        Ok(text)
    }

    /// An f-string.
    pub(super) fn pieces(&mut self, pieces: &[Piece], span: Span) -> Outcome<String> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field { value, conversion, spec } => {
                    let item = self.eval(value)?;
                    let item = self.converted(item, *conversion, value.span)?;
                    let spec = self.pieces(spec, value.span)?;
                    out.push_str(&self.formatted(&item, &spec, value.span)?);
                }
            }
            self.heap.budget.work(out.len() / 8, span)?;
        }
        Ok(out)
    }

    fn converted(&mut self, item: Item, code: Option<char>, span: Span) -> Outcome<Item> {
        let text = match code {
            None => return Ok(item),
            Some('s') => self.text(&item, span)?,
            Some('r') => self.literal(&item, span)?,
            Some(_) => ascii(&self.literal(&item, span)?),
        };
        self.heap.string(&text, span)
    }

    /// `pattern.format(…)`.
    pub(super) fn format(&mut self, pattern: &str, call: &Call) -> Outcome<String> {
        let names = call.names.iter().map(|(name, item, _)| (name.as_str(), item.clone()));
        let mut values =
            Values { items: &call.items, names: names.collect(), next: 0, numbered: false };
        self.fill(pattern, &mut values, call.span)
    }

    /// `pattern.format_map(dictionary)`.
    pub(super) fn format_map(&mut self, pattern: &str, map: &Item, call: &Call) -> Outcome<String> {
        let Item::Dict(id) = map else { return Err(call.wrong_type("a dictionary", map)) };
        let map = self.heap.dict(*id).cloned().unwrap_or_default();
        self.heap.budget.work(map.len(), call.span)?;
        let names = map.iter().filter_map(|(key, cell)| Some((key.as_str()?, cell.item.clone())));
        let mut values = Values { items: &[], names: names.collect(), next: 0, numbered: false };
        self.fill(pattern, &mut values, call.span)
    }

    fn fill(&mut self, pattern: &str, values: &mut Values<'_>, span: Span) -> Outcome<String> {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if rest.starts_with(brace) {
                out.push_str(brace);
                rest = &rest[1..];
                continue;
            }
            if brace == "}" {
                return Err(bad_pattern("a brace has no partner", span));
            }
            let Some((field, after)) = split_field(rest) else {
                return Err(bad_pattern("a brace has no partner", span));
            };
            rest = after;
            let text = self.field(field, values, span)?;
            self.heap.budget.spend(text.len(), span)?;
            out.push_str(&text);
        }
        out.push_str(rest);
        self.heap.budget.work(out.len(), span)?;
        Ok(out)
    }

    /// `name.part[key]!r:spec`.
    fn field(&mut self, field: &str, values: &mut Values<'_>, span: Span) -> Outcome<String> {
        let end = name_end(field);
        let (name, rest) = field.split_at(end);
        let (code, spec) = match rest.strip_prefix('!') {
            None => (None, rest.strip_prefix(':').unwrap_or("")),
            Some(rest) => {
                let mut symbols = rest.chars();
                let code = symbols.next().filter(|code| matches!(code, 'r' | 's' | 'a'));
                let spec = match symbols.as_str() {
                    "" => Some(""),
                    spec => spec.strip_prefix(':'),
                };
                match (code, spec) {
                    (Some(code), Some(spec)) => (Some(code), spec),
                    _ => return Err(bad_pattern("`!` is followed by r, s or a", span)),
                }
            }
        };
        let item = self.field_value(name, values, span)?;
        let item = self.converted(item, code, span)?;
        let spec = self.fill_spec(spec, values, span)?;
        self.formatted(&item, &spec, span)
    }

    fn fill_spec(&mut self, spec: &str, values: &mut Values<'_>, span: Span) -> Outcome<String> {
        if !spec.contains(['{', '}']) {
            return Ok(spec.to_owned());
        }
        let mut out = String::new();
        let mut rest = spec;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((field, after)) =
                after.split_once('}').filter(|(field, _)| !field.contains('{'))
            else {
                return Err(bad_pattern("fields are nested too deep in the pattern", span));
            };
            out.push_str(before);
            out.push_str(&self.field(field, values, span)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field_value(&mut self, path: &str, values: &mut Values<'_>, span: Span) -> Outcome<Item> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at(end);
        let found = if name.is_empty() {
            if values.numbered {
                return Err(bad_pattern("`{}` and `{0}` cannot be mixed", span));
            }
            values.next += 1;
            values.items.get(values.next - 1).cloned()
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            if values.next > 0 {
                return Err(bad_pattern("`{}` and `{0}` cannot be mixed", span));
            }
            values.numbered = true;
            name.parse().ok().and_then(|at: usize| values.items.get(at).cloned())
        } else {
            let found = values.names.iter().find(|(known, _)| *known == name);
            found.map(|(_, item)| item.clone())
        };
        let Some(mut item) = found else {
            return Err(bad_pattern(&format!("there is no value for `{{{path}}}`"), span));
        };
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let Some((index, after)) = inner.split_once(']') else {
                    return Err(bad_pattern("`[` is never closed in the pattern", span));
                };
                let index = match index.parse::<i64>() {
                    Ok(number) if !index.starts_with(['+', '-']) => Item::Int(number),
                    _ => Item::Str(index.into()),
                };
                item = self.get_item(&item, &index, span)?;
                rest = after;
                continue;
            }
            let inner = rest.strip_prefix('.').unwrap_or(rest);
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (name, after) = inner.split_at(end);
            item = match self.attribute(&item, name, span)? {
                Some(item) => item,
                None => {
                    let message = format!("the value of `{{{path}}}` has no part `{name}`");
                    return Err(bad_pattern(&message, span));
                }
            };
            rest = after;
        }
        Ok(item)
    }
}

/// Where the name in a field ends; in brackets, any sign may stand.
fn name_end(field: &str) -> usize {
    let mut inside = false;
    for (at, symbol) in field.char_indices() {
        match symbol {
            '[' => inside = true,
            ']' => inside = false,
            '!' | ':' if !inside => return at,
            _ => {}
        }
    }
    field.len()
}

/// A field without its braces, and what follows it.
fn split_field(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, symbol) in text.char_indices() {
        match symbol {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `ascii()` of a text that is a literal already.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::new();
    for symbol in text.chars() {
        match u32::from(symbol) {
            ..=0x7f => out.push(symbol),
            code @ ..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ ..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}
