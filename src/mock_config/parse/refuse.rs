//! What Python has and configs may not use here, each with a way out.

use crate::mock_config::error::{ErrorKind, Fault};
use crate::mock_config::lex::Token;
use crate::mock_config::source::Span;

/// What works, for the end of a message.
const SUPPORTED: &str = "supported are assignments to config_opts[…] and to variables, `+=`, \
    .append/.extend/.update/.setdefault, include() and expressions of literals";

/// A statement by its first word.
pub(super) fn statement(word: &str, span: Span) -> Option<Fault> {
    let (what, hint) = match word {
        "if" | "elif" | "else" => (
            "`if` statements",
            "use `value if condition else other` in an assignment, or {% if %} in a templated value",
        ),
        "for" | "while" => ("loops", "write the assignments one by one"),
        "import" | "from" => ("imports", "a config has no access to modules"),
        "def" | "class" | "lambda" | "return" | "yield" | "async" | "await" => {
            ("functions and classes", "write the value itself")
        }
        "try" | "except" | "finally" | "raise" | "assert" | "with" => {
            ("exceptions and context managers", "a config only sets options")
        }
        "del" => ("`del` statements", "set the option to an empty value or to None"),
        "global" | "nonlocal" => ("scopes", "variables of a config need no declaration"),
        "print" | "exec" | "eval" | "open" => ("functions with an effect", "remove the call"),
        _ => return None,
    };
    Some(unsupported(span, what, hint))
}

/// A token that begins something beyond the supported expressions.
pub(super) fn token(token: &Token, span: Span) -> Option<Fault> {
    let (what, hint) = match token {
        Token::Op(":=") => ("assignments inside expressions", "assign in a line of its own"),
        Token::Op("**" | "<<" | ">>" | "&" | "|" | "^" | "~" | "@") => {
            ("powers and bit operations", "write the result")
        }
        Token::Op("...") => ("`...` values", "write the value itself"),
        Token::Op("->") => ("functions and classes", "write the value itself"),
        Token::Name(name) => match name.as_str() {
            "for" => ("comprehensions", "write the items one by one"),
            "lambda" | "yield" | "await" | "async" => {
                ("functions and classes", "write the value itself")
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(unsupported(span, what, hint))
}

pub(super) fn unsupported(span: Span, what: &str, hint: &str) -> Fault {
    Fault::new(ErrorKind::Unsupported, span, format!("{what} are not supported in configs"))
        .hint(format!("{hint}; {SUPPORTED}"))
}
