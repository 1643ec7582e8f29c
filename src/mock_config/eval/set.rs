//! The methods and operators of sets.

use std::collections::BTreeSet;

use super::Machine;
use super::call::Call;
use super::heap::{Id, Item};
use crate::mock_config::ast::BinaryOp;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::Key;
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn set_method(&mut self, id: Id, call: &Call) -> Outcome<Option<Item>> {
        let mut keys = self.heap.set(id).cloned().unwrap_or_default();
        self.heap.budget.work(keys.len(), call.span)?;
        let result = match call.name.as_str() {
            "add" => {
                let [item] = call.exactly()?;
                keys.insert(self.heap.key(&item, call.first)?);
                Item::None
            }
            "discard" | "remove" => {
                let [item] = call.exactly()?;
                let found = keys.remove(&self.heap.key(&item, call.first)?);
                if !found && call.name == "remove" {
                    return Err(call.value("the set has no such member"));
                }
                Item::None
            }
            "clear" => {
                call.exactly::<0>()?;
                keys.clear();
                Item::None
            }
            "update" | "union" | "intersection" | "difference" => {
                for other in &call.items {
                    let other = self.members(other, call.first)?;
                    match call.name.as_str() {
                        "intersection" => keys.retain(|key| other.contains(key)),
                        "difference" => keys.retain(|key| !other.contains(key)),
                        _ => keys.extend(other),
                    }
                }
                if call.name != "update" {
                    return self.heap.new_set(keys, call.span).map(Some);
                }
                Item::None
            }
            "symmetric_difference" => {
                let [other] = call.exactly()?;
                let other = self.members(&other, call.first)?;
                let keys = keys.symmetric_difference(&other).cloned().collect();
                return self.heap.new_set(keys, call.span).map(Some);
            }
            "copy" => {
                call.exactly::<0>()?;
                return self.heap.new_set(keys, call.span).map(Some);
            }
            "issubset" | "issuperset" | "isdisjoint" => {
                let [other] = call.exactly()?;
                let other = self.members(&other, call.first)?;
                return Ok(Some(Item::Bool(match call.name.as_str() {
                    "issubset" => keys.is_subset(&other),
                    "issuperset" => keys.is_superset(&other),
                    _ => keys.is_disjoint(&other),
                })));
            }
            _ => return Ok(None),
        };
        self.heap.replace_set(id, keys, call.span)?;
        Ok(Some(result))
    }

    /// Everything in an item, as the members of a set.
    pub(super) fn members(&mut self, item: &Item, span: Span) -> Outcome<BTreeSet<Key>> {
        let items = self.iterate(item, span)?;
        items.iter().map(|item| self.heap.key(item, span)).collect()
    }

    /// `a | b`, `a & b`, `a ^ b` and `a - b`; None when the operator is another one.
    pub(super) fn combine(
        &mut self,
        op: BinaryOp,
        left: &Item,
        right: &Item,
        span: Span,
    ) -> Outcome<Option<Item>> {
        let (a, b) = (self.members(left, span)?, self.members(right, span)?);
        let keys: BTreeSet<Key> = match op {
            BinaryOp::BitOr => a.union(&b).cloned().collect(),
            BinaryOp::BitAnd => a.intersection(&b).cloned().collect(),
            BinaryOp::BitXor => a.symmetric_difference(&b).cloned().collect(),
            BinaryOp::Subtract => a.difference(&b).cloned().collect(),
            _ => return Ok(None),
        };
        self.heap.new_set(keys, span).map(Some)
    }

    /// `a <= b` of sets: None when they have nothing to do with each other.
    pub(super) fn set_order(&self, a: Id, b: Id) -> Option<std::cmp::Ordering> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let (a, b) = (self.heap.set(a)?, self.heap.set(b)?);
        match (a.is_subset(b), a.is_superset(b)) {
            (true, true) => Some(Equal),
            (true, false) => Some(Less),
            (false, true) => Some(Greater),
            (false, false) => None,
        }
    }
}

/// What cannot be put in order.
pub(super) fn no_order(left: &Item, right: &Item, span: Span) -> Fault {
    let message = format!("{} and {} have no order", left.type_name(), right.type_name());
    Fault::new(ErrorKind::Type, span, message)
}
