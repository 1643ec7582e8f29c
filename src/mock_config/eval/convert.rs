//! Functions between types: `int()`, `float()`, `round()`, `isinstance()`.

use super::Machine;
use super::call::Call;
use super::heap::Item;
use super::ops;
use super::string::is_space;
use crate::mock_config::error::Outcome;

impl Machine<'_> {
    pub(super) fn read_int(&mut self, call: &Call) -> Outcome<Item> {
        let [item, base] = call.bind(["/", "base"], 0)?;
        let base = base.map(|base| call.int(&base)).transpose()?;
        match item.unwrap_or(Item::Int(0)) {
            Item::Float(number) if base.is_none() => {
                let whole = number.trunc();
                if whole.abs() >= 9.2e18 {
                    return Err(call.value("the result is too large"));
                }
                Ok(Item::Int(whole as i64))
            }
            Item::Str(text) => {
                self.heap.budget.work(text.len(), call.span)?;
                parse_int(&text, base.unwrap_or(10)).map(Item::Int).ok_or_else(|| {
                    let text: String = text.chars().take(40).collect();
                    call.value(format!("'{text}' is not a whole number that fits"))
                })
            }
            item => match ops::integer(&item) {
                Some(number) if base.is_none() => Ok(Item::Int(number)),
                _ => Err(call.wrong_type("a number or a string", &item)),
            },
        }
    }
}

/// A whole number in a base, as `int()` reads it: with a sign, and `_` between digits.
fn parse_int(text: &str, base: i64) -> Option<i64> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [(16, "0x"), (8, "0o"), (2, "0b")];
    let prefix = prefixes.iter().find(|(_, prefix)| lower.starts_with(prefix));
    let (base, digits) = match (base, prefix) {
        (0, Some((own, _))) => (*own, lower[2..].trim_start_matches('_')),
        (0, None)
            if lower.len() > 1
                && lower.starts_with('0')
                && lower.chars().any(|c| !matches!(c, '0' | '_')) =>
        {
            return None;
        }
        (0, None) => (10, lower.as_str()),
        (base, Some((own, _))) if base == *own => (base, lower[2..].trim_start_matches('_')),
        (base, _) => (base, lower.as_str()),
    };
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    let wrong =
        digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__");
    if wrong {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}

pub(super) fn to_float(call: &Call) -> Outcome<Item> {
    let [item] = call.bind(["/"], 0)?;
    let item = item.unwrap_or(Item::Float(0.0));
    if let Some(number) = ops::number(&item) {
        return Ok(Item::Float(number));
    }
    let text = call.text(&item)?.trim_matches(is_space);
    // Words such as "nan" are numbers for Rust as well.
    let plain = text.starts_with(|symbol: char| matches!(symbol, '0'..='9' | '+' | '-' | '.'));
    let number = text.parse::<f64>().ok().filter(|number| plain && number.is_finite());
    number.map(Item::Float).ok_or_else(|| call.value(format!("'{text}' is not a number that fits")))
}

/// Rounds to even, as Python does.
pub(super) fn round(call: &Call) -> Outcome<Item> {
    let [item, digits] = call.bind(["number", "ndigits"], 1)?;
    let item = item.unwrap_or(Item::None);
    let digits = digits.filter(|digits| !matches!(digits, Item::None));
    let digits = digits.map(|digits| call.int(&digits)).transpose()?;
    match (&item, digits) {
        (Item::Float(number), None) => {
            let whole = number.round_ties_even();
            if whole.abs() >= 9.2e18 {
                return Err(call.value("the result is too large"));
            }
            Ok(Item::Int(whole as i64))
        }
        (Item::Float(number), Some(digits)) if (0..=300).contains(&digits) => {
            let text = format!("{number:.*}", digits as usize);
            Ok(Item::Float(text.parse().unwrap_or(*number)))
        }
        (_, None | Some(0..)) => Ok(Item::Int(call.int(&item)?)),
        _ => Err(call.value("round() to tens and hundreds is not supported")),
    }
}

pub(super) fn is_instance(item: &Item, kinds: &Item, call: &Call) -> Outcome<bool> {
    if let Item::Tuple(kinds) = kinds {
        for kind in kinds.iter() {
            if is_instance(item, kind, call)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let Item::Function(
        kind @ ("str" | "int" | "bool" | "float" | "list" | "tuple" | "dict" | "set"),
    ) = kinds
    else {
        return Err(call
            .value("isinstance() needs a type: str, int, bool, float, list, tuple, dict or set"));
    };
    Ok(matches!(
        (item, *kind),
        (Item::Str(_), "str")
            | (Item::Int(_) | Item::Bool(_), "int")
            | (Item::Bool(_), "bool")
            | (Item::Float(_), "float")
            | (Item::List(_), "list")
            | (Item::Tuple(_) | Item::Uname, "tuple")
            | (Item::Dict(_), "dict")
            | (Item::Set(_), "set")
    ))
}
