//! albs-node: builds RPM packages in a sandbox of its own.
//!
//! `cli` parses and prints; `build` is the one pipeline; `buildroot`, `source` and `fetch` feed it;
//! `mock_config` reads mock's configs, `task` those of albs-web-server; `image` gets the images
//! that roots start from. `node` is the build node: `config` reads what it is told, `server` and
//! `upload` talk to albs-web-server and Pulp, and `queue` is a directory in the place of both.
//! Everything untrusted runs inside the crate `sandbox`.

#![forbid(unsafe_code)]

pub mod build;
pub mod buildroot;
pub mod causes;
pub mod checksum;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod fetch;
pub mod helper;
pub mod http;
pub mod image;
pub mod mock_config;
mod nearest;
pub mod node;
pub mod profile;
pub mod queue;
pub mod resources;
pub mod retry;
pub mod run;
pub mod secret;
pub mod server;
pub mod source;
pub mod task;
pub mod upload;
pub mod verdict;
