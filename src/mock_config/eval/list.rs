//! The methods of lists and tuples.

use super::Machine;
use super::call::Call;
use super::heap::{Cell, Id, Item};
use super::ops;
use crate::mock_config::error::Outcome;

impl Machine<'_> {
    pub(super) fn list_method(&mut self, id: Id, call: &Call) -> Outcome<Option<Item>> {
        let length = self.heap.list(id).len();
        self.heap.budget.work(length, call.span)?;
        Ok(Some(match call.name.as_str() {
            "append" => {
                let [item] = call.exactly()?;
                self.heap.push(id, item, call.first)?;
                Item::None
            }
            "extend" => {
                let [items] = call.exactly()?;
                self.extend(id, &items, call.first)?;
                Item::None
            }
            "insert" => {
                let [at, item] = call.exactly()?;
                let at = clamp(call.int(&at)?, length);
                self.heap.push(id, item, call.last)?;
                if let Some(cells) = self.heap.list_mut(id) {
                    cells[at..].rotate_right(1);
                }
                Item::None
            }
            "remove" => {
                let [item] = call.exactly()?;
                match self.find(&Item::List(id), &item, 0, length, call)? {
                    Some(at) => self.heap.list_mut(id).map(|cells| cells.remove(at)),
                    None => return Err(call.value("the list has no such item")),
                };
                Item::None
            }
            "pop" => {
                let [at] = call.bind(["/"], 0)?;
                if length == 0 {
                    return Err(call.value("the list is empty"));
                }
                let at = ops::position(&at.unwrap_or(Item::Int(-1)), length, call.first)?;
                let cell = self.heap.list_mut(id).map(|cells| cells.remove(at));
                cell.map_or(Item::None, |cell| cell.item)
            }
            "clear" => {
                call.exactly::<0>()?;
                if let Some(cells) = self.heap.list_mut(id) {
                    cells.clear();
                }
                Item::None
            }
            "reverse" => {
                call.exactly::<0>()?;
                if let Some(cells) = self.heap.list_mut(id) {
                    cells.reverse();
                }
                Item::None
            }
            "copy" => {
                call.exactly::<0>()?;
                let items = self.iterate(&Item::List(id), call.span)?;
                self.heap.new_list(items, call.span)?
            }
            "sort" => {
                let [none, key, reverse] = call.bind(["/", "key", "reverse"], 0)?;
                if let Some(item) = none {
                    return Err(call.wrong_type("its arguments by name", &item));
                }
                let items = self.iterate(&Item::List(id), call.span)?;
                let sorted = self.sort(items, key, reverse, call)?;
                // Where each item came from is not followed through the sorting.
                let span = Some(call.span);
                if let Some(cells) = self.heap.list_mut(id) {
                    *cells = sorted.into_iter().map(|item| Cell { item, span }).collect();
                }
                Item::None
            }
            "index" | "count" => return self.search(&Item::List(id), call).map(Some),
            _ => return Ok(None),
        }))
    }

    pub(super) fn tuple_method(
        &mut self,
        items: &std::rc::Rc<[Item]>,
        call: &Call,
    ) -> Outcome<Option<Item>> {
        match call.name.as_str() {
            "index" | "count" => self.search(&Item::Tuple(items.clone()), call).map(Some),
            _ => Ok(None),
        }
    }

    /// `index` and `count`.
    fn search(&mut self, items: &Item, call: &Call) -> Outcome<Item> {
        let length = self.length(items);
        if call.name == "index" {
            let [item, from, to] = call.bind(["/"; 3], 1)?;
            let from = from.map_or(Ok(0), |from| call.int(&from))?;
            let to = to.map_or(Ok(i64::MAX), |to| call.int(&to))?;
            let (from, to) = (clamp(from, length), clamp(to, length));
            let found = self.find(items, &item.unwrap_or(Item::None), from, to, call)?;
            return match found {
                Some(at) => Ok(Item::Int(at as i64)),
                None => Err(call.value("there is no such item")),
            };
        }
        let [wanted] = call.exactly()?;
        let mut count = 0;
        for item in self.iterate(items, call.span)? {
            count += i64::from(self.equal(&item, &wanted, 0, call.span)?);
        }
        Ok(Item::Int(count))
    }

    fn find(
        &mut self,
        items: &Item,
        wanted: &Item,
        from: usize,
        to: usize,
        call: &Call,
    ) -> Outcome<Option<usize>> {
        let items = self.iterate(items, call.span)?;
        for (at, item) in items.iter().enumerate().take(to).skip(from) {
            if self.equal(item, wanted, 0, call.span)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Sorts as Python does: stable, and in reverse still stable.
    pub(super) fn sort(
        &mut self,
        items: Vec<Item>,
        key: Option<Item>,
        reverse: Option<Item>,
        call: &Call,
    ) -> Outcome<Vec<Item>> {
        let reverse = reverse.is_some_and(|flag| self.is_true(&flag));
        let mut keyed = Vec::with_capacity(items.len());
        for item in items {
            let by = self.by_key(key.as_ref(), &item, call)?;
            keyed.push((by, item));
        }
        if reverse {
            keyed.reverse();
        }
        let mut keyed = self.merge_sorted(keyed, call)?;
        if reverse {
            keyed.reverse();
        }
        Ok(keyed.into_iter().map(|(_, item)| item).collect())
    }

    /// Merge sort. The standard library's panics when an order contradicts itself, and that of a
    /// config's values can: numbers that are not exact, comparisons that fail.
    fn merge_sorted(
        &mut self,
        mut items: Vec<(Item, Item)>,
        call: &Call,
    ) -> Outcome<Vec<(Item, Item)>> {
        if items.len() < 2 {
            return Ok(items);
        }
        let right = items.split_off(items.len() / 2);
        let left = self.merge_sorted(items, call)?;
        let right = self.merge_sorted(right, call)?;
        let mut merged = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        while let (Some((one, _)), Some((other, _))) = (left.peek(), right.peek()) {
            let first = match self.order(other, one, 0, call.span)?.is_lt() {
                true => right.next(),
                false => left.next(),
            };
            merged.extend(first);
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
    }
}

/// A place between two items, where what is beyond the ends is at the ends.
pub(super) fn clamp(at: i64, length: usize) -> usize {
    let at = if at < 0 { at.saturating_add(length as i64) } else { at };
    usize::try_from(at).unwrap_or(0).min(length)
}
