//! Comprehensions, and the targets of loops.

use super::{Parser, node};
use crate::mock_config::ast::{Clause, Comprehension, ComprehensionKind, Expr, ExprKind, Target};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::source::Span;

impl Parser {
    /// Makes a comprehension of an element that has been read, if `for` follows it.
    pub(super) fn comprehension(
        &mut self,
        kind: ComprehensionKind,
        element: Expr,
        value: Option<Expr>,
        start: Span,
    ) -> Outcome<Expr> {
        let starred = [Some(&element), value.as_ref()];
        if let Some(star) = starred.into_iter().flatten().find(|item| item.is_star()) {
            let message = "a comprehension cannot unpack its elements";
            return Err(Fault::new(ErrorKind::Syntax, star.span, message));
        }
        let mut clauses = Vec::new();
        while self.is_name("for") {
            self.next();
            let target = self.loop_target()?;
            if !self.is_name("in") {
                return Err(self.unexpected("`in`"));
            }
            self.next();
            let items = self.deeper(Self::disjunction)?;
            let mut tests = Vec::new();
            while self.is_name("if") {
                self.next();
                tests.push(self.deeper(Self::disjunction)?);
            }
            clauses.push(Clause { target, items, tests });
        }
        let inner = Comprehension { kind, element, value, clauses };
        node(ExprKind::Comprehension(Box::new(inner)), start)
    }

    /// What stands between `for` and `in`.
    pub(super) fn loop_target(&mut self) -> Outcome<Target> {
        let first = self.target_item()?;
        let start = first.span;
        if !self.is_op(",") {
            return self.target(first);
        }
        let mut items = vec![first];
        while self.eat(",") {
            if self.is_name("in") {
                break;
            }
            items.push(self.target_item()?);
        }
        let end = items.last().map_or(start, |last| last.span);
        self.target(node(ExprKind::Tuple(items), start.to(end))?)
    }

    /// `in` would be a comparison here; a target has none.
    fn target_item(&mut self) -> Outcome<Expr> {
        if !self.is_op("*") {
            return self.deeper(Self::postfix);
        }
        let start = self.next().span;
        let inner = self.deeper(Self::postfix)?;
        let span = start.to(inner.span);
        node(ExprKind::Star(Box::new(inner)), span)
    }
}
