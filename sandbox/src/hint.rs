//! What an operator can do about a step that failed.

use nix::errno::Errno;

use crate::host::HostFacts;

/// A hint for a failed step of `sandbox-init`, if there is more to say than the error itself.
pub(crate) fn hint(step: &str, errno: i32, host: &HostFacts) -> Option<String> {
    let errno = Errno::from_raw(errno);
    if step.starts_with("clone a process") {
        return match (errno, host.userns_forbidden_by()) {
            (Errno::EPERM | Errno::ENOSPC | Errno::EACCES, Some(setting)) => {
                Some(format!("user namespaces are forbidden here; allow them: sysctl -w {setting}"))
            }
            (Errno::EPERM | Errno::EACCES, None) => Some(
                "user namespaces are refused; inside a container, it must be started with \
                 seccomp=unconfined or a profile that allows them"
                    .to_owned(),
            ),
            (Errno::ENOSPC, None) => {
                Some("too many namespaces; see /proc/sys/user/max_*_namespaces".to_owned())
            }
            _ => None,
        };
    }
    if step.starts_with("run ") && step.contains("id") && errno == Errno::EPERM {
        return Some(
            "check the ranges in /etc/subuid and /etc/subgid, that newuidmap and newgidmap have \
             their setuid bit or capabilities, and that a service that calls this program does not \
             set NoNewPrivileges="
                .to_owned(),
        );
    }
    if step.starts_with("write setgroups") || step.starts_with("write uid_map") {
        return Some(
            "the kernel let the namespace be made but not used, as Ubuntu's AppArmor rule for \
             unprivileged user namespaces does; allow it: \
             sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
                .to_owned(),
        );
    }
    if step.starts_with("proc at") && errno == Errno::EPERM {
        return Some(
            "the host's /proc is partly covered, as in containers, so a new one is refused; \
             podman: --security-opt unmask=ALL, docker: --security-opt systempaths=unconfined"
                .to_owned(),
        );
    }
    if step.starts_with("start ") && step.ends_with("/pasta") {
        return Some(
            "without a default route, older versions of pasta do not start; install slirp4netns, \
             which needs none, or a newer passt"
                .to_owned(),
        );
    }
    if step.starts_with("root: overlay") || step.starts_with("overlay at") {
        return Some(
            "overlayfs in user namespaces needs kernel 5.11, and an upper directory that is not \
             itself on overlayfs"
                .to_owned(),
        );
    }
    if step.starts_with("open ") && errno == Errno::EACCES {
        return Some(
            "it is opened with this user's own rights only; also for root, directories of others \
             that only they may enter are closed"
                .to_owned(),
        );
    }
    if step.contains(" at ") && matches!(errno, Errno::EACCES | Errno::EROFS) {
        return Some(
            "the mount point does not exist in the root, and cannot be made there: the root is \
             read-only, or belongs to ids that do not exist inside"
                .to_owned(),
        );
    }
    if step.starts_with("execute ") && errno == Errno::ENOENT {
        return Some(
            "the program, or the interpreter that it names, does not exist inside the sandbox"
                .to_owned(),
        );
    }
    (errno == Errno::ENOSPC).then(|| "the file system is full".to_owned())
}
