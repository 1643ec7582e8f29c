//! Removing what is kept in parts, as mock's --scrub does.

use std::fs;
use std::path::PathBuf;

use crate::case::Case;
use crate::fixture::Kind;
use crate::layers::{build_with, spec};

/// Names in a directory of the store, without locks.
fn names(case: &Case, directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(case.store.join(directory)).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_none_or(|end| end != "lock")).collect()
}

fn counts(case: &Case) -> [usize; 4] {
    ["roots", "layers", "sessions", "cache"].map(|directory| names(case, directory).len())
}

#[test]
fn parts_are_scrubbed() {
    let Some(case) = Case::alone(Kind::Subids, "scrub") else { return };
    let config = case.config();
    build_with(&case, &["-r", &config], &spec(&case, "one", &["zlib-devel"])).succeeds();
    case.run(&["shell", "-r", &config, "--", "touch", "/mine"]).succeeds();
    assert_eq!(counts(&case), [1, 1, 1, 1]);
    let scrub = |what: &[&str]| {
        let what: Vec<String> = what.iter().map(|what| format!("--scrub={what}")).collect();
        let what: Vec<&str> = what.iter().map(String::as_str).collect();
        case.run(&[&["clean", "-r", &config], &what[..]].concat())
    };
    scrub(&["bootstrap", "c-cache"]).succeeds();
    assert_eq!(counts(&case), [1, 1, 1, 1]);
    scrub(&["dnf-cache"]).succeeds();
    assert_eq!(counts(&case), [1, 1, 1, 0]);
    scrub(&["chroot"]).succeeds();
    assert_eq!(counts(&case), [1, 1, 0, 0]);
    case.run(&["shell", "-r", &config, "--", "test", "!", "-e", "/mine"]).succeeds();
    scrub(&["root-cache"]).succeeds();
    assert_eq!(counts(&case), [0, 0, 0, 0]);
    let run = scrub(&["lvm"]);
    assert_eq!(run.status, 5, "{run:?}");
    case.nothing_left();
}
