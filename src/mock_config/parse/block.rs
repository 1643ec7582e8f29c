//! Statements that hold other statements.

use super::Parser;
use crate::mock_config::ast::{Stmt, StmtKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::lex::Token;

impl Parser {
    /// The rest of an `if` or `elif`, from its test on.
    pub(super) fn if_statement(&mut self) -> Outcome<Stmt> {
        let start = self.next().span;
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            let test = self.expression()?;
            branches.push((test, self.block("the condition")?));
            if self.is_name("elif") {
                self.next();
                continue;
            }
            if self.is_name("else") {
                self.next();
                otherwise = self.block("`else`")?;
            }
            let kind = StmtKind::If { branches, otherwise };
            return Ok(Stmt { kind, span: start });
        }
    }

    /// A `for` loop.
    pub(super) fn for_statement(&mut self) -> Outcome<Stmt> {
        let start = self.next().span;
        let target = self.loop_target()?;
        if !self.is_name("in") {
            return Err(self.unexpected("`in`"));
        }
        self.next();
        let items = self.expression_list()?;
        self.loops += 1;
        let body = self.block("the items")?;
        self.loops -= 1;
        let mut otherwise = Vec::new();
        if self.is_name("else") {
            self.next();
            otherwise = self.block("`else`")?;
        }
        let kind = StmtKind::For { target, items, body, otherwise };
        Ok(Stmt { kind, span: start })
    }

    /// A colon, and the statements behind it or indented below it.
    fn block(&mut self, after: &str) -> Outcome<Vec<Stmt>> {
        if !self.eat(":") {
            return Err(self.unexpected(&format!("`:` after {after}")));
        }
        let mut out = Vec::new();
        self.deeper(|parser| {
            if *parser.peek() != Token::Newline {
                return parser.simple_line(&mut out);
            }
            parser.next();
            if *parser.peek() != Token::Indent {
                let message = "an indented block is expected here";
                return Err(Fault::new(ErrorKind::Syntax, parser.span(), message)
                    .hint("indent what belongs to the line before, or write `pass`"));
            }
            parser.next();
            while !matches!(parser.peek(), Token::Dedent | Token::End) {
                parser.statement(&mut out)?;
            }
            if *parser.peek() == Token::Dedent {
                parser.next();
            }
            Ok(())
        })?;
        Ok(out)
    }
}
