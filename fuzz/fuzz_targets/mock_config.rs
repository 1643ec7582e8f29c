//! Any bytes as a config: read, run, expanded, checked. Nothing may panic, hang or grow.

#![no_main]

use std::cell::OnceCell;
use std::path::Path;

use albs_node::mock_config::{HostView, LoadRequest, load};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
}

fn try_all(directory: &Path, data: &[u8]) {
    let file = directory.join("t.cfg");
    std::fs::write(&file, data).expect("the temporary directory can be written");
    let request = LoadRequest {
        name: file.display().to_string(),
        configdir: None,
        home: None,
        // Templates of a project's tests, so that inclusions lead somewhere.
        system_dir: Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mock-configs/system"),
        overrides: Vec::new(),
        host: HostView {
            arch: "x86_64".to_owned(),
            uid: 1000,
            gid: 135,
            hostname: "host".to_owned(),
            kernel: "6.1.0".to_owned(),
            cpus: 4,
            subscription: None,
            environment: [("HOME".to_owned(), "/home/packager".to_owned())].into(),
        },
    };
    let outcome = load(&request).and_then(|config| {
        config.expanded()?;
        config.options()
    });
    if let Err(error) = outcome {
        assert!(!error.render().is_empty());
    }
}

fuzz_target!(|data: &[u8]| {
    DIRECTORY.with(|directory| {
        let directory = directory.get_or_init(|| TempDir::new().expect("a temporary directory"));
        try_all(directory.path(), data);
    });
});
