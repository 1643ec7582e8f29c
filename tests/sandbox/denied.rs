//! What a command in the sandbox cannot do, and what it still can.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use sandbox::HostFacts;

use crate::harness::{Mode, Run, skip};
use crate::processes::started;

in_each_mode! { attempts nested_namespaces host_network filtered_network other_addresses hosts_without_a_route }

/// Attempt, result where a range of ids exists, result where one id exists.
const ATTEMPTS: &[(&str, &str, &str)] = &[
    // Ways out.
    ("mount:tmpfs", "EPERM", "EPERM"),
    ("mount:proc", "EPERM", "EPERM"),
    ("umount:/proc", "EPERM", "EPERM"),
    ("umount:/proc/keys", "EPERM", "EPERM"),
    ("remount-writable:/", "EPERM", "EPERM"),
    ("pivot-root", "EPERM", "EPERM"),
    ("chroot", "EPERM", "EPERM"),
    ("unshare-mount", "EPERM", "EPERM"),
    ("unshare-net", "EPERM", "EPERM"),
    ("open-by-handle-at", "EPERM", "EPERM"),
    ("mknod-character", "EPERM", "ok"),
    ("mknod-block", "EPERM", "ok"),
    // Other users. The filter says yes where there are none.
    ("setuid:0", "ok", "ok"),
    ("setuid:1", "EPERM", "ok"),
    ("setgid:1", "EPERM", "ok"),
    ("setgroups:1", "EPERM", "ok"),
    ("chown:0", "ok", "ok"),
    ("chown:1", "EPERM", "ok"),
    // Pid 1, which is a program of the host. Its kernel ignores signals from inside.
    ("ptrace:1", "EPERM", "EPERM"),
    ("kill-pid1:9", "ok", "ok"),
    ("kill-pid1:15", "ok", "ok"),
    ("open:/proc/1/mem", "EACCES", "EACCES"),
    ("open:/proc/1/environ", "EACCES", "EACCES"),
    ("readlink:/proc/1/root", "EACCES", "EACCES"),
    ("readlink:/proc/1/exe", "EACCES", "EACCES"),
    ("readlink:/proc/1/cwd", "EACCES", "EACCES"),
    // The kernel.
    ("keyctl", "ENOSYS", "ENOSYS"),
    ("add-key", "ENOSYS", "ENOSYS"),
    ("bpf", "EPERM", "EPERM"),
    ("perf-event-open", "EPERM", "EPERM"),
    ("userfaultfd", "ENOSYS", "ENOSYS"),
    ("io-uring-setup", "ENOSYS", "ENOSYS"),
    ("init-module", "ENOSYS", "ENOSYS"),
    ("finit-module", "ENOSYS", "ENOSYS"),
    ("kexec-load", "ENOSYS", "ENOSYS"),
    ("reboot", "EPERM", "EPERM"),
    ("settimeofday", "EPERM", "EPERM"),
    ("swapon", "EPERM", "EPERM"),
    ("syslog", "EPERM", "EPERM"),
    ("sethostname", "EPERM", "EPERM"),
    ("write-open:/proc/sys/kernel/hostname", "EACCES", "EACCES"),
    // The caller's terminal.
    ("tiocsti", "EPERM", "EPERM"),
    ("terminal-size", "ENOTTY", "ENOTTY"),
    // Files.
    ("create-in:/", "EROFS", "EROFS"),
    ("create-in:/usr", "EROFS", "EROFS"),
    ("create-in:/etc", "EROFS", "EROFS"),
    ("create-in:/sys", "EROFS", "EROFS"),
    ("create-in:/tmp", "ok", "ok"),
    ("create-in:/var/tmp", "ok", "ok"),
    ("create-in:/dev/shm", "ok", "ok"),
    ("create-in:/run", "ok", "ok"),
    ("mknod-fifo", "ok", "ok"),
    // Network.
    ("tcp-own", "ok", "ok"),
    ("socket-raw", "EPERM", "EPERM"),
    ("socket-packet", "EPERM", "EPERM"),
    ("socket-vsock", "EAFNOSUPPORT", "EAFNOSUPPORT"),
];

fn attempts(mode: Mode) {
    let names: Vec<&str> =
        ["try"].into_iter().chain(ATTEMPTS.iter().map(|(name, ..)| *name)).collect();
    let seen = Run::new(mode).probe(&names);
    let wrong: Vec<String> = ATTEMPTS
        .iter()
        .map(|(name, range, single)| (name, if mode == Mode::Single { single } else { range }))
        .filter(|(name, promised)| seen[**name] != **promised)
        .map(|(name, promised)| format!("{name}: {} instead of {promised}", seen[*name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // It exists where the kernel was built with it.
    let sysrq = Run::new(mode).probe(&["try", "write-open:/proc/sysrq-trigger"]);
    assert_ne!(sysrq["write-open:/proc/sysrq-trigger"], "ok");
}

/// A user namespace of its own would give a command capabilities again, and with them the parts
/// of the kernel that only root reaches.
fn nested_namespaces(mode: Mode) {
    let attempts = ["mount:tmpfs", "umount:/proc/keys", "create-in:/tmp", "socket-raw"];
    let names: Vec<String> = attempts.iter().map(|name| format!("nested:{name}")).collect();
    let arguments: Vec<&str> =
        ["try"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let seen = Run::new(mode).probe(&arguments);
    for name in &names {
        assert_eq!(seen[name.as_str()], "EPERM", "{name}");
    }
}

/// Services of the host listen on TCP and on abstract unix sockets; `--net host` shows both.
fn host_network(mode: Mode) {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
    let port = tcp.local_addr().expect("an address").port();
    let name = format!("albs-node-test-{}-{mode:?}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let _unix = UnixListener::bind_addr(&address).expect("listen");
    let (tcp, unix) = (format!("tcp:{port}"), format!("unix-abstract:{name}"));
    for (net, promised) in [("none", "ECONNREFUSED"), ("host", "ok")] {
        let run = Run::new(mode).option("--net").option(net);
        let seen = run.probe(&["try", &tcp, &unix]);
        assert_eq!((&seen[&tcp], &seen[&unix]), (&promised.into(), &promised.into()), "{net}");
    }
}

/// Where packets are carried, nothing of this host listens, and nothing answers on the link.
fn filtered_network(mode: Mode) {
    let facts = HostFacts::probe().network;
    if let Some(reason) = facts.unusable() {
        return skip(&reason);
    }
    if facts.addresses.is_empty() {
        return skip("this host has no network");
    }
    // Takes all addresses of this host, those of its interfaces among them.
    let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("listen");
    let port = tcp.local_addr().expect("an address").port();
    let own = own_address();
    let names: Vec<String> = [&own, "127.0.0.1", "169.254.169.254", "198.18.0.2", "198.18.0.3"]
        .map(|address| format!("connect:{address}:{port}"))
        .into();
    let arguments: Vec<&str> =
        ["try"].into_iter().chain(names.iter().map(String::as_str)).collect();
    for hidden in [None, Some("/usr/bin/pasta")] {
        if hidden.is_some() && facts.slirp4netns.is_none() {
            return skip("slirp4netns is not installed");
        }
        let run = Run::new(mode).option("--net").option("filtered");
        let run = match hidden {
            // No regular file, so not installed.
            Some(program) => run.prelude(&format!(
                "exec unshare --mount --propagation private sh -c 'mount --bind /dev/null {program}
                 exec \"$@\"' _ \"$@\""
            )),
            None => run,
        };
        let seen = run.probe(&arguments);
        for name in &names {
            assert_ne!(seen[name.as_str()], "ok", "{name} without {hidden:?}: {seen}");
        }
        assert_eq!(seen[names[1].as_str()], "ECONNREFUSED", "{seen}");
        assert_eq!(seen[names[2].as_str()], "EACCES", "{seen}");
    }
    tcp.set_nonblocking(true).expect("do not wait");
    let came = tcp.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(came, Err(ErrorKind::WouldBlock));
}

/// A host of two addresses: one of its default route, which pasta copies, and that of a bridge,
/// which nothing but a rule keeps out of reach.
fn other_addresses(mode: Mode) {
    const INTERFACES: &str = "
        ip link set lo up
        ip tuntap add up0 mode tap
        ip address add 192.0.2.2/24 dev up0
        ip link set up0 up
        ip route add default via 192.0.2.1
        ip tuntap add bridge0 mode tap
        ip address add 203.0.113.1/24 dev bridge0
        ip link set bridge0 up";
    let facts = HostFacts::probe().network;
    if let Some(reason) = facts.unusable() {
        return skip(&reason);
    }
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can make interfaces");
    }
    on_a_host_with(INTERFACES, || {
        let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("listen");
        let port = tcp.local_addr().expect("an address").port();
        let names = ["192.0.2.2", "203.0.113.1"].map(|own| format!("connect:{own}:{port}"));
        let run = Run::new(mode).option("--net").option("filtered");
        let seen = run.probe(&["try", &names[0], &names[1]]);
        let expected = if facts.pasta.is_some() { "ECONNREFUSED" } else { "EACCES" };
        assert_eq!(seen[names[0].as_str()], expected, "{seen}");
        assert_eq!(seen[names[1].as_str()], "EACCES", "{seen}");
        let shared = Run::new(mode).option("--net").option("host").probe(&["try", &names[1]]);
        assert_eq!(shared[names[1].as_str()], "ok", "what would be reached without a filter");
    });
}

/// Older versions of pasta start on neither of these hosts, slirp4netns does: one that sees
/// nothing, and one that sees a subnet.
fn hosts_without_a_route(mode: Mode) {
    const ALONE: &str = "ip link set lo up";
    const IN_A_SUBNET: &str = "
        ip link set lo up
        ip tuntap add up0 mode tap
        ip address add 203.0.113.2/24 dev up0
        ip link set up0 up";
    let facts = HostFacts::probe().network;
    if let Some(reason) = facts.unusable() {
        return skip(&reason);
    }
    if facts.slirp4netns.is_none() {
        return skip("slirp4netns is not installed");
    }
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can make interfaces");
    }
    // A pasta that would start must not keep the other from being tried.
    let without_pasta = facts.pasta.map_or(IN_A_SUBNET.to_owned(), |program| {
        format!("{IN_A_SUBNET}\nmount --bind /dev/null {}", program.display())
    });
    // A pasta that starts gives the host's address to the sandbox, which then finds itself there.
    let own: &[&str] = &["EACCES", "ECONNREFUSED"];
    for (interfaces, expected) in
        [(ALONE, &[][..]), (IN_A_SUBNET, own), (&without_pasta, &own[..1])]
    {
        on_a_host_with(interfaces, || {
            let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("listen");
            let port = tcp.local_addr().expect("an address").port();
            let own = format!("connect:203.0.113.2:{port}");
            let run = Run::new(mode).option("--net").option("filtered");
            let seen = run.probe(&["try", "connect:169.254.169.254:80", &own]);
            assert_eq!(seen["connect:169.254.169.254:80"], "EACCES", "{seen}");
            let seen_own = seen[own.as_str()].as_str().expect("a text");
            assert!(expected.is_empty() || expected.contains(&seen_own), "{seen}");
        });
    }
}

/// Runs a test in a network of its own, in which these commands have made interfaces. As systemd
/// has it, /tmp is a shared mount there, and what is mounted in it would show.
fn on_a_host_with(interfaces: &str, test: impl FnOnce() + Send) {
    const SHARED: &str = "
        mount --make-rprivate /
        mount --rbind /tmp /tmp
        mount --make-shared /tmp";
    let host = || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("a host of its own");
        let started = started();
        let made = Command::new("sh").args(["-ec", &format!("{SHARED}\n{interfaces}")]).status();
        drop(started);
        assert!(made.expect("start sh").success(), "mount or ip has failed");
        let mounts = || std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
        let before = mounts();
        test();
        assert_eq!(mounts(), before, "mounts of a sandbox or its carrier reached the host");
    };
    // A namespace is that of a thread, and of what it starts.
    if let Err(panic) = std::thread::scope(|scope| scope.spawn(host).join()) {
        std::panic::resume_unwind(panic);
    }
}

/// The address that this host has on its network; without one, that of loopback.
fn own_address() -> String {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    // Nothing is sent: only the route is looked up.
    let own = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    own.map_or(Ipv4Addr::LOCALHOST.to_string(), |address| address.ip().to_string())
}
