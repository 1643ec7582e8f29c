//! The build node, beside a stand-in for albs-web-server and a real Pulp.

mod bench;
mod chaos;
mod extras;
mod harness;
mod published;
#[path = "../../pulp/reader.rs"]
mod reader;
#[path = "../../pulp/relay.rs"]
mod relay;
mod sentry;
mod service;
mod sources;
mod tasks;

#[path = "../../server/web_server/mod.rs"]
mod web_server;
