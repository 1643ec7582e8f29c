//! A build task of the server, turned into a config and built with it.

use std::path::Path;

use serde_json::json;

use crate::case::Case;
use crate::fixture::Kind;
use crate::repository::Web;

#[test]
fn the_config_of_a_task_builds() {
    let Some(case) = Case::alone(Kind::Subids, "task") else { return };
    let config = case.run_config(&["show", "-r", &case.config(), "--option", "dnf.conf"]);
    let baseurl = config.lines().find_map(|line| line.strip_prefix("baseurl=file://")).unwrap();
    // Tasks name servers.
    let web = Web::serve(Path::new(baseurl));
    let arch = std::env::consts::ARCH.replace("powerpc64", "ppc64le");
    let task = json!({
        "id": 7, "arch": arch, "build_id": 1, "ref": {"url": "https://example.com/a.git"},
        "platform": {"name": "Local-1", "type": "rpm", "data": {
            "mock": {
                "chroot_setup_cmd": "install @buildsys-build", "package_manager": "dnf",
                "dnf_common_opts": ["--setopt=install_weak_deps=False"], "releasever": "1",
                "environment": {"FROM_TASK": "seen"}, "use_bootstrap_container": false,
                "macros": {"%from_task": "macro"},
            },
            "definitions": {"vendor": "The Task"}, "yum": {"best": true}, "mock_dist": "local1",
            "timeout": 600,
        }},
        "repositories": [
            {"name": "local", "url": web.address, "priority": 10, "mock_enabled": true},
            {"name": "off", "url": "http://127.0.0.1:1/", "priority": 10, "mock_enabled": false},
        ],
    });
    let file = case.file("task.json", task.to_string().as_bytes());
    let text = case.run_config(&["from-task", &file]);
    let config = case.file("task.cfg", text.as_bytes());
    let spec = "Name: of-task\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
                %description\n.\n%build\necho \"$FROM_TASK %{from_task} %{vendor}\" > told\n\
                test \"$(cat told)\" = 'seen macro The Task'\n%install\ninstall -D told \
                %{buildroot}/told\n%files\n/told\n";
    let spec = case.file("of-task.spec", spec.as_bytes());
    let empty = case.fixture.base.join("empty").display().to_string();
    let result = case.result("result");
    let built = case.run(&[
        "build",
        "-r",
        &config,
        "--spec",
        &spec,
        "--sources",
        &empty,
        "--resultdir",
        &result.display().to_string(),
    ]);
    built.succeeds();
    assert!(result.join("of-task-1-1.noarch.rpm").exists(), "{}", built.stderr);
    case.nothing_left();
}
