//! String literals: prefixes, quotes, escapes.

use super::{Lexer, Token};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};

/// What the letters before a literal say.
struct Prefix {
    raw: bool,
    format: bool,
}

impl Lexer<'_> {
    /// Reads the literal whose opening quote is next; `start` is where its prefix begins.
    pub(super) fn string(&mut self, prefix: &str, start: usize) -> Outcome<()> {
        let Prefix { raw, format } = self.prefix(prefix, start)?;
        let quote = if self.rest().starts_with('"') { '"' } else { '\'' };
        let triple = [quote; 3].iter().collect::<String>();
        let close = if self.rest().starts_with(&triple) { &triple[..] } else { &triple[..1] };
        self.at += close.len();
        if format {
            return self.format(raw, close, start);
        }
        let mut value = String::new();
        loop {
            let Some(symbol) = self.peek() else { return Err(self.open_string(start, close)) };
            if self.rest().starts_with(close) {
                self.at += close.len();
                break;
            }
            if symbol == '\n' && close.len() == 1 {
                return Err(self.open_string(start, close));
            }
            self.symbol(raw, symbol, &mut value)?;
        }
        self.push(Token::Str(value), start);
        Ok(())
    }

    /// Takes the next character of a string, or the escape that it begins.
    pub(super) fn symbol(&mut self, raw: bool, symbol: char, value: &mut String) -> Outcome<()> {
        if symbol != '\\' {
            value.push(symbol);
            self.at += symbol.len_utf8();
        } else if raw {
            // A quote behind a backslash does not end a raw string, yet both stay in it.
            value.push('\\');
            self.at += 1;
            if let Some(next) = self.peek().filter(|next| !matches!(next, '{' | '}')) {
                value.push(next);
                self.at += next.len_utf8();
            }
        } else {
            self.escape(value)?;
        }
        Ok(())
    }

    /// What the letters before a literal say; an error for the kinds that are not text.
    fn prefix(&self, prefix: &str, start: usize) -> Outcome<Prefix> {
        let plain = Prefix { raw: false, format: false };
        let refuse = |what: &str, hint: &str| {
            let span = self.span(start, self.at + 1);
            Err(Fault::new(ErrorKind::Unsupported, span, format!("{what} are not supported"))
                .hint(hint))
        };
        match prefix.to_ascii_lowercase().as_str() {
            "" | "u" => Ok(plain),
            "r" => Ok(Prefix { raw: true, ..plain }),
            "f" => Ok(Prefix { format: true, ..plain }),
            "fr" | "rf" => Ok(Prefix { raw: true, format: true }),
            "b" | "br" | "rb" => refuse("byte strings", "write a string without the `b`"),
            _ => {
                let message = format!("`{prefix}` stands directly before a string");
                Err(Fault::new(ErrorKind::Syntax, self.span(start, self.at), message)
                    .hint("string prefixes are `r`, `f` and `u`; between a name and a string an operator is missing"))
            }
        }
    }

    pub(super) fn open_string(&self, start: usize, close: &str) -> Fault {
        let message = format!("this string is never closed with {close}");
        let hint = if close.len() == 1 {
            "a string over several lines needs three quotes on both ends"
        } else {
            "put three quotes where the text ends"
        };
        Fault::new(ErrorKind::Syntax, self.span(start, self.at), message).hint(hint)
    }

    /// Resolves what a backslash begins.
    fn escape(&mut self, value: &mut String) -> Outcome<()> {
        let start = self.at;
        self.at += 1;
        // The end of the text is told by the caller as a string that is never closed.
        let Some(symbol) = self.peek() else { return Ok(()) };
        self.at += symbol.len_utf8();
        let simple = match symbol {
            '\n' => return Ok(()),
            '\\' | '\'' | '"' => symbol,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                self.at -= 1;
                self.code(start, 8, 1..=3)?
            }
            'x' => self.code(start, 16, 2..=2)?,
            'u' => self.code(start, 16, 4..=4)?,
            'U' => self.code(start, 16, 8..=8)?,
            'N' => {
                let span = self.span(start, self.at);
                let message = "characters by name are not supported";
                return Err(Fault::new(ErrorKind::Unsupported, span, message)
                    .hint("write the character itself, or its number as \\uXXXX"));
            }
            // Python keeps the backslash of an escape that it does not know.
            _ => {
                self.at -= symbol.len_utf8();
                '\\'
            }
        };
        value.push(simple);
        Ok(())
    }

    /// Reads the digits of a character number.
    fn code(
        &mut self,
        start: usize,
        radix: u32,
        count: std::ops::RangeInclusive<usize>,
    ) -> Outcome<char> {
        let digits: String = self
            .rest()
            .chars()
            .take(*count.end())
            .take_while(|digit| digit.is_digit(radix))
            .collect();
        self.at += digits.len();
        let number = u32::from_str_radix(&digits, radix).ok();
        number.filter(|_| count.contains(&digits.len())).and_then(char::from_u32).ok_or_else(|| {
            let message = "this escape stands for no character";
            Fault::new(ErrorKind::Syntax, self.span(start, self.at), message)
                .hint("write \\\\ for a backslash, or put an `r` before the string")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex;
    use super::*;

    fn one(text: &str) -> String {
        match lex(text, 0).unwrap().remove(0).token {
            Token::Str(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r#"'\x41\102\u00e4\U0001F600\n\'\"'"#), "ABä😀\n'\"");
        assert_eq!(one("'a\\\nb'"), "ab");
        assert_eq!(one(r"'\$ \d \.'"), r"\$ \d \.");
        assert_eq!(one(r"'\1119'"), "I9");
    }

    #[test]
    fn quotes_and_raw() {
        assert_eq!(one("''"), "");
        assert_eq!(one("'''it's \"\"\" \n'''"), "it's \"\"\" \n");
        assert_eq!(one(r#"r'\n\'x'"#), r"\n\'x");
        assert_eq!(one("U'x'"), "x");
        assert!(lex(r"'\ud800'", 0).is_err());
        assert!(lex("'abc\n'", 0).is_err());
    }
}
