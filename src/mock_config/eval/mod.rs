//! Running a config: a tree in, options out, and nothing else. The evaluator has no access to the
//! machine, and what it may use of time and memory is bounded.

mod call;
mod compare;
mod expr;
mod format;
mod freeze;
mod heap;
mod limits;
mod macros;
mod ops;

use std::collections::{BTreeMap, HashMap};

pub(super) use freeze::Origins;

use super::ast::{BinaryOp, Expr, Stmt, StmtKind, Target};
use super::error::{ErrorKind, Fault, Outcome};
use super::map::Key;
use super::source::Span;
use super::value::Value;
use freeze::Freezer;
use heap::{Heap, Id, Item};

/// The state of a load: the options so far, and the variables of the file that runs.
pub(super) struct Machine<'a> {
    heap: Heap,
    /// `config_opts`; the argument of an include cannot see it.
    root: Option<Id>,
    aliases: &'a BTreeMap<String, String>,
    names: HashMap<String, Item>,
}

impl<'a> Machine<'a> {
    /// Starts from the defaults. An alias is another name of an option in `config_opts`.
    pub fn new(defaults: &Value, aliases: &'a BTreeMap<String, String>) -> Self {
        let mut heap = Heap::default();
        let root = match heap.thaw(defaults) {
            Item::Dict(id) => Some(id),
            _ => None,
        };
        Machine { heap, root, aliases, names: HashMap::new() }
    }

    /// Evaluates an expression that may use nothing but itself.
    pub fn constant(expr: &Expr) -> Outcome<Value> {
        let aliases = BTreeMap::new();
        let heap = Heap::default();
        let mut machine = Machine { heap, root: None, aliases: &aliases, names: HashMap::new() };
        let item = machine.eval(expr)?;
        Freezer::new(&machine.heap, expr.span).freeze(&item)
    }

    /// Runs a file. Its variables end with it.
    pub fn run(&mut self, statements: &[Stmt]) -> Outcome<()> {
        self.names.clear();
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    /// The options, and which assignment each came from.
    pub fn finish(&self) -> Outcome<(Value, Origins)> {
        let mut freezer = Freezer::new(&self.heap, Span::new(0, 0));
        let root = self.root.map_or(Item::None, Item::Dict);
        Ok((freezer.freeze(&root)?, freezer.origins))
    }

    fn statement(&mut self, statement: &Stmt) -> Outcome<()> {
        self.heap.budget.step(statement.span)?;
        match &statement.kind {
            StmtKind::Pass => Ok(()),
            StmtKind::Expr(expr) => self.eval(expr).map(drop),
            StmtKind::Assign { targets, value } => {
                let item = self.eval(value)?;
                targets.iter().try_for_each(|target| self.assign(target, item.clone(), value.span))
            }
            StmtKind::Augment { target, op, value } => self.augment(target, *op, value),
        }
    }

    fn assign(&mut self, target: &Target, item: Item, from: Span) -> Outcome<()> {
        match target {
            Target::Name(name, span) if name == "config_opts" => {
                let message = "config_opts itself cannot be replaced";
                Err(Fault::new(ErrorKind::Unsupported, *span, message)
                    .hint("set single options, or use config_opts.update({…})"))
            }
            Target::Name(name, _) => {
                self.names.insert(name.clone(), item);
                Ok(())
            }
            Target::Item { base, index, span } => {
                let base_item = self.eval(base)?;
                let index_item = self.eval(index)?;
                self.set_item(&base_item, &index_item, index.span, item, *span, from)
            }
        }
    }

    fn set_item(
        &mut self,
        base: &Item,
        index: &Item,
        index_span: Span,
        item: Item,
        span: Span,
        from: Span,
    ) -> Outcome<()> {
        match base {
            Item::Dict(id) => {
                let key = self.heap.key(index, index_span)?;
                let key = self.resolve_alias(*id, key);
                self.heap.insert(*id, key, item, from)
            }
            Item::List(id) => {
                let length = self.heap.list(*id).len();
                let at = ops::position(index, length, index_span)?;
                self.heap.replace(*id, at, item, from);
                Ok(())
            }
            _ => {
                let message = format!("{} has no items that could be set", base.type_name());
                Err(Fault::new(ErrorKind::Type, span, message))
            }
        }
    }

    /// `target op= value`: a list grows in place, so all who share it see it.
    fn augment(&mut self, target: &Target, op: BinaryOp, value: &Expr) -> Outcome<()> {
        // The parts of the target are evaluated once: each may be a call with an effect.
        let (place, old, span) = match target {
            Target::Name(name, span) => (None, self.name(name, *span)?, *span),
            Target::Item { base, index, span } => {
                let base_item = self.eval(base)?;
                let index_item = self.eval(index)?;
                let old = self.get_item(&base_item, &index_item, index.span)?;
                (Some((base_item, index_item, index.span)), old, *span)
            }
        };
        let right = self.eval(value)?;
        let new = match (op, &old) {
            (BinaryOp::Add, Item::List(id)) => {
                self.extend(*id, &right, value.span)?;
                old
            }
            (BinaryOp::Multiply, Item::List(id)) => {
                if let Item::List(new) = self.binary(op, &old, &right, span.to(value.span))? {
                    self.heap.swap(*id, new);
                }
                old
            }
            _ => self.binary(op, &old, &right, span.to(value.span))?,
        };
        match (place, target) {
            (Some((base, index, index_span)), _) => {
                self.set_item(&base, &index, index_span, new, span, value.span)
            }
            (None, target) => self.assign(target, new, value.span),
        }
    }

    /// The real name of an option: aliases only exist at the top of `config_opts`.
    fn resolve_alias(&self, id: Id, key: Key) -> Key {
        match key.as_str().and_then(|name| self.aliases.get(name)) {
            Some(real) if Some(id) == self.root => Key::from(real.as_str()),
            _ => key,
        }
    }
}
