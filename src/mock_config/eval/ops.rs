//! What operators do.

use super::Machine;
use super::heap::{Item, ViewKind};
use crate::mock_config::ast::BinaryOp;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub(super) fn is_true(&self, item: &Item) -> bool {
        match item {
            Item::None => false,
            Item::Bool(flag) => *flag,
            Item::Int(number) => *number != 0,
            Item::Float(number) => *number != 0.0,
            Item::Iter(_) | Item::Module(_) | Item::Function(_) => true,
            _ => self.length(item) > 0,
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
            (BinaryOp::BitOr, Item::Dict(a), Item::Dict(_)) => {
                let whole = self.heap.new_dict(span)?;
                self.update(whole, &Item::Dict(*a), span)?;
                self.update(whole, right, span)?;
                Ok(Item::Dict(whole))
            }
            (
                _,
                Item::Set(_) | Item::View(ViewKind::Keys, _),
                Item::Set(_) | Item::View(ViewKind::Keys, _),
            ) => match self.combine(op, left, right, span)? {
                Some(item) => Ok(item),
                None => Err(no_operation(op, left, right, span)),
            },
            (BinaryOp::Power, _, _) => self.power(left, right, span),
            _ => arithmetic(op, left, right, span),
        }
    }

    fn power(&mut self, left: &Item, right: &Item, span: Span) -> Outcome<Item> {
        let large = || Fault::new(ErrorKind::Value, span, "the result is too large");
        if let (Some(a), Some(b)) = (integer(left), integer(right))
            && b >= 0
        {
            let exponent = u32::try_from(b).unwrap_or(u32::MAX);
            return a.checked_pow(exponent).map(Item::Int).ok_or_else(large);
        }
        let (Some(a), Some(b)) = (number(left), number(right)) else {
            return Err(no_operation(BinaryOp::Power, left, right, span));
        };
        if a == 0.0 && b < 0.0 {
            return Err(Fault::new(ErrorKind::Value, span, "division by zero"));
        }
        let result = a.powf(b);
        if result.is_finite() { Ok(Item::Float(result)) } else { Err(large()) }
    }

    /// `base[start:stop:step]`.
    pub(super) fn slice(
        &mut self,
        base: &Item,
        [start, stop, step]: [Option<i64>; 3],
        span: Span,
    ) -> Outcome<Item> {
        if !matches!(base, Item::Str(_) | Item::Tuple(_) | Item::List(_) | Item::Uname) {
            let message = format!("{} has no parts", base.type_name());
            return Err(Fault::new(ErrorKind::Type, span, message));
        }
        let items = self.iterate(base, span)?;
        let (length, step) = (items.len() as i64, step.unwrap_or(1));
        if step == 0 {
            return Err(Fault::new(ErrorKind::Value, span, "the step of a slice cannot be zero"));
        }
        // The last place that a walk can be at, in either direction.
        let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let place = |bound: i64| {
            let bound = if bound < 0 { bound.saturating_add(length) } else { bound };
            bound.clamp(low, high)
        };
        let start = start.map_or(if step > 0 { low } else { high }, place);
        let stop = stop.map_or(if step > 0 { high } else { low }, place);
        let mut part = Vec::new();
        let mut at = start;
        while if step > 0 { at < stop } else { at > stop } {
            part.push(items[at as usize].clone());
            at = at.saturating_add(step);
        }
        match base {
            Item::Str(_) => {
                let symbols = part.iter().filter_map(|item| match item {
                    Item::Str(symbol) => Some(&**symbol),
                    _ => None,
                });
                let text: String = symbols.collect();
                self.heap.string(&text, span)
            }
            Item::List(_) => self.heap.new_list(part, span),
            _ => self.heap.tuple(part, span),
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

pub(super) fn integer(item: &Item) -> Option<i64> {
    match item {
        Item::Bool(flag) => Some(i64::from(*flag)),
        Item::Int(number) => Some(*number),
        _ => None,
    }
}

fn arithmetic(op: BinaryOp, left: &Item, right: &Item, span: Span) -> Outcome<Item> {
    let large = || Fault::new(ErrorKind::Value, span, "the result is too large");
    if let (Some(a), Some(b)) = (integer(left), integer(right)) {
        let divides = matches!(op, BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Modulo);
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
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
                let Ok(by) = u32::try_from(b) else {
                    let message = "a shift needs a number that is not negative";
                    return Err(Fault::new(ErrorKind::Value, span, message));
                };
                match op {
                    BinaryOp::ShiftRight => Some(a.checked_shr(by).unwrap_or(-i64::from(a < 0))),
                    _ if a == 0 => Some(0),
                    _ => 2i64.checked_pow(by).and_then(|factor| a.checked_mul(factor)),
                }
            }
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => {
                let bits = match op {
                    BinaryOp::BitAnd => a & b,
                    BinaryOp::BitOr => a | b,
                    _ => a ^ b,
                };
                return Ok(match (left, right) {
                    (Item::Bool(_), Item::Bool(_)) => Item::Bool(bits != 0),
                    _ => Item::Int(bits),
                });
            }
            BinaryOp::Power => None,
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
        BinaryOp::Power
        | BinaryOp::ShiftLeft
        | BinaryOp::ShiftRight
        | BinaryOp::BitAnd
        | BinaryOp::BitOr
        | BinaryOp::BitXor => return Err(no_operation(op, left, right, span)),
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

pub(super) fn invert(item: &Item, span: Span) -> Outcome<Item> {
    integer(item).map(|number| Item::Int(!number)).ok_or_else(|| {
        let message = format!("{} has no bits to invert", item.type_name());
        Fault::new(ErrorKind::Type, span, message).hint("the opposite of a condition is `not`")
    })
}

/// One bound of a slice.
pub(super) fn bound(item: &Item, span: Span) -> Outcome<Option<i64>> {
    match (item, integer(item)) {
        (Item::None, _) => Ok(None),
        (_, Some(number)) => Ok(Some(number)),
        _ => {
            let message = format!("a slice needs integers, not {}", item.type_name());
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
