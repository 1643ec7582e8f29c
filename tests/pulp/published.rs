//! What was uploaded becomes a repository that dnf reads.

use std::path::Path;
use std::process::Command;

use crate::fixture::{Fixture, QUICK, wanted};

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

const SPEC: &str = "\
Name: of-pulp
Version: 1
Release: 1
Summary: s
License: MIT
BuildArch: noarch
%description
%{random}
%install
mkdir -p %{buildroot}/usr/share
echo %{random} > %{buildroot}/usr/share/of-pulp
%files
/usr/share/of-pulp
";

#[tokio::test]
async fn dnf_reads_and_installs_what_was_uploaded() {
    let Some(fixture) = Fixture::get() else { return };
    let top = fixture.fresh();
    std::fs::create_dir(&top).unwrap();
    let spec = top.join("of-pulp.spec");
    std::fs::write(&spec, SPEC).unwrap();
    let random = format!("{:016x}", fastrand::u64(..));
    let define = |name: &str, value: &str| ["-D".to_owned(), format!("{name} {value}")];
    let built = Command::new("rpmbuild")
        .arg("-bb")
        .args(define("_topdir", &top.display().to_string()))
        .args(define("random", &random))
        .arg(&spec)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let package = top.join("RPMS/noarch/of-pulp-1-1.noarch.rpm");
    let uploaded = fixture.pulp().upload(&wanted(&package).await, &QUICK, &|_| {}).await.unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/pulp");
    let address = output(Command::new(script).arg("publish").arg(&package).arg(&uploaded.href));
    let root = top.join("root");
    std::fs::create_dir(top.join("log")).unwrap();
    let dnf = |arguments: &[&str]| {
        let option = |name: &str, value: &Path| format!("--setopt={name}={}", value.display());
        output(
            Command::new("dnf")
                .args(["-q", "-y", "--releasever=9", "--disablerepo=*", "--enablerepo=ours"])
                .arg(format!("--repofrompath=ours,{}", address.trim()))
                .arg("--setopt=reposdir=/dev/null")
                .arg(option("cachedir", &top.join("cache")))
                .arg(option("logdir", &top.join("log")))
                .arg(format!("--installroot={}", root.display()))
                .args(arguments),
        )
    };
    assert_eq!(dnf(&["repoquery", "--qf", "%{name}-%{evr}.%{arch}"]).trim(), "of-pulp-1-1.noarch");
    // Only root can install, as rpm changes its root.
    if nix::unistd::geteuid().is_root() {
        dnf(&["install", "--nogpgcheck", "of-pulp"]);
        let content = std::fs::read_to_string(root.join("usr/share/of-pulp")).unwrap();
        assert_eq!(content.trim(), random);
    } else {
        dnf(&["download", "--destdir", &top.display().to_string(), "of-pulp"]);
        let copy = std::fs::read(top.join("of-pulp-1-1.noarch.rpm")).unwrap();
        assert_eq!(copy, std::fs::read(package).unwrap());
    }
}
