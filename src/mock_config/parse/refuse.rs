//! What Python has and configs may not use here, each with a way out.

use crate::mock_config::error::{ErrorKind, Fault};
use crate::mock_config::lex::Token;
use crate::mock_config::source::Span;

/// What works, for the end of a message.
const SUPPORTED: &str = "supported are assignments, `if`, `for`, `del`, include(), expressions, \
    comprehensions, the methods of values, and os.environ, os.path and platform";

/// A statement by its first word.
pub(super) fn statement(word: &str, span: Span) -> Option<Fault> {
    let (what, hint) = match word {
        "while" => ("`while` loops", "use `for` over a list or range()"),
        "def" | "class" | "lambda" | "return" | "yield" | "async" | "await" => {
            ("functions and classes", "write the value itself")
        }
        "try" | "except" | "finally" | "with" => {
            ("exceptions and context managers", "test with `if` and `in`, or read with .get()")
        }
        "global" | "nonlocal" => ("scopes", "variables of a config need no declaration"),
        _ => return None,
    };
    Some(unsupported(span, what, hint))
}

/// A token that begins something beyond the supported expressions.
pub(super) fn token(token: &Token, span: Span) -> Option<Fault> {
    let (what, hint) = match token {
        Token::Op(":=") => ("assignments inside expressions", "assign in a line of its own"),
        Token::Op("@" | "@=") => ("products of matrices", "write the result"),
        Token::Op("...") => ("`...` values", "write the value itself"),
        Token::Op("->") => ("functions and classes", "write the value itself"),
        Token::Name(name) => match name.as_str() {
            "lambda" | "yield" | "await" | "async" => {
                ("functions and classes", "write the value itself")
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(unsupported(span, what, hint))
}

/// An import of something that configs cannot see.
pub(super) fn module(span: Span, name: &str) -> Fault {
    let message = format!("`{name}` cannot be imported in configs");
    Fault::new(ErrorKind::Unsupported, span, message)
        .hint(format!("a config has no access to the machine; {SUPPORTED}"))
}

pub(super) fn unsupported(span: Span, what: &str, hint: &str) -> Fault {
    Fault::new(ErrorKind::Unsupported, span, format!("{what} are not supported in configs"))
        .hint(format!("{hint}; {SUPPORTED}"))
}
