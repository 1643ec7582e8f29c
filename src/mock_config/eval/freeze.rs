//! Turning what a config has built into plain values.

use std::collections::BTreeMap;

use super::heap::{Heap, Item};
use super::limits::{DEPTH, NODES};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::OrderedMap;
use crate::mock_config::source::Span;
use crate::mock_config::value::Value;

/// Which assignment set an option, by the keys that lead to it.
pub(in crate::mock_config) type Origins = BTreeMap<Vec<String>, Span>;

/// How deep origins are remembered: an option, and what is in it. Errors name nothing deeper.
const ORIGIN_DEPTH: usize = 4;

pub(super) struct Freezer<'a> {
    heap: &'a Heap,
    nodes: usize,
    bytes: usize,
    path: Vec<String>,
    pub origins: Origins,
    /// Where to point when there is too much of it.
    blame: Span,
}

impl<'a> Freezer<'a> {
    pub fn new(heap: &'a Heap, blame: Span) -> Self {
        let bytes = 0;
        Freezer { heap, nodes: 0, bytes, path: Vec::new(), origins: Origins::new(), blame }
    }

    pub fn freeze(&mut self, item: &Item) -> Outcome<Value> {
        self.nodes += 1;
        if self.nodes > NODES || self.bytes > NODES * 64 {
            return Err(self.fault("the values of the config are too large"));
        }
        if self.path.len() > DEPTH {
            return Err(self.fault("the values are nested too deep, or contain themselves"));
        }
        Ok(match item {
            Item::None => Value::None,
            Item::Bool(flag) => Value::Bool(*flag),
            Item::Int(number) => Value::Int(*number),
            Item::Float(number) => Value::Float(*number),
            Item::Str(text) => {
                self.bytes += text.len();
                Value::Str(text.to_string())
            }
            Item::Tuple(items) => Value::Tuple(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.child(at.to_string(), item, None))
                    .collect::<Outcome<_>>()?,
            ),
            Item::List(id) => Value::List(
                self.heap
                    .list(*id)
                    .iter()
                    .enumerate()
                    .map(|(at, cell)| self.child(at.to_string(), &cell.item, cell.span))
                    .collect::<Outcome<_>>()?,
            ),
            Item::Dict(id) => {
                let mut map = OrderedMap::new();
                for (key, cell) in self.heap.dict(*id).into_iter().flat_map(OrderedMap::iter) {
                    let value = self.child(key.to_text(), &cell.item, cell.span)?;
                    map.insert(key.clone(), value);
                }
                Value::Dict(map)
            }
            Item::Set(id) => Value::Set(self.heap.set(*id).cloned().unwrap_or_default()),
            Item::View(..) | Item::Iter(_) | Item::Range(..) => {
                let message = format!("{} is not a value for an option", item.type_name());
                return Err(Fault::new(ErrorKind::Type, self.blame, message)
                    .hint("make a list of it: list(…)"));
            }
            Item::Module(name) | Item::Function(name) => {
                let message = format!("`{name}` itself is not a value for an option");
                return Err(Fault::new(ErrorKind::Type, self.blame, message)
                    .hint("call a function to get its value: name()"));
            }
            Item::Uname => {
                let message = "os.uname() as a whole is not a value for an option";
                return Err(Fault::new(ErrorKind::Type, self.blame, message)
                    .hint("take a part of it, such as os.uname().machine"));
            }
        })
    }

    fn child(&mut self, key: String, item: &Item, span: Option<Span>) -> Outcome<Value> {
        self.path.push(key);
        if let Some(span) = span {
            if self.path.len() == 1 {
                self.blame = span;
            }
            if self.path.len() <= ORIGIN_DEPTH {
                self.origins.insert(self.path.clone(), span);
            }
        }
        let value = self.freeze(item);
        self.path.pop();
        value
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(ErrorKind::Limit, self.blame, message).hint(
            "look for a list or dictionary that is put into itself, or doubled again and again",
        )
    }
}
