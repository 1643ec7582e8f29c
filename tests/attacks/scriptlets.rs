//! Attempts of a package that is installed: its scriptlets are root inside, with capabilities, and see
//! a network.

use std::fs;
use std::path::Path;

use crate::calls::{compare, expected, landlock_keeps_signals};
use crate::case::Case;
use crate::fixture::Kind;
use crate::host::attacked;
use crate::repository::{Repository, section};

/// Attempts with other answers than those of builds. All that this is good for is inside.
const OTHERS: &[(&str, &str)] = &[
    // Nobody may write to a program that runs, not even who owns it.
    ("write-open:/proc/self/exe", "ETXTBSY"),
    ("chroot", "ok"),
    ("chown:0", "ok"),
    ("setuid:0", "ok"),
    ("setgroups:0", "ok"),
    // A rule in its own network namespace.
    ("connect:169.254.169.254:80", "EACCES"),
];

#[test]
fn scriptlets_of_root() {
    attempts(Kind::Root);
}

#[test]
fn scriptlets_of_a_user() {
    attempts(Kind::Subids);
}

#[test]
fn scriptlets_of_a_user_without_subids() {
    attempts(Kind::NoSubids);
}

fn attempts(kind: Kind) {
    let Some(case) = Case::alone(kind, "scriptlets") else { return };
    let repository = Repository::new(&case, "repository");
    let probe = Path::new(env!("CARGO_BIN_EXE_albs-node")).with_file_name("probe");
    let mut expected = expected(kind);
    // What is outside depends on the place; without a carrier there is nothing but this host.
    let is_filtered = sandbox::HostFacts::probe().network.unusable().is_none();
    let is_known = |attempt: &str| !attempt.contains(":8.8.8.8:") && !attempt.contains(":169.254.");
    expected
        .retain(|(_, attempt, _)| is_known(attempt) || is_filtered && attempt.contains(":169."));
    for (_, attempt, answer) in &mut expected {
        let other = OTHERS.iter().find(|(known, _)| known == attempt);
        *answer = other.map_or(*answer, |(_, other)| *other);
        // Root may send signals, which the kernel drops.
        if attempt.starts_with("kill-pid1") && !landlock_keeps_signals() {
            *answer = "ok";
        }
    }
    let words: Vec<&str> = expected.iter().map(|(_, attempt, _)| *attempt).collect();
    let package = format!(
        "%global debug_package %{{nil}}\n%global _binaries_in_noarch_packages_terminate_build 0\n\
         Name: attacker\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
         AutoReqProv: no\n%description\n.\n%install\nmkdir -p %{{buildroot}}/usr/lib/attacker\n\
         install -m 755 {} %{{buildroot}}/usr/lib/attacker/probe\n\
         %post\n/usr/lib/attacker/probe try {} > /var/lib/attempts\n\
         %files\n/usr/lib/attacker\n",
        probe.display(),
        words.join(" ")
    );
    repository.add_spec("attacker", &package);
    repository.publish();
    let config = case.config_plus("attacker", &section(&repository.baseurl(), "gpgcheck=0"));
    let text = "Name: victim\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
                BuildRequires: attacker\n%description\n.\n%build\ncat /var/lib/attempts\n%files\n";
    let spec = case.file("victim.spec", text.as_bytes());
    attacked(&case, &config, &spec, &[]).succeeds();
    let log = fs::read_to_string(case.result("result").join("build.log")).unwrap();
    let line = log.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{log}"));
    compare(kind, &expected, line);
}
