//! Text to tokens, by Python's rules: logical lines, indentation, brackets that join lines.

mod format;
mod number;
mod string;
mod token;

pub(super) use token::{FormatPiece, Lexeme, Token};

use super::error::{ErrorKind, Fault, Outcome};
use super::source::Span;

/// Splits a text whose first character has the position `base`.
pub(super) fn lex(text: &str, base: u32) -> Outcome<Vec<Lexeme>> {
    let mut lexer = Lexer {
        text,
        base,
        at: 0,
        out: Vec::new(),
        brackets: Vec::new(),
        indents: Vec::new(),
        line_start: true,
        fields: 0,
    };
    lexer.run()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    base: u32,
    at: usize,
    out: Vec<Lexeme>,
    /// Open brackets with their places.
    brackets: Vec<(&'static str, usize)>,
    /// The indentations that are open, without the outermost one of 0.
    indents: Vec<usize>,
    line_start: bool,
    /// How many fields of f-strings are open.
    fields: usize,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Outcome<()> {
        loop {
            if self.line_start && self.brackets.is_empty() {
                self.indentation()?;
            }
            self.blanks()?;
            let Some(symbol) = self.peek() else { break };
            let start = self.at;
            if symbol == '\n' {
                self.at += 1;
                if self.brackets.is_empty() {
                    self.line_start = true;
                    self.push(Token::Newline, start);
                }
                continue;
            }
            self.token(symbol)?;
        }
        self.finish()
    }

    fn finish(&mut self) -> Outcome<()> {
        if let Some(&(open, at)) = self.brackets.last() {
            let span = self.span(at, at + 1);
            return Err(Fault::new(ErrorKind::Syntax, span, format!("`{open}` is never closed"))
                .hint("close the bracket, or look for a quote that is missing after it"));
        }
        let end = self.text.len();
        if self.out.last().is_some_and(|last| last.token != Token::Newline) {
            self.push(Token::Newline, end);
        }
        for _ in std::mem::take(&mut self.indents) {
            self.push(Token::Dedent, end);
        }
        self.push(Token::End, end);
        Ok(())
    }

    /// Measures the indentation of the next line that has something on it.
    fn indentation(&mut self) -> Outcome<()> {
        let mut width = 0;
        while let Some(symbol) = self.peek() {
            match symbol {
                ' ' => width += 1,
                '\t' => width = width / 8 * 8 + 8,
                '\u{c}' => width = 0,
                '#' => {
                    self.comment();
                    continue;
                }
                '\n' => width = 0,
                _ => break,
            }
            if symbol == '\n' || symbol.is_ascii_whitespace() || symbol == '\u{c}' {
                self.at += 1;
            }
        }
        self.line_start = false;
        if self.peek().is_none() {
            return Ok(());
        }
        let start = self.at;
        let current = self.indents.last().copied().unwrap_or(0);
        if width > current {
            self.indents.push(width);
            self.push(Token::Indent, start);
        }
        while self.indents.last().is_some_and(|open| *open > width) {
            self.indents.pop();
            self.push(Token::Dedent, start);
        }
        if self.indents.last().copied().unwrap_or(0) != width {
            let message = "the indentation matches no line above";
            return Err(Fault::new(ErrorKind::Syntax, self.span(start, start + 1), message));
        }
        Ok(())
    }

    /// Skips what separates tokens within a logical line.
    fn blanks(&mut self) -> Outcome<()> {
        while let Some(symbol) = self.peek() {
            match symbol {
                ' ' | '\t' | '\u{c}' => self.at += 1,
                '#' => self.comment(),
                '\\' if self.rest().starts_with("\\\n") => self.at += 2,
                '\\' => {
                    let message = "a backslash must be the last character of its line";
                    let span = self.span(self.at, self.at + 1);
                    return Err(Fault::new(ErrorKind::Syntax, span, message)
                        .hint("remove what follows it, spaces too, or put it inside quotes"));
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn comment(&mut self) {
        self.at = self.rest().find('\n').map_or(self.text.len(), |length| self.at + length);
    }

    fn token(&mut self, symbol: char) -> Outcome<()> {
        let start = self.at;
        if symbol == '"' || symbol == '\'' {
            return self.string("", start);
        }
        if symbol.is_ascii_digit() || (symbol == '.' && self.digit_after_dot()) {
            return self.number();
        }
        if symbol == '_' || symbol.is_alphabetic() {
            let rest = self.rest();
            let length =
                rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            let name = &rest[..length];
            self.at += length;
            if matches!(self.peek(), Some('"' | '\'')) {
                return self.string(name, start);
            }
            self.push(Token::Name(name.to_owned()), start);
            return Ok(());
        }
        let rest = self.rest();
        let Some(op) = token::OPERATORS.iter().find(|op| rest.starts_with(**op)) else {
            let message = format!("the character {symbol:?} has no meaning here");
            let span = self.span(start, start + symbol.len_utf8());
            return Err(Fault::new(ErrorKind::Syntax, span, message)
                .hint("text belongs inside quotes, a remark behind `#`"));
        };
        self.at += op.len();
        self.bracket(op, start)?;
        self.push(Token::Op(op), start);
        Ok(())
    }

    fn bracket(&mut self, op: &'static str, start: usize) -> Outcome<()> {
        let open = match op {
            "(" | "[" | "{" => {
                self.brackets.push((op, start));
                return Ok(());
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => return Ok(()),
        };
        match self.brackets.pop() {
            Some((last, _)) if last == open => Ok(()),
            Some((last, _)) => {
                let message = format!("`{op}` cannot close `{last}`");
                Err(Fault::new(ErrorKind::Syntax, self.span(start, start + 1), message)
                    .hint("brackets close in the reverse order of their opening"))
            }
            None => {
                let message = format!("`{op}` closes nothing");
                Err(Fault::new(ErrorKind::Syntax, self.span(start, start + 1), message))
            }
        }
    }

    fn digit_after_dot(&self) -> bool {
        self.rest().chars().nth(1).is_some_and(|symbol| symbol.is_ascii_digit())
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.base + start as u32, self.base + end as u32)
    }

    fn push(&mut self, token: Token, start: usize) {
        let span = self.span(start, self.at);
        self.out.push(Lexeme { token, span });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        lex(text, 0).unwrap().into_iter().map(|lexeme| lexeme.token).collect()
    }

    #[test]
    fn brackets_and_backslashes_join_lines() {
        let joined = tokens("a = (1, # one\n  2)\nb = \\\n 3\n");
        assert_eq!(joined.iter().filter(|token| **token == Token::Newline).count(), 2);
        assert!(!joined.contains(&Token::Indent));
    }

    #[test]
    fn indentation_is_counted_and_closed() {
        let seen = tokens("if x:\n\n  # remark\n  a\n\tb\nc");
        let layout: Vec<_> = seen
            .into_iter()
            .filter(|token| matches!(token, Token::Indent | Token::Dedent))
            .collect();
        assert_eq!(layout, [Token::Indent, Token::Indent, Token::Dedent, Token::Dedent]);
    }

    #[test]
    fn positions_start_at_the_base() {
        let seen = lex("ab += 1", 100).unwrap();
        assert_eq!(seen[1].span, Span::new(103, 105));
    }
}
