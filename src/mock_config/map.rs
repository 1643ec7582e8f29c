//! Keys, and a map that remembers the order in which its keys were first set.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// What may be a key of a dictionary or a member of a set.
///
/// Python takes `True`, `1` and `1.0` for one key, so a boolean equals its number. Floats are no
/// keys here.
#[derive(Debug, Clone)]
pub enum Key {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A string.
    Str(String),
    /// A tuple of keys.
    Tuple(Vec<Key>),
}

impl Key {
    /// The string, when the key is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Key::Str(text) => Some(text),
            _ => None,
        }
    }

    /// How the key is written where only strings can be, for example in JSON.
    pub fn to_text(&self) -> String {
        match self {
            Key::None => "null".to_owned(),
            Key::Bool(flag) => flag.to_string(),
            Key::Int(number) => number.to_string(),
            Key::Str(text) => text.clone(),
            Key::Tuple(_) => super::Value::from(self.clone()).to_string(),
        }
    }
}

/// What a key is compared by.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Identity<'a> {
    None,
    Int(i64),
    Str(&'a str),
    Tuple(&'a [Key]),
}

impl Key {
    fn identity(&self) -> Identity<'_> {
        match self {
            Key::None => Identity::None,
            Key::Bool(flag) => Identity::Int(i64::from(*flag)),
            Key::Int(number) => Identity::Int(*number),
            Key::Str(text) => Identity::Str(text),
            Key::Tuple(items) => Identity::Tuple(items),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key::Str(text.to_owned())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Key::Str(text)
    }
}

/// A dictionary in the order of insertion, as Python keeps it.
#[derive(Debug, Clone)]
pub struct OrderedMap<V> {
    entries: Vec<(Key, V)>,
    index: HashMap<Key, usize>,
}

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        OrderedMap { entries: Vec::new(), index: HashMap::new() }
    }
}

impl<V> OrderedMap<V> {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<&V> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    /// The value of a string key.
    pub fn get_str(&self, key: &str) -> Option<&V> {
        self.get(&Key::from(key))
    }

    /// Whether the key is set.
    pub fn contains(&self, key: &Key) -> bool {
        self.index.contains_key(key)
    }

    /// Sets a key. One that is there already keeps its place.
    pub fn insert(&mut self, key: Key, value: V) -> Option<V> {
        if let Some(&at) = self.index.get(&key) {
            return Some(std::mem::replace(&mut self.entries[at].1, value));
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        None
    }

    /// Takes a key out. The others keep their order; this takes time for every one of them.
    pub fn remove(&mut self, key: &Key) -> Option<V> {
        let at = self.index.remove(key)?;
        let (_, value) = self.entries.remove(at);
        for place in self.index.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        Some(value)
    }

    /// All keys and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.entries.iter().map(|(key, _)| key)
    }
}

/// Equality does not look at the order, as in Python.
impl<V: PartialEq> PartialEq for OrderedMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<V> FromIterator<(Key, V)> for OrderedMap<V> {
    fn from_iter<I: IntoIterator<Item = (Key, V)>>(entries: I) -> Self {
        let mut map = OrderedMap::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_first_place() {
        let mut map = OrderedMap::new();
        map.insert(Key::from("b"), 1);
        map.insert(Key::from("a"), 2);
        assert_eq!(map.insert(Key::from("b"), 3), Some(1));
        let order: Vec<_> = map.iter().map(|(key, value)| (key.to_text(), *value)).collect();
        assert_eq!(order, [("b".to_owned(), 3), ("a".to_owned(), 2)]);
    }

    #[test]
    fn what_is_removed_leaves_the_others_in_order() {
        let mut map: OrderedMap<_> =
            ["a", "b", "c"].map(|key| (Key::from(key), key)).into_iter().collect();
        assert_eq!(map.remove(&Key::from("a")), Some("a"));
        assert_eq!(map.remove(&Key::from("a")), None);
        map.insert(Key::from("a"), "again");
        assert_eq!(map.get_str("c"), Some(&"c"));
        let order: Vec<_> = map.keys().map(Key::to_text).collect();
        assert_eq!(order, ["b", "c", "a"]);
    }

    #[test]
    fn a_boolean_is_its_number() {
        let mut map = OrderedMap::new();
        map.insert(Key::Int(1), "number");
        map.insert(Key::Bool(true), "flag");
        assert_eq!((map.len(), map.get(&Key::Int(1))), (1, Some(&"flag")));
    }
}
