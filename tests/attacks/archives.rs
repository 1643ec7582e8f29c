//! Archives that unpack to something else than files in their place: source packages, which rpm
//! unpacks, and archives in them, which `%prep` unpacks.

use std::fs;

use crate::case::{Case, Run, verdict};
use crate::fixture::Kind;
use crate::host::beside_an_honest_one;
use crate::package::{
    BLOCK_DEVICE, DIRECTORY, FIFO, File, LINK, REGULAR, entry, source_package, with_payload,
};

const SPEC: &str = "Name: hostile\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n\
                    BuildArch: noarch\nSource0: source.txt\n%description\n.\n%prep\n%build\n\
                    %install\nmkdir -p %{buildroot}/x\n%files\n/x\n";

/// A source package, and what becomes of it.
struct Attack {
    name: &'static str,
    package: Vec<u8>,
    options: &'static [&'static str],
    /// Exit status, and a part of the sentence; none of a package that is built.
    end: Option<(i32, &'static str)>,
    /// A part of what is told below.
    told: &'static str,
    phase: &'static str,
    class: &'static str,
}

const UNUSABLE: (i32, &str) = (40, "the source package is not usable");
const NOT_UNPACKED: (i32, &str) = (40, "the source package could not be unpacked");

fn attack(
    name: &'static str,
    end: (i32, &'static str),
    told: &'static str,
    package: Vec<u8>,
) -> Attack {
    Attack { name, package, options: &[], end: Some(end), told, phase: "srpm", class: "package" }
}

fn spec() -> File {
    File::new("hostile.spec", SPEC.as_bytes())
}

/// A package whose header is harmless.
fn stored(stored: &str, mode: u32, content: &str) -> Vec<u8> {
    source_package(&[spec(), File::stored_as("source.txt", stored, mode, content)], &[])
}

/// A package whose header tells what is in it.
fn told(file: File) -> Vec<u8> {
    source_package(&[spec(), File::new("source.txt", b""), file], &[])
}

/// `victim` is a file of the host.
fn attacks(victim: &str) -> Vec<Attack> {
    let climbing = format!("{}{}", "../".repeat(20), victim.trim_start_matches('/'));
    let source = || File::new("source.txt", b"harmless");
    let named = |name: &str| told(File::new(name, b"evil"));
    let plain = "which is not a plain one";
    let no_file = "which is not a regular file";
    let foreign = "Archive file not in header";
    let link_then_file = [
        File::of_kind("source.txt", LINK, victim),
        File::stored_as("source.txt", "source.txt", REGULAR, "evil"),
    ];
    let through = File::stored_as("", "link/evil", REGULAR, "evil");
    vec![
        // What the header says is refused before anything is unpacked.
        attack("absolute-name", UNUSABLE, plain, named(victim)),
        attack("climbing-name", UNUSABLE, plain, named(&climbing)),
        attack("line-break", UNUSABLE, plain, named("a\nerror: all is lost")),
        attack("escape", UNUSABLE, plain, named("a\x1b]0;title\x07")),
        attack("option", UNUSABLE, plain, named("--define=x")),
        attack("link", UNUSABLE, no_file, told(File::of_kind("link", LINK, "/etc/passwd"))),
        attack("device", UNUSABLE, no_file, told(File::of_kind("disk", BLOCK_DEVICE, ""))),
        attack("fifo", UNUSABLE, no_file, told(File::of_kind("fifo", FIFO, ""))),
        attack("directory", UNUSABLE, no_file, told(File::of_kind("directory", DIRECTORY, ""))),
        attack(
            "link-and-file",
            UNUSABLE,
            no_file,
            source_package(&[spec(), link_then_file[0].clone(), link_then_file[1].clone()], &[]),
        ),
        // What the archive says is read by rpm, inside.
        attack("absolute-entry", NOT_UNPACKED, foreign, stored(victim, REGULAR, "evil")),
        attack("climbing-entry", NOT_UNPACKED, foreign, stored(&climbing, REGULAR, "evil")),
        attack("entry-below", NOT_UNPACKED, foreign, stored("a/../../b", REGULAR, "evil")),
        attack(
            "entry-through-a-link",
            NOT_UNPACKED,
            foreign,
            source_package(&[spec(), source()], &[File::stored_as("", "link", LINK, "/"), through]),
        ),
        attack(
            "entry-of-the-spec-again",
            NOT_UNPACKED,
            "cpio: open failed - File exists",
            source_package(&[spec(), source()], &[File::new("hostile.spec", SPEC.as_bytes())]),
        ),
        attack("size", NOT_UNPACKED, "", {
            let claims = File { size: u32::MAX, ..File::new("source.txt", b"short") };
            source_package(&[spec(), claims], &[])
        }),
        Attack {
            options: &["--disk", "200M"],
            class: "resource",
            ..attack(
                "bomb",
                (10, "unpacking the source package hit the disk limit of 200 MiB"),
                "",
                bomb(),
            )
        },
        Attack {
            options: &["--inodes", "20000"],
            class: "resource",
            ..attack(
                "many-entries",
                (10, "unpacking the source package hit the limit of 20000 files"),
                "",
                many(),
            )
        },
        // The type of an entry is that of the header, whatever the archive says.
        built("stored-device", stored("source.txt", BLOCK_DEVICE, "")),
        built("stored-link", stored("source.txt", LINK, victim)),
        built("stored-fifo", stored("source.txt", FIFO, "")),
        // What an entry of a header says of where its value is.
        attack("offset", UNUSABLE, "is not a package, or is incomplete", {
            let mut package = told(source());
            // The second entry of the index of signatures; the first is of all of it.
            package[96 + 16 + 16 + 8..][..4].copy_from_slice(&u32::MAX.to_be_bytes());
            package
        }),
        // Of a header that claims more than there is.
        attack("header", UNUSABLE, "is not a package, or is incomplete", {
            let mut package = told(source());
            // Entries of the index of signatures.
            package[104..108].copy_from_slice(&[0x0f, 0xff, 0xff, 0xff]);
            package
        }),
    ]
}

fn built(name: &'static str, package: Vec<u8>) -> Attack {
    Attack { name, package, options: &[], end: None, told: "", phase: "", class: "" }
}

/// 30 GiB of zeros in a few hundred kilobytes.
fn bomb() -> Vec<u8> {
    const SIZE: usize = 1 << 30;
    // Of so many zeros.
    const SUM: &str = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14";
    let files: Vec<File> = (0..30)
        .map(|number| File {
            size: SIZE as u32,
            digest: Some(SUM.to_owned()),
            ..File::new(&format!("zeros-{number}"), b"")
        })
        .collect();
    let mut first = Vec::new();
    entry(&mut first, 0, &spec());
    let compress = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("compress");
    let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(0), SIZE as u64), 1);
    let zeros = zeros.expect("compress");
    let mut payload = compress(&first);
    for (number, file) in files.iter().enumerate() {
        let mut head = Vec::new();
        entry(&mut head, number + 1, file);
        payload.extend(compress(&head));
        payload.extend(&zeros);
    }
    let all: Vec<File> = [spec()].into_iter().chain(files).collect();
    with_payload(&all, &payload)
}

fn many() -> Vec<u8> {
    let files = (0..100_000).map(|number| File::new(&format!("file-{number}"), b""));
    let known = [spec(), File::new("source.txt", b"")];
    source_package(&known.into_iter().chain(files).collect::<Vec<File>>(), &[])
}

#[test]
fn of_root() {
    carry_out(Kind::Root);
}

#[test]
fn of_a_user() {
    carry_out(Kind::Subids);
}

#[test]
fn of_a_user_without_subids() {
    carry_out(Kind::NoSubids);
}

/// Builds a source package into an empty result directory.
fn build(case: &Case, more: &[&str], package: &[u8]) -> Run {
    let _ = fs::remove_dir_all(case.result("result"));
    let package = case.file("hostile.src.rpm", package);
    let (config, result) = (case.config(), case.result("result").display().to_string());
    let start = ["build", "-r", &config, "--resultdir", &result, "--timeout", "60"];
    case.run(&[&start, more, &[&package]].concat())
}

fn carry_out(kind: Kind) {
    let Some(case) = Case::shared(kind, "archives") else { return };
    beside_an_honest_one(&case, || all(&case));
}

fn all(case: &Case) {
    let victim = case.dir.join("victim").display().to_string();
    for attack in attacks(&victim) {
        let name = attack.name;
        let run = build(case, attack.options, &attack.package);
        assert!(!run.stderr.contains('\x1b'), "{name}: {run:?}");
        match attack.end {
            None => assert_eq!(run.status, 0, "{name}: {run:?}"),
            Some((status, sentence)) => {
                assert_eq!(run.status, status, "{name}: {run:?}");
                run.fails(status, sentence);
                run.tells(attack.told);
                verdict(&case.outcome("result"), attack.phase, attack.class);
            }
        }
        let seconds = case.outcome("result")["seconds"].as_f64().expect("seconds");
        assert!(seconds < 60.0, "{name}: {seconds} s");
    }
}

/// What tar can be made to do: lines of `%prep` after `tar -xf`, with what they must show.
const TARBALLS: [(&str, &str); 2] = [("xf", "refused"), ("xPf", "trusted")];

#[test]
fn tarballs() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::shared(kind, "tarballs") else { return };
        let victim = case.dir.join("victim").display().to_string();
        for (how, name) in TARBALLS {
            let spec = SPEC.replace("source.txt", "source.tar").replace(
                "%prep\n",
                // Whatever tar says of it, nothing of it may be seen outside.
                &format!(
                    "%prep\ntar -{how} %{{SOURCE0}} || echo tar: $?\nls -la . / > list; cat list\n"
                ),
            );
            let sources = [
                File::new("hostile.spec", spec.as_bytes()),
                File::new("source.tar", &tarball(&victim)),
            ];
            let package = source_package(&sources, &[]);
            let run = beside_an_honest_one(&case, || build(&case, &[], &package));
            assert_eq!(run.status, 0, "{kind:?} {name}: {run:?}");
            let log = case.log("build.log");
            // Devices, and files of the system, are beyond what the build user may make.
            assert!(log.lines().any(|line| line == "tar: 2"), "{kind:?} {name}: {log}");
        }
    }
    let Some(case) = Case::shared(Kind::Subids, "tar-bombs") else { return };
    for (option, limit, sentence, bomb) in [
        ("--disk", "200M", "hit the disk limit of 200 MiB in %prep", tar_bomb()),
        ("--inodes", "20000", "hit the limit of 20000 files in %prep", tar_of_many()),
    ] {
        let spec = SPEC
            .replace("source.txt", "source.tar.zst")
            // It waits, since how soon it is seen depends on how busy the machine is; less than
            // until the tree is looked at in any case.
            .replace("%prep\n", "%prep\nzstd -dc %{SOURCE0} | tar -xf -\nsleep 20\n");
        let sources =
            [File::new("hostile.spec", spec.as_bytes()), File::new("source.tar.zst", &bomb)];
        let package = source_package(&sources, &[]);
        let run = beside_an_honest_one(&case, || build(&case, &[option, limit], &package));
        run.fails(10, sentence);
        verdict(&case.outcome("result"), "rpmbuild", "resource");
    }
}

fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o6777);
    let content: &[u8] = if kind == tar::EntryType::Regular { b"evil" } else { b"" };
    header.set_size(content.len() as u64);
    // As bytes: the library refuses such names, as it should.
    let header_of = header.as_gnu_mut().expect("a header of GNU");
    header_of.name[..name.len()].copy_from_slice(name.as_bytes());
    header_of.linkname[..target.len()].copy_from_slice(target.as_bytes());
    if matches!(kind, tar::EntryType::Block | tar::EntryType::Char) {
        header.set_device_major(254).expect("a number");
        header.set_device_minor(0).expect("a number");
    }
    header.set_cksum();
    archive.append(&header, content).expect("add to the archive");
}

fn tarball(victim: &str) -> Vec<u8> {
    use tar::EntryType as Kind;
    let mut archive = tar::Builder::new(Vec::new());
    let climbing = format!("{}{}", "../".repeat(6), victim.trim_start_matches('/'));
    let outside = victim.rsplit_once('/').map_or("/", |(directory, _)| directory);
    for (name, kind, target) in [
        (victim, Kind::Regular, ""),
        (climbing.as_str(), Kind::Regular, ""),
        ("/etc/cron.d/evil", Kind::Regular, ""),
        ("/proc/sys/kernel/core_pattern", Kind::Regular, ""),
        ("link", Kind::Symlink, victim),
        ("link", Kind::Regular, ""),
        ("directory", Kind::Symlink, outside),
        ("directory/victim", Kind::Regular, ""),
        ("hard", Kind::Link, victim),
        ("hard", Kind::Regular, ""),
        ("hard-shadow", Kind::Link, "/etc/shadow"),
        ("hard-pid-1", Kind::Link, "/proc/1/root/etc/shadow"),
        ("disk", Kind::Block, ""),
        ("memory", Kind::Char, ""),
        ("fifo", Kind::Fifo, ""),
        ("a\nline", Kind::Regular, ""),
        ("\x1b]0;title\x07", Kind::Regular, ""),
        ("-rf", Kind::Regular, ""),
    ] {
        add(&mut archive, name, kind, target);
    }
    archive.into_inner().expect("an archive")
}

fn tar_bomb() -> Vec<u8> {
    const SIZE: u64 = 30 << 30;
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").expect("a name");
    header.set_mode(0o644);
    header.set_size(SIZE);
    header.set_cksum();
    let mut bytes = zstd::encode_all(header.as_bytes().as_slice(), 1).expect("compress");
    let gigabyte = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 30), 1);
    let gigabyte = gigabyte.expect("compress");
    (0..SIZE >> 30).for_each(|_| bytes.extend(&gigabyte));
    bytes
}

fn tar_of_many() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..100_000 {
        add(&mut archive, &format!("file-{number}"), tar::EntryType::Regular, "");
    }
    zstd::encode_all(archive.into_inner().expect("an archive").as_slice(), 1).expect("compress")
}
