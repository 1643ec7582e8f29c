//! Packages that one config has downloaded are used by the next.

use std::fs;
use std::path::{Path, PathBuf};

use crate::case::{Case, host};
use crate::fixture::Kind;
use crate::repository::Web;

/// All packages below a directory.
fn packages(dir: &Path) -> Vec<PathBuf> {
    let found = host("find", &[dir.as_os_str(), "-name".as_ref(), "*.rpm".as_ref()]);
    found.lines().map(PathBuf::from).collect()
}

#[test]
fn packages_are_downloaded_once_for_several_configs() {
    let Some(case) = Case::alone(Kind::Root, "downloads") else { return };
    let shown = case.run_config(&["show", "-r", &case.config(), "--option", "dnf.conf"]);
    let baseurl = shown.lines().find_map(|line| line.strip_prefix("baseurl=")).unwrap();
    let (repository, served) = (baseurl.strip_prefix("file://").unwrap(), case.dir.join("served"));
    host("cp", &["-a".as_ref(), repository.as_ref(), served.as_os_str()]);
    let web = Web::serve(&served);
    let config = case.config_with("one", baseurl, &web.address);
    case.run(&["init", "-r", &config]).succeeds();

    // One of the packages is damaged, and only that one can still be had.
    let cached = packages(&case.store.join("cache"));
    assert!(cached.len() > 20, "{cached:?}");
    let damaged = cached.iter().find(|path| path.to_string_lossy().contains("/zlib")).unwrap();
    let name = damaged.file_name().unwrap();
    let whole = fs::read(damaged).unwrap();
    let mut content = whole.clone();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(damaged, &content).unwrap();
    for path in packages(&served).iter().filter(|path| path.file_name() != Some(name)) {
        fs::remove_file(path).unwrap();
    }
    let text = fs::read_to_string(&config).unwrap() + "config_opts['extra_chroot_dirs'] = ['/x']\n";
    let other = case.file("other.cfg", text.as_bytes());
    case.run(&["init", "-r", &other]).succeeds();
    let copies = packages(&case.store.join("cache"));
    assert_eq!(copies.len(), 2 * cached.len());
    let of_name: Vec<_> = copies.iter().filter(|path| path.file_name() == Some(name)).collect();
    let contents: Vec<bool> = of_name.iter().map(|path| fs::read(path).unwrap() == whole).collect();
    // The other config has got it anew, and has not touched that of the first.
    assert!(contents.contains(&true) && contents.contains(&false), "{of_name:?}");
    case.nothing_left();
}
