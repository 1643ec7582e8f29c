//! What the node has brought somewhere is what dnf installs from there.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use super::harness::NodeCase;
use super::reader::{Reader, output};
use super::web_server::Options;

fn arch() -> String {
    std::env::consts::ARCH.replace("powerpc64", "ppc64le")
}

/// A package with a file that tells this run from others, and one more beside it.
fn spec(word: &str) -> String {
    format!(
        "BuildArch: noarch\n%description\n.\n%package more\nSummary: s\nRequires: %{{name}}\n\
         %description more\n.\n%install\nmkdir -p %{{buildroot}}/usr/share\n\
         echo {word} > %{{buildroot}}/usr/share/%{{name}}\n%files\n/usr/share/%{{name}}\n%files more\n"
    )
}

fn word() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Asserts that dnf finds the packages and installs them.
fn is_installed(reader: &Reader, packages: &[&str], name: &str, word: &str) {
    assert_eq!(reader.packages(), packages);
    match reader.install(&format!("{name}-more")) {
        Some(root) => {
            let content = fs::read_to_string(root.join("usr/share").join(name)).unwrap();
            assert_eq!(content.trim(), word);
        }
        None => {
            let copy = reader.download(name, &format!("{name}-1-1.noarch.rpm"));
            assert!(copy.exists(), "{}", copy.display());
        }
    }
}

#[test]
fn dnf_installs_from_pulp_what_the_node_has_built() {
    let Some(node) = NodeCase::new("node-published", "", Options::default()) else { return };
    let word = word();
    let url = node.srpm("published", &spec(&word));
    node.server.add(node.task(1, &arch(), &url));
    let running = node.start();
    let report = node.report(1);
    assert_eq!(report["status"], "done", "{report:#}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/pulp");
    let mut publish = Command::new(script);
    publish.arg("publish");
    let is_package = |artifact: &&Json| {
        let name = artifact["name"].as_str().unwrap();
        name.ends_with(".rpm") && !name.ends_with(".src.rpm")
    };
    for artifact in report["artifacts"].as_array().unwrap().iter().filter(is_package) {
        publish.args(["name", "href"].map(|key| artifact[key].as_str().unwrap()));
    }
    let address = output(&mut publish);
    let reader = Reader::new(&node.case.dir.join("reader"), address.trim());
    let packages = ["published-1-1.noarch", "published-more-1-1.noarch"];
    is_installed(&reader, &packages, "published", &word);
    running.finish();
}
