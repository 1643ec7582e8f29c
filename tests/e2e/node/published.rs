//! What the node has brought somewhere is what dnf installs from there.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::harness::{NodeCase, arch, wait_for};
use super::reader::{Reader, output};
use super::web_server::Options;

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

#[test]
fn a_directory_takes_the_place_of_both_services() {
    let Some(node) = NodeCase::new("node-queue", "", Options::default()) else { return };
    let queue = node.case.dir.join("queue");
    let own = format!("  queue: {}\n  infrastructure_retries: 0\n", queue.display());
    node.configure(&own, 2);
    let word = word();
    let url = node.srpm("queued", &spec(&word));
    let fails = node.srpm("fails", "BuildArch: noarch\n%description\n.\n%build\nexit 1\n");
    let running = node.start();
    wait_for("the node", &node, || node.socket().exists().then_some(()));
    assert_eq!(node.status()["server"], json!(queue.join("tasks").display().to_string()));
    let put = |name: &str, text: &str| {
        let aside = node.case.dir.join("task.json");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, queue.join("tasks").join(name)).unwrap();
    };
    put("a.json", &node.task(1, &arch(), &url).to_string());
    put("b.json", &node.task(2, &arch(), &fails).to_string());
    put("c.json", "{\"id\": 3, \"arch\": 7}");
    put("d.json", "no task");
    let report = |id: i64| -> Json {
        let place = queue.join(format!("reports/{id}.json"));
        let text = wait_for("a report", &node, || fs::read_to_string(&place).ok());
        serde_json::from_str(&text).unwrap()
    };
    for (id, status) in [(1, "done"), (2, "failed"), (3, "failed")] {
        let report = report(id);
        assert_eq!(report["status"], status, "{report:#}");
        for artifact in report["artifacts"].as_array().unwrap() {
            let place = queue.join(artifact["href"].as_str().unwrap());
            let sum = output(Command::new("sha256sum").arg(&place));
            assert!(sum.starts_with(artifact["sha256"].as_str().unwrap()), "{sum}: {artifact}");
        }
    }
    let names = |name: &str| {
        let entries = fs::read_dir(queue.join(name)).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names("refused"), ["d.json"]);
    assert!(node.log().contains("d.json is put aside: it is no JSON"), "{}", node.log());
    running.finish();
    assert!(names("tasks").is_empty() && names("taken").is_empty());
    assert!(node.server.calls().is_empty(), "nobody was asked");

    let packages = queue.join("packages");
    output(Command::new("createrepo_c").arg("-q").arg(&packages));
    let address = format!("file://{}", packages.display());
    let reader = Reader::new(&node.case.dir.join("reader"), &address);
    let found = ["queued-1-1.noarch", "queued-1-1.src", "queued-more-1-1.noarch"];
    is_installed(&reader, &found, "queued", &word);
}
