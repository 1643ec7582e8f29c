//! What tasks get from the node besides their source, and what they want to be kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::harness::{NodeCase, arch, names};
use super::web_server::Options;

/// A package with kernel modules. `%check` runs after everything that changes files.
const MODULES: &str = "\
BuildArch: noarch
%description
.
%install
mkdir -p %{buildroot}/lib/modules/1/a
echo plain > %{buildroot}/lib/modules/1/a/first.ko
echo plain > '%{buildroot}/lib/modules/1/a/the second.ko'
echo plain > %{buildroot}/lib/modules/1/a/third.ko.xz
%check
cd %{buildroot}/lib/modules/1/a
for file in *; do echo \"module: $file: $(cat \"$file\")\"; done
ls /usr/local/bin | sed 's/^/program: /'
touch /usr/local/bin/x 2> /dev/null && echo 'the programs can be changed'
test -e /etc/rpm/macros.modsign && echo 'macros: there'
:
%files
/lib/modules
";

const MODSIGN: &str = "#!/bin/sh\necho \"signed for $1\" >> \"$2\"\n";

#[test]
fn kernel_modules_are_signed_for_secure_boot_and_nobody_else_can() {
    let Some(node) = NodeCase::new("node-secure", "", Options::default()) else { return };
    let pesign = node.case.dir.join("pesign");
    fs::create_dir(&pesign).unwrap();
    let program = pesign.join("modsign");
    fs::write(&program, MODSIGN).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let own = format!("  pesign_directory: {}\n  infrastructure_retries: 0\n", pesign.display());
    node.configure(&own, 2);
    let url = node.srpm("modules", MODULES);
    let task = |id: i64, is_secure_boot: bool| {
        let mut task = node.task(id, &arch(), &url);
        task["is_secure_boot"] = json!(is_secure_boot);
        task["platform"]["data"]["mock"]["secure_boot_macros"] =
            json!({"%with_modsign": "1", "%modsign_os": "local1"});
        task
    };
    node.server.add(task(1, true));
    node.server.add(task(2, false));
    let running = node.start();
    let told = |id: i64| {
        let report = node.report(id);
        assert_eq!(report["status"], "done", "{}", node.text(&report, "mock_build"));
        let log = node.text(&report, "mock_build");
        let told = ["module: ", "program: ", "signed", "macros: ", "the programs can"];
        // The shell tells what it will say, with its own quotes.
        let is_told =
            |line: &&str| told.iter().any(|start| line.starts_with(start)) && !line.ends_with('\'');
        log.lines().filter(is_told).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        told(1),
        [
            "module: first.ko: plain",
            "signed for local1",
            "module: the second.ko: plain",
            "signed for local1",
            "program: modsign",
            "macros: there",
        ]
    );
    assert_eq!(
        told(2),
        ["module: first.ko: plain", "module: the second.ko: plain", "module: third.ko.xz: plain",]
    );

    // A module that cannot be signed is no result.
    fs::write(&program, "#!/bin/sh\necho no key >&2\nexit 1\n").unwrap();
    node.server.add(task(3, true));
    let unsigned = node.report(3);
    assert_eq!(unsigned["status"], "failed", "{unsigned:#}");
    assert_eq!(unsigned["stats"]["verdict"]["class"], "package", "{unsigned:#}");
    assert!(node.text(&unsigned, "mock_build").contains("no key"));
    // Nor is there one without the programs.
    fs::rename(&pesign, pesign.with_extension("away")).unwrap();
    node.server.add(task(4, true));
    let without = node.report(4);
    assert_eq!(without["status"], "failed", "{without:#}");
    let story = node.text(&without, "albs.");
    assert!(story.contains("which this host does not have"), "{story}");
    running.finish();
}

#[test]
fn builds_find_the_proxy_and_logs_do_not_show_its_password() {
    let Some(node) = NodeCase::new("node-npm", "", Options::default()) else { return };
    node.configure_top("npm_proxy: http://me:hunter2@proxy.example:3128/\n");
    let build = "BuildArch: noarch\n%description\n.\n%build\nfor file in npmrc yarnrc; do\n\
                 sed -e s/hunter[0-9]/known/ -e \"s/^/$file: /\" /usr/etc/$file\ndone\n";
    let url = node.srpm("proxied", build);
    node.server.add(node.task(1, &arch(), &url));
    let running = node.start();
    let report = node.report(1);
    assert_eq!(report["status"], "done", "{}", node.log());
    let log = node.text(&report, "mock_build");
    for line in [
        "npmrc: https-proxy=http://me:known@proxy.example:3128/",
        "npmrc: strict-ssl=false",
        "yarnrc: proxy \"http://me:known@proxy.example:3128/\"",
    ] {
        assert!(log.lines().any(|known| known == line), "{line}: {log}");
    }
    for artifact in report["artifacts"].as_array().unwrap() {
        let name = artifact["name"].as_str().unwrap();
        if !name.ends_with(".rpm") {
            let text = node.text(&report, name);
            assert!(!text.contains("hunter2"), "{name}: {text}");
        }
    }
    assert!(node.text(&report, "mock.").contains("me:***@proxy.example"));
    assert!(!node.log().contains("hunter2"), "{}", node.log());
    running.finish();
}

#[test]
fn logs_that_a_task_wants_are_kept_whether_it_fails_or_not() {
    let Some(node) = NodeCase::new("node-logs", "", Options::default()) else { return };
    let build = |end: &str| {
        format!(
            "BuildArch: noarch\n%description\n.\n%build\nmkdir -p a b\necho of a > a/config.log\n\
             echo of b > b/config.log\necho trace > a/trace.txt\necho else > a/other.log\n\
             ln -s /etc/passwd a/link.config.log\n{end}\n"
        )
    };
    let good = node.srpm("good", &build(""));
    let bad = node.srpm("bad", &build("exit 1"));
    for (id, url) in [(1, &good), (2, &bad)] {
        let mut task = node.task(id, &arch(), url);
        task["platform"]["data"]["custom_logs"] = json!(["config\\.log$", "^trace\\."]);
        node.server.add(task);
    }
    let running = node.start();
    for (id, status) in [(1, "done"), (2, "failed")] {
        let report = node.report(id);
        assert_eq!(report["status"], status, "{report:#}");
        node.is_in_pulp(&report);
        let names = names(&report);
        let wanted = [
            format!("mock_config.{id}.TIME.log"),
            format!("mock_config_2.{id}.TIME.log"),
            format!("mock_trace_txt.{id}.TIME.log"),
        ];
        let mut found: Vec<_> = names
            .iter()
            .filter(|name| ["config", "trace", "other"].iter().any(|word| name.contains(word)))
            .collect();
        found.sort();
        assert_eq!(found, wanted.iter().collect::<Vec<_>>(), "{names:?}");
        assert_eq!(node.text(&report, "mock_config."), "of a\n");
        assert_eq!(node.text(&report, "mock_config_2."), "of b\n");
        assert_eq!(node.text(&report, "mock_trace_txt."), "trace\n");
    }
    running.finish();
}
