//! Tasks from the server to the report.

use nix::sys::signal::Signal;
use serde_json::{Value as Json, json};

use super::harness::{NodeCase, arch, names, wait_for};
use super::web_server::{Options, TaskState};

const HELLO: &str = "BuildArch: noarch\n%description\n.\n%install\ninstall -D /dev/null \
                     %{buildroot}/usr/share/%{name}\n%files\n/usr/share/%{name}\n";

/// A package that takes this shell code to build.
fn with_build(code: &str) -> String {
    format!("BuildArch: noarch\n%description\n.\n%build\n{code}\n")
}

#[test]
fn a_source_package_is_made_and_built() {
    let Some(node) = NodeCase::new("node-build", "", Options::default()) else { return };
    let url = node.srpm("hello", HELLO);
    node.server.add(node.task(1, "src", &url));
    let mut built = node.task(2, &arch(), &url);
    built["built_srpm_url"] = json!(url);
    node.server.add(built);
    let running = node.start();
    let source = node.report(1);
    assert_eq!(source["status"], "done", "{source:#}");
    assert_eq!(
        names(&source),
        [
            "hello-1-1.src.rpm",
            "mock.srpm.1.TIME.cfg",
            "mock_build.srpm.1.TIME.log",
            "mock_hw_info.srpm.1.TIME.log",
            "mock_root.srpm.1.TIME.log",
            "mock_state.srpm.1.TIME.log",
            "albs.1.TIME.log",
        ]
    );
    let packages = node.report(2);
    assert_eq!(packages["status"], "done", "{packages:#}");
    assert_eq!(
        names(&packages)[..3],
        ["hello-1-1.noarch.rpm", "mock.2.TIME.cfg", "mock_build.2.TIME.log"]
    );
    for report in [&source, &packages] {
        node.is_in_pulp(report);
        let story = node.text(report, "albs.");
        assert!(story.trim_end().ends_with("done") && story.contains("srpm: "), "{story}");
        for stage in ["build_node_task", "build_all", "build_packages", "build_srpm", "upload"] {
            assert!(report["stats"][stage]["delta"].is_string(), "{stage}: {report:#}");
        }
    }
    assert!(packages["stats"]["build_binaries"]["start_ts"].is_string());
    assert!(node.text(&packages, "albs.").contains("the source package is used as it is"));
    assert!(packages["stats"]["resources"]["cpu_user_us"].is_string());
    assert!(node.text(&packages, "mock.").contains("config_opts['root']"));
    running.finish();
}

#[test]
fn what_fails_and_what_is_excluded() {
    let Some(node) =
        NodeCase::new("node-fails", "  infrastructure_retries: 0\n", Options::default())
    else {
        return;
    };
    let fails = node.srpm("fails", &with_build("echo the reason >&2; exit 3"));
    let other = node.srpm("other", "ExclusiveArch: s390x\n%description\n.\n");
    // Known when it is made again for the target.
    let said =
        "%(test -e /builddir && echo 'ExcludeArch: x86_64 aarch64 ppc64le')\n%description\n.\n";
    let said = node.srpm("said", said);
    node.server.add(node.task(1, &arch(), &fails));
    node.server.add(node.task(2, &arch(), &other));
    node.server.add(node.task(3, &arch(), &said));
    node.server.add(node.task(4, &arch(), &format!("{}missing.src.rpm", node.web.address)));
    let running = node.start();
    let failed = node.report(1);
    assert_eq!(failed["status"], "failed", "{failed:#}");
    assert_eq!(failed["stats"]["verdict"]["class"], "package");
    let story = node.text(&failed, "albs.");
    let last = story.trim_end().lines().last().unwrap();
    assert!(last.contains("failed: rpmbuild (package)") && last.contains("%build"), "{last}");
    assert!(node.text(&failed, "mock_build").contains("the reason"));
    assert!(node.text(&failed, "mock_stderr").contains("error: "));
    assert!(names(&failed).iter().all(|name| !name.ends_with(".rpm")), "{failed:#}");
    for task in [2, 3] {
        let excluded = node.report(task);
        assert_eq!(excluded["status"], "excluded", "{excluded:#}");
        node.is_in_pulp(&excluded);
    }
    let missing = node.report(4);
    assert_eq!(missing["status"], "failed", "{missing:#}");
    running.finish();
}

#[test]
fn tasks_that_no_build_could_use() {
    let Some(node) = NodeCase::new("node-poison", "", Options::default()) else { return };
    let url = node.srpm("good", HELLO);
    let good = node.task(1, &arch(), &url);
    let poison: [(&str, Json); 20] = [
        ("/created_by", json!(7)),
        ("/build_id", json!("../../x")),
        ("/ref", json!(null)),
        ("/ref/url", json!(["a"])),
        ("/ref/url", json!("")),
        ("/platform", json!("AlmaLinux")),
        ("/platform/name", json!("a b\nc")),
        ("/platform/data", json!("x")),
        ("/platform/data/mock", json!([])),
        ("/platform/data/mock/target_arch", json!({})),
        ("/platform/data/mock/macros", json!("x")),
        ("/platform/data/definitions", json!({"a b": "c"})),
        ("/platform/data/definitions", json!([1])),
        ("/platform/data/yum", json!({"a\nb": 1})),
        ("/platform/data/timeout", json!("long")),
        ("/platform/data/custom_logs", json!(["("])),
        ("/repositories", json!({"a": 1})),
        ("/repositories/0/name", json!("a]\n[b")),
        ("/repositories/0/url", json!("http://a/\nb=c")),
        ("/is_secure_boot", json!("perhaps")),
    ];
    for (index, (place, value)) in poison.iter().enumerate() {
        let mut task = good.clone();
        task["id"] = json!(index + 2);
        let (parent, key) = place.rsplit_once('/').unwrap();
        match task.pointer_mut(parent).unwrap() {
            Json::Array(items) => items[0][key] = value.clone(),
            parent => parent[key] = value.clone(),
        }
        node.server.add(task);
    }
    node.server.add(good);
    let running = node.start();
    assert_eq!(node.report(1)["status"], "done");
    for (index, (place, value)) in poison.iter().enumerate() {
        let report = node.report(index as i64 + 2);
        assert_eq!(report["status"], "failed", "{place} {value}: {report:#}");
        let last = node.text(&report, "albs.");
        assert!(last.contains("failed: "), "{place} {value}: {last}");
    }
    // They cost neither a slot nor a second try.
    assert_ne!(node.status()["slots"]["free"], 0);
    running.finish();
}

#[test]
fn the_shorter_time_limit_counts() {
    let own = "  limits:\n    timeout: 8s\n";
    let Some(node) = NodeCase::new("node-timeout", own, Options::default()) else { return };
    let url = node.srpm("endless", &with_build("sleep 600"));
    for (id, seconds) in [(1, 3), (2, 600)] {
        let mut task = node.task(id, &arch(), &url);
        task["platform"]["data"]["timeout"] = json!(seconds);
        node.server.add(task);
    }
    let running = node.start();
    for (id, seconds) in [(1, 3..8), (2, 8..20)] {
        let report = node.report(id);
        assert_eq!(report["status"], "failed", "{report:#}");
        assert_eq!(report["stats"]["verdict"]["class"], "timeout", "{report:#}");
        let story = node.text(&report, "albs.");
        let told = story.split_once("was killed at the time limit, after ").expect(&story).1;
        let (after, place) = told.split_once(' ').expect(&story);
        assert!(seconds.contains(&after.parse().expect(&story)), "{story}");
        assert!(place.starts_with("s in %build"), "{story}");
    }
    running.finish();
}

#[test]
fn a_task_can_be_ended_and_looked_at() {
    let Some(node) = NodeCase::new("node-control", "", Options::default()) else { return };
    let url = node.srpm("slow", &with_build("echo begun; sleep 600"));
    node.server.add(node.task(1, &arch(), &url));
    let (good, text) = node.ask(&["status"]);
    assert!(!good && text.contains("is it running?"), "{text}");
    let running = node.start();
    wait_for("the build", &node, || {
        node.socket().exists().then_some(())?;
        let (_, text) = node.ask(&["logs", "1", "build"]);
        text.contains("begun").then_some(())
    });
    let status = node.status();
    assert_eq!(status["outbox"]["held"], 1, "{status:#}");
    assert!(status["caches"]["buildroots"].is_u64(), "{status:#}");
    assert_eq!(status["tasks"][0]["state"], "rpmbuild", "{status:#}");
    let (good, text) = node.ask(&["status"]);
    assert!(good && text.contains("takes tasks") && text.contains("slow-1-1.src.rpm"), "{text}");
    let (good, text) = node.ask(&["tasks"]);
    assert!(good && text.lines().count() == 2, "{text}");
    let (good, text) = node.ask(&["cancel", "2"]);
    assert!(!good && text.contains("does not hold task 2"), "{text}");
    let (good, text) = node.ask(&["cancel", "1"]);
    assert!(good, "{text}");
    let report = node.report(1);
    assert_eq!(report["status"], "failed");
    assert_eq!(report["stats"]["verdict"]["class"], "cancelled", "{report:#}");
    running.finish();
}

#[test]
fn what_is_held_is_finished_when_the_node_stops() {
    let Some(node) = NodeCase::new("node-stop", "", Options::default()) else { return };
    let wait = format!("until test -e {}; do sleep 0.1; done", "/tmp/never");
    let url =
        node.srpm("waits", &with_build(&format!("echo begun; timeout 8 sh -c '{wait}' || :")));
    let more = node.srpm("more", HELLO);
    node.server.add(node.task(1, &arch(), &url));
    let running = node.start();
    wait_for("the build", &node, || {
        node.socket().exists().then_some(())?;
        node.ask(&["logs", "1", "build"]).1.contains("begun").then_some(())
    });
    running.signal(Signal::SIGUSR1);
    wait_for("the signal", &node, || node.log().contains("SIGUSR1").then_some(()));
    node.server.add(node.task(2, &arch(), &more));
    assert_eq!(node.report(1)["status"], "done");
    assert_eq!(running.end(), 0);
    assert_eq!(node.server.task(2), TaskState::Idle, "it was not taken any more");
    let is_ping = |call: &super::web_server::Call| call.name == "ping" && call.status == 200;
    assert!(node.server.calls().iter().filter(|call| is_ping(call)).count() > 3);
    assert!(node.held().is_empty());
}
