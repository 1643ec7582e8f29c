//! A freshly installed buildroot gets its build user and the directories and files of its config.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};

use super::context;

/// The unprivileged user of builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Login name.
    pub user: String,
    /// Name of its group.
    pub group: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// Directories of rpmbuild below `HOME/build`; `originals` holds the inputs, as in mock.
pub(super) const BUILD_DIRECTORIES: [&str; 7] =
    ["", "BUILD", "RPMS", "SOURCES", "SPECS", "SRPMS", "originals"];

/// Works on `/`, which is the buildroot by now.
pub(super) fn prepare(
    account: &Account,
    host_users: &[Account],
    directories: &[String],
    move_database: Option<&(String, String)>,
) -> io::Result<()> {
    if let Some((from, to)) = move_database {
        move_rpm_database(Path::new(from), Path::new(to))?;
    }
    host_users.iter().try_for_each(add_account)?;
    add_account(account)?;
    for directory in directories {
        let path = Path::new(directory);
        context("make", path, fs::create_dir_all(path))?;
    }
    let mtab = Path::new("/etc/mtab");
    if fs::symlink_metadata(mtab).is_err() {
        context("link", mtab, std::os::unix::fs::symlink("../proc/self/mounts", mtab))?;
    }
    let home = Path::new(&account.home);
    context("make", home, fs::create_dir_all(home))?;
    give(home, account)?;
    for name in BUILD_DIRECTORIES {
        let path = home.join("build").join(name);
        context("make", &path, fs::create_dir_all(&path))?;
        give(&path, account)?;
    }
    Ok(())
}

fn give(path: &Path, account: &Account) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let result = nix::unistd::chown(path, Some(uid), Some(gid)).map_err(Into::into);
    context("give to the build user", path, result)?;
    context("open", path, fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
}

/// Writes files, on `/`, which is the buildroot. What is there stays as it is, as in mock.
pub(super) fn write_files(files: &[(String, String)]) -> io::Result<()> {
    for (path, content) in files {
        let path = Path::new(path);
        if let Some(parent) = path.parent() {
            context("make", parent, fs::create_dir_all(parent))?;
        }
        let file = fs::File::options().write(true).create_new(true).mode(0o644).open(path);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => {
                let mut file = context("write", path, file)?;
                context("write", path, file.write_all(content.as_bytes()))?;
            }
        }
    }
    Ok(())
}

/// Replaces lines of the account's names or numbers and appends the account's own.
fn add_account(account: &Account) -> io::Result<()> {
    let Account { user, group, uid, gid, home } = account;
    let uid_text = uid.to_string();
    edit("/etc/group", &|fields| fields[0] == group, &format!("{group}:x:{gid}:{user}"))?;
    edit(
        "/etc/passwd",
        &|fields| fields[0] == user || fields.get(2) == Some(&uid_text.as_str()),
        &format!("{user}:x:{uid}:{gid}:builder of packages:{home}:/bin/bash"),
    )?;
    if Path::new("/etc/shadow").exists() {
        edit("/etc/shadow", &|fields| fields[0] == user, &format!("{user}:!!:19000::::::"))?;
    }
    Ok(())
}

/// Rewrites a colon-separated file: lines that `replaced` picks go, `line` comes.
fn edit(path: &str, replaced: &dyn Fn(&[&str]) -> bool, line: &str) -> io::Result<()> {
    let path = Path::new(path);
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        result => context("read", path, result)?,
    };
    let mut new: String = old
        .lines()
        .filter(|line| !replaced(&line.split(':').collect::<Vec<_>>()))
        .flat_map(|line| [line, "\n"])
        .collect();
    new += line;
    new.push('\n');
    context("write", path, fs::write(path, new))
}

/// The library that installed and the buildroot's own rpm may disagree about the place.
fn move_rpm_database(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        context("make", parent, fs::create_dir_all(parent))?;
    }
    // The place may be prepared, empty but for a lock or a marker of the filesystem package.
    if fs::symlink_metadata(to).is_ok_and(|metadata| metadata.is_dir()) {
        context("replace", to, fs::remove_dir_all(to))?;
    }
    context("move the rpm database from", from, fs::rename(from, to))
}
