//! The options as names and values of the template engine.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, Tuple, Value as Jinja};

use crate::mock_config::map::{Key, OrderedMap};
use crate::mock_config::value::Value;

/// The names that a template can use: every option, unexpanded.
pub(super) fn of_options(options: &OrderedMap<Value>) -> Jinja {
    of_dict(options)
}

fn of_dict(map: &OrderedMap<Value>) -> Jinja {
    let entries = map.iter().map(|(key, value)| (key.clone(), of_value(value))).collect();
    Jinja::from_object(Dict(entries))
}

fn of_value(value: &Value) -> Jinja {
    match value {
        Value::None => Jinja::from(()),
        Value::Bool(flag) => Jinja::from(*flag),
        Value::Int(number) => Jinja::from(*number),
        Value::Float(number) => Jinja::from(*number),
        Value::Str(text) => Jinja::from(text.as_str()),
        Value::List(items) => Jinja::from(items.iter().map(of_value).collect::<Vec<_>>()),
        Value::Tuple(items) => Jinja::from(Tuple::new(items.iter().map(of_value).collect())),
        Value::Dict(map) => of_dict(map),
        Value::Set(keys) => {
            Jinja::from(keys.iter().cloned().map(|key| of_value(&key.into())).collect::<Vec<_>>())
        }
    }
}

/// A dictionary that keeps its order in loops, which the engine's own maps do not.
#[derive(Debug)]
struct Dict(OrderedMap<Jinja>);

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let key = match key.as_str() {
            Some(text) => Key::from(text),
            None if key.is_none() => Key::None,
            None => Key::Int(key.as_i64()?),
        };
        self.0.get(&key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|dict| {
            Box::new(dict.0.keys().map(|key| of_value(&Value::from(key.clone()))))
        })
    }
}

/// Whether one number is a multiple of another. The engine's own test does not survive a zero.
pub(super) fn is_divisible(value: i64, by: i64) -> Result<bool, minijinja::Error> {
    value.checked_rem(by).map(|rest| rest == 0).ok_or_else(|| {
        let kind = minijinja::ErrorKind::InvalidOperation;
        minijinja::Error::new(kind, format!("{value} cannot be divided by {by}"))
    })
}

/// Jinja's `int` gives 0 where the engine's own one fails.
pub(super) fn int(value: Jinja, default: Option<i64>, base: Option<u32>) -> Jinja {
    let base = base.filter(|base| (2..=36).contains(base)).unwrap_or(10);
    let whole = match value.as_str() {
        Some(text) => {
            let text = text.trim();
            let float = || text.parse::<f64>().ok().map(|number| number as i64);
            i64::from_str_radix(text, base).ok().or_else(float)
        }
        None if value.is_number() => {
            value.as_i64().or_else(|| f64::try_from(value).ok().map(|number| number as i64))
        }
        None => bool::try_from(value).ok().map(i64::from),
    };
    Jinja::from(whole.or(default).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int_reads_what_it_can() {
        let of = |text: &str| int(Jinja::from(text), None, None).as_i64();
        assert_eq!(
            [of("45"), of(" 7 "), of("1.9"), of("eln")],
            [Some(45), Some(7), Some(1), Some(0)]
        );
        assert_eq!(int(Jinja::from(true), None, None).as_i64(), Some(1));
        assert_eq!(int(Jinja::from("x"), Some(3), None).as_i64(), Some(3));
    }
}
