//! Expressions, from the weakest operator to the strongest.

use super::{Parser, node};
use crate::mock_config::ast::{BinaryOp, CompareOp, Expr, ExprKind};
use crate::mock_config::error::Outcome;
use crate::mock_config::lex::Token;

impl Parser {
    /// An expression, or a tuple without parentheses.
    pub(super) fn expression_list(&mut self) -> Outcome<Expr> {
        let first = self.sequence_item()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let start = first.span;
        let mut items = vec![first];
        let mut end = start;
        while self.is_op(",") {
            end = self.next().span;
            if !self.starts_expression() {
                break;
            }
            items.push(self.sequence_item()?);
            end = self.lexemes[self.at - 1].span;
        }
        node(ExprKind::Tuple(items), start.to(end))
    }

    /// An expression, or `*items`, which is unpacked.
    pub(super) fn sequence_item(&mut self) -> Outcome<Expr> {
        if !self.is_op("*") {
            return self.expression();
        }
        let start = self.next().span;
        let inner = self.deeper(Self::bit_or)?;
        let span = start.to(inner.span);
        node(ExprKind::Star(Box::new(inner)), span)
    }

    fn starts_expression(&self) -> bool {
        match self.peek() {
            Token::Newline | Token::End | Token::Indent | Token::Dedent => false,
            Token::Op(op) => matches!(*op, "(" | "[" | "{" | "-" | "+" | "~" | "*"),
            _ => true,
        }
    }

    /// `a if test else b`, and everything that binds stronger.
    pub(super) fn expression(&mut self) -> Outcome<Expr> {
        self.deeper(|parser| {
            let then = parser.disjunction()?;
            if !parser.is_name("if") {
                return Ok(then);
            }
            parser.next();
            let test = parser.disjunction()?;
            if !parser.is_name("else") {
                return Err(parser.unexpected("`else`"));
            }
            parser.next();
            let other = parser.expression()?;
            let span = then.span.to(other.span);
            let (test, then, other) = (Box::new(test), Box::new(then), Box::new(other));
            node(ExprKind::Choose { test, then, other }, span)
        })
    }

    pub(super) fn disjunction(&mut self) -> Outcome<Expr> {
        let mut left = self.conjunction()?;
        while self.is_name("or") {
            self.next();
            let right = self.conjunction()?;
            let span = left.span.to(right.span);
            left = node(ExprKind::Or(Box::new(left), Box::new(right)), span)?;
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Outcome<Expr> {
        let mut left = self.negation()?;
        while self.is_name("and") {
            self.next();
            let right = self.negation()?;
            let span = left.span.to(right.span);
            left = node(ExprKind::And(Box::new(left), Box::new(right)), span)?;
        }
        Ok(left)
    }

    fn negation(&mut self) -> Outcome<Expr> {
        if !self.is_name("not") {
            return self.comparison();
        }
        let start = self.next().span;
        let inner = self.deeper(Self::negation)?;
        let span = start.to(inner.span);
        node(ExprKind::Not(Box::new(inner)), span)
    }

    fn comparison(&mut self) -> Outcome<Expr> {
        let first = self.bit_or()?;
        let mut rest = Vec::new();
        let mut span = first.span;
        while let Some(op) = self.compare_op() {
            let item = self.bit_or()?;
            span = span.to(item.span);
            rest.push((op, item));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        node(ExprKind::Compare { first: Box::new(first), rest }, span)
    }

    fn compare_op(&mut self) -> Option<CompareOp> {
        let (op, words) = match self.peek() {
            Token::Op("==") => (CompareOp::Equal, 1),
            Token::Op("!=") => (CompareOp::NotEqual, 1),
            Token::Op("<") => (CompareOp::Less, 1),
            Token::Op("<=") => (CompareOp::LessEqual, 1),
            Token::Op(">") => (CompareOp::Greater, 1),
            Token::Op(">=") => (CompareOp::GreaterEqual, 1),
            Token::Name(name) => match name.as_str() {
                "in" => (CompareOp::In, 1),
                "not" if self.is_name_after("in") => (CompareOp::NotIn, 2),
                "is" if self.is_name_after("not") => (CompareOp::IsNot, 2),
                "is" => (CompareOp::Is, 1),
                _ => return None,
            },
            _ => return None,
        };
        self.at += words;
        Some(op)
    }

    /// Operators between `|` and `*`. Their levels are on a stack of their own, so that an
    /// expression in brackets takes little of the machine's.
    pub(super) fn bit_or(&mut self) -> Outcome<Expr> {
        let mut operands = vec![self.signed()?];
        let mut waiting: Vec<BinaryOp> = Vec::new();
        loop {
            let op = match self.peek() {
                Token::Op(op) => BinaryOp::from_symbol(op).filter(|op| level(*op).is_some()),
                _ => None,
            };
            while let Some(last) = waiting.pop_if(|last| level(*last) >= op.and_then(level)) {
                let (Some(right), Some(left)) = (operands.pop(), operands.pop()) else { break };
                let span = left.span.to(right.span);
                let (left, right) = (Box::new(left), Box::new(right));
                operands.push(node(ExprKind::Binary { op: last, left, right }, span)?);
            }
            let Some(op) = op else { break };
            self.next();
            waiting.push(op);
            operands.push(self.signed()?);
        }
        match operands.pop() {
            Some(whole) => Ok(whole),
            None => Err(self.unexpected("a value")),
        }
    }

    fn signed(&mut self) -> Outcome<Expr> {
        let sign = match self.peek() {
            Token::Op("-") => ExprKind::Negate,
            Token::Op("+") => ExprKind::Plus,
            Token::Op("~") => ExprKind::Invert,
            _ => return self.power(),
        };
        let start = self.next().span;
        let inner = self.deeper(Self::signed)?;
        let span = start.to(inner.span);
        node(sign(Box::new(inner)), span)
    }

    /// Binds stronger than a sign before it, and weaker than one behind it: `-2 ** -1`.
    fn power(&mut self) -> Outcome<Expr> {
        let base = self.postfix()?;
        if !self.eat("**") {
            return Ok(base);
        }
        let exponent = self.deeper(Self::signed)?;
        let span = base.span.to(exponent.span);
        let (left, right) = (Box::new(base), Box::new(exponent));
        node(ExprKind::Binary { op: BinaryOp::Power, left, right }, span)
    }
}

/// How strongly an operator between two values binds. `**` is none of them: it comes before signs.
fn level(op: BinaryOp) -> Option<u8> {
    match op {
        BinaryOp::BitOr => Some(1),
        BinaryOp::BitXor => Some(2),
        BinaryOp::BitAnd => Some(3),
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => Some(4),
        BinaryOp::Add | BinaryOp::Subtract => Some(5),
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Modulo => Some(6),
        BinaryOp::Power => None,
    }
}
