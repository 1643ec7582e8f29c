//! Statements.

use super::{Parser, refuse};
use crate::mock_config::ast::{BinaryOp, Expr, ExprKind, Stmt, StmtKind, Target};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::lex::Token;
use crate::mock_config::modules;
use crate::mock_config::source::Span;

impl Parser {
    /// One logical line, which may hold several statements, or a statement with its block.
    pub(super) fn statement(&mut self, out: &mut Vec<Stmt>) -> Outcome<()> {
        if *self.peek() == Token::Indent {
            let message = "this line is indented, but no block is open";
            return Err(Fault::new(ErrorKind::Syntax, self.span(), message)
                .hint("start the line in the column of the one before"));
        }
        if self.is_name("if") {
            out.push(self.if_statement()?);
            return Ok(());
        }
        if self.is_name("for") {
            out.push(self.for_statement()?);
            return Ok(());
        }
        if self.is_name("elif") || self.is_name("else") {
            let message = "there is no `if` or `for` that this belongs to";
            return Err(Fault::new(ErrorKind::Syntax, self.span(), message)
                .hint("it starts in the same column as the `if` or `for`"));
        }
        self.simple_line(out)
    }

    /// Statements without blocks, up to the end of the line.
    pub(super) fn simple_line(&mut self, out: &mut Vec<Stmt>) -> Outcome<()> {
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
            let kind = match word.as_str() {
                "pass" => Some(StmtKind::Pass),
                "break" => Some(StmtKind::Break),
                "continue" => Some(StmtKind::Continue),
                _ => None,
            };
            if let Some(kind) = kind {
                if kind != StmtKind::Pass && self.loops == 0 {
                    let message = "there is no loop that this could end";
                    return Err(Fault::new(ErrorKind::Syntax, start, message));
                }
                self.next();
                return Ok(Stmt { kind, span: start });
            }
            let keyword = match word.as_str() {
                "del" => Some(Parser::delete as fn(&mut Parser, Span) -> Outcome<Stmt>),
                "assert" => Some(Parser::assert as _),
                "raise" => Some(Parser::raise as _),
                "import" => Some(Parser::import as _),
                "from" => Some(Parser::import_from as _),
                _ => None,
            };
            if let Some(rule) = keyword {
                self.next();
                return rule(self, start);
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
                    if let Target::Unpack { span, .. } = target {
                        let message = "several names cannot be changed at once";
                        return Err(Fault::new(ErrorKind::Syntax, span, message)
                            .hint("change them one by one"));
                    }
                    StmtKind::Augment { target, op, value: self.value()? }
                }
                None => StmtKind::Expr(no_star(first)?),
            },
            _ => StmtKind::Expr(no_star(first)?),
        };
        let end = match &kind {
            StmtKind::Expr(value)
            | StmtKind::Assign { value, .. }
            | StmtKind::Augment { value, .. } => value.span,
            _ => start,
        };
        Ok(Stmt { kind, span: start.to(end) })
    }

    fn value(&mut self) -> Outcome<Expr> {
        no_star(self.expression_list()?)
    }

    /// `a = b = value`: everything before the last `=` is a target.
    fn assignment(&mut self, first: Expr) -> Outcome<StmtKind> {
        let mut targets = Vec::new();
        let mut value = first;
        while self.eat("=") {
            targets.push(self.target(value)?);
            value = self.expression_list()?;
        }
        Ok(StmtKind::Assign { targets, value: no_star(value)? })
    }

    pub(super) fn target(&self, expr: Expr) -> Outcome<Target> {
        let span = expr.span;
        match expr.kind {
            ExprKind::Name(name) => Ok(Target::Name(name, span)),
            ExprKind::Item { base, index } => Ok(Target::Item { base: *base, index: *index, span }),
            ExprKind::Tuple(items) | ExprKind::List(items) => {
                let mut star = None;
                let mut targets = Vec::new();
                for (at, item) in items.into_iter().enumerate() {
                    let item = match item.kind {
                        ExprKind::Star(inner) if star.is_none() => {
                            star = Some(at);
                            *inner
                        }
                        ExprKind::Star(_) => {
                            let message = "only one name can take the rest";
                            return Err(Fault::new(ErrorKind::Syntax, item.span, message));
                        }
                        _ => item,
                    };
                    targets.push(self.target(item)?);
                }
                Ok(Target::Unpack { targets, star, span })
            }
            ExprKind::Slice { .. } => {
                Err(refuse::unsupported(span, "assignments to slices", "make a new list with `+`"))
            }
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

    fn delete(&mut self, start: Span) -> Outcome<Stmt> {
        let list = self.expression_list()?;
        let span = start.to(list.span);
        let targets = match self.target(list)? {
            Target::Unpack { targets, star: None, .. } => targets,
            Target::Unpack { span, .. } => {
                let message = "`del` takes no `*`";
                return Err(Fault::new(ErrorKind::Syntax, span, message));
            }
            target => vec![target],
        };
        Ok(Stmt { kind: StmtKind::Delete(targets), span })
    }

    fn assert(&mut self, start: Span) -> Outcome<Stmt> {
        let test = self.expression()?;
        let message = if self.eat(",") { Some(self.expression()?) } else { None };
        Ok(Stmt { kind: StmtKind::Assert { test, message }, span: start })
    }

    fn raise(&mut self, start: Span) -> Outcome<Stmt> {
        let ends = matches!(self.peek(), Token::Newline | Token::End);
        let value = if ends { None } else { Some(self.expression()?) };
        Ok(Stmt { kind: StmtKind::Raise(value), span: start })
    }

    /// `import os, os.path as p`.
    fn import(&mut self, start: Span) -> Outcome<Stmt> {
        let mut known = Vec::new();
        loop {
            let (name, span) = self.dotted()?;
            let module = modules::module(&name).ok_or_else(|| refuse::module(span, &name))?;
            if self.is_name("as") {
                self.next();
                known.push((self.plain_name()?.0, module));
            } else {
                // `import os.path` makes `os` known.
                let first = name.split('.').next().unwrap_or(&name);
                known.push((first.to_owned(), modules::module(first).unwrap_or(module)));
            }
            if !self.eat(",") {
                return Ok(Stmt { kind: StmtKind::Import(known), span: start });
            }
        }
    }

    /// `from os.path import join, exists as there`.
    fn import_from(&mut self, start: Span) -> Outcome<Stmt> {
        let (name, span) = self.dotted()?;
        if !self.is_name("import") {
            return Err(self.unexpected("`import`"));
        }
        self.next();
        // Only promises for later versions of Python.
        let future = name == "__future__";
        if modules::module(&name).is_none() && !future {
            return Err(refuse::module(span, &name));
        }
        let bracket = self.eat("(");
        let mut known = Vec::new();
        loop {
            let (member, span) = self.plain_name()?;
            let path = format!("{name}.{member}");
            let alias = if self.is_name("as") {
                self.next();
                self.plain_name()?.0
            } else {
                member
            };
            match modules::member(&path) {
                Some(member) => known.push((alias, member)),
                None if future => {}
                None => return Err(refuse::module(span, &path)),
            }
            if !self.eat(",") || (bracket && self.is_op(")")) {
                break;
            }
        }
        if bracket {
            self.expect(")")?;
        }
        Ok(Stmt { kind: StmtKind::Import(known), span: start })
    }

    fn dotted(&mut self) -> Outcome<(String, Span)> {
        let (mut name, mut span) = self.plain_name()?;
        while self.eat(".") {
            let (next, end) = self.plain_name()?;
            name = format!("{name}.{next}");
            span = span.to(end);
        }
        Ok((name, span))
    }

    fn plain_name(&mut self) -> Outcome<(String, Span)> {
        let span = self.span();
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.next();
                Ok((name, span))
            }
            _ => Err(self.unexpected("a name")),
        }
    }
}

/// A star only stands in a sequence.
fn no_star(expr: Expr) -> Outcome<Expr> {
    match expr.kind {
        ExprKind::Star(_) => {
            let message = "`*` unpacks into a list or a tuple only";
            Err(Fault::new(ErrorKind::Syntax, expr.span, message).hint("write [*items]"))
        }
        _ => Ok(expr),
    }
}

/// The operation of `+=` and its like.
fn augmented(op: &str) -> Option<BinaryOp> {
    BinaryOp::from_symbol(op.strip_suffix('=')?)
}
