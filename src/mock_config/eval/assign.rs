//! Setting and deleting variables and items.

use super::heap::{Id, Item};
use super::{Machine, ops};
use crate::mock_config::ast::{BinaryOp, Expr, Target};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::Key;
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn assign(&mut self, target: &Target, item: Item, from: Span) -> Outcome<()> {
        match target {
            Target::Name(name, span) if name == "config_opts" => {
                let message = "config_opts itself cannot be replaced";
                Err(Fault::new(ErrorKind::Unsupported, *span, message)
                    .hint("set single options, or use config_opts.update({…})"))
            }
            Target::Name(name, _) => {
                self.names.insert(name.clone(), item);
                Ok(())
            }
            Target::Item { base, index, span } => {
                let base_item = self.eval(base)?;
                let index_item = self.eval(index)?;
                self.set_item(&base_item, &index_item, index.span, item, *span, from)
            }
            Target::Unpack { targets, star, span } => {
                self.unpack(targets, *star, &item, *span, from)
            }
        }
    }

    fn unpack(
        &mut self,
        targets: &[Target],
        star: Option<usize>,
        item: &Item,
        span: Span,
        from: Span,
    ) -> Outcome<()> {
        let items = self.iterate(item, from)?;
        let wanted = targets.len() - usize::from(star.is_some());
        let fits = if star.is_some() { items.len() >= wanted } else { items.len() == wanted };
        if !fits {
            let least = if star.is_some() { "at least " } else { "" };
            let message = format!("there are {} values for {least}{wanted} names", items.len());
            return Err(Fault::new(ErrorKind::Value, span, message));
        }
        let mut rest = items.into_iter();
        for (at, target) in targets.iter().enumerate() {
            let item = if star == Some(at) {
                let many = rest.len() - (targets.len() - at - 1);
                let taken = rest.by_ref().take(many).collect();
                self.heap.new_list(taken, from)?
            } else {
                rest.next().unwrap_or(Item::None)
            };
            self.assign(target, item, from)?;
        }
        Ok(())
    }

    fn set_item(
        &mut self,
        base: &Item,
        index: &Item,
        index_span: Span,
        item: Item,
        span: Span,
        from: Span,
    ) -> Outcome<()> {
        match base {
            Item::Dict(id) => {
                self.may_change(*id, span)?;
                let key = self.heap.key(index, index_span)?;
                let key = self.resolve_alias(*id, key);
                self.heap.insert(*id, key, item, from)
            }
            Item::List(id) => {
                let length = self.heap.list(*id).len();
                let at = ops::position(index, length, index_span)?;
                self.heap.replace(*id, at, item, from);
                Ok(())
            }
            _ => {
                let message = format!("{} has no items that could be set", base.type_name());
                Err(Fault::new(ErrorKind::Type, span, message))
            }
        }
    }

    pub(super) fn delete(&mut self, target: &Target) -> Outcome<()> {
        match target {
            Target::Name(name, span) => {
                if self.names.remove(name).is_none() {
                    return Err(self.name(name, *span).err().unwrap_or_else(|| {
                        let message = format!("`{name}` cannot be deleted");
                        Fault::new(ErrorKind::Unsupported, *span, message)
                    }));
                }
                Ok(())
            }
            Target::Unpack { targets, .. } => {
                targets.iter().try_for_each(|target| self.delete(target))
            }
            Target::Item { base, index, span } => {
                let base_item = self.eval(base)?;
                let index_item = self.eval(index)?;
                match base_item {
                    Item::Dict(id) => {
                        self.may_change(id, *span)?;
                        let key = self.heap.key(&index_item, index.span)?;
                        let key = self.resolve_alias(id, key);
                        self.take_key(id, &key, *span)?
                            .map(drop)
                            .ok_or_else(|| self.no_key(id, &key, index.span))
                    }
                    Item::List(id) => {
                        let length = self.heap.list(id).len();
                        let at = ops::position(&index_item, length, index.span)?;
                        self.heap.budget.work(length, *span)?;
                        if let Some(cells) = self.heap.list_mut(id) {
                            cells.remove(at);
                        }
                        Ok(())
                    }
                    _ => {
                        let kind = base_item.type_name();
                        let message = format!("{kind} has no items that could be deleted");
                        Err(Fault::new(ErrorKind::Type, *span, message))
                    }
                }
            }
        }
    }

    /// Takes a key out of a dictionary.
    pub(super) fn take_key(&mut self, id: Id, key: &Key, span: Span) -> Outcome<Option<Item>> {
        let length = self.heap.dict(id).map_or(0, |map| map.len());
        self.heap.budget.work(length, span)?;
        Ok(self.heap.dict_mut(id).and_then(|map| map.remove(key)).map(|cell| cell.item))
    }

    /// `target op= value`: a list grows in place, so all who share it see it.
    pub(super) fn augment(&mut self, target: &Target, op: BinaryOp, value: &Expr) -> Outcome<()> {
        // The parts of the target are evaluated once: each may be a call with an effect.
        let (place, old, span) = match target {
            Target::Name(name, span) => (None, self.name(name, *span)?, *span),
            Target::Item { base, index, span } => {
                let base_item = self.eval(base)?;
                let index_item = self.eval(index)?;
                let old = self.get_item(&base_item, &index_item, index.span)?;
                (Some((base_item, index_item, index.span)), old, *span)
            }
            Target::Unpack { span, .. } => {
                let message = "several names cannot be changed at once";
                return Err(Fault::new(ErrorKind::Syntax, *span, message));
            }
        };
        let right = self.eval(value)?;
        let whole = span.to(value.span);
        let new = match (op, &old) {
            (BinaryOp::Add, Item::List(id)) => {
                self.extend(*id, &right, value.span)?;
                old
            }
            (BinaryOp::Multiply, Item::List(id)) => {
                if let Item::List(new) = self.binary(op, &old, &right, whole)? {
                    self.heap.swap(*id, new);
                }
                old
            }
            (BinaryOp::BitOr, Item::Dict(id)) => {
                self.may_change(*id, span)?;
                self.update(*id, &right, value.span)?;
                old
            }
            (_, Item::Set(id)) => {
                if let Item::Set(new) = self.binary(op, &old, &right, whole)? {
                    self.heap.swap(*id, new);
                }
                old
            }
            _ => self.binary(op, &old, &right, whole)?,
        };
        match (place, target) {
            (Some((base, index, index_span)), _) => {
                self.set_item(&base, &index, index_span, new, span, value.span)
            }
            (None, target) => self.assign(target, new, value.span),
        }
    }

    /// The environment can be looked at only.
    pub(super) fn may_change(&self, id: Id, span: Span) -> Outcome<()> {
        if Some(id) != self.environment {
            return Ok(());
        }
        let message = "a config cannot change the environment of the program that reads it";
        Err(Fault::new(ErrorKind::Unsupported, span, message)
            .hint("variables for the build are set in config_opts['environment']"))
    }

    /// The real name of an option: aliases only exist at the top of `config_opts`.
    pub(super) fn resolve_alias(&self, id: Id, key: Key) -> Key {
        match key.as_str().and_then(|name| self.aliases.get(name)) {
            Some(real) if Some(id) == self.root => Key::from(real.as_str()),
            _ => key,
        }
    }
}

/// Every name that a target sets.
pub(super) fn names_of(target: &Target, out: &mut Vec<String>) {
    match target {
        Target::Name(name, _) => out.push(name.clone()),
        Target::Item { .. } => {}
        Target::Unpack { targets, .. } => {
            targets.iter().for_each(|target| names_of(target, out));
        }
    }
}
