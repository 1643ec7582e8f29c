//! Copying downloaded packages from one package cache to another.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::collect::is_sparse;
use super::context;

/// Digits of the hash that package managers put after the name of a repository. It is one of the
/// repository's addresses.
const HASH_LENGTH: usize = 16;
/// Directory of packages below that of a repository.
const PACKAGES: &str = "packages";

/// Copies the packages of these repositories, from the first cache that has some of them. Copies,
/// and no links: whoever writes to one cache must not reach another. What is copied is not looked
/// at; the package manager compares it with the metadata that it gets itself.
pub(super) fn share(from: &[PathBuf], to: &Path, repositories: &[String]) -> io::Result<()> {
    for cache in from {
        for entry in context("read", cache, fs::read_dir(cache))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let packages = entry.path().join(PACKAGES);
            let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|data| data.is_dir());
            let is_wanted = is_of(&name, repositories) && !to.join(&name).exists();
            if is_wanted && is_dir(&entry.path()) && is_dir(&packages) {
                copy_packages(&packages, &to.join(&name))?;
            }
        }
    }
    Ok(())
}

/// Whether a directory of a cache is that of one of these repositories.
fn is_of(name: &str, repositories: &[String]) -> bool {
    name.rsplit_once('-').is_some_and(|(id, hash)| {
        let is_hash = hash.len() == HASH_LENGTH && hash.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash && repositories.iter().any(|known| known == id)
    })
}

fn copy_packages(from: &Path, repository: &Path) -> io::Result<()> {
    let to = repository.join(PACKAGES);
    let make = DirBuilder::new().recursive(true).mode(0o755).create(&to);
    context("make", &to, make)?;
    for entry in context("read", from, fs::read_dir(from))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_package = path.extension().is_some_and(|end| end == "rpm");
        if is_package && entry.file_type()?.is_file() {
            context("copy", &path, copy(&path, &to.join(name)))?;
        }
    }
    Ok(())
}

/// Copies a package with its time, which tells when it may go. File systems that can share blocks
/// do. What a scriptlet has left there with holes would become as large as it says it is.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let mut source = OpenOptions::new().read(true).custom_flags(flags.bits()).open(from)?;
    let metadata = source.metadata()?;
    if is_sparse(&source, &metadata) {
        return Ok(());
    }
    let mut target = File::create_new(to)?;
    io::copy(&mut source, &mut target)?;
    target.set_modified(metadata.modified()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_the_same_repositories_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (same, other, link) =
            ("base-0123456789abcdef", "extra-0123456789abcdef", "base-0123456789abcdee");
        for (name, text) in [("a", "first"), ("b", "second")] {
            for repository in [same, other] {
                let packages = path(name).join(repository).join(PACKAGES);
                fs::create_dir_all(&packages).unwrap();
                fs::write(packages.join("x.rpm"), text).unwrap();
                fs::write(packages.join("x.part"), text).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", packages.join("l.rpm")).unwrap();
                let holes = File::create(packages.join("holes.rpm")).unwrap();
                holes.set_len(1 << 40).unwrap();
            }
            std::os::unix::fs::symlink(other, path(name).join(link)).unwrap();
        }
        fs::create_dir(path("to")).unwrap();
        share(&[path("a"), path("b")], &path("to"), &["base".to_owned()]).unwrap();
        let found = |dir: PathBuf| -> Vec<String> {
            let entries = fs::read_dir(dir).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(found(path("to")), [same]);
        let packages = path("to").join(same).join(PACKAGES);
        assert_eq!(found(packages.clone()), ["x.rpm"]);
        assert_eq!(fs::read_to_string(packages.join("x.rpm")).unwrap(), "first");
        let time = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        let original = path("a").join(same).join(PACKAGES).join("x.rpm");
        assert_eq!(time(packages.join("x.rpm")), time(original));
        assert!(is_of("a-b-0123456789abcdef", &["a-b".to_owned()]));
        assert!(!is_of("base", &["base".to_owned()]));
    }
}
