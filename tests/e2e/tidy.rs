//! Removing what is kept: by policy, beside builds, and in parts, as mock's --scrub does.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

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

#[test]
fn what_is_old_goes_beside_a_build() {
    let Some(case) = Case::alone(Kind::own(), "tidy") else { return };
    let config = case.config();
    build_with(&case, &["-r", &config], &spec(&case, "one", &["zlib-devel"])).succeeds();
    let (root, old) = (names(&case, "roots").remove(0), names(&case, "layers").remove(0));
    let age = |path: PathBuf, days: u64| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    age(PathBuf::from(format!("{}.lock", old.display())), 40);
    // It was looked at a moment ago.
    let none = spec(&case, "none", &[]);
    build_with(&case, &["-r", &config], &none).succeeds();
    case.no_process_left_soon();
    assert!(old.exists());
    age(case.store.join("tidied"), 1);
    build_with(&case, &["-r", &config], &none).succeeds();
    let begun = Instant::now();
    while old.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{old:?} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(root.exists());
    let begun = Instant::now();
    while !names(&case, "builds").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "something set aside is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    case.no_process_left_soon();

    let policy = case.file("store.toml", b"[max_size]\nwhy = \"a test\"\namount = \"1\"\n");
    // What is in use stays, and who has tidied may not be gone yet.
    let begun = Instant::now();
    loop {
        let run = case.run(&["buildroot", "gc", "--policy", &policy]);
        run.succeeds();
        if counts(&case) == [0, 0, 0, 0] {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?} {run:?}", counts(&case));
        std::thread::sleep(Duration::from_millis(200));
    }
    let policy = case.file("store.toml", b"[max_size]\nwhy = \"a test\"\namount = \"much\"\n");
    case.run(&["buildroot", "gc", "--policy", &policy]).fails(3, "amount = \"much\"");
    case.nothing_left();
}
