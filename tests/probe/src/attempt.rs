//! Single actions that a sandbox allows or refuses.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{self, Gid, Pid, Uid};

use crate::raw;

const PTRACE_ATTACH: u64 = 16;
const AF_VSOCK: u64 = 40;

/// Carries out one attempt: `NAME` or `NAME:ARGUMENT`.
pub fn attempt(name: &str) -> nix::Result<()> {
    let (name, argument) = name.split_once(':').unwrap_or((name, ""));
    match name {
        "mount" => mount_at(argument, "/mnt"),
        "umount" => umount2(argument, MntFlags::MNT_DETACH),
        "remount-writable" => {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            mount(None::<&str>, argument, None::<&str>, flags, None::<&str>)
        }
        "pivot-root" => unistd::pivot_root("/", "/tmp"),
        "chroot" => unistd::chroot("/tmp"),
        "unshare-user" => unshare(CloneFlags::CLONE_NEWUSER),
        "unshare-mount" => unshare(CloneFlags::CLONE_NEWNS),
        "unshare-net" => unshare(CloneFlags::CLONE_NEWNET),
        "nested" => nested(argument),
        "mknod-character" => node(SFlag::S_IFCHR),
        "mknod-block" => node(SFlag::S_IFBLK),
        "mknod-fifo" => node(SFlag::S_IFIFO),
        "setuid" => number(argument).and_then(|id| unistd::setuid(Uid::from_raw(id))),
        "setgid" => number(argument).and_then(|id| unistd::setgid(Gid::from_raw(id))),
        "setgroups" => number(argument).and_then(|id| unistd::setgroups(&[Gid::from_raw(id)])),
        "chown" => chown(number(argument)?),
        "ptrace" => {
            let arguments = [PTRACE_ATTACH, argument_u64(argument)?, 0, 0, 0, 0];
            raw::syscall(libc::SYS_ptrace, arguments).map(drop)
        }
        "kill-pid1" => kill(Pid::from_raw(1), Signal::try_from(number(argument)? as i32)?),
        "open" => File::open(argument).map(drop).map_err(errno),
        "write-open" => File::options().write(true).open(argument).map(drop).map_err(errno),
        "readlink" => fs::read_link(argument).map(drop).map_err(errno),
        "create-in" => create_in(Path::new(argument)),
        "sethostname" => unistd::sethostname("other"),
        // Without an address, which a filter that looks at the request never gets to.
        "tiocsti" => ioctl(libc::TIOCSTI),
        "terminal-size" => ioctl(libc::TIOCGWINSZ),
        "tcp" => {
            let port = u16::try_from(number(argument)?).map_err(|_| Errno::EINVAL)?;
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            TcpStream::connect(address).map(drop).map_err(errno)
        }
        "connect" => {
            let address: SocketAddr = argument.parse().map_err(|_| Errno::EINVAL)?;
            let patience = std::time::Duration::from_secs(2);
            TcpStream::connect_timeout(&address, patience).map(drop).map_err(errno)
        }
        "udp" => udp(argument),
        "inotify" => inotify(number(argument)?),
        "orphan" => orphan(),
        "tcp-own" => tcp_own(),
        "unix-abstract" => unix_abstract(argument),
        "forks" => forks(number(argument)?),
        "socket-raw" => socket(libc::AF_INET as u64, libc::SOCK_RAW as u64, 1),
        "socket-packet" => socket(libc::AF_PACKET as u64, libc::SOCK_RAW as u64, 0),
        "socket-vsock" => socket(AF_VSOCK, libc::SOCK_STREAM as u64, 0),
        "socket-alg" => socket(libc::AF_ALG as u64, libc::SOCK_SEQPACKET as u64, 0),
        "terminals" => terminals(number(argument)?),
        _ => kernel(name),
    }
}

/// Calls that act on the machine. Their arguments do no harm even where they are let through.
fn kernel(name: &str) -> nix::Result<()> {
    let number = match name {
        "keyctl" => libc::SYS_keyctl,
        "add-key" => libc::SYS_add_key,
        "bpf" => libc::SYS_bpf,
        "perf-event-open" => libc::SYS_perf_event_open,
        "userfaultfd" => libc::SYS_userfaultfd,
        "io-uring-setup" => libc::SYS_io_uring_setup,
        "io-setup" => libc::SYS_io_setup,
        "init-module" => libc::SYS_init_module,
        "finit-module" => libc::SYS_finit_module,
        "kexec-load" => libc::SYS_kexec_load,
        // The magic numbers are missing.
        "reboot" => libc::SYS_reboot,
        "settimeofday" => libc::SYS_settimeofday,
        "swapon" => libc::SYS_swapon,
        "open-by-handle-at" => libc::SYS_open_by_handle_at,
        "syslog" => libc::SYS_syslog,
        _ => {
            eprintln!("probe: unknown attempt {name:?}");
            return Err(Errno::EBADRQC);
        }
    };
    raw::syscall(number, [0; 6]).map(drop)
}

/// `[ABI:]NUMBER[:ARGUMENT]…`, the ABI being `i386`.
pub fn syscall(text: &str) -> nix::Result<()> {
    let (i386, text) = match text.strip_prefix("i386:") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut numbers = text.split(':').map(argument_u64);
    let number = numbers.next().ok_or(Errno::EINVAL)??;
    let mut arguments = [0; 6];
    for (argument, value) in arguments.iter_mut().zip(numbers) {
        *argument = value?;
    }
    if i386 {
        let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
        return raw::syscall_i386(number, arguments).map(drop);
    }
    raw::syscall(number as libc::c_long, arguments).map(drop)
}

fn argument_u64(text: &str) -> nix::Result<u64> {
    text.parse().map_err(|_| Errno::EINVAL)
}

fn number(text: &str) -> nix::Result<u32> {
    text.parse().map_err(|_| Errno::EINVAL)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn mount_at(kind: &str, at: &str) -> nix::Result<()> {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
}

/// As the root of a user namespace inside the sandbox, which has capabilities again.
fn nested(what: &str) -> nix::Result<()> {
    let (uid, gid) = (unistd::getuid(), unistd::getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
    // The kernel refuses to map user 0 of a sandbox that lacks CAP_SETFCAP; the capabilities of the
    // new namespace are there without a map.
    let _ = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
    // A new proc belongs to the new pid namespace, in which only children are.
    match crate::apart(|| attempt(what)).as_str() {
        "ok" => Ok(()),
        result => Err((1..134)
            .map(Errno::from_raw)
            .find(|errno| format!("{errno:?}") == result)
            .unwrap_or(Errno::EIO)),
    }
}

fn node(kind: SFlag) -> nix::Result<()> {
    // The null device's numbers.
    mknod("/tmp/probe-node", kind, Mode::from_bits_truncate(0o600), makedev(1, 3))
}

fn chown(id: u32) -> nix::Result<()> {
    let file = File::create("/tmp/probe-owned").map_err(errno)?;
    unistd::fchown(&file, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)))
}

fn create_in(dir: &Path) -> nix::Result<()> {
    let path = dir.join("probe-created");
    let mut file = File::options().write(true).create_new(true).open(&path).map_err(errno)?;
    file.write_all(b"probe").map_err(errno)?;
    fs::remove_file(path).map_err(errno)
}

#[allow(clippy::unnecessary_cast, reason = "the type of requests differs between C libraries")]
fn ioctl(request: libc::Ioctl) -> nix::Result<()> {
    raw::syscall(libc::SYS_ioctl, [0, request as u64, 0, 0, 0, 0]).map(drop)
}

/// Starts processes that wait for their end.
fn forks(count: u32) -> nix::Result<()> {
    for _ in 0..count {
        if raw::fork()?.is_child() {
            unistd::pause();
            std::process::exit(0);
        }
    }
    Ok(())
}

fn tcp_own() -> nix::Result<()> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(errno)?;
    let address = listener.local_addr().map_err(errno)?;
    TcpStream::connect(address).map(drop).map_err(errno)
}

/// Says something to an address.
fn udp(address: &str) -> nix::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(errno)?;
    socket.send_to(b"probe", address).map(drop).map_err(errno)
}

/// Has so many instances at once.
fn inotify(count: u32) -> nix::Result<()> {
    use nix::sys::inotify::{InitFlags, Inotify};
    let all: nix::Result<Vec<Inotify>> =
        (0..count).map(|_| Inotify::init(InitFlags::empty())).collect();
    all.map(drop)
}

/// Holds so many terminals.
fn terminals(count: u32) -> nix::Result<()> {
    let open = |_| File::options().read(true).write(true).open("/dev/ptmx").map_err(errno);
    let all: nix::Result<Vec<File>> = (0..count).map(open).collect();
    all.map(drop)
}

/// Leaves a process in a session of its own, whose parent has gone, to a process that says it cares
/// for orphans, and goes.
fn orphan() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    if raw::fork()?.is_child() {
        let _ = unistd::setsid();
        if raw::fork()?.is_child() {
            unistd::sleep(1000);
        }
        std::process::exit(0);
    }
    nix::sys::wait::wait().map(drop)
}

fn unix_abstract(name: &str) -> nix::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let address = SocketAddr::from_abstract_name(name).map_err(errno)?;
    UnixStream::connect_addr(&address).map(drop).map_err(errno)
}

fn socket(family: u64, kind: u64, protocol: u64) -> nix::Result<()> {
    raw::syscall(libc::SYS_socket, [family, kind, protocol, 0, 0, 0]).map(drop)
}
