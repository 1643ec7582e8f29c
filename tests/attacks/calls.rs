//! Single attempts: system calls, files of the host, other processes, the network.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use serde_json::Value;

use crate::case::Case;
use crate::fixture::Kind;
use crate::host::{attacked, spec};

/// Name, attempt of the probe, answer where a range of ids exists, and where one id exists.
const CALLS: &[(&str, &str, &str, &str)] = &[
    // Files.
    ("the root of pid 1", "open:/proc/1/root/etc/shadow", "EACCES", "EACCES"),
    ("the memory of pid 1", "write-open:/proc/1/mem", "EACCES", "EACCES"),
    ("the program of pid 1", "write-open:/proc/1/exe", "EACCES", "EACCES"),
    ("the environment of pid 1", "open:/proc/1/environ", "EACCES", "EACCES"),
    ("the directory of pid 1", "readlink:/proc/1/cwd", "EACCES", "EACCES"),
    ("the own program, while it runs", "write-open:/proc/self/exe", "EACCES", "EACCES"),
    ("a file by its handle", "open-by-handle-at", "EPERM", "EPERM"),
    ("mounting a file system", "mount:tmpfs", "EPERM", "EPERM"),
    ("mounting proc", "mount:proc", "EPERM", "EPERM"),
    ("mounting sysfs", "mount:sysfs", "EPERM", "EPERM"),
    ("mounting a file system of its own making", "mount:fuse", "EPERM", "EPERM"),
    ("mounting control groups, for a release agent", "mount:cgroup", "EPERM", "EPERM"),
    ("mounting control groups", "mount:cgroup2", "EPERM", "EPERM"),
    ("uncovering proc", "umount:/proc", "EPERM", "EPERM"),
    ("uncovering a masked file", "umount:/proc/keys", "EPERM", "EPERM"),
    ("making a mount writable", "remount-writable:/proc/sys", "EPERM", "EPERM"),
    ("another root by pivot_root", "pivot-root", "EPERM", "EPERM"),
    ("another root by chroot", "chroot", "EPERM", "EPERM"),
    ("a device node for characters", "mknod-character", "EPERM", "ok"),
    ("a device node for blocks", "mknod-block", "EPERM", "ok"),
    ("a file for somebody else", "chown:0", "EPERM", "ok"),
    ("a disk of the host", "open:/dev/vda", "ENOENT", "ENOENT"),
    ("memory of the host", "open:/dev/mem", "ENOENT", "ENOENT"),
    ("the virtual machine monitor", "open:/dev/kvm", "ENOENT", "ENOENT"),
    ("file systems in user space", "open:/dev/fuse", "ENOENT", "ENOENT"),
    ("loop devices", "open:/dev/loop-control", "ENOENT", "ENOENT"),
    ("the network tunnel", "open:/dev/net/tun", "ENOENT", "ENOENT"),
    ("the log of the kernel", "open:/dev/kmsg", "ENOENT", "ENOENT"),
    ("the services of the host", "open:/run/systemd", "ENOENT", "ENOENT"),
    ("the container engine of the host", "open:/var/run/docker.sock", "ENOENT", "ENOENT"),
    // The kernel.
    ("the key rings", "keyctl", "ENOSYS", "ENOSYS"),
    ("a key of one's own", "add-key", "ENOSYS", "ENOSYS"),
    ("programs for the kernel", "bpf", "EPERM", "EPERM"),
    ("page faults handled by a program", "userfaultfd", "ENOSYS", "ENOSYS"),
    ("the counters of the processor", "perf-event-open", "EPERM", "EPERM"),
    ("work queued for the kernel", "io-uring-setup", "ENOSYS", "ENOSYS"),
    ("a module", "init-module", "ENOSYS", "ENOSYS"),
    ("a module from a file", "finit-module", "ENOSYS", "ENOSYS"),
    ("another kernel", "kexec-load", "ENOSYS", "ENOSYS"),
    ("the end of the host", "reboot", "EPERM", "EPERM"),
    ("the clock", "settimeofday", "EPERM", "EPERM"),
    ("swap", "swapon", "EPERM", "EPERM"),
    ("the kernel's messages", "syslog", "EPERM", "EPERM"),
    ("the name of the host", "sethostname", "EPERM", "EPERM"),
    ("the handler of core dumps", "write-open:/proc/sys/kernel/core_pattern", "EACCES", "EACCES"),
    ("the name of the host, as a file", "write-open:/proc/sys/kernel/hostname", "EACCES", "EACCES"),
    ("a control group with a release agent", "create-in:/sys/fs/cgroup", "ENOENT", "ENOENT"),
    (
        "telling of control groups' ends",
        "write-open:/sys/fs/cgroup/notify_on_release",
        "ENOENT",
        "ENOENT",
    ),
    ("the serial number of the machine", "open:/sys/class/dmi/id/product_uuid", "ENOENT", "ENOENT"),
    ("tables of the firmware", "open:/sys/firmware/acpi", "ENOENT", "ENOENT"),
    ("files of the kernel", "create-in:/sys", "EROFS", "EROFS"),
    ("a user namespace by unshare", "unshare-user", "EPERM", "EPERM"),
    ("a mount namespace", "unshare-mount", "EPERM", "EPERM"),
    ("a network namespace", "unshare-net", "EPERM", "EPERM"),
    ("root in a namespace inside", "nested:mount:tmpfs", "EPERM", "EPERM"),
    // Processes.
    ("tracing pid 1", "ptrace:1", "EPERM", "EPERM"),
    ("killing pid 1", "kill-pid1:9", "EPERM", "ok"),
    ("stopping pid 1", "kill-pid1:19", "EPERM", "ok"),
    ("becoming root", "setuid:0", "EPERM", "ok"),
    ("other groups", "setgroups:0", "EPERM", "ok"),
    ("typing for the caller", "tiocsti", "ENOTTY", "ENOTTY"),
    // The network.
    ("bare packets", "socket-raw", "EPERM", "EPERM"),
    ("frames", "socket-packet", "EPERM", "EPERM"),
    ("the hypervisor", "socket-vsock", "EAFNOSUPPORT", "EAFNOSUPPORT"),
    ("ciphers of the kernel, and modules for them", "socket-alg", "EAFNOSUPPORT", "EAFNOSUPPORT"),
    ("the terminals of everybody", "terminals:257", "ENOSPC", "ENOSPC"),
    ("the asynchronous I/O of everybody", "io-setup", "ENOSYS", "ENOSYS"),
    ("the service of cloud machines", "connect:169.254.169.254:80", "ENETUNREACH", "ENETUNREACH"),
    ("a name server", "connect:8.8.8.8:53", "ENETUNREACH", "ENETUNREACH"),
    ("a name server, without a connection", "udp:8.8.8.8:53", "ENETUNREACH", "ENETUNREACH"),
    // What it leaves is looked for when the build has ended.
    ("a daemon with a guardian", "orphan", "ok", "ok"),
];

/// What namespaces inside make possible, for builds that may make them.
const NESTED: &[(&str, &str, &str)] = &[
    ("a user namespace by unshare", "unshare-user", "ok"),
    ("root in a namespace inside", "nested:mount:tmpfs", "ok"),
];

/// Attempts from a namespace inside, as its root.
const FROM_NESTED: &[(&str, &str, &str)] = &[
    ("uncovering proc", "nested:umount:/proc", "EINVAL"),
    ("uncovering a masked file", "nested:umount:/proc/keys", "EINVAL"),
    ("a proc without masks", "nested:mount:proc", "EPERM"),
    ("a sysfs without masks", "nested:mount:sysfs", "EPERM"),
    ("a file system of its own making", "nested:mount:fuse", "EINVAL"),
    ("control groups, for a release agent", "nested:mount:cgroup", "EPERM"),
    ("control groups", "nested:mount:cgroup2", "EPERM"),
    ("making a mount writable", "nested:remount-writable:/proc/sys", "EPERM"),
    ("the root of pid 1", "nested:open:/proc/1/root/etc/shadow", "EACCES"),
    ("the memory of pid 1", "nested:write-open:/proc/1/mem", "EACCES"),
    ("a file by its handle", "nested:open-by-handle-at", "EPERM"),
    ("the handler of core dumps", "nested:write-open:/proc/sys/kernel/core_pattern", "EACCES"),
    ("files of the kernel", "nested:create-in:/sys", "EROFS"),
    ("the name of the host", "nested:sethostname", "EPERM"),
    ("bare packets", "nested:socket-raw", "EPERM"),
    ("frames", "nested:socket-packet", "EPERM"),
    ("the hypervisor", "nested:socket-vsock", "EAFNOSUPPORT"),
    ("the key rings", "nested:keyctl", "ENOSYS"),
    ("programs for the kernel", "nested:bpf", "EPERM"),
    ("page faults handled by a program", "nested:userfaultfd", "ENOSYS"),
    ("the counters of the processor", "nested:perf-event-open", "EPERM"),
    ("work queued for the kernel", "nested:io-uring-setup", "ENOSYS"),
    ("a module", "nested:init-module", "ENOSYS"),
    ("the end of the host", "nested:reboot", "EPERM"),
    ("the clock", "nested:settimeofday", "EPERM"),
    ("a name server", "nested:connect:8.8.8.8:53", "ENETUNREACH"),
];

#[test]
fn attempts_of_root() {
    attempts(Kind::Root, false);
}

#[test]
fn attempts_of_a_user() {
    attempts(Kind::Subids, false);
}

#[test]
fn attempts_of_a_user_without_subids() {
    attempts(Kind::NoSubids, false);
}

#[test]
fn attempts_of_root_with_namespaces() {
    attempts(Kind::Root, true);
}

#[test]
fn attempts_of_a_user_with_namespaces() {
    attempts(Kind::Subids, true);
}

#[test]
fn attempts_of_a_user_without_subids_with_namespaces() {
    attempts(Kind::NoSubids, true);
}

/// `nested`: the build may make user namespaces, and does.
fn attempts(kind: Kind, nested: bool) {
    let Some(case) = Case::shared(kind, if nested { "nested" } else { "calls" }) else { return };
    let config = with_probe(&case);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("albs-node-attacks-{}-{kind:?}-{nested}", std::process::id());
    let _unix = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let (tcp, unix) = (format!("tcp:{port}"), format!("unix-abstract:{name}"));
    let mut expected = expected(kind);
    if nested {
        let changed = |attempt: &str| NESTED.iter().any(|(_, known, _)| *known == attempt);
        expected.retain(|(_, attempt, _)| !changed(attempt));
        expected.extend(NESTED.iter().chain(FROM_NESTED));
    }
    // Of which every user has a few for all builds.
    let instances = sandbox::HostFacts::probe().user_limits.get("max_inotify_instances").copied();
    let instances = instances.filter(|number| *number < 1000);
    let inotify = format!("inotify:{}", instances.unwrap_or(1) / 4 + 1);
    if instances.is_some() {
        expected.push(("the inotify instances of its user", &inotify, "EMFILE"));
    }
    let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
    let unreachable = if has_ipv6 { "ENETUNREACH" } else { "EAFNOSUPPORT" };
    expected.push(("a name server by IPv6", "connect:[2001:4860:4860::8888]:53", unreachable));
    expected.push((
        "a link-local address",
        "connect:[fe80::1]:80",
        if has_ipv6 { "EINVAL" } else { unreachable },
    ));
    expected.push(("a service on the host's loopback", &tcp, "ECONNREFUSED"));
    expected.push(("an abstract socket of the host", &unix, "ECONNREFUSED"));

    let words: Vec<&str> = expected.iter().map(|(_, attempt, _)| *attempt).collect();
    let lines = format!(
        "/attack/probe try {}\n\
         # no_new_privs: programs that are set-uid are not.\n\
         if test \"$(su -c 'id -u' < /dev/null 2> /dev/null)\" = 0; then echo became root; fi\n\
         echo user $(unshare -Ur id -u)\n\
         test -z \"$(ls /mnt)\"",
        words.join(" ")
    );
    let class: &[&str] = if nested { &["--class", "nested"] } else { &[] };
    let run = attacked(&case, &config, &spec(&case, "calls", &lines), class);
    let log = case.log("build.log");
    run.succeeds();
    let says = |text: &str| log.lines().any(|line| line == text);
    assert_eq!(says("user 0"), nested, "{log}");
    let allowed = &case.outcome("result")["allowed"];
    assert_eq!(allowed.to_string(), if nested { "[\"user_namespaces\"]" } else { "null" });
    assert!(!log.contains("became root"), "{log}");
    let line = log.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{log}"));
    compare(kind, &expected, line);
}

/// Whether this kernel has what keeps signals in the sandbox.
pub(crate) fn landlock_keeps_signals() -> bool {
    sandbox::HostFacts::probe().landlock >= 6
}

/// Name, attempt, answer, of what builds are refused.
pub(crate) fn expected(kind: Kind) -> Vec<(&'static str, &'static str, &'static str)> {
    // With one id it is a process of the same user, which Landlock keeps out of reach where it can.
    // Otherwise the signal arrives, and the kernel drops it: nothing inside can kill pid 1.
    let is_out_of_reach = landlock_keeps_signals();
    let answers = |(what, attempt, range, single): &(_, &'static str, _, _)| {
        let answer = if kind == Kind::NoSubids { *single } else { *range };
        let denied = is_out_of_reach && attempt.starts_with("kill-pid1");
        (*what, *attempt, if denied { "EPERM" } else { answer })
    };
    CALLS.iter().map(answers).collect()
}

/// Compares answers that were expected with what the probe has said.
pub(crate) fn compare(kind: Kind, expected: &[(&str, &str, &str)], said: &str) {
    let seen: Value = serde_json::from_str(said).unwrap();
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(_, attempt, answer)| seen[*attempt] != **answer)
        .map(|(what, attempt, answer)| {
            format!("{what} ({attempt}): {} instead of {answer}", seen[*attempt])
        })
        .collect();
    assert!(wrong.is_empty(), "{kind:?}:\n{}", wrong.join("\n"));
    eprintln!("{kind:?}: {} attempts failed as they should", expected.len());
}

/// A config that shows the probe inside.
fn with_probe(case: &Case) -> String {
    let dir = case.dir.join("attack");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let probe = Path::new(env!("CARGO_BIN_EXE_albs-node")).with_file_name("probe");
    assert!(probe.is_file(), "{} is missing: cargo build --workspace", probe.display());
    fs::copy(probe, dir.join("probe")).unwrap();
    fs::set_permissions(dir.join("probe"), fs::Permissions::from_mode(0o755)).unwrap();
    case.config_plus(
        "attack",
        &format!("config_opts['nspawn_args'] += ['--bind-ro={}:/attack']", dir.display()),
    )
}
