//! Running a config: a tree in, options out, and nothing else. What the evaluator may know of the
//! machine is in its [`World`], and what it may use of time and memory is bounded.

mod assign;
mod call;
mod compare;
mod convert;
mod dict;
mod expr;
mod fields;
mod flow;
mod freeze;
mod function;
mod heap;
mod iterate;
mod limits;
mod list;
mod macros;
mod number;
mod ops;
mod percent;
mod set;
mod spec;
mod string;
mod system;

use std::collections::{BTreeMap, HashMap};

pub(super) use freeze::Origins;

use super::ast::{Expr, Stmt};
use super::error::Outcome;
use super::host::HostView;
use super::source::Span;
use super::value::Value;
use flow::Flow;
use freeze::Freezer;
use heap::{Heap, Id, Item};

/// What a config can learn about the machine.
pub(super) trait World {
    /// The host.
    fn host(&self) -> &HostView;
    /// What is at an absolute path.
    fn look(&self, path: &str) -> Seen;
}

/// What a config is told about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    File,
    Directory,
    Nothing,
    /// Not for configs to know; they are told that there is nothing.
    Hidden,
}

/// The state of a load: the options so far, and the variables of the file that runs.
pub(super) struct Machine<'a> {
    heap: Heap,
    /// `config_opts`; the argument of an include cannot see it.
    root: Option<Id>,
    /// `os.environ`, once it has been asked for.
    environment: Option<Id>,
    aliases: &'a BTreeMap<String, String>,
    names: HashMap<String, Item>,
    world: &'a dyn World,
    notes: Vec<Note>,
}

/// Something a person should hear, and where it happened.
pub(super) struct Note {
    pub text: String,
    pub span: Span,
}

impl<'a> Machine<'a> {
    /// Starts from the defaults. An alias is another name of an option in `config_opts`.
    pub fn new(
        defaults: &Value,
        aliases: &'a BTreeMap<String, String>,
        world: &'a dyn World,
    ) -> Self {
        let mut machine = Machine::empty(aliases, world);
        if let Item::Dict(id) = machine.heap.thaw(defaults) {
            machine.root = Some(id);
        }
        machine
    }

    fn empty(aliases: &'a BTreeMap<String, String>, world: &'a dyn World) -> Self {
        let (heap, names, notes) = (Heap::default(), HashMap::new(), Vec::new());
        Machine { heap, root: None, environment: None, aliases, names, world, notes }
    }

    /// Evaluates an expression that can use no options.
    pub fn constant(expr: &Expr, world: &dyn World) -> Outcome<Value> {
        let aliases = BTreeMap::new();
        let mut machine = Machine::empty(&aliases, world);
        let item = machine.eval(expr)?;
        Freezer::new(&machine.heap, expr.span).freeze(&item)
    }

    /// Runs a file. Its variables end with it.
    pub fn run(&mut self, statements: &[Stmt]) -> Outcome<()> {
        self.names.clear();
        match self.block(statements)? {
            // The parser lets these stand in loops only.
            Flow::Next | Flow::Break | Flow::Continue => Ok(()),
        }
    }

    /// The notes so far; they are forgotten here.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The options, and which assignment each came from.
    pub fn finish(&self) -> Outcome<(Value, Origins)> {
        let mut freezer = Freezer::new(&self.heap, Span::new(0, 0));
        let root = self.root.map_or(Item::None, Item::Dict);
        Ok((freezer.freeze(&root)?, freezer.origins))
    }

    /// Notes something; a config that says too much is not heard to the end.
    fn note(&mut self, text: String, span: Span) {
        const MOST: usize = 100;
        if self.notes.len() < MOST && !self.notes.iter().any(|note| note.text == text) {
            self.notes.push(Note { text, span });
        }
    }
}
