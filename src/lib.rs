//! albs-node: builds RPM packages in a sandbox of its own.

#![forbid(unsafe_code)]

pub mod cli;
pub mod mock_config;
