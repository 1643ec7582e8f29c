//! The part of this program that runs inside maintenance sandboxes, as `albs-node helper JSON`:
//! it prepares, reads and removes trees whose files belong to mapped ids and whose content may be
//! hostile. Whatever a tree makes it do happens inside a sandbox without network and secrets.

mod collect;
mod manifest;
mod measure;
mod prepare;
mod remove;
mod scan;
mod share;
mod unpack;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::buildroot::disk::Size;

pub use collect::{MANIFEST, Manifest, package_name as is_package_name};
pub use manifest::TOTAL;
pub use prepare::Account;
pub(crate) use remove::remove_tree;
pub use unpack::LayerFile;

/// What the helper is asked to do. Paths are those inside its sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Make directories with mode 0755.
    MakeDirectories {
        /// The directories; their parents exist.
        paths: Vec<PathBuf>,
    },
    /// Remove trees with everything in them; missing ones are fine.
    Remove {
        /// The trees.
        paths: Vec<PathBuf>,
    },
    /// Remove everything in a directory, which stays.
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// Remove files that have not changed for some time.
    RemoveOld {
        /// The directory; everything below it is looked at.
        directory: PathBuf,
        /// Seconds since they changed.
        seconds: u64,
    },
    /// Copy packages that were downloaded from these repositories to a cache that has none.
    SharePackages {
        /// Other caches, the best first.
        from: Vec<PathBuf>,
        /// The cache.
        to: PathBuf,
        /// Names of repositories.
        repositories: Vec<String>,
    },
    /// Write files that do not exist.
    WriteFiles {
        /// The buildroot.
        root: PathBuf,
        /// Path and content.
        files: Vec<(String, String)>,
    },
    /// Make a freshly installed buildroot ready for builds.
    Prepare {
        /// The buildroot.
        root: PathBuf,
        /// The unprivileged user of builds.
        account: Account,
        /// Users of the host that exist inside as well.
        host_users: Vec<Account>,
        /// Directories to make.
        directories: Vec<String>,
        /// rpm's database: where it was written and where the buildroot's own rpm looks.
        move_database: Option<(String, String)>,
    },
    /// Unpack the layers of an image.
    Unpack {
        /// An empty directory.
        root: PathBuf,
        /// The layers, the lowest first.
        layers: Vec<LayerFile>,
    },
    /// Write what paths in a tree lead to as a list in JSON; null where there is no program.
    Programs {
        /// The tree.
        root: PathBuf,
        /// The paths in it.
        paths: Vec<PathBuf>,
    },
    /// Write the size of a tree as JSON.
    Measure {
        /// The tree.
        directory: PathBuf,
        /// No more is counted once it exceeds this.
        enough: Size,
    },
    /// Write a line about every file of a tree to standard output.
    Manifest {
        /// The tree.
        root: PathBuf,
    },
    /// Write the packages of a build to standard output as a tar archive.
    Collect {
        /// The tree of the build.
        root: PathBuf,
        /// Directories below it that may hold packages.
        directories: Vec<String>,
        /// No more bytes than this are taken.
        most_bytes: u64,
    },
    /// Write the files with certain names to standard output as a tar archive.
    Scan {
        /// The tree of the build.
        root: PathBuf,
        /// Regular expressions; one that is found in the name is enough.
        regexes: Vec<String>,
        /// No more bytes than this are taken.
        most_bytes: u64,
    },
}

/// Runs a task. Errors go to standard error, which the parent captures.
///
/// # Errors
///
/// What was attempted, on what, and the cause, as one line.
pub fn run(task: &Task) -> io::Result<()> {
    match task {
        Task::MakeDirectories { paths } => paths.iter().try_for_each(|path| {
            use std::os::unix::fs::DirBuilderExt;
            context("make", path, std::fs::DirBuilder::new().mode(0o755).create(path))
        }),
        Task::Remove { paths } => paths.iter().try_for_each(|path| remove::remove(path)),
        Task::WriteFiles { root, files } => {
            context("enter", root, nix::unistd::chroot(root).map_err(Into::into))?;
            nix::unistd::chdir("/")?;
            prepare::write_files(files)
        }
        Task::Prepare { root, account, host_users, directories, move_database } => {
            context("enter", root, nix::unistd::chroot(root).map_err(Into::into))?;
            nix::unistd::chdir("/")?;
            prepare::prepare(account, host_users, directories, move_database.as_ref())
        }
        Task::Unpack { root, layers } => unpack::unpack(root, layers),
        Task::Programs { root, paths } => {
            context("enter", root, nix::unistd::chroot(root).map_err(Into::into))?;
            nix::unistd::chdir("/")?;
            let found: Vec<Option<PathBuf>> = paths.iter().map(|path| program(path)).collect();
            Ok(serde_json::to_writer(std::io::stdout().lock(), &found)?)
        }
        Task::Measure { directory, enough } => {
            let size = measure::measure(directory, enough)?;
            Ok(serde_json::to_writer(std::io::stdout().lock(), &size)?)
        }
        Task::Manifest { root } => {
            manifest::manifest(root, &mut io::BufWriter::new(io::stdout().lock()))
        }
        Task::Empty { directory } => remove::empty(directory),
        Task::RemoveOld { directory, seconds } => remove::remove_old(directory, *seconds),
        Task::SharePackages { from, to, repositories } => share::share(from, to, repositories),
        Task::Scan { root, regexes, most_bytes } => {
            scan::scan(root, regexes, *most_bytes, std::io::stdout().lock())
        }
        Task::Collect { root, directories, most_bytes } => {
            collect::collect(root, directories, *most_bytes, std::io::stdout().lock())
        }
    }
}

/// What a path leads to, if that can be executed.
pub fn program(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let executable = nix::unistd::access(&path, nix::unistd::AccessFlags::X_OK).is_ok();
    (executable && path.is_file()).then_some(path)
}

/// Adds what was attempted to an error.
fn context<T>(action: &str, path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot {action} {}: {error}", path.display()))
    })
}
