//! The words of the language.

use crate::mock_config::source::Span;

#[derive(Debug, Clone, PartialEq)]
pub(in crate::mock_config) enum Token {
    /// A name or keyword.
    Name(String),
    Int(i64),
    Float(f64),
    /// One string literal, escapes resolved. Neighbours are joined by the parser.
    Str(String),
    /// One f-string.
    Format(Vec<FormatPiece>),
    /// An operator or bracket.
    Op(&'static str),
    /// The end of a logical line.
    Newline,
    Indent,
    Dedent,
    /// The end of the text.
    End,
}

impl Token {
    /// How an error calls it.
    pub fn describe(&self) -> String {
        match self {
            Token::Name(name) => format!("`{name}`"),
            Token::Int(_) | Token::Float(_) => "a number".to_owned(),
            Token::Str(_) | Token::Format(_) => "a string".to_owned(),
            Token::Op(op) => format!("`{op}`"),
            Token::Newline => "the end of the line".to_owned(),
            Token::Indent => "an indented line".to_owned(),
            Token::Dedent => "a less indented line".to_owned(),
            Token::End => "the end of the file".to_owned(),
        }
    }
}

/// A part of an f-string.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mock_config) enum FormatPiece {
    Text(String),
    /// `{value!conversion:spec}`; the tokens end with `End`.
    Field {
        value: Vec<Lexeme>,
        conversion: Option<char>,
        spec: Vec<FormatPiece>,
    },
}

/// A token and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mock_config) struct Lexeme {
    pub token: Token,
    pub span: Span,
}

/// All operators, the long ones first so that the first match is the right one.
pub(super) const OPERATORS: &[&str] = &[
    "**=", "//=", ">>=", "<<=", "...", "!=", "==", "<=", ">=", "->", "+=", "-=", "*=", "/=", "%=",
    "&=", "|=", "^=", "@=", ":=", "**", "//", "<<", ">>", "+", "-", "*", "/", "%", "@", "&", "|",
    "^", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "=",
];
