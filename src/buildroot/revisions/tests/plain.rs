//! What is read from real configurations.

use std::path::{Path, PathBuf};

use crate::buildroot::revisions::enabled;
use crate::mock_config::{HostView, LoadRequest, MockOptions, load};
use crate::task::{Task, TaskConfig};

/// The options of a config that may include templates of this directory.
fn options(file: &Path, system_dir: &str) -> MockOptions {
    let request = LoadRequest {
        name: file.display().to_string(),
        configdir: None,
        home: None,
        system_dir: in_repository(system_dir),
        overrides: Vec::new(),
        host: HostView::of_this_process().unwrap(),
    };
    load(&request).unwrap().options().unwrap()
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn our_own_configs() {
    for name in ["almalinux-8-ppc64le", "almalinux-9-x86_64", "almalinux-10-aarch64"] {
        let options =
            options(&in_repository(&format!("policies/mock/etc/{name}.cfg")), "policies/mock/etc");
        insta::assert_debug_snapshot!(name, enabled(&options));
    }
}

#[test]
fn an_odd_config() {
    let file = in_repository("tests/mock-configs/odd/repositories.cfg");
    insta::assert_debug_snapshot!("odd", enabled(&options(&file, "tests/mock-configs/system")));
}

#[test]
fn the_config_of_a_task() {
    let text = std::fs::read_to_string(in_repository("tests/tasks/task-el8-secure-boot.json"));
    let task = Task::from_json(&serde_json::from_str(&text.unwrap()).unwrap()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("task.cfg");
    std::fs::write(&file, TaskConfig::new(&task, "x86_64").unwrap().text()).unwrap();
    insta::assert_debug_snapshot!("task", enabled(&options(&file, "nowhere")));
}

#[test]
fn every_option() {
    let mut options = crate::buildroot::testing::options("dnf");
    options.use_bootstrap = true;
    options.releasever = Some("9.4".to_owned());
    options.forcearch = Some("armv7l".to_owned());
    options.dnf_vars = [("stream".to_owned(), "9-s".to_owned())].into();
    options.network.certificates = [("/host/ca.pem".to_owned(), "/etc/ca.pem".to_owned())].into();
    options.dnf_conf = "\
[main]
proxy=http://user:secret@proxy:3128
proxy_username=me
proxy_password=secret
sslcacert=/etc/ca.pem
sslverify=off
username=all
password=secret
timeout=2m
metadata_expire=1h
check_config_file_age=no
skip_if_unavailable=1
# baseurl=http://remark/
[a-$releasever_major]
baseurl=http://one/$releasever/$basearch/, http://two/${stream}/
  /srv/three
 http://four/$unknown
sslverify=maybe
username=
[b]
mirrorlist=https://h/mirrors?repo=$releasever_major.$releasever_minor&key=secret
baseurl=https://h/b
proxy=
sslcacert=
sslverify=1
metadata_expire=never
skip_if_unavailable=no
[c]
mirrorlist=https://h/metalink?repo=c
proxy=_none_
timeout=0
metadata_expire=soon
[d]
metalink=https://h/m
mirrorlist=https://h/l
sslclientcert=file:///etc/client.pem
sslclientkey=/etc/client.key
[off]
baseurl=http://off/
enabled=0
[b]
username=b
"
    .to_owned();
    insta::assert_debug_snapshot!("every_option", enabled(&options));
    options.package_manager = crate::mock_config::Manager::Yum;
    options.dnf_conf = "[a]\nbaseurl=http://a/".to_owned();
    assert_eq!(enabled(&options)[0].expire, Some(6 * 3600));
}
