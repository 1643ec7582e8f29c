//! Statements.

use super::{Parser, refuse};
use crate::mock_config::ast::{BinaryOp, Expr, ExprKind, Stmt, StmtKind, Target};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::lex::Token;

impl Parser {
    /// One logical line, which may hold several statements.
    pub(super) fn statement(&mut self, out: &mut Vec<Stmt>) -> Outcome<()> {
        if *self.peek() == Token::Indent {
            let message = "this line is indented, but no block is open";
            return Err(Fault::new(ErrorKind::Syntax, self.span(), message)
                .hint("start the line in the first column"));
        }
        loop {
            out.push(self.simple()?);
            if !self.eat(";") || *self.peek() == Token::Newline {
                break;
            }
        }
        let hint = "is an operator or a comma missing, or a line break?";
        self.expect_end_of_line("the statement").map_err(|fault| fault.hint_if_none(hint))
    }

    fn simple(&mut self) -> Outcome<Stmt> {
        let start = self.span();
        if let Token::Name(word) = self.peek() {
            if let Some(fault) = refuse::statement(word, start) {
                return Err(fault);
            }
            if word == "pass" {
                self.next();
                return Ok(Stmt { kind: StmtKind::Pass, span: start });
            }
        }
        let first = self.expression_list()?;
        let kind = match self.peek() {
            Token::Op("=") => self.assignment(first)?,
            Token::Op(":") => {
                return Err(refuse::unsupported(self.span(), "annotations", "leave it out"));
            }
            Token::Op(op) => match augmented(op) {
                Some(op) => {
                    self.next();
                    let target = self.target(first)?;
                    StmtKind::Augment { target, op, value: self.expression_list()? }
                }
                None => StmtKind::Expr(first),
            },
            _ => StmtKind::Expr(first),
        };
        let end = match &kind {
            StmtKind::Expr(value)
            | StmtKind::Assign { value, .. }
            | StmtKind::Augment { value, .. } => value.span,
            StmtKind::Pass => start,
        };
        Ok(Stmt { kind, span: start.to(end) })
    }

    /// `a = b = value`: everything before the last `=` is a target.
    fn assignment(&mut self, first: Expr) -> Outcome<StmtKind> {
        let mut targets = Vec::new();
        let mut value = first;
        while self.eat("=") {
            targets.push(self.target(value)?);
            value = self.expression_list()?;
        }
        Ok(StmtKind::Assign { targets, value })
    }

    fn target(&self, expr: Expr) -> Outcome<Target> {
        let span = expr.span;
        match expr.kind {
            ExprKind::Name(name) => Ok(Target::Name(name, span)),
            ExprKind::Item { base, index } => Ok(Target::Item { base: *base, index: *index, span }),
            ExprKind::Tuple(_) | ExprKind::List(_) => Err(refuse::unsupported(
                span,
                "assignments to several names at once",
                "assign them one by one",
            )),
            ExprKind::Attribute { .. } => {
                let message = "an attribute cannot be set";
                Err(Fault::new(ErrorKind::Unsupported, span, message)
                    .hint("options are set as config_opts['name'] = value"))
            }
            _ => {
                let message = "only a variable or config_opts['name'] can be assigned to";
                Err(Fault::new(ErrorKind::Syntax, span, message).hint("`==` compares, `=` assigns"))
            }
        }
    }
}

/// The operation of `+=` and its like.
fn augmented(op: &str) -> Option<BinaryOp> {
    BinaryOp::from_symbol(op.strip_suffix('=')?)
}
