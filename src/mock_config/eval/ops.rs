//! What operators do.

use super::Machine;
use super::heap::{Id, Item};
use crate::mock_config::ast::BinaryOp;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::OrderedMap;
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn is_true(&self, item: &Item) -> bool {
        match item {
            Item::None => false,
            Item::Bool(flag) => *flag,
            Item::Int(number) => *number != 0,
            Item::Float(number) => *number != 0.0,
            _ => self.length(item) > 0,
        }
    }

    /// How many bytes or items there are.
    pub(super) fn length(&self, item: &Item) -> usize {
        match item {
            Item::None | Item::Bool(_) | Item::Int(_) | Item::Float(_) => 0,
            Item::Str(text) => text.len(),
            Item::Tuple(items) => items.len(),
            Item::List(id) => self.heap.list(*id).len(),
            Item::Dict(id) => self.heap.dict(*id).map_or(0, OrderedMap::len),
            Item::Set(id) => self.heap.set(*id).map_or(0, |keys| keys.len()),
        }
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        left: &Item,
        right: &Item,
        span: Span,
    ) -> Outcome<Item> {
        match (op, left, right) {
            (BinaryOp::Modulo, Item::Str(pattern), _) => {
                let text = self.percent(&pattern.clone(), right, span)?;
                self.heap.string(&text, span)
            }
            (BinaryOp::Add, Item::Str(a), Item::Str(b)) => {
                let text = format!("{a}{b}");
                self.heap.string(&text, span)
            }
            (BinaryOp::Add, Item::Tuple(a), Item::Tuple(b)) => {
                let items = a.iter().chain(b.iter()).cloned().collect();
                self.heap.tuple(items, span)
            }
            (BinaryOp::Add, Item::List(a), Item::List(b)) => {
                let cells = self.heap.list(*a).iter().chain(self.heap.list(*b));
                let items = cells.map(|cell| cell.item.clone()).collect();
                self.heap.new_list(items, span)
            }
            (BinaryOp::Multiply, Item::Str(_) | Item::Tuple(_) | Item::List(_), _) => {
                self.repeat(left, right, span)
            }
            (BinaryOp::Multiply, _, Item::Str(_) | Item::Tuple(_) | Item::List(_)) => {
                self.repeat(right, left, span)
            }
            _ => arithmetic(op, left, right, span),
        }
    }

    /// `'ab' * 3`, and the same with lists and tuples.
    fn repeat(&mut self, item: &Item, times: &Item, span: Span) -> Outcome<Item> {
        let Some(times) = integer(times) else {
            return Err(no_operation(BinaryOp::Multiply, item, times, span));
        };
        let times = usize::try_from(times).unwrap_or(0);
        // Paid for before it is made.
        self.heap.budget.spend(self.length(item).saturating_mul(times), span)?;
        match item {
            Item::Str(text) => Ok(Item::Str(text.repeat(times).into())),
            _ => {
                let items = self.iterate(item, span)?;
                self.heap.budget.spend(items.len().saturating_mul(times * 64), span)?;
                let items = items.iter().cycle().take(items.len() * times).cloned().collect();
                match item {
                    Item::Tuple(_) => self.heap.tuple(items, span),
                    _ => self.heap.new_list(items, span),
                }
            }
        }
    }

    /// Adds everything in an item to a list.
    pub(super) fn extend(&mut self, id: Id, from: &Item, span: Span) -> Outcome<()> {
        for item in self.iterate(from, span)? {
            self.heap.push(id, item, span)?;
        }
        Ok(())
    }

    /// What a `for` over the item would see.
    pub(super) fn iterate(&mut self, item: &Item, span: Span) -> Outcome<Vec<Item>> {
        let length = self.length(item);
        self.heap.budget.work(length, span)?;
        Ok(match item {
            Item::Tuple(items) => items.to_vec(),
            Item::List(id) => self.heap.list(*id).iter().map(|cell| cell.item.clone()).collect(),
            Item::Str(text) => {
                self.heap.budget.spend(text.len() * 32, span)?;
                text.chars().map(|symbol| Item::Str(symbol.to_string().into())).collect()
            }
            Item::Dict(id) => {
                let keys = self.heap.dict(*id).into_iter().flat_map(OrderedMap::keys);
                keys.cloned().map(Item::from).collect()
            }
            Item::Set(id) => {
                self.heap.set(*id).into_iter().flatten().cloned().map(Item::from).collect()
            }
            _ => {
                let message = format!("{} is not a sequence", item.type_name());
                return Err(Fault::new(ErrorKind::Type, span, message)
                    .hint("put a single item into a list: [item]"));
            }
        })
    }
}

/// Numbers compare over their types, and booleans count as numbers.
pub(super) fn number(item: &Item) -> Option<f64> {
    match item {
        Item::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Item::Int(number) => Some(*number as f64),
        Item::Float(number) => Some(*number),
        _ => None,
    }
}

fn integer(item: &Item) -> Option<i64> {
    match item {
        Item::Bool(flag) => Some(i64::from(*flag)),
        Item::Int(number) => Some(*number),
        _ => None,
    }
}

fn arithmetic(op: BinaryOp, left: &Item, right: &Item, span: Span) -> Outcome<Item> {
    let large = || Fault::new(ErrorKind::Value, span, "the result is too large");
    if let (Some(a), Some(b)) = (integer(left), integer(right)) {
        let divides = !matches!(op, BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply);
        if divides && b == 0 {
            return Err(Fault::new(ErrorKind::Value, span, "division by zero"));
        }
        // Python rounds down and gives the remainder the sign of the divisor.
        let rest = || {
            a.checked_rem(b)
                .map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
        };
        let result = match op {
            BinaryOp::Add => a.checked_add(b),
            BinaryOp::Subtract => a.checked_sub(b),
            BinaryOp::Multiply => a.checked_mul(b),
            BinaryOp::Divide => return Ok(Item::Float(a as f64 / b as f64)),
            BinaryOp::Modulo => rest(),
            BinaryOp::FloorDivide => {
                rest().and_then(|rest| a.checked_sub(rest)).and_then(|whole| whole.checked_div(b))
            }
        };
        return result.map(Item::Int).ok_or_else(large);
    }
    let (Some(a), Some(b)) = (number(left), number(right)) else {
        return Err(no_operation(op, left, right, span));
    };
    let result = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        _ if b == 0.0 => return Err(Fault::new(ErrorKind::Value, span, "division by zero")),
        BinaryOp::Divide => a / b,
        BinaryOp::FloorDivide => ((a - modulo(a, b)) / b).round(),
        BinaryOp::Modulo => modulo(a, b),
    };
    if result.is_finite() { Ok(Item::Float(result)) } else { Err(large()) }
}

/// The exact remainder, with the sign of the divisor.
fn modulo(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest.abs().copysign(b) }
}

fn no_operation(op: BinaryOp, left: &Item, right: &Item, span: Span) -> Fault {
    let (symbol, left, right) = (op.symbol(), left.type_name(), right.type_name());
    Fault::new(ErrorKind::Type, span, format!("`{symbol}` does not work on {left} and {right}"))
        .hint("both sides must be of one kind; a number in quotes is text")
}

pub(super) fn signed(item: &Item, negative: bool, span: Span) -> Outcome<Item> {
    if let Some(number) = integer(item) {
        let number = if negative { number.checked_neg() } else { Some(number) };
        let large = || Fault::new(ErrorKind::Value, span, "the result is too large");
        return number.map(Item::Int).ok_or_else(large);
    }
    match item {
        Item::Float(number) => Ok(Item::Float(if negative { -number } else { *number })),
        _ => {
            let message = format!("{} has no sign", item.type_name());
            Err(Fault::new(ErrorKind::Type, span, message))
        }
    }
}

/// The place in a sequence that an index means; negative ones count from the end.
pub(super) fn position(index: &Item, length: usize, span: Span) -> Outcome<usize> {
    let Some(number) = integer(index) else {
        let message = format!("an index must be an integer, not {}", index.type_name());
        return Err(Fault::new(ErrorKind::Type, span, message));
    };
    let place = if number < 0 { number.checked_add(length as i64) } else { Some(number) };
    place.and_then(|place| usize::try_from(place).ok()).filter(|place| *place < length).ok_or_else(
        || {
            let message = format!("there is no item {number}: the sequence has {length}");
            Fault::new(ErrorKind::Value, span, message)
        },
    )
}
