//! mock's configs as a user of the library sees them.

mod builtin;
mod check;
mod cli;
mod errors;
mod language;
mod order;
mod properties;
mod python;
mod real;
mod task;

use std::path::{Path, PathBuf};

use albs_node::mock_config::{HostView, LoadRequest};

/// The small configs of the tests.
fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mock-configs")
}

/// A request that does not depend on the machine.
fn request(name: &str, system_dir: &Path) -> LoadRequest {
    LoadRequest {
        name: name.to_owned(),
        configdir: None,
        home: None,
        system_dir: system_dir.to_owned(),
        overrides: Vec::new(),
        host: HostView {
            arch: "x86_64".to_owned(),
            uid: 1000,
            gid: 135,
            hostname: "@BUILDHOST@".to_owned(),
            kernel: "6.1.0".to_owned(),
            cpus: 4,
            subscription: None,
            environment: [("HOME".to_owned(), "/home/packager".to_owned())].into(),
        },
    }
}
