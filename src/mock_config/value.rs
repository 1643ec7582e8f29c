//! The values that a config computes.

use std::collections::BTreeSet;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::map::{Key, OrderedMap};

/// One value of a config, detached from the evaluator.
///
/// Serialized it is plain JSON: tuples and sets become lists (sets sorted), so a value that was
/// read back from JSON may differ from the original in these two kinds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A string.
    Str(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple. Templates inside it are not expanded.
    Tuple(Vec<Value>),
    /// A dictionary.
    Dict(OrderedMap<Value>),
    /// A set. Templates inside it are not expanded.
    Set(BTreeSet<Key>),
}

impl Value {
    /// What Python calls the type, with its article, as errors say it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a floating point number",
            Value::Str(_) => "a string",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dictionary",
            Value::Set(_) => "a set",
        }
    }

    /// The string, when the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The dictionary, when the value is one.
    pub fn as_dict(&self) -> Option<&OrderedMap<Value>> {
        match self {
            Value::Dict(map) => Some(map),
            _ => None,
        }
    }

    /// What a string key of a dictionary holds.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_dict()?.get_str(key)
    }

    /// Whether Python would take the value for true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.is_empty(),
            Value::Dict(map) => !map.is_empty(),
            Value::Set(members) => !members.is_empty(),
        }
    }

    /// The value that JSON data stands for. Numbers that fit neither integer nor float are refused.
    pub fn from_json(json: &serde_json::Value) -> Option<Value> {
        Some(match json {
            serde_json::Value::Null => Value::None,
            serde_json::Value::Bool(flag) => Value::Bool(*flag),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Float(number.as_f64()?),
            },
            serde_json::Value::String(text) => Value::Str(text.clone()),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(Value::from_json).collect::<Option<_>>()?)
            }
            serde_json::Value::Object(map) => Value::Dict(
                map.iter()
                    .map(|(key, value)| Some((Key::from(key.as_str()), Value::from_json(value)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        match key {
            Key::None => Value::None,
            Key::Bool(flag) => Value::Bool(flag),
            Key::Int(number) => Value::Int(number),
            Key::Str(text) => Value::Str(text),
            Key::Tuple(items) => Value::Tuple(items.into_iter().map(Value::from).collect()),
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Str(text) => serializer.serialize_str(text),
            Value::List(items) | Value::Tuple(items) => items.serialize(serializer),
            Value::Dict(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    out.serialize_entry(&key.to_text(), value)?;
                }
                out.end()
            }
            Value::Set(members) => serializer.collect_seq(members.iter().cloned().map(Value::from)),
        }
    }
}
