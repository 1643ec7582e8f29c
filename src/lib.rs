//! albs-node: builds RPM packages in a sandbox of its own.
//!
//! `cli` parses and prints; `build` is the one pipeline; `buildroot` and `source` feed it;
//! `mock_config` reads mock's configs. Everything untrusted runs inside the crate `sandbox`.

#![forbid(unsafe_code)]

pub mod cli;
