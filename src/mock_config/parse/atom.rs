//! The strongest part of an expression: literals, brackets, subscripts, calls.

use super::{Parser, node, refuse};
use crate::mock_config::ast::{Expr, ExprKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::lex::Token;
use crate::mock_config::source::Span;

impl Parser {
    /// An atom with everything that hangs on it: `a['b'].c(d)`.
    pub(super) fn postfix(&mut self) -> Outcome<Expr> {
        let mut base = self.atom()?;
        loop {
            let start = base.span;
            let boxed = |base: Expr| Box::new(base);
            base = match self.peek() {
                Token::Op("[") => {
                    self.next();
                    let index = self.subscript()?;
                    let end = self.expect("]")?;
                    let kind = ExprKind::Item { base: boxed(base), index: Box::new(index) };
                    node(kind, start.to(end))?
                }
                Token::Op(".") => {
                    self.next();
                    let span = self.span();
                    let Token::Name(name) = self.next().token else {
                        let message = "expected a name after the dot";
                        return Err(Fault::new(ErrorKind::Syntax, span, message));
                    };
                    node(ExprKind::Attribute { base: boxed(base), name }, start.to(span))?
                }
                Token::Op("(") => {
                    self.next();
                    let (args, named, end) = self.arguments()?;
                    let kind = ExprKind::Call { callee: boxed(base), args, named };
                    node(kind, start.to(end))?
                }
                _ => return Ok(base),
            };
        }
    }

    fn subscript(&mut self) -> Outcome<Expr> {
        if self.is_op(":") {
            return Err(self.slice());
        }
        let index = self.expression_list()?;
        if self.is_op(":") { Err(self.slice()) } else { Ok(index) }
    }

    fn slice(&self) -> Fault {
        refuse::unsupported(self.span(), "slices", "write the part itself")
    }

    #[expect(clippy::type_complexity, reason = "two lists and the closing bracket, used once")]
    fn arguments(&mut self) -> Outcome<(Vec<Expr>, Vec<(String, Expr)>, Span)> {
        let (mut args, mut named) = (Vec::new(), Vec::new());
        loop {
            if self.is_op(")") {
                return Ok((args, named, self.next().span));
            }
            if self.is_op("*") || self.is_op("**") {
                let hint = "write the arguments one by one";
                return Err(refuse::unsupported(self.span(), "unpacked arguments", hint));
            }
            let value = self.expression()?;
            match value.kind {
                ExprKind::Name(name) if self.is_op("=") => {
                    self.next();
                    named.push((name, self.expression()?));
                }
                _ if named.is_empty() => args.push(value),
                _ => {
                    let message = "an argument without a name follows one with a name";
                    return Err(Fault::new(ErrorKind::Syntax, value.span, message));
                }
            }
            if !self.eat(",") && !self.is_op(")") {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
    }

    fn atom(&mut self) -> Outcome<Expr> {
        let span = self.span();
        let kind = match self.peek().clone() {
            Token::Int(number) => ExprKind::Int(number),
            Token::Float(number) => ExprKind::Float(number),
            Token::Str(_) => return self.strings(),
            Token::Op("(") => return self.parenthesis(),
            Token::Op("[") => return self.list(),
            Token::Op("{") => return self.braces(),
            Token::Name(name) => match name.as_str() {
                "None" => ExprKind::None,
                "True" => ExprKind::Bool(true),
                "False" => ExprKind::Bool(false),
                word if is_keyword(word) => return Err(self.unexpected("a value")),
                _ => ExprKind::Name(name),
            },
            _ => return Err(self.unexpected("a value")),
        };
        self.next();
        node(kind, span)
    }

    /// Strings that follow each other are one string.
    fn strings(&mut self) -> Outcome<Expr> {
        let mut span = self.span();
        let mut whole = String::new();
        while let Token::Str(part) = self.peek() {
            whole.push_str(part);
            span = span.to(self.span());
            self.next();
        }
        node(ExprKind::Str(whole), span)
    }

    fn parenthesis(&mut self) -> Outcome<Expr> {
        let start = self.next().span;
        if self.is_op(")") {
            return node(ExprKind::Tuple(Vec::new()), start.to(self.next().span));
        }
        let first = self.expression()?;
        if self.is_op(")") {
            let span = start.to(self.next().span);
            return Ok(Expr { span, ..first });
        }
        let (items, end) = self.items(first, ")")?;
        node(ExprKind::Tuple(items), start.to(end))
    }

    fn list(&mut self) -> Outcome<Expr> {
        let start = self.next().span;
        if self.is_op("]") {
            return node(ExprKind::List(Vec::new()), start.to(self.next().span));
        }
        let first = self.expression()?;
        let (items, end) = self.items(first, "]")?;
        node(ExprKind::List(items), start.to(end))
    }

    /// The rest of a sequence whose first item has been read, and its closing bracket.
    fn items(&mut self, first: Expr, close: &str) -> Outcome<(Vec<Expr>, Span)> {
        let mut items = vec![first];
        loop {
            let comma = self.eat(",");
            if self.is_op(close) {
                return Ok((items, self.next().span));
            }
            if !comma {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
            items.push(self.expression()?);
        }
    }

    /// A dictionary or a set.
    fn braces(&mut self) -> Outcome<Expr> {
        let start = self.next().span;
        if self.is_op("}") {
            return node(ExprKind::Dict(Vec::new()), start.to(self.next().span));
        }
        if self.is_op("**") {
            let hint = "use .update() on the dictionary";
            return Err(refuse::unsupported(self.span(), "unpacked dictionaries", hint));
        }
        let first = self.expression()?;
        if !self.eat(":") {
            let (items, end) = self.items(first, "}")?;
            return node(ExprKind::Set(items), start.to(end));
        }
        let mut pairs = vec![(first, self.expression()?)];
        loop {
            let comma = self.eat(",");
            if self.is_op("}") {
                let span = start.to(self.next().span);
                return node(ExprKind::Dict(pairs), span);
            }
            if !comma {
                return Err(self.unexpected("`,` or `}`"));
            }
            let key = self.expression()?;
            self.expect(":")?;
            pairs.push((key, self.expression()?));
        }
    }
}

fn is_keyword(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
        "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
        "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with",
        "yield",
    ];
    WORDS.contains(&word)
}
