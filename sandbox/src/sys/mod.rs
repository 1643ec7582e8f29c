//! The system layer: the only place with `unsafe`. Each function wraps one thing that neither
//! the standard library nor nix offers as a safe call.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Where a signal came from (sigaction(2), si_code).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalOrigin {
    /// The kernel: a key of the terminal, which reaches the whole foreground group, or the end
    /// of a child.
    Kernel,
    /// A process of this pid namespace.
    Inside,
    /// A process that this pid namespace cannot name.
    Outside,
}

impl SignalOrigin {
    /// From the fields of siginfo_t.
    pub(crate) fn of(code: i32, sender: libc::pid_t) -> SignalOrigin {
        match (code > 0, sender) {
            (true, _) => SignalOrigin::Kernel,
            (false, 0) => SignalOrigin::Outside,
            (false, _) => SignalOrigin::Inside,
        }
    }
}

/// Stack of the first process of a sandbox. It becomes a copy, touched pages only.
const STACK_BYTES: usize = 1 << 20;

/// Starts a process in new namespaces that runs `child` and ends with the status it returns.
/// The parent gets a SIGCHLD at its end.
///
/// Must be called from a single-threaded program: the child is a copy of the calling thread only.
pub(crate) fn clone_process(flags: CloneFlags, child: impl FnMut() -> isize) -> nix::Result<Pid> {
    let mut stack = vec![0u8; STACK_BYTES];
    // SAFETY: without CLONE_VM the child works on its own copy of this address space, stack
    // included, so nothing it does can invalidate memory here; the program has one thread, so no
    // lock can be held by a thread that does not exist in the child.
    unsafe { nix::sched::clone(Box::new(child), &mut stack, flags, Some(Signal::SIGCHLD as i32)) }
}

/// The same, with the process in a control group of version 2 from its start, which spares the
/// kernel moving it there (clone(2), CLONE_INTO_CGROUP).
///
/// # Errors
///
/// Those of clone(2). ENOSYS before Linux 5.3, E2BIG or EINVAL before 5.7.
pub(crate) fn clone_into_group(
    flags: CloneFlags,
    group: BorrowedFd<'_>,
    mut child: impl FnMut() -> isize,
) -> nix::Result<Pid> {
    /// linux/sched.h; the constant of libc is too narrow.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // SAFETY: clone_args is plain data for which all zeros is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.bits() as u64 | CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = group.as_raw_fd() as u64;
    // SAFETY: as for `clone_process`; without a stack of its own the child goes on on its copy of
    // this one. The kernel reads `args`, whose size it is told.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, &raw const args, std::mem::size_of::<libc::clone_args>())
    };
    match Errno::result(result)? {
        0 => {
            let status = child();
            // SAFETY: ends this process without running what the parent registered for its end.
            unsafe { libc::_exit(status as i32) }
        }
        pid => Ok(Pid::from_raw(pid as libc::pid_t)),
    }
}

/// Starts a process that becomes another program, which spares copying this one: it works in the
/// memory of this process, which stands still meanwhile, on a stack of its own (vfork(2)).
/// `child` must not return unless it failed; its status is that of the process then.
pub(crate) fn spawn(child: impl FnMut() -> isize) -> nix::Result<Pid> {
    let mut stack = vec![0u8; STACK_BYTES];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: the program has one thread, which goes on only when the child has been executed or
    // has ended; until then the child has this memory, and what the closure borrows, for itself.
    // It ends by _exit(2), in the C library, so nothing is run that belongs to this process.
    unsafe { nix::sched::clone(Box::new(child), &mut stack, flags, Some(Signal::SIGCHLD as i32)) }
}

/// Lets a command start in a mount namespace of its own: it sees what is mounted on the host later,
/// and the host nothing of what it mounts.
pub(crate) fn with_mounts_of_its_own(command: &mut Command) {
    let none = None::<&str>;
    let enter = move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
        Ok(())
    };
    // SAFETY: between fork and exec there are two system calls, which allocate nothing and take no
    // locks.
    unsafe { command.pre_exec(enter) };
}

/// Takes over a descriptor that the parent promised to have left open at this number.
///
/// # Errors
///
/// EBADF: there is no such descriptor.
pub(crate) fn adopt_fd(fd: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks the number up.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        return Err(Errno::last());
    }
    // SAFETY: the descriptor is open, and the callers, with different numbers, are the only
    // ones that take it over.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A close-on-exec copy of a descriptor of this process, with a number above `floor`.
///
/// # Errors
///
/// EBADF: there is no such descriptor, for instance because the caller closed its standard input.
pub(crate) fn duplicate_above(fd: RawFd, floor: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC changes nothing but the table of descriptors.
    let copy = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, floor + 1) })?;
    // SAFETY: the copy is new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Installs a seccomp filter for this thread and all that it starts. no_new_privs must be set.
pub(crate) fn install_filter(instructions: &[u64]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::EINVAL)?,
        filter: instructions.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `program` points at `len` instructions of 8 bytes, with the alignment of u64, which
    // is stricter than that of sock_filter; the kernel copies them and does not write.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER as libc::c_ulong,
            &raw const program,
        )
    };
    Errno::result(result).map(drop)
}

/// Makes the mount that a descriptor is on read-only, or that and all below it.
///
/// # Errors
///
/// Those of mount_setattr(2). ENOSYS before Linux 5.12.
pub(crate) fn make_read_only(fd: BorrowedFd<'_>, recursive: bool) -> nix::Result<()> {
    // SAFETY: mount_attr is plain data for which all zeros is a valid value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with NUL; the kernel reads `attributes`, whose size it is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            std::mem::size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Version of the kernel's Landlock interface; 0 if it has none or it is turned off.
pub(crate) fn landlock_version() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag the call takes no structure, and gives a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0 as libc::size_t,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Puts this process into a new session keyring, which is empty, in place of the caller's
/// (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
///
/// # Errors
///
/// ENOSYS: the kernel has no keyrings. EDQUOT: its user has as many as are allowed.
pub(crate) fn leave_session_keyring() -> nix::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_ulong = 1;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name, the call reads no memory of this process.
    let keyring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, unnamed) };
    Errno::result(keyring).map(drop)
}

/// Sets the loopback interface of this network namespace up (netdevice(7)).
pub(crate) fn loopback_up() -> nix::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    Errno::result(result).map(drop)
}

/// Whether a file has an extended attribute of that name.
pub(crate) fn has_xattr(path: &std::path::Path, name: &str) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let (Ok(path), Ok(name)) = (CString::new(path.as_os_str().as_bytes()), CString::new(name))
    else {
        return false;
    };
    // SAFETY: both strings end with NUL; with a size of 0 nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

/// Gives SIGPIPE back its default action.
pub(crate) fn default_sigpipe() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, signal};
    // SAFETY: SIG_DFL is no function, so none can be called at a bad moment.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map(drop)
}

/// Tries programs in order until one can be executed. Returns only on failure: the error of the
/// last that exists, as execvp(3) does.
pub(crate) fn execute(programs: &[CString], argv: &[CString], environment: &[CString]) -> Errno {
    let mut result = Errno::ENOENT;
    for program in programs {
        match nix::unistd::execve(program, argv, environment) {
            Ok(never) => match never {},
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(error) => result = error,
        }
    }
    result
}

/// Waits for one of these signals, which must be blocked. Gives it and where it came from.
pub(crate) fn wait_for_signal(
    signals: &nix::sys::signal::SigSet,
) -> nix::Result<(Signal, SignalOrigin)> {
    // SAFETY: siginfo_t is plain data for which all zeros is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call; the kernel fills `info`.
    let number = Errno::result(unsafe { libc::sigwaitinfo(signals.as_ref(), &raw mut info) })?;
    // SAFETY: the signals that matter come from kill(2), which fills si_pid; for others the field
    // lies within the zeroed structure.
    let sender = unsafe { info.si_pid() };
    let origin = SignalOrigin::of(info.si_code, sender);
    Signal::try_from(number).map(|signal| (signal, origin))
}
