//! The configs that are compiled in.

use std::path::Path;

use albs_node::mock_config::{ErrorKind, HostView, builtin_names, load};

use crate::request;

#[test]
fn all_of_them_load_and_check_signatures() {
    let names: Vec<_> = builtin_names().collect();
    assert_eq!(names.len(), 9);
    for name in names {
        let config = load(&request(name, Path::new("/nonexistent"))).unwrap();
        let options = config.options().unwrap();
        assert_eq!(options.root, name);
        assert_eq!(options.chroot_setup_cmd[0], "install");
        let repositories: Vec<_> = options.dnf_conf.split("\n[").skip(2).collect();
        assert_eq!(repositories.len(), 3, "{name}");
        for repository in repositories {
            assert!(repository.contains("\ngpgcheck=1\ngpgkey=https://"), "{name}: {repository}");
            assert!(repository.contains("\nmirrorlist=https://"), "{name}: {repository}");
        }
        let arch = name.rsplit('-').next().unwrap();
        let host =
            |arch: &str| HostView { arch: arch.to_owned(), ..request("", Path::new("")).host };
        assert!(config.check_host(&host(arch)).is_ok());
        let error = config.check_host(&host("riscv64")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Architecture);
    }
}

#[test]
fn one_of_them_in_full() {
    let config = load(&request("almalinux-9-x86_64", Path::new("/nonexistent"))).unwrap();
    insta::assert_json_snapshot!(config.options().unwrap());
}

#[test]
fn a_directory_of_ones_own_hides_them() {
    let mut request = request("almalinux-9-x86_64", Path::new("/nonexistent"));
    request.configdir = Some("/nonexistent".into());
    assert_eq!(load(&request).unwrap_err().kind(), ErrorKind::NotFound);
}
