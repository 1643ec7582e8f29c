//! What was uploaded becomes a repository that dnf reads.

use std::path::Path;
use std::process::Command;

use crate::fixture::{Fixture, QUICK, wanted};
use crate::reader::{Reader, output};

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
    let reader = Reader::new(&top.join("reader"), address.trim());
    assert_eq!(reader.packages(), ["of-pulp-1-1.noarch"]);
    match reader.install("of-pulp") {
        Some(root) => {
            let content = std::fs::read_to_string(root.join("usr/share/of-pulp")).unwrap();
            assert_eq!(content.trim(), random);
        }
        None => {
            let copy = reader.download("of-pulp", "of-pulp-1-1.noarch.rpm");
            assert_eq!(std::fs::read(copy).unwrap(), std::fs::read(package).unwrap());
        }
    }
}
