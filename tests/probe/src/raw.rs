//! The unsafe calls of this program.

use nix::errno::Errno;
use nix::unistd::ForkResult;

/// fork(2).
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this program has one thread, so no lock is held by one that the child lacks.
    unsafe { nix::unistd::fork() }
}

/// A system call by number. The arguments are numbers, so that the kernel is given no address
/// but null.
pub fn syscall(number: libc::c_long, arguments: [u64; 6]) -> nix::Result<i64> {
    let [a, b, c, d, e, f] = arguments.map(|argument| argument as libc::c_long);
    // SAFETY: no argument is the address of an object of this program, so the kernel cannot write
    // into one; what the call does to the process is the process's end at worst.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// A system call of 32-bit programs, which a 64-bit one can make too.
#[cfg(target_arch = "x86_64")]
pub fn syscall_i386(number: u32, arguments: [u64; 6]) -> nix::Result<i64> {
    let [b, c, d, s, ..] = arguments;
    let mut result = u64::from(number);
    // SAFETY: as for `syscall`; int 0x80 changes rax and, in old kernels, r8 to r11, which are
    // declared. rbx is reserved by the compiler and is restored.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {b}",
            "int 0x80",
            "xchg rbx, {b}",
            b = inout(reg) b => _,
            inlateout("rax") result,
            in("rcx") c,
            in("rdx") d,
            in("rsi") s,
            in("rdi") 0_u64,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    let result = result as u32 as i32;
    if (-4095..0).contains(&result) {
        return Err(Errno::from_raw(-result));
    }
    Ok(i64::from(result))
}

/// Other architectures have no such call here.
#[cfg(not(target_arch = "x86_64"))]
pub fn syscall_i386(_number: u32, _arguments: [u64; 6]) -> nix::Result<i64> {
    Err(Errno::EOPNOTSUPP)
}
