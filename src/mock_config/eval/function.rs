//! The functions that need no import.

use std::collections::BTreeSet;

use super::call::Call;
use super::heap::Item;
use super::ops;
use super::{Machine, convert};
use crate::mock_config::ast::BinaryOp;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};

/// All of them.
pub(super) const NAMES: &[&str] = &[
    "abs",
    "all",
    "any",
    "bool",
    "chr",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "format",
    "hex",
    "int",
    "isinstance",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "oct",
    "ord",
    "print",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "sorted",
    "str",
    "sum",
    "tuple",
    "zip",
];

/// The function of that name.
pub(super) fn named(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|known| **known == name).copied()
}

/// What `zip` takes from.
enum Column {
    Shared(super::heap::Id),
    Own(std::vec::IntoIter<Item>),
}

impl Machine<'_> {
    pub(super) fn function(&mut self, path: &'static str, call: &Call) -> Outcome<Item> {
        let span = call.span;
        Ok(match path {
            "len" => {
                let [item] = call.exactly()?;
                let length = match &item {
                    Item::Str(text) => {
                        self.heap.budget.work(text.len(), span)?;
                        text.chars().count()
                    }
                    Item::Tuple(_)
                    | Item::List(_)
                    | Item::Dict(_)
                    | Item::Set(_)
                    | Item::View(..)
                    | Item::Range(..)
                    | Item::Uname => self.length(&item),
                    _ => return Err(call.wrong_type("something with items", &item)),
                };
                Item::Int(i64::try_from(length).unwrap_or(i64::MAX))
            }
            "str" => {
                let [item] = call.bind(["object"], 0)?;
                let text = item.map_or(Ok(String::new()), |item| self.text(&item, span))?;
                self.heap.string(&text, span)?
            }
            "repr" => {
                let [item] = call.exactly()?;
                let text = self.literal(&item, span)?;
                self.heap.string(&text, span)?
            }
            "format" => {
                let [item, spec] = call.bind(["/"; 2], 1)?;
                let spec = spec.unwrap_or_else(|| Item::Str("".into()));
                let text = self.formatted(&item.unwrap_or(Item::None), call.text(&spec)?, span)?;
                self.heap.string(&text, span)?
            }
            "bool" => {
                let [item] = call.bind(["/"], 0)?;
                Item::Bool(item.is_some_and(|item| self.is_true(&item)))
            }
            "int" => self.read_int(call)?,
            "float" => convert::to_float(call)?,
            "list" => {
                let [items] = call.bind(["/"], 0)?;
                let items = items.map_or(Ok(Vec::new()), |items| self.iterate(&items, span))?;
                self.heap.new_list(items, span)?
            }
            "tuple" => {
                let [items] = call.bind(["/"], 0)?;
                let items = items.map_or(Ok(Vec::new()), |items| self.iterate(&items, span))?;
                self.heap.tuple(items, span)?
            }
            "set" => {
                let [items] = call.bind(["/"], 0)?;
                let keys = items.map_or(Ok(BTreeSet::new()), |items| self.members(&items, span))?;
                self.heap.new_set(keys, span)?
            }
            "dict" => {
                let id = self.heap.new_dict(span)?;
                if call.items.len() > 1 {
                    call.exactly::<1>()?;
                }
                if let Some(from) = call.items.first() {
                    self.update(id, from, call.first)?;
                }
                for (name, item, span) in &call.names {
                    self.heap.insert(id, name.as_str().into(), item.clone(), *span)?;
                }
                Item::Dict(id)
            }
            "sorted" => {
                let [items, key, reverse] = call.bind(["/", "key", "reverse"], 1)?;
                let items = self.iterate(&items.unwrap_or(Item::None), span)?;
                let items = self.sort(items, key, reverse, call)?;
                self.heap.new_list(items, span)?
            }
            "reversed" => {
                let [items] = call.exactly()?;
                if matches!(items, Item::Set(_) | Item::Iter(_)) {
                    return Err(call.wrong_type("something with an order", &items));
                }
                let mut items = self.iterate(&items, span)?;
                items.reverse();
                self.heap.new_iter(items, span)?
            }
            "range" => {
                let numbers = call.bind(["/"; 3], 1)?;
                let number =
                    |at: usize| numbers[at].as_ref().map(|item| call.int(item)).transpose();
                let (first, second, step) = (number(0)?.unwrap_or(0), number(1)?, number(2)?);
                let (start, stop) = second.map_or((0, first), |stop| (first, stop));
                match step {
                    Some(0) => return Err(call.value("the step of a range cannot be zero")),
                    step => Item::Range(start, stop, step.unwrap_or(1)),
                }
            }
            "enumerate" => {
                let [items, start] = call.bind(["iterable", "start"], 1)?;
                let start = start.map_or(Ok(0), |start| call.int(&start))?;
                let items = self.iterate(&items.unwrap_or(Item::None), span)?;
                let mut out = Vec::new();
                for (number, item) in (start..).zip(items) {
                    out.push(self.heap.tuple(vec![Item::Int(number), item], span)?);
                }
                self.heap.new_iter(out, span)?
            }
            "zip" => {
                call_without_names(call)?;
                // What is gone through once may stand in several columns, each taking its turn.
                let mut columns = Vec::new();
                for items in &call.items {
                    columns.push(match items {
                        Item::Iter(id) => Column::Shared(*id),
                        items => Column::Own(self.iterate(items, span)?.into_iter()),
                    });
                }
                let mut out = Vec::new();
                while !columns.is_empty() {
                    let mut row = Vec::new();
                    for column in &mut columns {
                        row.extend(match column {
                            Column::Shared(id) => self.heap.next(*id),
                            Column::Own(items) => items.next(),
                        });
                        if row.is_empty() {
                            break;
                        }
                    }
                    if row.len() < columns.len() {
                        break;
                    }
                    out.push(self.heap.tuple(row, span)?);
                }
                self.heap.new_iter(out, span)?
            }
            "map" | "filter" => {
                let [function, items] = call.exactly()?;
                let mut out = Vec::new();
                for item in self.iterate(&items, span)? {
                    let result = match (&function, path) {
                        (Item::None, "filter") => item.clone(),
                        _ => self.apply(&function, item.clone(), call)?,
                    };
                    match path {
                        "map" => out.push(result),
                        _ if self.is_true(&result) => out.push(item),
                        _ => {}
                    }
                }
                self.heap.new_iter(out, span)?
            }
            "iter" => {
                let [items] = call.exactly()?;
                match items {
                    Item::Iter(_) => items,
                    _ => {
                        let items = self.iterate(&items, span)?;
                        self.heap.new_iter(items, span)?
                    }
                }
            }
            "next" => {
                let [items, default] = call.bind(["/"; 2], 1)?;
                let next = match items {
                    Some(Item::Iter(id)) => self.heap.next(id),
                    other => {
                        return Err(call.wrong_type("an iterator", &other.unwrap_or(Item::None)));
                    }
                };
                let Some(item) = next.or(default) else {
                    return Err(call.value("there is no next item"));
                };
                item
            }
            "min" | "max" => self.extreme(path == "max", call)?,
            "sum" => {
                let [items, start] = call.bind(["/", "start"], 1)?;
                let mut total = start.unwrap_or(Item::Int(0));
                if let Item::Str(_) = total {
                    return Err(call.value("sum() adds numbers; texts are joined with ''.join()"));
                }
                for item in self.iterate(&items.unwrap_or(Item::None), span)? {
                    total = self.binary(BinaryOp::Add, &total, &item, span)?;
                }
                total
            }
            "any" | "all" => {
                let [items] = call.exactly()?;
                let wanted = path == "any";
                let items = self.iterate(&items, span)?;
                let found = items.iter().any(|item| self.is_true(item) == wanted);
                Item::Bool(found == wanted)
            }
            "abs" => {
                let [item] = call.exactly()?;
                match ops::number(&item) {
                    Some(number) => ops::signed(&item, number < 0.0, span)?,
                    None => return Err(call.wrong_type("a number", &item)),
                }
            }
            "divmod" => {
                let [a, b] = call.exactly()?;
                let whole = self.binary(BinaryOp::FloorDivide, &a, &b, span)?;
                let rest = self.binary(BinaryOp::Modulo, &a, &b, span)?;
                self.heap.tuple(vec![whole, rest], span)?
            }
            "round" => convert::round(call)?,
            "hex" | "oct" => {
                let [item] = call.exactly()?;
                call.int(&item)?;
                let spec = if path == "hex" { "#x" } else { "#o" };
                let text = self.formatted(&item, spec, span)?;
                self.heap.string(&text, span)?
            }
            "ord" => {
                let [item] = call.exactly()?;
                let mut symbols = call.text(&item)?.chars();
                match (symbols.next(), symbols.next()) {
                    (Some(symbol), None) => Item::Int(i64::from(u32::from(symbol))),
                    _ => return Err(call.value("ord() needs a single character")),
                }
            }
            "chr" => {
                let [item] = call.exactly()?;
                let code = u32::try_from(call.int(&item)?).ok().and_then(char::from_u32);
                match code {
                    Some(symbol) => self.heap.string(symbol.encode_utf8(&mut [0; 4]), span)?,
                    None => return Err(call.value("there is no character of that number")),
                }
            }
            "isinstance" => {
                let [item, kinds] = call.exactly()?;
                Item::Bool(convert::is_instance(&item, &kinds, call)?)
            }
            "print" => {
                let mut words = Vec::new();
                for item in &call.items {
                    words.push(self.text(item, span)?);
                }
                let text = words.join(" ");
                self.heap.budget.spend(text.len(), span)?;
                self.note(format!("the config says: {text}"), span);
                Item::None
            }
            _ => return self.system_function(path, call),
        })
    }

    /// Calls a function that was given as a value.
    pub(super) fn apply(&mut self, function: &Item, item: Item, call: &Call) -> Outcome<Item> {
        let Item::Function(path) = function else {
            return Err(call.wrong_type("a function", function));
        };
        self.heap.budget.step(call.span)?;
        let (first, last, span) = (call.first, call.last, call.span);
        let name = (*path).to_owned();
        self.function(path, &Call { name, items: vec![item], names: Vec::new(), first, last, span })
    }

    /// What an item is sorted by.
    pub(super) fn by_key(&mut self, key: Option<&Item>, item: &Item, call: &Call) -> Outcome<Item> {
        match key {
            None | Some(Item::None) => Ok(item.clone()),
            Some(function) => self.apply(function, item.clone(), call),
        }
    }

    fn extreme(&mut self, largest: bool, call: &Call) -> Outcome<Item> {
        let named = |name: &str| {
            call.names.iter().find(|(known, ..)| known == name).map(|(_, item, _)| item.clone())
        };
        let (key, default) = (named("key"), named("default"));
        let items = match call.items.as_slice() {
            [items] => self.iterate(items, call.span)?,
            items => items.to_vec(),
        };
        let mut best: Option<(Item, Item)> = None;
        for item in items {
            let by = self.by_key(key.as_ref(), &item, call)?;
            let better = match &best {
                None => true,
                Some((old, _)) => {
                    let order = self.order(&by, old, 0, call.span)?;
                    if largest { order.is_gt() } else { order.is_lt() }
                }
            };
            if better {
                best = Some((by, item));
            }
        }
        best.map(|(_, item)| item)
            .or(default)
            .ok_or_else(|| call.value(format!("{}() has nothing to choose from", call.name)))
    }
}

fn call_without_names(call: &Call) -> Outcome<()> {
    match call.names.first() {
        Some((name, _, span)) => {
            let message = format!("{}() takes no argument called `{name}`", call.name);
            Err(Fault::new(ErrorKind::Type, *span, message))
        }
        None => Ok(()),
    }
}
