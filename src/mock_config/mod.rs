//! mock's configuration files, read without Python.
//!
//! A `.cfg` file is a Python program that fills the dictionary `config_opts`. Here its language is
//! a closed one: text → tokens → tree → values, with `include()` put in place
//! before and Jinja templates expanded after. A config cannot reach the machine: all it may know
//! is in its host view, and its time, depth and memory are bounded. What it uses beyond the
//! supported language is an error that names the place, never something skipped.
//!
//! Every option remembers the assignment that set it, so that a later complaint about its type can
//! point there.

mod ast;
mod error;
mod eval;
mod lex;
mod literal;
mod map;
mod nearest;
mod parse;
mod snippet;
mod source;
mod value;

pub use error::{ConfigError, ErrorKind};
pub use map::{Key, OrderedMap};
pub use source::{Location, Origin, Span};
pub use value::Value;
