//! Comparisons.

use std::cmp::Ordering;

use super::Machine;
use super::heap::{Item, ViewKind};
use super::ops::{integer, number};
use super::set::no_order;
use crate::mock_config::ast::CompareOp;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn compare(
        &mut self,
        op: CompareOp,
        left: &Item,
        right: &Item,
        span: Span,
    ) -> Outcome<bool> {
        match op {
            CompareOp::Equal => self.equal(left, right, 0, span),
            CompareOp::NotEqual => Ok(!self.equal(left, right, 0, span)?),
            CompareOp::In => self.contains(right, left, span),
            CompareOp::NotIn => Ok(!self.contains(right, left, span)?),
            CompareOp::Is => same(left, right, span),
            CompareOp::IsNot => Ok(!same(left, right, span)?),
            CompareOp::Less
            | CompareOp::LessEqual
            | CompareOp::Greater
            | CompareOp::GreaterEqual => {
                let order = match (left, right) {
                    (Item::Set(a), Item::Set(b)) => self.set_order(*a, *b),
                    _ => Some(self.order(left, right, 0, span)?),
                };
                let Some(order) = order else { return Ok(false) };
                Ok(match op {
                    CompareOp::Less => order.is_lt(),
                    CompareOp::LessEqual => order.is_le(),
                    CompareOp::Greater => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
        }
    }

    /// Which of two comes first.
    pub(super) fn order(
        &mut self,
        left: &Item,
        right: &Item,
        depth: usize,
        span: Span,
    ) -> Outcome<Ordering> {
        let length = self.length(left);
        self.heap.budget.work(length, span)?;
        self.not_too_deep(depth, span)?;
        match (left, right) {
            (Item::Str(a), Item::Str(b)) => Ok(a.cmp(b)),
            (Item::List(_), Item::List(_)) | (Item::Tuple(_), Item::Tuple(_)) => {
                let (a, b) = (self.iterate(left, span)?, self.iterate(right, span)?);
                for (a, b) in a.iter().zip(&b) {
                    if !self.equal(a, b, depth + 1, span)? {
                        return self.order(a, b, depth + 1, span);
                    }
                }
                Ok(a.len().cmp(&b.len()))
            }
            _ => match (integer(left), integer(right)) {
                (Some(a), Some(b)) => Ok(a.cmp(&b)),
                _ => {
                    let numbers = number(left).zip(number(right));
                    let order = numbers.and_then(|(a, b)| a.partial_cmp(&b));
                    order.ok_or_else(|| no_order(left, right, span))
                }
            },
        }
    }

    fn not_too_deep(&self, depth: usize, span: Span) -> Outcome<()> {
        if depth <= super::limits::DEPTH {
            return Ok(());
        }
        let message = "the compared values are nested too deep, or contain themselves";
        Err(Fault::new(ErrorKind::Limit, span, message))
    }

    fn contains(&mut self, container: &Item, item: &Item, span: Span) -> Outcome<bool> {
        let length = self.length(container);
        self.heap.budget.work(length, span)?;
        match (container, item) {
            (Item::Str(text), Item::Str(part)) => Ok(text.contains(&**part)),
            (Item::Dict(id), _) => {
                let key = self.resolve_alias(*id, self.heap.key(item, span)?);
                Ok(self.heap.dict(*id).is_some_and(|map| map.contains(&key)))
            }
            (Item::Set(id), _) => {
                let key = self.heap.key(item, span)?;
                Ok(self.heap.set(*id).is_some_and(|keys| keys.contains(&key)))
            }
            (Item::Range(start, stop, step), _) => {
                let whole = match item {
                    Item::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                        Some(*number as i64)
                    }
                    item => super::ops::integer(item),
                };
                let Some(number) = whole else { return Ok(false) };
                let inside = if *step > 0 {
                    (*start..*stop).contains(&number)
                } else {
                    number <= *start && number > *stop
                };
                Ok(inside && (i128::from(number) - i128::from(*start)) % i128::from(*step) == 0)
            }
            (Item::View(ViewKind::Keys, id), _) => {
                let key = self.resolve_alias(*id, self.heap.key(item, span)?);
                Ok(self.heap.dict(*id).is_some_and(|map| map.contains(&key)))
            }
            (Item::List(_) | Item::Tuple(_) | Item::View(..) | Item::Iter(_) | Item::Uname, _) => {
                for member in self.iterate(container, span)? {
                    if self.equal(&member, item, 0, span)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => {
                let message =
                    format!("{} cannot be in {}", item.type_name(), container.type_name());
                Err(Fault::new(ErrorKind::Type, span, message))
            }
        }
    }

    pub(super) fn equal(
        &mut self,
        left: &Item,
        right: &Item,
        depth: usize,
        span: Span,
    ) -> Outcome<bool> {
        let length = self.length(left);
        self.heap.budget.work(length, span)?;
        self.not_too_deep(depth, span)?;
        Ok(match (left, right) {
            (Item::None, Item::None) => true,
            (Item::Str(a), Item::Str(b)) => a == b,
            (Item::Function(a), Item::Function(b)) | (Item::Module(a), Item::Module(b)) => a == b,
            (Item::Range(..), Item::Range(..)) => {
                return self.same_items(left, right, depth, span);
            }
            (Item::Set(a), Item::Set(b)) => self.heap.set(*a) == self.heap.set(*b),
            (Item::List(_), Item::List(_)) | (Item::Tuple(_), Item::Tuple(_)) => {
                return self.same_items(left, right, depth, span);
            }
            (Item::Dict(a), Item::Dict(b)) => {
                let (a, b) = (self.heap.dict(*a).cloned(), self.heap.dict(*b).cloned());
                let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, cell) in a.iter() {
                    let Some(other) = b.get(key) else { return Ok(false) };
                    if !self.equal(&cell.item, &other.item, depth + 1, span)? {
                        return Ok(false);
                    }
                }
                true
            }
            // Of a dictionary, what is like a set equals whatever set has the same.
            (Item::View(ViewKind::Keys | ViewKind::Items, _), Item::View(..) | Item::Set(_))
            | (Item::Set(_), Item::View(ViewKind::Keys | ViewKind::Items, _)) => {
                if matches!(right, Item::View(ViewKind::Values, _)) {
                    return Ok(false);
                }
                let (a, b) = (self.iterate(left, span)?, self.iterate(right, span)?);
                if a.len() != b.len() {
                    return Ok(false);
                }
                for item in &a {
                    if !self.has(&b, item, depth, span)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => match (integer(left), integer(right)) {
                (Some(a), Some(b)) => a == b,
                _ => matches!((number(left), number(right)), (Some(a), Some(b)) if a == b),
            },
        })
    }

    fn has(&mut self, items: &[Item], wanted: &Item, depth: usize, span: Span) -> Outcome<bool> {
        for item in items {
            if self.equal(item, wanted, depth + 1, span)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn same_items(&mut self, left: &Item, right: &Item, depth: usize, span: Span) -> Outcome<bool> {
        if self.length(left) != self.length(right) {
            return Ok(false);
        }
        let (a, b) = (self.iterate(left, span)?, self.iterate(right, span)?);
        for (a, b) in a.iter().zip(&b) {
            if !self.equal(a, b, depth + 1, span)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Identity, for the values where Python promises what it is.
fn same(left: &Item, right: &Item, span: Span) -> Outcome<bool> {
    match (left, right) {
        (Item::None, _) | (_, Item::None) => Ok(matches!((left, right), (Item::None, Item::None))),
        (Item::Bool(a), Item::Bool(b)) => Ok(a == b),
        (Item::Bool(_), _) | (_, Item::Bool(_)) => Ok(false),
        (Item::Function(a), Item::Function(b)) => Ok(a == b),
        (Item::List(a), Item::List(b)) | (Item::Dict(a), Item::Dict(b)) => Ok(a == b),
        _ => {
            let message = "`is` works on None, True and False only";
            Err(Fault::new(ErrorKind::Unsupported, span, message).hint("compare with `==`"))
        }
    }
}
