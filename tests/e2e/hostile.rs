//! Builds that try to reach the host through what they leave and what they say.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::case::{Case, verdict};
use crate::fixture::{Kind, skip};
use crate::outcome;
use crate::packages::rpms;

#[test]
fn only_packages_are_collected() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "traps") else { return };
        let run = case.build("bad/hostile-results", &[]);
        run.succeeds();
        assert!(run.stderr.contains("left in the buildroot: shadow-1-1.noarch.rpm"), "{run:?}");
        assert!(!run.stderr.contains('\x1b') && !run.stderr.contains('\u{202e}'), "{run:?}");
        let result = case.result("result");
        let names: Vec<String> = rpms(&result)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            ["hostile-results-1-1.noarch.rpm", "hostile-results-1-1.src.rpm"],
            "{kind:?}"
        );
        for entry in fs::read_dir(&result).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert!(metadata.is_file(), "{path:?} is not a regular file");
            assert_eq!(metadata.mode() & 0o7022, 0, "{path:?}");
        }
        assert!(case.log("build.log").contains("Executing(%install)"), "it is the log");
        let outcome = case.outcome("result");
        outcome::artifacts(&outcome["artifacts"], &result);
        let rejected = outcome["rejected"].to_string();
        for name in [
            "shadow-1-1.noarch.rpm",
            "relative-1-1.noarch.rpm",
            "magic-1-1.noarch.rpm",
            "dangling-1-1.noarch.rpm",
            "fifo-1-1.noarch.rpm",
            "socket-1-1.noarch.rpm",
            "linked-directory",
            "$(touch pwned)-1-1.noarch.rpm",
            "-rf.rpm",
            ".hidden-1-1.noarch.rpm",
            "build.log",
            "many-0-1.noarch.rpm",
        ] {
            assert!(rejected.contains(&format!("[\"{name}\"")), "{name} in {rejected}");
        }
        // What an earlier stage has delivered stays.
        let second = "[\"hostile-results-1-1.src.rpm\",\"a second package of that name\"]";
        assert!(rejected.contains(second), "{rejected}");
        case.nothing_left();
    }
}

/// rpm reads the macro file of whoever starts it; that of the build user belongs to the build.
#[test]
fn macros_of_a_build_are_not_run_by_root() {
    let Some(case) = Case::shared(Kind::Subids, "macros") else { return };
    case.build("bad/macros", &[]).succeeds();
    case.nothing_left();
}

#[test]
fn a_mess_is_removed() {
    for kind in Kind::possible(&[Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "mess") else { return };
        case.build("bad/unremovable", &[]).succeeds();
        assert!(case.log("build.log").lines().any(|line| line == "the mess is made"));
        case.nothing_left();
    }
}

#[test]
fn a_link_in_place_of_the_results_is_not_followed() {
    let Some(case) = Case::shared(Kind::Subids, "replaced") else { return };
    let run = case.build("bad/replaced-results", &[]);
    run.fails(10, "rpmbuild succeeded but left no packages");
    let outcome = case.outcome("result");
    verdict(&outcome, "collect", "package");
    assert!(outcome["rejected"].to_string().contains("/builddir/build/RPMS"), "{outcome:#}");
    outcome::artifacts(&outcome["artifacts"], &case.result("result"));
    case.nothing_left();
}

#[test]
fn a_huge_result_fills_no_disk_for_long() {
    let Some(mut case) = Case::shared(Kind::Subids, "huge") else { return };
    // The result directory has a small file system of its own, which only the build sees.
    let result = case.result("result");
    crate::fixture::directory_of(&result, Kind::Subids);
    let listing = case.dir.join("listing").display().to_string();
    let script = "mount -t tmpfs -o size=20m,mode=755,uid=61000 none \"$1\" || exit 99
                  into=$2; result=$1; shift 2; \"$@\"; status=$?
                  ls -A \"$result\" > \"$into\"; cat \"$result/outcome.json\" > \"$into.json\"
                  exit $status";
    case.prefix =
        ["unshare", "-m", "sh", "-c", script, "sh", &result.display().to_string(), &listing]
            .map(str::to_owned)
            .to_vec();
    let run = case.build("bad/huge", &[]);
    run.fails(70, "the packages could not be copied to the result directory");
    run.tells("No space left on device");
    assert!(!run.stderr.contains("not a package"), "{run:?}");
    let text = fs::read(format!("{listing}.json")).unwrap();
    verdict(&serde_json::from_slice(&text).unwrap(), "collect", "resource");
    let names = fs::read_to_string(&listing).unwrap();
    assert!(names.lines().all(|name| !name.contains("huge-1-1.x86_64")), "{names}");
    case.nothing_left();
}

#[test]
fn output_does_not_reach_the_terminal() {
    let Some(case) = Case::shared(Kind::Subids, "terminal") else { return };
    let run = case.build("bad/control-sequences", &["--verbose", "-D", "fails 1"]);
    run.fails(10, "rpmbuild -bb failed in %build");
    run.tells("failed here");
    assert!(run.stderr.contains("| plain "), "{run:?}");
    harmless(&run.stderr);
    harmless(&run.stdout);
    let outcome = fs::read_to_string(case.result("result").join("outcome.json")).unwrap();
    harmless(&outcome);
    // The log keeps what was written.
    assert!(case.log("build.log").contains("\x1b[31mred"));

    let json = case.build("bad/control-sequences", &["--json"]);
    json.succeeds();
    harmless(&json.stdout);
    case.nothing_left();
}

fn harmless(text: &str) {
    let bad = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    let line = text.lines().find(|line| line.contains(bad));
    assert!(line.is_none(), "{line:?}");
}

#[test]
fn a_real_terminal_shows_no_foreign_sequences() {
    let Some(mut case) = Case::shared(Kind::NoSubids, "real-terminal") else { return };
    if Command::new("script").arg("--version").output().is_err() {
        return skip("script(1) is not installed");
    }
    // The program writes its progress to a terminal here, with sequences of its own.
    let wrapper = "exec script -qec \"$(printf '%q ' \"$@\")\" /dev/null";
    case.prefix = ["bash", "-c", wrapper, "bash"].map(str::to_owned).to_vec();
    let run = case.build("bad/control-sequences", &["-D", "fails 1"]);
    assert_eq!(run.status, 10, "{run:?}");
    assert!(run.stdout.contains("failed here"), "{run:?}");
    for sequence in ["\x1b]0;", "\x1b[6n", "\x07", "\u{9b}", "\u{9d}", "\u{202e}"] {
        assert!(!run.stdout.contains(sequence), "{sequence:?} in {run:?}");
    }
    case.nothing_left();
}
