//! Names of artifacts: the server and its pages know them by these.

use std::collections::BTreeSet;

/// The two builds of a task that makes a source package first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The source package is made.
    Srpm,
    /// The packages are built.
    Build,
}

/// Gives names to the files of one task, none twice.
#[derive(Debug, Clone)]
pub struct Names {
    task: i64,
    seconds: i64,
    taken: BTreeSet<String>,
}

impl Names {
    /// For a task, at a time that goes into the names.
    pub fn new(task: i64, time: jiff::Timestamp) -> Names {
        Names { task, seconds: time.as_second(), taken: BTreeSet::new() }
    }

    /// The config that was used: `mock.srpm.4001.1777629600.cfg`.
    pub fn config(&mut self, half: Half) -> String {
        self.name("mock", half, "cfg")
    }

    /// One of the build's logs, by its file's name: `mock_root.4001.1777629600.log` for `root.log`.
    pub fn log(&mut self, half: Half, file: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_+-".contains(c) { c } else { '_' };
        let stem = file.strip_suffix(".log").unwrap_or(file);
        let stem: String = stem.chars().map(plain).take(100).collect();
        self.name(&format!("mock_{stem}"), half, "log")
    }

    /// What the build said besides: `mock_stderr.4001.1777629600.log`.
    pub fn stderr(&mut self, half: Half) -> String {
        self.name("mock_stderr", half, "log")
    }

    /// The node's own log of the task: `albs.4001.1777629600.log`.
    pub fn node_log(&mut self) -> String {
        self.name("albs", Half::Build, "log")
    }

    fn name(&mut self, what: &str, half: Half, suffix: &str) -> String {
        let srpm = if half == Half::Srpm { ".srpm" } else { "" };
        let name = |number: u32| {
            let number = if number > 1 { format!("_{number}") } else { String::new() };
            format!("{what}{number}{srpm}.{}.{}.{suffix}", self.task, self.seconds)
        };
        let free = (1..).map(name).find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(free.clone());
        free
    }
}

/// What the server takes for the architecture of an artifact: the part of its name between the
/// last two dots.
pub fn arch_of(name: &str) -> Option<&str> {
    name.rsplit('.').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_server_knows_them() {
        let mut names = Names::new(4001, "2026-05-01T10:00:00Z".parse().unwrap());
        assert_eq!(names.config(Half::Srpm), "mock.srpm.4001.1777629600.cfg");
        assert_eq!(names.config(Half::Build), "mock.4001.1777629600.cfg");
        assert_eq!(names.log(Half::Srpm, "root.log"), "mock_root.srpm.4001.1777629600.log");
        assert_eq!(names.log(Half::Build, "build.log"), "mock_build.4001.1777629600.log");
        assert_eq!(names.stderr(Half::Build), "mock_stderr.4001.1777629600.log");
        assert_eq!(names.node_log(), "albs.4001.1777629600.log");
        // Two files of the buildroot may have one name.
        assert_eq!(names.log(Half::Build, "config.log"), "mock_config.4001.1777629600.log");
        assert_eq!(names.log(Half::Build, "config.log"), "mock_config_2.4001.1777629600.log");
        let hostile = names.log(Half::Build, "../../x\n.y.log");
        assert_eq!(hostile, "mock_______x__y.4001.1777629600.log");
    }

    #[test]
    fn architectures() {
        assert_eq!(arch_of("hello-2.10-1.el8.x86_64.rpm"), Some("x86_64"));
        assert_eq!(arch_of("hello-2.10-1.el8.src.rpm"), Some("src"));
        assert_eq!((arch_of("x"), arch_of("x.rpm")), (None, Some("x")));
    }
}
