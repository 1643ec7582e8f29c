//! Number literals.

use super::{Lexer, Token};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Outcome<()> {
        let start = self.at;
        let rest = self.rest();
        let length = extent(rest);
        let word = &rest[..length];
        self.at += length;
        let token = read(word).map_err(|(kind, message)| {
            Fault::new(kind, self.span(start, self.at), message)
                .hint("text belongs inside quotes; octal numbers are written as 0o755")
        })?;
        self.push(token, start);
        Ok(())
    }
}

/// How far the characters go that may belong to a number, so that `12abc` is one wrong number.
fn extent(text: &str) -> usize {
    let mut last = ' ';
    for (at, symbol) in text.char_indices() {
        let sign = matches!(symbol, '+' | '-') && matches!(last, 'e' | 'E');
        let exponent = sign && !text.starts_with("0x") && !text.starts_with("0X");
        if !(symbol.is_alphanumeric() || symbol == '_' || symbol == '.' || exponent) {
            return at;
        }
        last = symbol;
    }
    text.len()
}

fn read(word: &str) -> Result<Token, (ErrorKind, String)> {
    let wrong = || (ErrorKind::Syntax, format!("`{word}` is not a number"));
    if word.ends_with('_') || word.contains("__") {
        return Err(wrong());
    }
    let digits = word.replace('_', "");
    let lower = digits.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
                return Err(wrong());
            }
            return i64::from_str_radix(digits, radix).map(Token::Int).map_err(|_| large(word));
        }
    }
    if lower.chars().all(|digit| digit.is_ascii_digit()) {
        if lower.len() > 1 && lower.starts_with('0') && lower.contains(|digit| digit != '0') {
            let message = format!("`{word}` starts with a zero, which Python does not allow");
            return Err((ErrorKind::Syntax, message));
        }
        return lower.parse().map(Token::Int).map_err(|_| large(word));
    }
    if lower.ends_with('j') {
        return Err((ErrorKind::Unsupported, "imaginary numbers are not supported".to_owned()));
    }
    if !lower.chars().all(|symbol| symbol.is_ascii_digit() || "e+-.".contains(symbol)) {
        return Err(wrong());
    }
    match lower.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Token::Float(number)),
        Ok(_) => Err(large(word)),
        Err(_) => Err(wrong()),
    }
}

fn large(word: &str) -> (ErrorKind, String) {
    (ErrorKind::Value, format!("the number `{word}` is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_notations() {
        for (word, value) in [("0", 0), ("00", 0), ("1_000", 1000), ("0o755", 493), ("0XfF", 255)] {
            assert_eq!(read(word), Ok(Token::Int(value)), "{word}");
        }
        for (word, value) in [("1.5", 1.5), ("1.", 1.0), (".5", 0.5), ("1e-3", 0.001)] {
            assert_eq!(read(word), Ok(Token::Float(value)), "{word}");
        }
        for word in ["0755", "12ab", "1__0", "1_", "0x", "1.2.3", "9223372036854775808", "1e999"] {
            assert!(read(word).is_err(), "{word}");
        }
    }
}
