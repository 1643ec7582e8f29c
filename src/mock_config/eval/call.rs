//! The few things that can be called.

use std::collections::BTreeSet;

use super::Machine;
use super::heap::{Id, Item};
use crate::mock_config::ast::{Expr, ExprKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::Key;
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn call(
        &mut self,
        callee: &Expr,
        args: &[Expr],
        named: &[(String, Expr)],
        span: Span,
    ) -> Outcome<Item> {
        match &callee.kind {
            ExprKind::Attribute { base, name } => {
                let base_item = self.eval(base)?;
                let items = self.all(args)?;
                let mut names = Vec::new();
                for (name, value) in named {
                    names.push((name.clone(), self.eval(value)?, value.span));
                }
                let call = Call { name, items, names, args, span };
                self.method(&base_item, call)
            }
            ExprKind::Name(name) if name == "set" && args.is_empty() && named.is_empty() => {
                self.heap.new_set(BTreeSet::new(), span)
            }
            ExprKind::Name(name) if name != "include" => {
                let message = format!("the function `{name}` is not supported in configs");
                Err(Fault::new(ErrorKind::Unsupported, callee.span, message)
                    .hint("write the result itself; there is include() and the methods of values"))
            }
            _ => {
                self.eval(callee)?;
                let message = "only methods can be called";
                Err(Fault::new(ErrorKind::Type, callee.span, message))
            }
        }
    }

    fn method(&mut self, base: &Item, call: Call<'_>) -> Outcome<Item> {
        match (base, call.name) {
            (Item::Str(pattern), "format") => {
                let named: Vec<(&str, &Item)> =
                    call.names.iter().map(|(name, item, _)| (name.as_str(), item)).collect();
                let text = self.format(pattern, &call.items, &named, call.span)?;
                self.heap.string(&text, call.span)
            }
            (Item::List(id), "append") => {
                let [item] = call.exactly()?;
                self.heap.push(*id, item, call.args[0].span)?;
                Ok(Item::None)
            }
            (Item::List(id), "extend") => {
                let [item] = call.exactly()?;
                self.extend(*id, &item, call.args[0].span)?;
                Ok(Item::None)
            }
            (Item::Dict(id), "update") => self.update(*id, call),
            (Item::Dict(id), "setdefault") => {
                let (key, default, span) = self.key_and_default(*id, &call)?;
                if let Some(cell) = self.heap.dict(*id).and_then(|map| map.get(&key)) {
                    return Ok(cell.item.clone());
                }
                self.heap.insert(*id, key, default.clone(), span)?;
                Ok(default)
            }
            (Item::Dict(id), "get") => {
                let (key, default, _) = self.key_and_default(*id, &call)?;
                let found = self.heap.dict(*id).and_then(|map| map.get(&key));
                Ok(found.map_or(default, |cell| cell.item.clone()))
            }
            _ => Err(no_method(base, call.name, call.span)),
        }
    }

    fn key_and_default(&self, id: Id, call: &Call<'_>) -> Outcome<(Key, Item, Span)> {
        let (key, default, span) = match call.items.as_slice() {
            [key] => (key, Item::None, call.args[0].span),
            [key, default] => (key, default.clone(), call.args[1].span),
            _ => return Err(call.wrong_count("one or two arguments")),
        };
        call.no_names()?;
        let key = self.heap.key(key, call.args[0].span)?;
        Ok((self.resolve_alias(id, key), default, span))
    }

    /// Takes over the keys of another dictionary, each with the place where it was written.
    fn update(&mut self, id: Id, call: Call<'_>) -> Outcome<Item> {
        match call.items.as_slice() {
            [] => {}
            [Item::Dict(from)] => {
                let cells = self.heap.dict(*from).cloned().unwrap_or_default();
                self.heap.budget.work(cells.len(), call.span)?;
                for (key, cell) in cells.iter() {
                    let key = self.resolve_alias(id, key.clone());
                    let span = cell.span.unwrap_or(call.span);
                    self.heap.insert(id, key, cell.item.clone(), span)?;
                }
            }
            [other] => {
                let message = format!("update() needs a dictionary, not {}", other.type_name());
                return Err(Fault::new(ErrorKind::Type, call.args[0].span, message));
            }
            _ => return Err(call.wrong_count("one argument")),
        }
        for (name, item, span) in call.names {
            let key = self.resolve_alias(id, Key::from(name));
            self.heap.insert(id, key, item, span)?;
        }
        Ok(Item::None)
    }
}

/// A call of a method, arguments evaluated.
struct Call<'a> {
    name: &'a str,
    items: Vec<Item>,
    names: Vec<(String, Item, Span)>,
    args: &'a [Expr],
    span: Span,
}

impl Call<'_> {
    fn exactly<const N: usize>(&self) -> Outcome<[Item; N]> {
        self.no_names()?;
        let many = if N == 1 { "one argument".to_owned() } else { format!("{N} arguments") };
        <[Item; N]>::try_from(self.items.clone()).map_err(|_| self.wrong_count(&many))
    }

    fn no_names(&self) -> Outcome<()> {
        match self.names.first() {
            Some((name, _, span)) => {
                let message = format!("{}() takes no argument called `{name}`", self.name);
                Err(Fault::new(ErrorKind::Type, *span, message))
            }
            None => Ok(()),
        }
    }

    fn wrong_count(&self, wanted: &str) -> Fault {
        let message = format!("{}() takes {wanted}, not {}", self.name, self.items.len());
        Fault::new(ErrorKind::Type, self.span, message)
            .hint("several items are added with .extend([…]), several keys with .update({…})")
    }
}

fn no_method(base: &Item, name: &str, span: Span) -> Fault {
    let there = match base {
        Item::Str(_) => "a string has .format()",
        Item::List(_) => "a list has .append() and .extend()",
        Item::Dict(_) => "a dictionary has .update(), .setdefault() and .get()",
        _ => "strings, lists and dictionaries have methods",
    };
    let message = format!("{} has no method `{name}` here", base.type_name());
    Fault::new(ErrorKind::Unsupported, span, message).hint(there)
}
