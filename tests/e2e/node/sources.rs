//! Tasks whose sources are in git repositories.

use std::fs;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::harness::{NodeCase, arch, in_pulp, names};
use super::web_server::Options;
use crate::git_server::{GitServer, sum};
use crate::repository::{Package, Repository};

/// A package that has its sources from everywhere.
const SPEC: &str = "%global debug_package %{nil}
Name: many
Version: 1.5
Release: 1
Summary: s
License: MIT
BuildArch: noarch
Source0: many-%{version}.tar.gz
Source1: listed-%{version}.tar.gz
Source2: REMOTE
Source3: beside.txt
%description
.
%prep
%autosetup
test -e NEWS
grep -q 'of the lookaside' %{SOURCE1}
grep -q 'of the web' %{SOURCE2}
%install
install -D %{SOURCE3} %{buildroot}/usr/share/many
%files
/usr/share/many
";

struct Sources {
    node: NodeCase,
    git: GitServer,
}

fn sources(name: &str) -> Option<Sources> {
    let node = NodeCase::new(name, "", Options::default())?;
    let git = GitServer::start(&node.case.dir.join("git"));
    fs::create_dir(node.policies()).unwrap();
    git.lookasides(&node.policies().join("lookaside.toml"));
    Some(Sources { node, git })
}

impl Sources {
    fn task(&self, id: i64, arch: &str, reference: &str, commit: Json) -> Json {
        let mut task = self.node.task(id, arch, &self.git.url("git/many.git"));
        task["ref"]["git_ref"] = json!(reference);
        task["ref"]["ref_type"] = json!(1);
        task["ref"]["git_commit_hash"] = commit;
        task["platform"]["data"]["allow_sources_download"] = json!(true);
        task
    }
}

/// What `rpm -qpl` lists of an artifact of a report.
fn files_of(node: &NodeCase, report: &Json, name: &str) -> Vec<String> {
    let artifacts = report["artifacts"].as_array().unwrap();
    let artifact = artifacts.iter().find(|artifact| artifact["name"] == name).unwrap();
    let path = in_pulp(&node.artifact(artifact["href"].as_str().unwrap()));
    let output = Command::new("rpm").args(["-qpl", "--nosignature"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_repository_with_sources_from_everywhere() {
    let Some(sources) = sources("node-git") else { return };
    let Sources { node, git } = &sources;
    let repository = git.repository("many");
    let listed = b"of the lookaside";
    let sha256 = sum::<sha2::Sha256>(listed);
    git.file(&sha256, listed);
    let remote = git.file("v1", b"of the web") + "#/remote.txt";
    let commit = repository.commit(&[
        ("SPECS/many.spec", &SPEC.replace("REMOTE", &remote)),
        ("SOURCES/beside.txt", "beside"),
        ("NEWS", "of the repository"),
        (".many.metadata", &format!("{sha256} SOURCES/listed-1.5.tar.gz\n")),
    ]);
    // What is built is the commit of the source package, wherever the branch is by then.
    repository.git(&["checkout", "-q", "--orphan", "other"]);
    repository.git(&["rm", "-rfq", "."]);
    repository.commit(&[("README", "")]);
    node.server.add(sources.task(1, "src", "main", json!(null)));
    node.server.add(sources.task(2, &arch(), "other", json!(commit)));
    node.server.add(sources.task(3, &arch(), "other", json!(null)));
    let mut closed = sources.task(4, &arch(), "main", json!(null));
    closed["platform"]["data"]["allow_sources_download"] = json!(false);
    node.server.add(closed);
    let running = node.start();
    let source = node.report(1);
    assert_eq!(source["status"], "done", "{source:#} {}", node.text(&source, "albs."));
    assert_eq!(source["git_commit_hash"], json!(commit));
    let mut files = files_of(node, &source, "many-1.5-1.src.rpm");
    files.sort();
    assert_eq!(
        files,
        ["beside.txt", "listed-1.5.tar.gz", "many-1.5.tar.gz", "many.spec", "remote.txt"]
    );
    for stage in ["git_checkout", "sources_unpack", "build_srpm"] {
        assert!(source["stats"][stage]["delta"].is_string(), "{stage}: {source:#}");
    }
    let bill = node.text(&source, "mock_build.");
    assert!(bill.contains("fetch "), "{bill}");
    let story = node.text(&source, "albs.");
    for line in [
        &format!("commit {commit} of main"),
        "SPECS/many.spec is built, since it has the name of the repository",
        "fetch: listed-1.5.tar.gz ",
        "Source2: 10 bytes from ",
        "Source0: many-1.5.tar.gz has",
    ] {
        assert!(story.contains(line), "{line}: {story}");
    }
    let built = node.report(2);
    assert_eq!(built["status"], "done", "{built:#} {}", node.text(&built, "albs."));
    assert!(names(&built).iter().any(|name| name == "many-1.5-1.noarch.rpm"), "{built:#}");
    assert_eq!(built["git_commit_hash"], json!(commit));
    let specless = node.report(3);
    assert_eq!(specless["status"], "failed");
    assert_eq!(specless["stats"]["verdict"]["class"], "package");
    assert!(node.text(&specless, "albs.").contains("has no spec file"));
    // rpmbuild says what it misses, and the story why.
    let closed = node.report(4);
    assert_eq!(closed["status"], "failed", "{closed:#}");
    assert!(node.text(&closed, "albs.").contains("Source2 is missing, and sources may not be"));
    running.finish();
}

#[test]
fn a_server_of_git_that_comes_back() {
    let Some(sources) = sources("node-git-away") else { return };
    let Sources { node, git } = &sources;
    let repository = git.repository("many");
    repository.commit(&[("many.spec", &SPEC.replace("REMOTE", "x"))]);
    let gone = json!("http://127.0.0.1:1/git/many.git");
    let mut task = sources.task(1, "src", "main", json!(null));
    task["ref"]["url"] = gone;
    node.configure("  infrastructure_retries: 1\n", 1);
    node.server.add(task);
    let running = node.start();
    let report = node.report(1);
    assert_eq!(report["status"], "failed");
    assert_eq!(report["stats"]["verdict"]["class"], "infrastructure", "{report:#}");
    let story = node.text(&report, "albs.");
    assert!(story.contains("the repository cannot be reached"), "{story}");
    running.finish();
}

#[test]
fn releases_come_from_the_history_of_a_repository() {
    let Some(sources) = sources("node-autospec") else { return };
    let Sources { node, git } = &sources;
    // Stands in for rpmautospec, which the local distribution does not have: called as it is, it
    // finds a history that goes back to the beginning.
    let script = "#!/bin/sh -e\ntest \"$1\" = process-distgit\ntest -f .git/HEAD\n\
                  test ! -e .git/shallow\nsed 's/%autorelease/7/' \"$2\" > \"$3\"";
    let tools = Repository::new(&node.case, "served/tools");
    let files = [("/usr/bin/rpmautospec", script)];
    tools.add(&Package { name: "rpmautospec", version: "1", files: &files });
    tools.publish();
    let repository = git.repository("many");
    let listed = b"of the lookaside";
    let md5 = sum::<md5::Md5>(listed);
    git.file(&md5, listed);
    let spec = "Name: many\nVersion: 1\nRelease: %autorelease\nSummary: s\nLicense: MIT\n\
                BuildArch: noarch\nSource0: listed\n%description\n.\n%files\n";
    repository.commit(&[("many.spec", spec)]);
    let commit = repository.commit(&[("sources", &format!("{md5}  listed\n"))]);
    let mut task = sources.task(1, &arch(), "main", json!(null));
    task["platform"]["data"]["mock"]["rpmautospec_enable"] = json!(true);
    let more = json!({
        "name": "tools", "url": format!("{}tools/", node.web.address), "priority": 10,
        "mock_enabled": true,
    });
    task["repositories"].as_array_mut().unwrap().push(more);
    node.server.add(task);
    let running = node.start();
    let report = node.report(1);
    assert_eq!(report["status"], "done", "{report:#} {}", node.text(&report, "albs."));
    assert_eq!(report["git_commit_hash"], json!(commit));
    assert!(names(&report).iter().any(|name| name == "many-1-7.noarch.rpm"), "{report:#}");
    assert_eq!(files_of(node, &report, "many-1-7.src.rpm").len(), 2);
    running.finish();
}
