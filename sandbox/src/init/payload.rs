//! The last process: confines itself and becomes the command.

use std::ffi::CString;
use std::os::unix::net::UnixStream;

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::sys::personality;
use nix::sys::resource::{getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{Gid, Uid};

use super::{Attempt, Failure};
use crate::wire::Payload;

/// The execution domain of 32-bit programs (linux/personality.h); libraries have names for the
/// flags that are added to a domain only.
const PER_LINUX32: i32 = 0x0008;

/// Confines this process and executes the command. Returns only on failure.
pub(super) fn execute(
    payload: &Payload,
    single_id: bool,
    terminal: Option<&UnixStream>,
) -> Result<std::convert::Infallible, Failure> {
    if payload.new_session {
        nix::unistd::setsid().step("start a session")?;
    }
    reset_signals().step("reset signals")?;
    if payload.linux32 {
        let persona = personality::Persona::from_bits_retain(PER_LINUX32);
        personality::set(persona).step("show a 32-bit machine")?;
    }
    for (name, value) in &payload.rlimits {
        limit(name, *value)?;
    }
    let kept = capabilities(&payload.capabilities);
    drop_bounding(&kept).step("drop capabilities from the bounding set")?;
    nix::sys::prctl::set_keepcaps(true).step("keep capabilities across the change of user")?;
    become_user(payload, single_id)?;
    if let Some(parent) = terminal {
        super::terminal::take(parent, &payload.terminal)?;
    }
    set_capabilities(payload, &kept)?;
    nix::unistd::chdir(&payload.cwd).step(format!("chdir to {}", payload.cwd.display()))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    nix::sys::prctl::set_no_new_privs().step("set no_new_privs")?;
    let step = format!("execute {}", payload.argv[0]);
    let c_strings = |texts: &[String]| -> Result<Vec<CString>, Failure> {
        texts
            .iter()
            .map(|text| {
                CString::new(text.as_bytes())
                    .map_err(|_| Failure::new(step.as_str(), Errno::EINVAL))
            })
            .collect()
    };
    let programs = c_strings(&payload.programs)?;
    let argv = c_strings(&payload.argv)?;
    let environment = c_strings(&payload.environment)?;
    super::landlock::restrict(&payload.landlock)?;
    crate::sys::install_filter(&payload.filter).step("install the seccomp filter")?;
    Err(Failure::new(step, crate::sys::execute(&programs, &argv, &environment)))
}

/// Nothing blocked, and SIGPIPE as every program expects it: the runtime of this one had it
/// ignored, which survives execution (signal(7)). The parent has seen to all others.
fn reset_signals() -> nix::Result<()> {
    crate::sys::default_sigpipe()?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

fn limit(name: &str, value: u64) -> Result<(), Failure> {
    let step = format!("set the limit RLIMIT_{name} to {value}");
    let Some(resource) = crate::rlimit::resource(name) else {
        return Err(Failure::new(step, Errno::EINVAL));
    };
    // The hard limit can only be lowered without privilege on the host.
    let (_, hard) = getrlimit(resource).step(step.as_str())?;
    let value = value.min(hard);
    setrlimit(resource, value, value).step(step)
}

fn capabilities(names: &[String]) -> CapsHashSet {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn drop_bounding(kept: &CapsHashSet) -> nix::Result<()> {
    for capability in caps::all().difference(kept) {
        match caps::drop(None, CapSet::Bounding, *capability) {
            Ok(()) => {}
            // Capabilities that this kernel does not have are not in the set to begin with.
            Err(_) if Errno::last() == Errno::EINVAL => {}
            Err(_) => return Err(Errno::last()),
        }
    }
    Ok(())
}

fn become_user(payload: &Payload, single_id: bool) -> Result<(), Failure> {
    // With a single id, the process is already all that it can be.
    if single_id {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(payload.uid), Gid::from_raw(payload.gid));
    let step = format!("become user {uid}, group {gid}");
    nix::unistd::setgroups(&[]).step(step.as_str())?;
    nix::unistd::setresgid(gid, gid, gid).step(step.as_str())?;
    nix::unistd::setresuid(uid, uid, uid).step(step)
}

fn set_capabilities(payload: &Payload, kept: &CapsHashSet) -> Result<(), Failure> {
    let set = |which: CapSet, value: &CapsHashSet| {
        caps::set(None, which, value)
            .map_err(|_| Errno::last())
            .step(format!("set capabilities ({which:?})"))
    };
    let none = CapsHashSet::new();
    // Ambient capabilities are what survives the execution as another user than root.
    let inherited = if payload.uid == 0 { &none } else { kept };
    set(CapSet::Effective, kept)?;
    set(CapSet::Permitted, kept)?;
    set(CapSet::Inheritable, inherited)?;
    if inherited.is_empty() {
        // One call instead of one for each capability.
        return caps::clear(None, CapSet::Ambient)
            .map_err(|_| Errno::last())
            .step("clear ambient capabilities");
    }
    set(CapSet::Ambient, inherited)
}

/// What pid 1 needs after the root is put together: to signal processes of other users inside.
pub(super) fn keep_only_kill() -> Result<(), Failure> {
    let kept: CapsHashSet = [Capability::CAP_KILL].into_iter().collect();
    caps::set(None, CapSet::Effective, &kept)
        .and_then(|()| caps::set(None, CapSet::Permitted, &kept))
        .map_err(|_| Errno::last())
        .step("drop capabilities of pid 1")
}
