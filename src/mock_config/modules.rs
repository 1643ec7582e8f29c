//! The modules of Python that a config can import, and what it finds in them.

/// All modules.
const MODULES: &[&str] = &["os", "os.path", "platform"];

/// Everything in them. What each does is in `eval/system.rs`.
pub(super) const MEMBERS: &[&str] = &[
    "os.cpu_count",
    "os.environ",
    "os.getegid",
    "os.getenv",
    "os.geteuid",
    "os.getgid",
    "os.getuid",
    "os.linesep",
    "os.name",
    "os.path",
    "os.path.abspath",
    "os.path.basename",
    "os.path.dirname",
    "os.path.exists",
    "os.path.expanduser",
    "os.path.isabs",
    "os.path.isdir",
    "os.path.isfile",
    "os.path.join",
    "os.path.normpath",
    "os.path.realpath",
    "os.path.sep",
    "os.path.split",
    "os.path.splitext",
    "os.pathsep",
    "os.sep",
    "os.uname",
    "platform.machine",
    "platform.node",
    "platform.processor",
    "platform.release",
    "platform.system",
    "platform.uname",
];

/// The module of that name.
pub(super) fn module(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|known| **known == name).copied()
}

/// Something in a module, by its full name.
pub(super) fn member(path: &str) -> Option<&'static str> {
    MEMBERS.iter().find(|known| **known == path).copied()
}
