//! dnf as a reader of one repository, with nothing of the host but the program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command that must succeed prints.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A repository that is read.
pub struct Reader {
    top: PathBuf,
    address: String,
}

impl Reader {
    /// Reads the repository at an address, and keeps everything of it in a directory.
    pub fn new(top: &Path, address: &str) -> Reader {
        std::fs::create_dir_all(top.join("log")).unwrap();
        Reader { top: top.to_owned(), address: address.to_owned() }
    }

    fn dnf(&self, arguments: &[&str]) -> String {
        let option = |name: &str, value: &Path| format!("--setopt={name}={}", value.display());
        output(
            Command::new("dnf")
                .args(["-q", "-y", "--releasever=9", "--disablerepo=*", "--enablerepo=ours"])
                .arg(format!("--repofrompath=ours,{}", self.address))
                .arg("--setopt=reposdir=/dev/null")
                .arg(option("cachedir", &self.top.join("cache")))
                .arg(option("logdir", &self.top.join("log")))
                .arg(format!("--installroot={}", self.top.join("root").display()))
                .args(arguments),
        )
    }

    /// What is in it, sorted.
    pub fn packages(&self) -> Vec<String> {
        let text = self.dnf(&["repoquery", "--qf", "%{name}-%{evr}.%{arch}\n"]);
        let mut packages: Vec<String> =
            text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        packages.sort();
        packages
    }

    /// Installs a package, into a root of its own; gives the root. None if this user cannot: rpm
    /// changes its root for that.
    pub fn install(&self, name: &str) -> Option<PathBuf> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        self.dnf(&["install", "--nogpgcheck", name]);
        Some(self.top.join("root"))
    }

    /// Downloads a package; gives the file of this name.
    pub fn download(&self, name: &str, file: &str) -> PathBuf {
        self.dnf(&["download", "--destdir", &self.top.display().to_string(), name]);
        self.top.join(file)
    }
}
