//! Going through values.

use super::Machine;
use super::heap::{Id, Item, ViewKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::OrderedMap;
use crate::mock_config::source::Span;

/// A walk through a value, as `for` does it.
pub(super) enum Steps {
    /// A list, which may change on the way.
    List(Id, usize),
    Range {
        next: i64,
        stop: i64,
        step: i64,
    },
    /// What is gone through once keeps what is left.
    Iter(Id),
    Rest(std::vec::IntoIter<Item>),
    /// A dictionary must keep its keys on the way; the number says how many there were.
    Dict(Id, usize, std::vec::IntoIter<Item>),
}

impl Machine<'_> {
    pub(super) fn steps(&mut self, item: &Item, span: Span) -> Outcome<Steps> {
        Ok(match item {
            Item::List(id) => Steps::List(*id, 0),
            Item::Range(start, stop, step) => {
                Steps::Range { next: *start, stop: *stop, step: *step }
            }
            Item::Iter(id) => Steps::Iter(*id),
            Item::Dict(id) | Item::View(_, id) => {
                let length = self.heap.dict(*id).map_or(0, OrderedMap::len);
                Steps::Dict(*id, length, self.iterate(item, span)?.into_iter())
            }
            _ => Steps::Rest(self.iterate(item, span)?.into_iter()),
        })
    }

    pub(super) fn step(&mut self, steps: &mut Steps, span: Span) -> Outcome<Option<Item>> {
        Ok(match steps {
            Steps::List(id, at) => {
                *at += 1;
                self.heap.list(*id).get(*at - 1).map(|cell| cell.item.clone())
            }
            Steps::Range { next, stop, step } => {
                let inside = if *step > 0 { next < stop } else { next > stop };
                let item = inside.then_some(Item::Int(*next));
                // Past the largest number there is nothing that would be inside.
                *next = next.checked_add(*step).unwrap_or(*stop);
                item
            }
            Steps::Iter(id) => self.heap.next(*id),
            Steps::Rest(items) => items.next(),
            Steps::Dict(id, length, items) => {
                if self.heap.dict(*id).map_or(0, OrderedMap::len) != *length {
                    let message = "the dictionary gained or lost keys while it was gone through";
                    return Err(Fault::new(ErrorKind::Value, span, message)
                        .hint("go through a copy of its keys: list(…)"));
                }
                items.next()
            }
        })
    }

    /// Everything that a `for` over the item would see.
    pub(super) fn iterate(&mut self, item: &Item, span: Span) -> Outcome<Vec<Item>> {
        let length = self.length(item);
        self.heap.budget.work(length, span)?;
        self.heap.budget.spend(length.saturating_mul(16), span)?;
        Ok(match item {
            Item::Tuple(items) => items.to_vec(),
            Item::List(id) => self.heap.list(*id).iter().map(|cell| cell.item.clone()).collect(),
            Item::Str(text) => {
                self.heap.budget.spend(text.len() * 32, span)?;
                text.chars().map(|symbol| Item::Str(symbol.to_string().into())).collect()
            }
            Item::Dict(id) | Item::View(ViewKind::Keys, id) => {
                let keys = self.heap.dict(*id).into_iter().flat_map(OrderedMap::keys);
                keys.cloned().map(Item::from).collect()
            }
            Item::View(ViewKind::Values, id) => {
                let cells = self.heap.dict(*id).into_iter().flat_map(OrderedMap::iter);
                cells.map(|(_, cell)| cell.item.clone()).collect()
            }
            Item::View(ViewKind::Items, id) => {
                self.heap.budget.spend(length.saturating_mul(128), span)?;
                let cells = self.heap.dict(*id).into_iter().flat_map(OrderedMap::iter);
                let pair = |(key, cell): (&crate::mock_config::map::Key, &super::heap::Cell)| {
                    Item::Tuple([Item::from(key.clone()), cell.item.clone()].into())
                };
                cells.map(pair).collect()
            }
            Item::Set(id) => {
                self.heap.set(*id).into_iter().flatten().cloned().map(Item::from).collect()
            }
            Item::Iter(id) => {
                let mut items = Vec::new();
                while let Some(item) = self.heap.next(*id) {
                    self.heap.budget.step(span)?;
                    items.push(item);
                }
                items
            }
            Item::Range(..) => {
                let mut steps = self.steps(item, span)?;
                let mut items = Vec::new();
                while let Some(item) = self.step(&mut steps, span)? {
                    self.heap.budget.step(span)?;
                    items.push(item);
                }
                items
            }
            Item::Uname => self.uname_parts(),
            _ => {
                let message = format!("{} is not a sequence", item.type_name());
                return Err(Fault::new(ErrorKind::Type, span, message)
                    .hint("put a single item into a list: [item]"));
            }
        })
    }

    /// Adds everything in an item to a list.
    pub(super) fn extend(&mut self, id: Id, from: &Item, span: Span) -> Outcome<()> {
        for item in self.iterate(from, span)? {
            self.heap.push(id, item, span)?;
        }
        Ok(())
    }

    /// How many bytes or items there are.
    pub(super) fn length(&self, item: &Item) -> usize {
        match item {
            Item::Str(text) => text.len(),
            Item::Tuple(items) => items.len(),
            Item::List(id) => self.heap.list(*id).len(),
            Item::Dict(id) | Item::View(_, id) => self.heap.dict(*id).map_or(0, OrderedMap::len),
            Item::Set(id) => self.heap.set(*id).map_or(0, |keys| keys.len()),
            Item::Range(start, stop, step) => range_length(*start, *stop, *step),
            Item::Uname => 5,
            _ => 0,
        }
    }
}

/// How many numbers a range has.
pub(super) fn range_length(start: i64, stop: i64, step: i64) -> usize {
    let (start, stop, step) = (i128::from(start), i128::from(stop), i128::from(step));
    let way = if step > 0 { stop - start } else { start - stop };
    let steps = (way.max(0) + step.abs() - 1) / step.abs().max(1);
    usize::try_from(steps).unwrap_or(usize::MAX)
}
