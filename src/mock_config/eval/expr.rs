//! Evaluating expressions.

use std::collections::BTreeSet;

use super::heap::{Id, Item};
use super::{Machine, function, ops};
use crate::mock_config::ast::{Expr, ExprKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::{Key, OrderedMap};
use crate::mock_config::modules;
use crate::mock_config::source::Span;
use crate::nearest::nearest;

/// Modules that configs are seen to use, for a better word than "not defined".
const MODULES: &[&str] = &[
    "datetime",
    "glob",
    "grp",
    "json",
    "pwd",
    "re",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "time",
];

/// Functions of Python that reach further than a config may.
const OUTSIDE: &[&str] = &[
    "__import__",
    "bytes",
    "compile",
    "delattr",
    "dir",
    "eval",
    "exec",
    "exit",
    "getattr",
    "globals",
    "hasattr",
    "input",
    "locals",
    "open",
    "quit",
    "setattr",
    "type",
    "vars",
];

impl Machine<'_> {
    pub(super) fn eval(&mut self, expr: &Expr) -> Outcome<Item> {
        let span = expr.span;
        self.heap.budget.step(span)?;
        match &expr.kind {
            ExprKind::None => Ok(Item::None),
            ExprKind::Bool(flag) => Ok(Item::Bool(*flag)),
            ExprKind::Int(number) => Ok(Item::Int(*number)),
            ExprKind::Float(number) => Ok(Item::Float(*number)),
            ExprKind::Str(text) => self.heap.string(text, span),
            ExprKind::Name(name) => self.name(name, span),
            ExprKind::List(items) => {
                let items = self.all(items)?;
                self.heap.new_list(items, span)
            }
            ExprKind::Tuple(items) => {
                let items = self.all(items)?;
                self.heap.tuple(items, span)
            }
            ExprKind::Set(items) => self.make_set(items, span),
            ExprKind::Dict(pairs) => self.make_dict(pairs, span),
            ExprKind::Not(inner) => {
                let inner = self.eval(inner)?;
                Ok(Item::Bool(!self.is_true(&inner)))
            }
            ExprKind::Star(_) => {
                let message = "`*` unpacks into a list or a tuple only";
                Err(Fault::new(ErrorKind::Syntax, span, message))
            }
            ExprKind::Format(pieces) => {
                let text = self.pieces(pieces, span)?;
                self.heap.string(&text, span)
            }
            ExprKind::Comprehension(inner) => self.comprehension(inner, span),
            ExprKind::Invert(inner) => {
                let item = self.eval(inner)?;
                ops::invert(&item, span)
            }
            ExprKind::Negate(inner) => {
                let item = self.eval(inner)?;
                ops::signed(&item, true, span)
            }
            ExprKind::Plus(inner) => {
                let item = self.eval(inner)?;
                ops::signed(&item, false, span)
            }
            ExprKind::Binary { op, left, right } => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                self.binary(*op, &left, &right, span)
            }
            ExprKind::And(left, right) => {
                let left = self.eval(left)?;
                if self.is_true(&left) { self.eval(right) } else { Ok(left) }
            }
            ExprKind::Or(left, right) => {
                let left = self.eval(left)?;
                if self.is_true(&left) { Ok(left) } else { self.eval(right) }
            }
            ExprKind::Compare { first, rest } => {
                let mut left = self.eval(first)?;
                for (op, right) in rest {
                    let right = self.eval(right)?;
                    if !self.compare(*op, &left, &right, span)? {
                        return Ok(Item::Bool(false));
                    }
                    left = right;
                }
                Ok(Item::Bool(true))
            }
            ExprKind::Choose { test, then, other } => {
                let test = self.eval(test)?;
                if self.is_true(&test) { self.eval(then) } else { self.eval(other) }
            }
            ExprKind::Item { base, index } => {
                let base = self.eval(base)?;
                let index_item = self.eval(index)?;
                self.get_item(&base, &index_item, index.span)
            }
            ExprKind::Slice { base, bounds } => {
                let base = self.eval(base)?;
                let mut numbers = [None; 3];
                for (number, bound) in numbers.iter_mut().zip(bounds.iter()) {
                    if let Some(bound) = bound {
                        let item = self.eval(bound)?;
                        *number = ops::bound(&item, bound.span)?;
                    }
                }
                self.slice(&base, numbers, span)
            }
            ExprKind::Attribute { base, name } => {
                let base = self.eval(base)?;
                if let Some(found) = self.attribute(&base, name, span)? {
                    return Ok(found);
                }
                let message = format!("the attribute `{name}` cannot be used as a value");
                Err(Fault::new(ErrorKind::Unsupported, span, message).hint(
                    "options are read as config_opts['name']; methods need their parentheses",
                ))
            }
            ExprKind::Call { callee, args, named } => self.call(callee, args, named, span),
        }
    }

    /// Evaluates the items of a sequence; `*items` puts in all of them.
    pub(super) fn all(&mut self, exprs: &[Expr]) -> Outcome<Vec<Item>> {
        let mut out = Vec::with_capacity(exprs.len());
        for expr in exprs {
            match &expr.kind {
                ExprKind::Star(inner) => {
                    let items = self.eval(inner)?;
                    out.extend(self.iterate(&items, inner.span)?);
                }
                _ => out.push(self.eval(expr)?),
            }
        }
        Ok(out)
    }

    fn make_set(&mut self, exprs: &[Expr], span: Span) -> Outcome<Item> {
        let items = self.all(exprs)?;
        let keys: BTreeSet<_> =
            items.iter().map(|item| self.heap.key(item, span)).collect::<Outcome<_>>()?;
        self.heap.new_set(keys, span)
    }

    fn make_dict(&mut self, pairs: &[(Option<Expr>, Expr)], span: Span) -> Outcome<Item> {
        let id = self.heap.new_dict(span)?;
        for (key, value) in pairs {
            let Some(key) = key else {
                let from = self.eval(value)?;
                self.update(id, &from, value.span)?;
                continue;
            };
            let key_item = self.eval(key)?;
            let item = self.eval(value)?;
            let key = self.heap.key(&key_item, key.span)?;
            self.heap.insert(id, key, item, value.span)?;
        }
        Ok(Item::Dict(id))
    }

    pub(super) fn name(&self, name: &str, span: Span) -> Outcome<Item> {
        if name == "config_opts" {
            return self.root.map(Item::Dict).ok_or_else(|| {
                let message = "config_opts cannot be used in the argument of include()";
                Fault::new(ErrorKind::Unsupported, span, message)
                    .hint("files are included before any option is set; write the path as a string")
            });
        }
        if let Some(item) = self.names.get(name) {
            return Ok(item.clone());
        }
        if name == "include" {
            let message = "include() must stand at the beginning of its line";
            return Err(Fault::new(ErrorKind::Include, span, message)
                .hint("the file is put in place of the line, with its path on the same line"));
        }
        // mock runs configs where this module is known already.
        if name == "os" {
            return Ok(Item::Module("os"));
        }
        if let Some(function) = function::named(name) {
            return Ok(Item::Function(function));
        }
        if let Some(module) = modules::module(name) {
            let fault = Fault::new(ErrorKind::Name, span, format!("`{name}` is not defined"));
            return Err(fault.hint(format!("begin with: import {module}")));
        }
        if MODULES.contains(&name) {
            let message = format!("the module `{name}` is not available in configs");
            return Err(Fault::new(ErrorKind::Unsupported, span, message)
                .hint("a config has no access to the machine; write the value itself"));
        }
        if OUTSIDE.contains(&name) {
            let message = format!("the function `{name}` is not available in configs");
            return Err(Fault::new(ErrorKind::Unsupported, span, message).hint(
                "a config has no access to files, code or the machine; write the value itself",
            ));
        }
        let fault = Fault::new(ErrorKind::Name, span, format!("`{name}` is not defined"));
        let known = self.names.keys().map(String::as_str);
        let known = known.chain(["config_opts"]).chain(function::NAMES.iter().copied());
        Err(match nearest(name, known, 1).first() {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint("a config knows config_opts, what it has set or imported itself, and the common functions of Python"),
        })
    }

    pub(super) fn get_item(&mut self, base: &Item, index: &Item, span: Span) -> Outcome<Item> {
        match base {
            Item::Dict(id) => {
                let key = self.resolve_alias(*id, self.heap.key(index, span)?);
                let found = self.heap.dict(*id).and_then(|map| map.get(&key));
                found.map(|cell| cell.item.clone()).ok_or_else(|| self.no_key(*id, &key, span))
            }
            Item::List(id) => {
                let cells = self.heap.list(*id);
                Ok(cells[ops::position(index, cells.len(), span)?].item.clone())
            }
            Item::Tuple(items) => Ok(items[ops::position(index, items.len(), span)?].clone()),
            Item::Str(_) | Item::Range(..) | Item::Uname => {
                let items = self.iterate(base, span)?;
                Ok(items[ops::position(index, items.len(), span)?].clone())
            }
            _ => {
                let message = format!("{} has no items", base.type_name());
                Err(Fault::new(ErrorKind::Type, span, message))
            }
        }
    }

    pub(super) fn no_key(&self, id: Id, key: &Key, span: Span) -> Fault {
        let what = if Some(id) == self.root { "option" } else { "key" };
        let name = key.to_text();
        let fault = Fault::new(ErrorKind::Name, span, format!("the {what} '{name}' is not set"));
        let known = self.heap.dict(id).into_iter().flat_map(OrderedMap::keys);
        match nearest(&name, known.filter_map(Key::as_str), 1).first() {
            Some(near) => fault.hint(format!("did you mean '{near}'?")),
            None => fault.hint("set it before it is used, or read it with .get()"),
        }
    }
}
