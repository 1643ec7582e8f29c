//! Source packages that are broken or hostile.

use std::fs;

use crate::case::{Case, Run, verdict};
use crate::fixture::Kind;
use crate::packages::rpms;

const SOURCE: &str = "a-source-of-the-spec.txt";

/// A small source package with a source, made by the program itself.
fn source_package(case: &Case) -> Vec<u8> {
    let sources = case.dir.join("sources");
    fs::create_dir(&sources).unwrap();
    fs::write(sources.join(SOURCE), "content\n".repeat(5000)).unwrap();
    let spec = fs::read_to_string(case.spec("bad/small")).unwrap();
    let spec = spec.replace("BuildArch:", &format!("Source0: {SOURCE}\nBuildArch:"));
    let spec = case.file("small.spec", spec.as_bytes());
    let (config, made) = (case.config(), case.result("made").display().to_string());
    let sources = sources.display().to_string();
    let args = ["build", "-r", &config, "--spec", &spec, "--sources", &sources];
    case.run(&[&args[..], &["--resultdir", &made]].concat()).succeeds();
    fs::read(crate::packages::source_package(&case.result("made"))).unwrap()
}

fn build(case: &Case, package: &str) -> Run {
    let _ = fs::remove_dir_all(case.result("result"));
    let (config, result) = (case.config(), case.result("result").display().to_string());
    case.run(&["build", "-r", &config, "--resultdir", &result, package])
}

/// Asserts that the package is refused, and that nothing but logs came of it.
fn refused(case: &Case, package: &str, sentence: &str) -> Run {
    let run = build(case, package);
    run.fails(40, sentence);
    verdict(&case.outcome("result"), "srpm", "package");
    assert!(rpms(&case.result("result")).is_empty(), "{package}");
    case.nothing_left();
    run
}

#[test]
fn truncated_anywhere() {
    let Some(case) = Case::shared(Kind::Subids, "truncated") else { return };
    let bytes = source_package(&case);
    // In the lead, the signatures, the header.
    for length in [0, 4, 95, 96, 120, 1000, 3000] {
        assert!(length < bytes.len() / 2, "{}", bytes.len());
        let package = case.file("short.src.rpm", &bytes[..length]);
        let run = refused(&case, &package, "the source package is not usable");
        run.tells("is not a package, or is incomplete");
    }
    // In the payload, which only rpm inside the sandbox reads.
    for missing in [1, 100] {
        let package = case.file("short.src.rpm", &bytes[..bytes.len() - missing]);
        refused(&case, &package, "the source package could not be unpacked");
    }
}

#[test]
fn damaged_in_the_middle() {
    let Some(case) = Case::shared(Kind::NoSubids, "damaged") else { return };
    let mut bytes = source_package(&case);
    let last = bytes.len() - 20;
    bytes[last] ^= 0xff;
    let package = case.file("damaged.src.rpm", &bytes);
    refused(&case, &package, "the source package could not be unpacked");
}

#[test]
fn another_kind_of_file() {
    let Some(case) = Case::shared(Kind::Subids, "not-a-package") else { return };
    let text = case.file("text.src.rpm", b"Name: hello\nVersion: 1\n");
    refused(&case, &text, "the source package is not usable")
        .tells("text.src.rpm is not a package, or is incomplete");
    let zeros = case.file("zeros.src.rpm", &[0; 100_000]);
    refused(&case, &zeros, "the source package is not usable");

    case.build("bad/small", &[]).succeeds();
    let binary = rpms(&case.result("result"))
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("noarch.rpm"));
    let bytes = fs::read(binary.unwrap()).unwrap();
    let package = case.file("binary.src.rpm", &bytes);
    refused(&case, &package, "the source package is not usable")
        .tells("is a binary package; a source package is needed");

    let directory = case.dir.join("directory.src.rpm");
    fs::create_dir(&directory).unwrap();
    refused(&case, &directory.display().to_string(), "the source package is not usable");
}

/// The bytes with every `from` replaced by a `to` of the same length.
fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patched = bytes.to_vec();
    let mut count = 0;
    for start in 0..=bytes.len() - from.len() {
        if &bytes[start..start + from.len()] == from.as_bytes() {
            patched[start..start + from.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "{from} is not in the package");
    patched
}

#[test]
fn names_that_lead_out() {
    let Some(case) = Case::shared(Kind::Subids, "names") else { return };
    let bytes = source_package(&case);
    let bad = [
        "../../../../evil.",
        "/builddir/build/evil.",
        "below/a/directory.",
        "-rf-is-an-option.",
        "a\nline-break.",
        "escape\x1b[31m.",
    ];
    for name in bad {
        let name = format!("{name:x<width$}", width = SOURCE.len());
        let package = case.file("names.src.rpm", &patched(&bytes, SOURCE, &name));
        let run = refused(&case, &package, "the source package is not usable");
        run.tells("which is not a plain one");
        assert!(!run.stderr.contains('\x1b'), "{run:?}");
    }
    // A spec that is none, and two of them.
    let package = case.file("names.src.rpm", &patched(&bytes, "small.spec", "small.text"));
    refused(&case, &package, "not usable").tells("contains 0 spec files; exactly one is needed");
    let two = patched(&bytes, SOURCE, "a-second-of-all.the.spec");
    let package = case.file("names.src.rpm", &two);
    refused(&case, &package, "not usable").tells("contains 2 spec files; exactly one is needed");
    // A harmless name, but not the one that was signed.
    let package = case.file("names.src.rpm", &patched(&bytes, SOURCE, "a-source-of-the-spec.TXT"));
    refused(&case, &package, "the source package could not be unpacked");
}

#[test]
fn sources_beside_a_spec_are_copied_as_they_are() {
    let Some(case) = Case::shared(Kind::Subids, "links") else { return };
    let sources = case.dir.join("sources");
    fs::create_dir(&sources).unwrap();
    fs::write(case.dir.join("secret"), "a secret of the host\n").unwrap();
    std::os::unix::fs::symlink(case.dir.join("secret"), sources.join("leak.txt")).unwrap();
    let spec = fs::read_to_string(case.spec("bad/small")).unwrap();
    let spec = spec.replace("BuildArch:", "Source0: leak.txt\nBuildArch:");
    let spec = case.file("small.spec", spec.replace("%build", "%build\ncat %{SOURCE0}").as_bytes());
    let (config, result) = (case.config(), case.result("result").display().to_string());
    let sources = sources.display().to_string();
    let args = ["build", "-r", &config, "--spec", &spec, "--sources", &sources];
    let run = case.run(&[&args[..], &["--resultdir", &result]].concat());
    // The link leads nowhere inside.
    run.fails(10, "rpmbuild -bs failed");
    run.tells("leak.txt");
    assert!(!case.log("build.log").contains("a secret"));
    case.nothing_left();
}
