//! The build node, beside a stand-in for albs-web-server and a real Pulp.

mod chaos;
mod harness;
mod service;
mod tasks;

#[expect(dead_code, reason = "not every test orders every fault")]
#[path = "../../server/web_server/mod.rs"]
mod web_server;
