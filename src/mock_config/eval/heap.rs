//! The objects of a running config.
//!
//! Lists and dictionaries are shared by reference in Python: after `a = config_opts['macros']` a
//! change of `a` is a change of the option. So they live here and values only point to them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use super::limits::{Budget, DEPTH};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::{Key, OrderedMap};
use crate::mock_config::source::Span;
use crate::mock_config::value::Value;

/// An object in the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(usize);

/// A value while the config runs.
#[derive(Debug, Clone)]
pub(super) enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    Tuple(Rc<[Item]>),
    List(Id),
    Dict(Id),
    Set(Id),
    /// `.keys()` and its like: what the dictionary has at the time of looking.
    View(ViewKind, Id),
    /// What can be gone through once.
    Iter(Id),
    /// `range(start, stop, step)`.
    Range(i64, i64, i64),
    /// A module, by its full name.
    Module(&'static str),
    /// A function or type, by its full name.
    Function(&'static str),
    /// What `os.uname()` returns.
    Uname,
}

/// What of a dictionary is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewKind {
    Keys,
    Values,
    Items,
}

/// A value in a container, with the assignment that put it there; defaults have none.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub item: Item,
    pub span: Option<Span>,
}

#[derive(Debug)]
enum Object {
    List(Vec<Cell>),
    Dict(OrderedMap<Cell>),
    Set(BTreeSet<Key>),
    Iter(VecDeque<Item>),
}

#[derive(Debug, Default)]
pub(super) struct Heap {
    objects: Vec<Object>,
    /// Every tuple with how deep it is nested, by its address. They are kept to the end, so that
    /// no address is used twice, and that none is freed from its outside to its inside.
    tuples: HashMap<*const Item, (usize, Rc<[Item]>)>,
    pub budget: Budget,
}

/// What a container or string costs apart from its content, roughly.
const CELL: usize = 64;

impl Heap {
    pub fn string(&mut self, text: &str, span: Span) -> Outcome<Item> {
        self.budget.spend(text.len() + CELL, span)?;
        Ok(Item::Str(text.into()))
    }

    pub fn tuple(&mut self, items: Vec<Item>, span: Span) -> Outcome<Item> {
        self.budget.spend((items.len() + 1) * CELL, span)?;
        let depth = 1 + items.iter().map(|item| self.depth(item)).max().unwrap_or(0);
        if depth > DEPTH {
            let message = format!("tuples are nested in more than {DEPTH} others");
            return Err(Fault::new(ErrorKind::Limit, span, message));
        }
        let items: Rc<[Item]> = items.into();
        self.tuples.insert(items.as_ptr(), (depth, Rc::clone(&items)));
        Ok(Item::Tuple(items))
    }

    /// How deep a value is nested in tuples. One that was made elsewhere, from a key or a default,
    /// is a tree, and no deeper than it was before.
    fn depth(&self, item: &Item) -> usize {
        let Item::Tuple(items) = item else { return 0 };
        match self.tuples.get(&items.as_ptr()) {
            Some((depth, _)) => *depth,
            None => 1 + items.iter().map(|item| self.depth(item)).max().unwrap_or(0),
        }
    }

    pub fn new_list(&mut self, items: Vec<Item>, span: Span) -> Outcome<Item> {
        self.budget.spend((items.len() + 1) * CELL, span)?;
        let cells = items.into_iter().map(|item| Cell { item, span: Some(span) }).collect();
        Ok(Item::List(self.add(Object::List(cells))))
    }

    pub fn new_dict(&mut self, span: Span) -> Outcome<Id> {
        self.budget.spend(CELL, span)?;
        Ok(self.add(Object::Dict(OrderedMap::new())))
    }

    pub fn new_set(&mut self, keys: BTreeSet<Key>, span: Span) -> Outcome<Item> {
        self.budget.spend(set_size(&keys), span)?;
        Ok(Item::Set(self.add(Object::Set(keys))))
    }

    pub fn new_iter(&mut self, items: Vec<Item>, span: Span) -> Outcome<Item> {
        self.budget.spend((items.len() + 1) * CELL, span)?;
        Ok(Item::Iter(self.add(Object::Iter(items.into()))))
    }

    /// Takes the next item of what is gone through once.
    pub fn next(&mut self, id: Id) -> Option<Item> {
        match &mut self.objects[id.0] {
            Object::Iter(items) => items.pop_front(),
            _ => None,
        }
    }

    fn add(&mut self, object: Object) -> Id {
        self.objects.push(object);
        Id(self.objects.len() - 1)
    }

    pub fn list(&self, id: Id) -> &[Cell] {
        match &self.objects[id.0] {
            Object::List(cells) => cells,
            _ => &[],
        }
    }

    pub fn dict(&self, id: Id) -> Option<&OrderedMap<Cell>> {
        match &self.objects[id.0] {
            Object::Dict(map) => Some(map),
            _ => None,
        }
    }

    pub fn set(&self, id: Id) -> Option<&BTreeSet<Key>> {
        match &self.objects[id.0] {
            Object::Set(keys) => Some(keys),
            _ => None,
        }
    }

    /// The items of a list, to be changed in place; growing costs what `spend` says.
    pub fn list_mut(&mut self, id: Id) -> Option<&mut Vec<Cell>> {
        match &mut self.objects[id.0] {
            Object::List(cells) => Some(cells),
            _ => None,
        }
    }

    /// A dictionary, to take keys out of it.
    pub fn dict_mut(&mut self, id: Id) -> Option<&mut OrderedMap<Cell>> {
        match &mut self.objects[id.0] {
            Object::Dict(map) => Some(map),
            _ => None,
        }
    }

    pub fn replace_set(&mut self, id: Id, keys: BTreeSet<Key>, span: Span) -> Outcome<()> {
        self.budget.spend(set_size(&keys), span)?;
        self.objects[id.0] = Object::Set(keys);
        Ok(())
    }

    pub fn push(&mut self, id: Id, item: Item, span: Span) -> Outcome<()> {
        self.budget.spend(CELL, span)?;
        if let Object::List(cells) = &mut self.objects[id.0] {
            cells.push(Cell { item, span: Some(span) });
        }
        Ok(())
    }

    /// Replaces an item of a list; false when there is none at that place.
    pub fn replace(&mut self, id: Id, at: usize, item: Item, span: Span) -> bool {
        match &mut self.objects[id.0] {
            Object::List(cells) if at < cells.len() => {
                cells[at] = Cell { item, span: Some(span) };
                true
            }
            _ => false,
        }
    }

    pub fn insert(&mut self, id: Id, key: Key, item: Item, span: Span) -> Outcome<()> {
        self.budget.spend(CELL + key_size(&key), span)?;
        if let Object::Dict(map) = &mut self.objects[id.0] {
            map.insert(key, Cell { item, span: Some(span) });
        }
        Ok(())
    }

    pub fn replace_dict(&mut self, id: Id, cells: OrderedMap<Cell>) {
        self.objects[id.0] = Object::Dict(cells);
    }

    /// Exchanges the content of two objects, so that the first changes for all who share it.
    pub fn swap(&mut self, one: Id, other: Id) {
        self.objects.swap(one.0, other.0);
    }

    /// Takes in a value from outside: a default.
    pub fn thaw(&mut self, value: &Value) -> Item {
        let cell = |item| Cell { item, span: None };
        match value {
            Value::None => Item::None,
            Value::Bool(flag) => Item::Bool(*flag),
            Value::Int(number) => Item::Int(*number),
            Value::Float(number) => Item::Float(*number),
            Value::Str(text) => Item::Str(text.as_str().into()),
            Value::Tuple(items) => Item::Tuple(items.iter().map(|item| self.thaw(item)).collect()),
            Value::List(items) => {
                let cells = items.iter().map(|item| cell(self.thaw(item))).collect();
                Item::List(self.add(Object::List(cells)))
            }
            Value::Dict(map) => {
                let cells =
                    map.iter().map(|(key, value)| (key.clone(), cell(self.thaw(value)))).collect();
                Item::Dict(self.add(Object::Dict(cells)))
            }
            Value::Set(keys) => Item::Set(self.add(Object::Set(keys.clone()))),
        }
    }

    /// The key that a value is in a dictionary or set.
    pub fn key(&self, item: &Item, span: Span) -> Outcome<Key> {
        match item {
            Item::None => Ok(Key::None),
            Item::Bool(flag) => Ok(Key::Bool(*flag)),
            Item::Int(number) => Ok(Key::Int(*number)),
            // A key has a copy of its own.
            Item::Str(text) => {
                self.budget.spend(text.len(), span)?;
                Ok(Key::Str(text.to_string()))
            }
            Item::Tuple(items) => items
                .iter()
                .map(|item| self.key(item, span))
                .collect::<Outcome<_>>()
                .map(Key::Tuple),
            _ => {
                let message = format!("{} cannot be a key", item.type_name());
                Err(Fault::new(ErrorKind::Type, span, message)
                    .hint("a key is a string, an integer, a boolean, None or a tuple of these"))
            }
        }
    }
}

fn set_size(keys: &BTreeSet<Key>) -> usize {
    keys.iter().map(|key| CELL + key_size(key)).sum::<usize>() + CELL
}

fn key_size(key: &Key) -> usize {
    match key {
        Key::Str(text) => text.len(),
        Key::Tuple(items) => items.iter().map(key_size).sum(),
        Key::None | Key::Bool(_) | Key::Int(_) => 0,
    }
}

impl Item {
    /// What Python calls the type, with its article.
    pub fn type_name(&self) -> &'static str {
        match self {
            Item::None => "None",
            Item::Bool(_) => "a boolean",
            Item::Int(_) => "an integer",
            Item::Float(_) => "a floating point number",
            Item::Str(_) => "a string",
            Item::Tuple(_) => "a tuple",
            Item::List(_) => "a list",
            Item::Dict(_) => "a dictionary",
            Item::Set(_) => "a set",
            Item::View(..) => "a view of a dictionary",
            Item::Iter(_) => "an iterator",
            Item::Range(..) => "a range",
            Item::Module(_) => "a module",
            Item::Function(_) => "a function",
            Item::Uname => "a tuple",
        }
    }
}

impl From<Key> for Item {
    fn from(key: Key) -> Self {
        match key {
            Key::None => Item::None,
            Key::Bool(flag) => Item::Bool(flag),
            Key::Int(number) => Item::Int(number),
            Key::Str(text) => Item::Str(text.into()),
            Key::Tuple(items) => Item::Tuple(items.into_iter().map(Item::from).collect()),
        }
    }
}
