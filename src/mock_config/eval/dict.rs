//! The methods of dictionaries.

use super::Machine;
use super::call::Call;
use super::heap::{Id, Item, ViewKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::{Key, OrderedMap};
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn dict_method(&mut self, id: Id, call: &Call) -> Outcome<Option<Item>> {
        if matches!(call.name.as_str(), "setdefault" | "update" | "pop" | "popitem" | "clear") {
            self.may_change(id, call.span)?;
        }
        Ok(Some(match call.name.as_str() {
            "get" => {
                let (key, default) = self.key_and_default(id, call)?;
                let found = self.heap.dict(id).and_then(|map| map.get(&key));
                found.map(|cell| cell.item.clone()).or(default).unwrap_or(Item::None)
            }
            "setdefault" => {
                let (key, default) = self.key_and_default(id, call)?;
                if let Some(cell) = self.heap.dict(id).and_then(|map| map.get(&key)) {
                    return Ok(Some(cell.item.clone()));
                }
                let default = default.unwrap_or(Item::None);
                self.heap.insert(id, key, default.clone(), call.last)?;
                default
            }
            "update" => {
                if call.items.len() > 1 {
                    call.exactly::<1>()?;
                }
                if let Some(from) = call.items.first() {
                    self.update(id, from, call.first)?;
                }
                for (name, item, span) in &call.names {
                    let key = self.resolve_alias(id, Key::from(name.as_str()));
                    self.heap.insert(id, key, item.clone(), *span)?;
                }
                Item::None
            }
            "keys" => self.view(ViewKind::Keys, id, call)?,
            "values" => self.view(ViewKind::Values, id, call)?,
            "items" => self.view(ViewKind::Items, id, call)?,
            "pop" => {
                let (key, default) = self.key_and_default(id, call)?;
                match (self.take_key(id, &key, call.span)?, default) {
                    (Some(item), _) | (None, Some(item)) => item,
                    (None, None) => return Err(self.no_key(id, &key, call.first)),
                }
            }
            "popitem" => {
                call.exactly::<0>()?;
                let last = self.heap.dict(id).and_then(|map| map.keys().last().cloned());
                let Some(key) = last else {
                    return Err(call.value("the dictionary is empty"));
                };
                let item = self.take_key(id, &key, call.span)?.unwrap_or(Item::None);
                self.heap.tuple(vec![key.into(), item], call.span)?
            }
            "clear" => {
                call.exactly::<0>()?;
                self.heap.replace_dict(id, OrderedMap::new());
                Item::None
            }
            "copy" => {
                call.exactly::<0>()?;
                let copy = self.heap.new_dict(call.span)?;
                self.update(copy, &Item::Dict(id), call.span)?;
                Item::Dict(copy)
            }
            _ => return Ok(None),
        }))
    }

    fn view(&self, kind: ViewKind, id: Id, call: &Call) -> Outcome<Item> {
        call.exactly::<0>()?;
        Ok(Item::View(kind, id))
    }

    fn key_and_default(&self, id: Id, call: &Call) -> Outcome<(Key, Option<Item>)> {
        let [key, default] = call.bind(["/", "/"], 1)?;
        let key = self.heap.key(&key.unwrap_or(Item::None), call.first)?;
        Ok((self.resolve_alias(id, key), default))
    }

    /// Takes over the keys of another dictionary, each with the place where it was written, or
    /// pairs of keys and values.
    pub(super) fn update(&mut self, id: Id, from: &Item, span: Span) -> Outcome<()> {
        if let Item::Dict(from) = from {
            let cells = self.heap.dict(*from).cloned().unwrap_or_default();
            self.heap.budget.work(cells.len(), span)?;
            for (key, cell) in cells.iter() {
                let key = self.resolve_alias(id, key.clone());
                let span = cell.span.unwrap_or(span);
                self.heap.insert(id, key, cell.item.clone(), span)?;
            }
            return Ok(());
        }
        if matches!(from, Item::None | Item::Bool(_) | Item::Int(_) | Item::Float(_)) {
            let message = format!("a dictionary is needed here, not {}", from.type_name());
            return Err(Fault::new(ErrorKind::Type, span, message));
        }
        for pair in self.iterate(from, span)? {
            let parts = self.iterate(&pair, span)?;
            let [key, value] = parts.as_slice() else {
                let message =
                    format!("a pair of key and value is needed here, not {} items", parts.len());
                return Err(Fault::new(ErrorKind::Value, span, message));
            };
            let key = self.resolve_alias(id, self.heap.key(key, span)?);
            self.heap.insert(id, key, value.clone(), span)?;
        }
        Ok(())
    }
}
