//! Tokens to a tree.

mod atom;
mod block;
mod comprehension;
mod expr;
mod refuse;
mod stmt;

use super::ast::{Comprehension, Expr, ExprKind, Piece, Stmt, Target};
use super::error::{ErrorKind, Fault, Outcome};
use super::lex::{Lexeme, Token, lex};
use super::source::Span;

/// How deep expressions may be nested. No config comes near; it keeps the stack bounded.
const MAX_DEPTH: u16 = 60;

/// Parses a whole text whose first character has the position `base`.
pub(super) fn parse(text: &str, base: u32) -> Outcome<Vec<Stmt>> {
    let hint = "check the brackets, quotes and spaces of this line and the one before";
    let mut parser = Parser::new(text, base).map_err(|fault| fault.hint_if_none(hint))?;
    let mut out = Vec::new();
    while *parser.peek() != Token::End {
        parser.statement(&mut out)?;
    }
    Ok(out)
}

/// Parses a text that is one expression, such as the argument of an `include()`.
pub(super) fn parse_expression(text: &str, base: u32) -> Outcome<Expr> {
    let mut parser = Parser::new(text, base)?;
    let expr = parser.expression()?;
    parser.expect_end_of_line("the expression")?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("the end")),
    }
}

struct Parser {
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: u16,
    /// How many loops the statement is in.
    loops: u16,
}

impl Parser {
    fn new(text: &str, base: u32) -> Outcome<Self> {
        Ok(Parser { lexemes: lex(text, base)?, at: 0, depth: 0, loops: 0 })
    }

    // The lexer always ends with `End`, and `next` never goes past it.
    fn current(&self) -> &Lexeme {
        &self.lexemes[self.at]
    }

    fn peek(&self) -> &Token {
        &self.current().token
    }

    fn span(&self) -> Span {
        self.current().span
    }

    fn next(&mut self) -> Lexeme {
        let lexeme = self.current().clone();
        if lexeme.token != Token::End {
            self.at += 1;
        }
        lexeme
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Token::Op(seen) if *seen == op)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(seen) if seen == name)
    }

    fn is_name_after(&self, name: &str) -> bool {
        let after = self.lexemes.get(self.at + 1).map(|lexeme| &lexeme.token);
        matches!(after, Some(Token::Name(seen)) if seen == name)
    }

    /// Takes the operator when it is next.
    fn eat(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, op: &str) -> Outcome<Span> {
        if self.is_op(op) { Ok(self.next().span) } else { Err(self.unexpected(&format!("`{op}`"))) }
    }

    fn expect_end_of_line(&mut self, after: &str) -> Outcome<()> {
        match self.peek() {
            Token::Newline => {
                self.next();
                Ok(())
            }
            Token::End => Ok(()),
            _ => Err(self.unexpected(&format!("the end of the line after {after}"))),
        }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let Lexeme { token, span } = self.current();
        if let Some(fault) = refuse::token(token, *span) {
            return fault;
        }
        let message = format!("expected {wanted}, found {}", token.describe());
        Fault::new(ErrorKind::Syntax, *span, message)
    }

    /// Runs a rule that may recurse, one level deeper.
    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep(self.span()));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }
}

/// Makes a node and keeps count of its depth, which chains like `a + b + …` add to as well.
fn node(kind: ExprKind, span: Span) -> Outcome<Expr> {
    let depth = 1 + deepest(&kind);
    if depth > MAX_DEPTH { Err(too_deep(span)) } else { Ok(Expr { kind, span, depth }) }
}

fn deepest(kind: &ExprKind) -> u16 {
    use ExprKind::*;
    let most = |items: &[Expr]| items.iter().map(|item| item.depth).max().unwrap_or(0);
    match kind {
        None | Bool(_) | Int(_) | Float(_) | Str(_) | Name(_) => 0,
        Format(pieces) => pieces.iter().map(deepest_piece).max().unwrap_or(0),
        Comprehension(inner) => deepest_clause(inner),
        Slice { base, bounds } => {
            bounds.iter().flatten().map(|bound| bound.depth).fold(base.depth, u16::max)
        }
        List(items) | Tuple(items) | Set(items) => most(items),
        Dict(pairs) => {
            let depth = |(key, value): &(Option<Expr>, Expr)| {
                key.as_ref().map_or(0, |key| key.depth).max(value.depth)
            };
            pairs.iter().map(depth).max().unwrap_or(0)
        }
        Star(inner) | Not(inner) | Invert(inner) | Negate(inner) | Plus(inner) => inner.depth,
        Binary { left, right, .. } | And(left, right) | Or(left, right) => {
            left.depth.max(right.depth)
        }
        Compare { first, rest } => {
            rest.iter().map(|(_, item)| item.depth).fold(first.depth, u16::max)
        }
        Choose { test, then, other } => test.depth.max(then.depth).max(other.depth),
        Item { base, index } => base.depth.max(index.depth),
        Attribute { base, .. } => base.depth,
        Call { callee, args, named } => {
            let named = named.iter().map(|(_, item)| item.depth).max().unwrap_or(0);
            callee.depth.max(most(args)).max(named)
        }
    }
}

fn deepest_piece(piece: &Piece) -> u16 {
    match piece {
        Piece::Text(_) => 0,
        Piece::Field { value, spec, .. } => {
            spec.iter().map(deepest_piece).fold(value.depth, u16::max)
        }
    }
}

fn deepest_clause(inner: &Comprehension) -> u16 {
    let results = inner.value.iter().map(|value| value.depth).fold(inner.element.depth, u16::max);
    let clauses = inner.clauses.iter().map(|clause| {
        let tests = clause.tests.iter().map(|test| test.depth).max().unwrap_or(0);
        clause.items.depth.max(tests).max(deepest_target(&clause.target))
    });
    // The evaluator goes one level deeper for every clause.
    clauses.fold(results, u16::max).saturating_add(inner.clauses.len().min(1000) as u16)
}

fn deepest_target(target: &Target) -> u16 {
    match target {
        Target::Name(..) => 0,
        Target::Item { base, index, .. } => base.depth.max(index.depth),
        Target::Unpack { targets, .. } => {
            targets.iter().map(deepest_target).max().unwrap_or(0).saturating_add(1)
        }
    }
}

fn too_deep(span: Span) -> Fault {
    let message = format!("the expression is nested more than {MAX_DEPTH} levels deep");
    Fault::new(ErrorKind::Limit, span, message)
        .hint("split it over several assignments; strings that follow each other need no `+`")
}
