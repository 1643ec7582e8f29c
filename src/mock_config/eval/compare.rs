//! Comparisons.

use super::Machine;
use super::heap::Item;
use super::ops::number;
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
                    (Item::Str(a), Item::Str(b)) => Some(a.cmp(b)),
                    _ => match (number(left), number(right)) {
                        (Some(a), Some(b)) => a.partial_cmp(&b),
                        _ => None,
                    },
                };
                let Some(order) = order else {
                    let message =
                        format!("{} and {} have no order", left.type_name(), right.type_name());
                    return Err(Fault::new(ErrorKind::Type, span, message));
                };
                Ok(match op {
                    CompareOp::Less => order.is_lt(),
                    CompareOp::LessEqual => order.is_le(),
                    CompareOp::Greater => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
        }
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
            (Item::List(_) | Item::Tuple(_), _) => {
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

    fn equal(&mut self, left: &Item, right: &Item, depth: usize, span: Span) -> Outcome<bool> {
        let length = self.length(left);
        self.heap.budget.work(length, span)?;
        if depth > super::limits::DEPTH {
            let message = "the compared values are nested too deep, or contain themselves";
            return Err(Fault::new(ErrorKind::Limit, span, message));
        }
        Ok(match (left, right) {
            (Item::None, Item::None) => true,
            (Item::Str(a), Item::Str(b)) => a == b,
            (Item::Set(a), Item::Set(b)) => self.heap.set(*a) == self.heap.set(*b),
            (Item::List(_), Item::List(_)) | (Item::Tuple(_), Item::Tuple(_)) => {
                let (a, b) = (self.iterate(left, span)?, self.iterate(right, span)?);
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(&b) {
                    if !self.equal(a, b, depth + 1, span)? {
                        return Ok(false);
                    }
                }
                true
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
            _ => matches!((number(left), number(right)), (Some(a), Some(b)) if a == b),
        })
    }
}

/// Identity, for the values where Python promises what it is.
fn same(left: &Item, right: &Item, span: Span) -> Outcome<bool> {
    match (left, right) {
        (Item::None, _) | (_, Item::None) => Ok(matches!((left, right), (Item::None, Item::None))),
        (Item::Bool(a), Item::Bool(b)) => Ok(a == b),
        (Item::Bool(_), _) | (_, Item::Bool(_)) => Ok(false),
        (Item::List(a), Item::List(b)) | (Item::Dict(a), Item::Dict(b)) => Ok(a == b),
        _ => {
            let message = "`is` works on None, True and False only";
            Err(Fault::new(ErrorKind::Unsupported, span, message).hint("compare with `==`"))
        }
    }
}
