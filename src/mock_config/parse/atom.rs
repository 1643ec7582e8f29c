//! The strongest part of an expression: literals, brackets, subscripts, calls.

use super::{Parser, node};
use crate::mock_config::ast::{ComprehensionKind, Piece};
use crate::mock_config::ast::{Expr, ExprKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::lex::{FormatPiece, Token};
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
                    let kind = self.subscript(boxed(base))?;
                    let end = self.expect("]")?;
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

    fn subscript(&mut self, base: Box<Expr>) -> Outcome<ExprKind> {
        let mut bounds = [None, None, None];
        if !self.is_op(":") {
            let index = self.expression_list()?;
            if !self.is_op(":") {
                return Ok(ExprKind::Item { base, index: Box::new(index) });
            }
            bounds[0] = Some(index);
        }
        for bound in &mut bounds[1..] {
            if !self.eat(":") {
                break;
            }
            if !self.is_op(":") && !self.is_op("]") {
                *bound = Some(self.expression()?);
            }
        }
        Ok(ExprKind::Slice { base, bounds: Box::new(bounds) })
    }

    #[expect(clippy::type_complexity, reason = "two lists and the closing bracket, used once")]
    fn arguments(&mut self) -> Outcome<(Vec<Expr>, Vec<(String, Expr)>, Span)> {
        let (mut args, mut named) = (Vec::new(), Vec::new());
        loop {
            if self.is_op(")") {
                return Ok((args, named, self.next().span));
            }
            if self.eat("**") {
                named.push(("**".to_owned(), self.expression()?));
                if !self.eat(",") && !self.is_op(")") {
                    return Err(self.unexpected("`,` or `)`"));
                }
                continue;
            }
            if self.is_op("*") {
                args.push(self.sequence_item()?);
                if !self.eat(",") && !self.is_op(")") {
                    return Err(self.unexpected("`,` or `)`"));
                }
                continue;
            }
            let mut value = self.expression()?;
            if self.is_name("for") {
                let start = value.span;
                value = self.comprehension(ComprehensionKind::Generator, value, None, start)?;
            }
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
            Token::Str(_) | Token::Format(_) => return self.strings(),
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
        let mut pieces = Vec::new();
        let mut formatted = false;
        loop {
            match self.peek().clone() {
                Token::Str(part) => whole.push_str(&part),
                Token::Format(parts) => {
                    formatted = true;
                    if !whole.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut whole)));
                    }
                    pieces.extend(self.pieces(parts)?);
                }
                _ => break,
            }
            span = span.to(self.span());
            self.next();
        }
        if !formatted {
            return node(ExprKind::Str(whole), span);
        }
        if !whole.is_empty() {
            pieces.push(Piece::Text(whole));
        }
        node(ExprKind::Format(pieces), span)
    }

    /// Parses the values in an f-string.
    fn pieces(&self, parts: Vec<FormatPiece>) -> Outcome<Vec<Piece>> {
        let parse = |part| match part {
            FormatPiece::Text(text) => Ok(Piece::Text(text)),
            FormatPiece::Field { value, conversion, spec } => {
                let mut inner = Parser { lexemes: value, at: 0, depth: self.depth, loops: 0 };
                let value = inner.deeper(Parser::expression_list)?;
                if *inner.peek() != Token::Newline {
                    return Err(inner.unexpected("`}`"));
                }
                Ok(Piece::Field { value, conversion, spec: self.pieces(spec)? })
            }
        };
        parts.into_iter().map(parse).collect()
    }

    fn parenthesis(&mut self) -> Outcome<Expr> {
        let start = self.next().span;
        if self.is_op(")") {
            return node(ExprKind::Tuple(Vec::new()), start.to(self.next().span));
        }
        let first = self.sequence_item()?;
        if self.is_name("for") {
            let kind = ComprehensionKind::Generator;
            let whole = self.comprehension(kind, first, None, start)?;
            let span = start.to(self.expect(")")?);
            return Ok(Expr { span, ..whole });
        }
        if self.is_op(")") {
            if first.is_star() {
                let message = "`*` unpacks into a list or a tuple only";
                return Err(
                    Fault::new(ErrorKind::Syntax, first.span, message).hint("write (*items,)")
                );
            }
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
        let first = self.sequence_item()?;
        if self.is_name("for") {
            let whole = self.comprehension(ComprehensionKind::List, first, None, start)?;
            let span = start.to(self.expect("]")?);
            return Ok(Expr { span, ..whole });
        }
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
            items.push(self.sequence_item()?);
        }
    }

    /// A dictionary or a set.
    fn braces(&mut self) -> Outcome<Expr> {
        let start = self.next().span;
        if self.is_op("}") {
            return node(ExprKind::Dict(Vec::new()), start.to(self.next().span));
        }
        let mut pairs = Vec::new();
        if !self.is_op("**") {
            let first = self.sequence_item()?;
            if self.is_name("for") {
                let whole = self.comprehension(ComprehensionKind::Set, first, None, start)?;
                let span = start.to(self.expect("}")?);
                return Ok(Expr { span, ..whole });
            }
            if first.is_star() || !self.is_op(":") {
                let (items, end) = self.items(first, "}")?;
                return node(ExprKind::Set(items), start.to(end));
            }
            self.next();
            let value = self.expression()?;
            if self.is_name("for") {
                let kind = ComprehensionKind::Dict;
                let whole = self.comprehension(kind, first, Some(value), start)?;
                let span = start.to(self.expect("}")?);
                return Ok(Expr { span, ..whole });
            }
            pairs.push((Some(first), value));
        }
        loop {
            if !pairs.is_empty() {
                let comma = self.eat(",");
                if self.is_op("}") {
                    let span = start.to(self.next().span);
                    return node(ExprKind::Dict(pairs), span);
                }
                if !comma {
                    return Err(self.unexpected("`,` or `}`"));
                }
            }
            if self.eat("**") {
                pairs.push((None, self.deeper(Self::bit_or)?));
                continue;
            }
            let key = self.expression()?;
            self.expect(":")?;
            pairs.push((Some(key), self.expression()?));
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
