//! Running programs of another architecture, where the kernel knows an emulator for them.
//!
//! Source: Documentation/admin-guide/binfmt-misc.rst of the kernel.

use std::path::{Path, PathBuf};

/// Where the kernel tells its handlers.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// An emulator that the kernel starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emulator {
    /// The program.
    pub interpreter: PathBuf,
    /// Whether the kernel keeps it open, so that it need not be visible inside.
    pub is_fixed: bool,
}

/// There is no emulator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("programs of {arch} cannot run here: the kernel has no handler {handler} for them")]
pub struct NoEmulator {
    arch: String,
    handler: String,
}

impl NoEmulator {
    /// What can be done.
    pub fn hint(&self) -> String {
        "install qemu-user-static and binfmt support, or build on a host of that architecture"
            .to_owned()
    }
}

/// The emulator for an architecture.
///
/// # Errors
///
/// There is none, or it is turned off.
pub fn find(arch: &str) -> Result<Emulator, NoEmulator> {
    let handler = format!("qemu-{}", qemu_name(arch));
    let text = std::fs::read_to_string(Path::new(HANDLERS).join(&handler)).unwrap_or_default();
    read(&text).ok_or_else(|| NoEmulator { arch: arch.to_owned(), handler })
}

/// What qemu calls an architecture of RPM.
fn qemu_name(arch: &str) -> &str {
    match arch {
        "armhfp" | "armv5tel" | "armv6hl" | "armv7hl" | "armv7l" => "arm",
        "athlon" | "i486" | "i586" | "i686" => "i386",
        "x86_64_v2" => "x86_64",
        arch => arch,
    }
}

fn read(text: &str) -> Option<Emulator> {
    if text.lines().next()? != "enabled" {
        return None;
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Emulator {
        interpreter: field("interpreter ")?.into(),
        is_fixed: field("flags:").is_some_and(|flags| flags.contains('F')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_as_the_kernel_tells_them() {
        let text = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n";
        let seen = read(text).unwrap();
        assert_eq!(seen.interpreter, Path::new("/usr/bin/qemu-aarch64-static"));
        assert!(seen.is_fixed);
        assert_eq!(read(&text.replace("enabled", "disabled")), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn what_is_missing_is_told() {
        let error = find("no-such-arch").unwrap_err();
        assert_eq!(
            error.to_string(),
            "programs of no-such-arch cannot run here: the kernel has no handler \
             qemu-no-such-arch for them"
        );
    }
}
