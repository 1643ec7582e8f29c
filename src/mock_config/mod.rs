//! mock's configuration files, read without Python.
//!
//! A `.cfg` file is a Python program that fills the dictionary `config_opts`. Here its language is
//! a closed one: text → tokens → tree → values, with `include()` put in place
//! before and Jinja templates expanded after. A config cannot reach the machine: all it may know
//! is in [`HostView`] and whether some files exist, and its time, depth and memory are bounded. What it uses beyond the
//! supported language is an error that names the place, never something skipped.
//!
//! Every option remembers the assignment that set it, so that a later complaint about its type can
//! point there.

mod ast;
mod builtin;
mod check;
mod defaults;
mod error;
mod eval;
mod files;
mod fill;
mod host;
mod include;
mod lex;
mod list;
mod literal;
mod load;
mod map;
mod modules;
mod options;
mod overrides;
mod parse;
pub(crate) mod repositories;
mod snippet;
mod source;
mod template;
mod value;
mod write;

pub use builtin::names as builtin_names;
pub use check::{Finding, Severity, check};
pub use defaults::default_option;
pub use error::{ConfigError, ErrorKind};
pub use host::HostView;
pub use list::{Listed, list};
pub use load::{LoadRequest, LoadedConfig, load};
pub use map::{Key, OrderedMap};
pub use options::{
    BindOption, Ccache, ChrootScan, Compression, ImageOptions, Manager, ManagerOptions,
    MockOptions, ModuleOptions, MountOption, NetworkOptions, NspawnOptions, Plugins, RootCache,
    RpmAutospec, TmpfsOption,
};
pub use snippet::render as render_snippet;
pub use source::{Location, Note, Origin, Span};
pub use value::Value;
pub use write::assignment;
