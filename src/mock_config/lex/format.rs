//! f-strings: text with fields, whose values are lexed in place.

use super::{FormatPiece, Lexer, Token};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};

/// How deep f-strings may be nested in each other.
const MAX_DEPTH: usize = 10;

impl Lexer<'_> {
    /// Reads the rest of an f-string whose opening quotes have been read.
    pub(super) fn format(&mut self, raw: bool, close: &str, start: usize) -> Outcome<()> {
        let pieces = self.pieces(raw, close, start, false)?;
        self.at += close.len();
        self.push(Token::Format(pieces), start);
        Ok(())
    }

    /// Text and fields up to the closing quotes, or to the brace that ends a format.
    fn pieces(
        &mut self,
        raw: bool,
        close: &str,
        start: usize,
        in_spec: bool,
    ) -> Outcome<Vec<FormatPiece>> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(symbol) = self.peek() else { return Err(self.open_string(start, close)) };
            if rest.starts_with(close) || (in_spec && symbol == '}') {
                break;
            }
            if symbol == '\n' && close.len() == 1 {
                return Err(self.open_string(start, close));
            }
            match symbol {
                '{' if rest.starts_with("{{") && !in_spec => {
                    text.push('{');
                    self.at += 2;
                }
                '}' if rest.starts_with("}}") => {
                    text.push('}');
                    self.at += 2;
                }
                '}' => {
                    let span = self.span(self.at, self.at + 1);
                    return Err(Fault::new(ErrorKind::Syntax, span, "a single `}` in an f-string")
                        .hint("a brace that is meant as text is written twice"));
                }
                '{' => self.field(raw, close, start, &mut text, &mut pieces)?,
                _ => self.symbol(raw, symbol, &mut text)?,
            }
        }
        if !text.is_empty() {
            pieces.push(FormatPiece::Text(text));
        }
        Ok(pieces)
    }

    fn field(
        &mut self,
        raw: bool,
        close: &str,
        start: usize,
        text: &mut String,
        pieces: &mut Vec<FormatPiece>,
    ) -> Outcome<()> {
        let open = self.at;
        if self.fields >= MAX_DEPTH {
            let message = format!("f-strings are nested more than {MAX_DEPTH} levels deep");
            return Err(Fault::new(ErrorKind::Limit, self.span(open, open + 1), message));
        }
        self.at += 1;
        self.fields += 1;
        // The value has tokens and brackets of its own.
        let outer = (std::mem::take(&mut self.out), std::mem::take(&mut self.brackets));
        self.brackets.push(("{", open));
        let ended = self.value_tokens(start, close);
        self.push(Token::Newline, self.at);
        self.push(Token::End, self.at);
        let value = std::mem::replace(&mut self.out, outer.0);
        self.brackets = outer.1;
        self.fields -= 1;
        ended?;

        let shown = self.rest().starts_with('=');
        if shown {
            self.at += 1;
            self.blanks()?;
            text.push_str(&self.text[open + 1..self.at]);
        }
        let mut conversion = None;
        if self.rest().starts_with('!') {
            self.at += 1;
            conversion = self.peek().filter(|symbol| matches!(symbol, 'r' | 's' | 'a'));
            if conversion.is_none() {
                let span = self.span(self.at - 1, self.at);
                let message = "`!` is followed by `r`, `s` or `a` in an f-string";
                return Err(Fault::new(ErrorKind::Syntax, span, message));
            }
            self.at += 1;
        }
        let mut spec = Vec::new();
        let formatted = self.rest().starts_with(':');
        if formatted {
            self.at += 1;
            self.fields += 1;
            spec = self.pieces(raw, close, start, true)?;
            self.fields -= 1;
        }
        if !self.rest().starts_with('}') {
            let span = self.span(open, self.at);
            return Err(Fault::new(ErrorKind::Syntax, span, "`{` in an f-string is never closed")
                .hint("a brace that is meant as text is written twice"));
        }
        self.at += 1;
        if shown && conversion.is_none() && !formatted {
            conversion = Some('r');
        }
        if !text.is_empty() {
            pieces.push(FormatPiece::Text(std::mem::take(text)));
        }
        pieces.push(FormatPiece::Field { value, conversion, spec });
        Ok(())
    }

    /// Lexes the value of a field, up to what ends it.
    fn value_tokens(&mut self, start: usize, close: &str) -> Outcome<()> {
        loop {
            self.blanks()?;
            let rest = self.rest();
            let Some(symbol) = self.peek() else { return Err(self.open_string(start, close)) };
            if self.brackets.len() == 1 {
                let ends = match symbol {
                    '}' | ':' => true,
                    '!' => !rest.starts_with("!="),
                    '=' => !rest.starts_with("=="),
                    _ => false,
                };
                if ends {
                    return Ok(());
                }
            }
            if symbol == '\n' {
                if close.len() == 1 {
                    return Err(self.open_string(start, close));
                }
                self.at += 1;
                continue;
            }
            self.token(symbol)?;
        }
    }
}
