//! Statements, and in which order they run.

use super::heap::Item;
use super::{Machine, assign};
use crate::mock_config::ast::{
    Clause, Comprehension, ComprehensionKind, Expr, ExprKind, Stmt, StmtKind, Target,
};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::source::Span;
use std::collections::BTreeSet;

/// Where to go on after a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Machine<'_> {
    /// Runs statements until one of them ends the loop they are in.
    pub(super) fn block(&mut self, statements: &[Stmt]) -> Outcome<Flow> {
        for statement in statements {
            match self.statement(statement)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &Stmt) -> Outcome<Flow> {
        self.heap.budget.step(statement.span)?;
        match &statement.kind {
            StmtKind::Pass => {}
            StmtKind::Expr(expr) => drop(self.eval(expr)?),
            StmtKind::Assign { targets, value } => {
                let item = self.eval(value)?;
                for target in targets {
                    self.assign(target, item.clone(), value.span)?;
                }
            }
            StmtKind::Augment { target, op, value } => self.augment(target, *op, value)?,
            StmtKind::If { branches, otherwise } => {
                for (test, body) in branches {
                    let test = self.eval(test)?;
                    if self.is_true(&test) {
                        return self.block(body);
                    }
                }
                return self.block(otherwise);
            }
            StmtKind::For { target, items, body, otherwise } => {
                return self.repeat_for(target, items, body, otherwise);
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Delete(targets) => {
                targets.iter().try_for_each(|target| self.delete(target))?;
            }
            StmtKind::Assert { test, message } => {
                let value = self.eval(test)?;
                if !self.is_true(&value) {
                    let text = self.said(message.as_ref())?;
                    return Err(gives_up(text, statement.span));
                }
            }
            StmtKind::Raise(value) => {
                let text = self.raised(value.as_ref())?;
                return Err(gives_up(text, statement.span));
            }
            StmtKind::Import(known) => {
                for (name, path) in known {
                    let item = self.member(path, statement.span)?;
                    self.names.insert(name.clone(), item);
                }
            }
        }
        Ok(Flow::Next)
    }

    fn repeat_for(
        &mut self,
        target: &Target,
        items: &Expr,
        body: &[Stmt],
        otherwise: &[Stmt],
    ) -> Outcome<Flow> {
        let span = items.span;
        let items = self.eval(items)?;
        let mut steps = self.steps(&items, span)?;
        while let Some(item) = self.step(&mut steps, span)? {
            self.heap.budget.step(span)?;
            self.assign(target, item, span)?;
            match self.block(body)? {
                Flow::Next | Flow::Continue => {}
                Flow::Break => return Ok(Flow::Next),
            }
        }
        self.block(otherwise)
    }

    pub(super) fn comprehension(&mut self, inner: &Comprehension, span: Span) -> Outcome<Item> {
        // The names of a comprehension are its own.
        let mut own = Vec::new();
        for clause in &inner.clauses {
            assign::names_of(&clause.target, &mut own);
        }
        let outer: Vec<_> =
            own.iter().map(|name| (name.clone(), self.names.get(name).cloned())).collect();
        let mut out = Vec::new();
        let ended = self.clauses(inner, &inner.clauses, &mut out);
        for (name, item) in outer {
            match item {
                Some(item) => self.names.insert(name, item),
                None => self.names.remove(&name),
            };
        }
        ended?;
        match inner.kind {
            ComprehensionKind::List => {
                let items = out.into_iter().map(|(item, _)| item).collect();
                self.heap.new_list(items, span)
            }
            ComprehensionKind::Generator => {
                let items = out.into_iter().map(|(item, _)| item).collect();
                self.heap.new_iter(items, span)
            }
            ComprehensionKind::Set => {
                let mut keys = BTreeSet::new();
                for (item, _) in out {
                    keys.insert(self.heap.key(&item, inner.element.span)?);
                }
                self.heap.new_set(keys, span)
            }
            ComprehensionKind::Dict => {
                let id = self.heap.new_dict(span)?;
                for (item, value) in out {
                    let key = self.heap.key(&item, inner.element.span)?;
                    self.heap.insert(id, key, value.unwrap_or(Item::None), span)?;
                }
                Ok(Item::Dict(id))
            }
        }
    }

    /// Goes through one `for … if …` and those within it; with none left, there is an element.
    fn clauses(
        &mut self,
        inner: &Comprehension,
        clauses: &[Clause],
        out: &mut Vec<(Item, Option<Item>)>,
    ) -> Outcome<()> {
        let Some((clause, rest)) = clauses.split_first() else {
            let element = self.eval(&inner.element)?;
            let value = inner.value.as_ref().map(|value| self.eval(value)).transpose()?;
            self.heap.budget.spend(64, inner.element.span)?;
            out.push((element, value));
            return Ok(());
        };
        let span = clause.items.span;
        let items = self.eval(&clause.items)?;
        let mut steps = self.steps(&items, span)?;
        'items: while let Some(item) = self.step(&mut steps, span)? {
            self.heap.budget.step(span)?;
            self.assign(&clause.target, item, span)?;
            for test in &clause.tests {
                let test = self.eval(test)?;
                if !self.is_true(&test) {
                    continue 'items;
                }
            }
            self.clauses(inner, rest, out)?;
        }
        Ok(())
    }

    fn said(&mut self, message: Option<&Expr>) -> Outcome<String> {
        match message {
            None => Ok(String::new()),
            Some(expr) => {
                let item = self.eval(expr)?;
                self.text(&item, expr.span)
            }
        }
    }

    /// What `raise Exception('…')` says.
    fn raised(&mut self, value: Option<&Expr>) -> Outcome<String> {
        match value.map(|value| &value.kind) {
            Some(ExprKind::Call { args, .. }) => self.said(args.first()),
            _ => Ok(String::new()),
        }
    }
}

/// The config itself says that it cannot be used.
fn gives_up(text: String, span: Span) -> Fault {
    let message = match text.trim() {
        "" => "the config gives up here".to_owned(),
        text => format!("the config gives up: {text}"),
    };
    Fault::new(ErrorKind::Value, span, message)
        .hint("the config asks for this itself; see what it tests before this line")
}
