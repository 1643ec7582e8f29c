//! `'…' % value` and `'…'.format(value)`, as far as configs use them.

use super::Machine;
use super::freeze::Freezer;
use super::heap::Item;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::Key;
use crate::mock_config::source::Span;

impl Machine<'_> {
    /// `str()` of a value.
    fn text(&self, item: &Item, span: Span) -> Outcome<String> {
        match item {
            Item::Str(text) => Ok(text.to_string()),
            _ => self.literal(item, span),
        }
    }

    /// `repr()` of a value.
    fn literal(&self, item: &Item, span: Span) -> Outcome<String> {
        Ok(Freezer::new(&self.heap, span).freeze(item)?.to_string())
    }

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
            let mut after = after;
            let mut value = None;
            if let Some(named) = after.strip_prefix('(') {
                let Some((name, tail)) = named.split_once(')') else {
                    return Err(bad_pattern("`%(` is never closed", span));
                };
                value = Some(self.named(right, name, span)?);
                by_name = true;
                after = tail;
            }
            let Some(code) = after.chars().next() else {
                return Err(bad_pattern("the pattern ends after `%`", span));
            };
            rest = &after[code.len_utf8()..];
            if code == '%' {
                out.push('%');
                continue;
            }
            let value = match value.or_else(|| unused.pop()) {
                Some(value) => value,
                None => return Err(bad_pattern("the pattern needs more values", span)),
            };
            let text = match (code, &value) {
                ('s', _) => self.text(&value, span)?,
                ('r', _) => self.literal(&value, span)?,
                ('d' | 'i', Item::Int(number)) => number.to_string(),
                ('d' | 'i', Item::Bool(flag)) => i64::from(*flag).to_string(),
                ('d' | 'i', _) => {
                    let message = format!("`%{code}` needs an integer, not {}", value.type_name());
                    return Err(Fault::new(ErrorKind::Type, span, message));
                }
                _ => return Err(unsupported(&format!("`%{code}`"), span)),
            };
            self.heap.budget.spend(text.len(), span)?;
            out.push_str(&text);
        }
        out.push_str(rest);
        // What has items of its own may stay unused, as in Python.
        let has_items = matches!(right, Item::Dict(_) | Item::List(_));
        if !by_name && !has_items && !unused.is_empty() {
            return Err(bad_pattern("not all values were used by the pattern", span));
        }
        Ok(out)
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

    /// The method `format` of a string.
    pub(super) fn format(
        &mut self,
        pattern: &str,
        items: &[Item],
        named: &[(&str, &Item)],
        span: Span,
    ) -> Outcome<String> {
        let mut out = String::new();
        let mut next = 0;
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
            let Some((field, after)) = rest.split_once('}').filter(|_| brace == "{") else {
                return Err(bad_pattern("a brace has no partner", span));
            };
            rest = after;
            if field.contains([':', '!', '.', '[', '{']) {
                return Err(unsupported(&format!("`{{{field}}}`"), span));
            }
            let value = if field.is_empty() {
                next += 1;
                items.get(next - 1)
            } else if let Ok(at) = field.parse::<usize>() {
                items.get(at)
            } else {
                named.iter().find(|(name, _)| *name == field).map(|(_, item)| *item)
            };
            let Some(value) = value else {
                return Err(bad_pattern(&format!("there is no value for `{{{field}}}`"), span));
            };
            let text = self.text(value, span)?;
            self.heap.budget.spend(text.len(), span)?;
            out.push_str(&text);
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn bad_pattern(message: &str, span: Span) -> Fault {
    Fault::new(ErrorKind::Value, span, message)
        .hint("each %s or {} takes one value; a sign that is meant as text is written twice")
}

fn unsupported(what: &str, span: Span) -> Fault {
    Fault::new(ErrorKind::Unsupported, span, format!("{what} in a pattern is not supported"))
        .hint("there is %s, %r, %d, %(name)s, and {}, {0}, {name} without further signs")
}
