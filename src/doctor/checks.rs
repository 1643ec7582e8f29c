//! Judging what was found.

use sandbox::IdMapping;

use super::{Check, Facts, State, Unlimited};

/// Bytes below which a disk is too full for a buildroot and a build of some size.
const LITTLE_DISK: u64 = 10 << 30;
/// Bytes in which no buildroot fits.
const NO_DISK: u64 = 100 << 20;
/// The oldest kernel that is supported: that of Enterprise Linux 8.
const OLDEST_KERNEL: (u32, u32) = (4, 18);

/// Judges a host.
pub fn examine(facts: &Facts) -> Vec<Check> {
    vec![
        kernel(facts),
        namespaces(facts),
        ids(facts),
        overlay(facts),
        control_groups(facts),
        landlock(facts),
        network(facts),
        package_managers(facts),
        rpm(facts),
        git(facts),
        store(facts),
        disk(facts),
        disk_limit(facts),
        memory(facts),
        core_dumps(facts),
        emulators(facts),
    ]
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), without: None, fix: None }
}

/// A limit of 1 keeps them from programs of the host, of 0 does not, and a socket knows none
/// (core(5), fs/coredump.c).
fn core_dumps(facts: &Facts) -> Check {
    let (pattern, hard) = &facts.core;
    let (pattern, check) = (pattern.trim(), ok("core dumps", "those of builds go nowhere"));
    let (found, fix) = match pattern.chars().next() {
        Some('@') => ("kernel.core_pattern names a socket", "sysctl -w kernel.core_pattern=core"),
        Some('|') if *hard == 0 => {
            let found = "kernel.core_pattern names a program, and the hard limit is 0";
            (found, "ulimit -Hc unlimited; of a service: LimitCORE=infinity")
        }
        _ => return check,
    };
    Check {
        state: State::Limited,
        found: found.to_owned(),
        without: Some("the host is handed the memory of builds that crash".to_owned()),
        fix: Some(fix.to_owned()),
        ..check
    }
}

fn kernel(facts: &Facts) -> Check {
    let release = &facts.host.kernel;
    let (major, minor) = OLDEST_KERNEL;
    let check = ok("kernel", format!("Linux {release} on {}", facts.host.machine));
    if facts.host.kernel_is(OLDEST_KERNEL) {
        return check;
    }
    Check {
        state: State::Missing,
        without: Some(format!("Linux {major}.{minor} is the oldest that sandboxes work on")),
        ..check
    }
}

fn namespaces(facts: &Facts) -> Check {
    let name = "sandbox";
    let Some((why, hint)) = &facts.sandbox else {
        return ok(name, "namespaces, mounts and the system call filter work");
    };
    let setting = facts.host.userns_forbidden_by();
    Check {
        name,
        state: State::Missing,
        found: why.clone(),
        without: Some("nothing can be built".to_owned()),
        fix: setting.map(|setting| format!("sysctl -w {setting}")).or_else(|| hint.clone()),
    }
}

fn ids(facts: &Facts) -> Check {
    let host = &facts.host;
    let name = "user ids";
    let mapping = IdMapping::choose(host, 0);
    if !mapping.is_single() {
        let range = mapping.uids.first().map(|r| format!("{} from {}", r.count, r.outside));
        return ok(name, format!("a range of {}", range.unwrap_or_default()));
    }
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(host.uid)).ok().flatten();
    let user = user.map_or_else(|| host.uid.to_string(), |user| user.name);
    let has_ranges = [&host.subuid, &host.subgid]
        .iter()
        .all(|ranges| ranges.iter().any(|(_, count)| *count >= sandbox::ids::RANGE_LENGTH));
    let (found, fix) = if !has_ranges {
        let fix = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}");
        ("no range of 65536 ids in /etc/subuid and /etc/subgid", fix)
    } else {
        let fix = "apt-get install uidmap, or dnf install shadow-utils".to_owned();
        ("newuidmap or newgidmap is not installed", fix)
    };
    Check {
        name,
        state: State::Limited,
        found: found.to_owned(),
        without: Some(
            "only the user's own id exists inside: changes of owner have no effect".to_owned(),
        ),
        fix: Some(fix),
    }
}

fn overlay(facts: &Facts) -> Check {
    let name = "overlayfs";
    match &facts.overlay {
        None => ok(name, "works in user namespaces"),
        Some(why) => Check {
            name,
            state: if facts.sandbox.is_some() { State::Missing } else { State::Limited },
            found: why.clone(),
            without: Some("buildroots are copied for each build".to_owned()),
            fix: Some("use kernel 5.11 or later, and --store DIR on ext4, xfs or btrfs".to_owned()),
        },
    }
}

fn control_groups(facts: &Facts) -> Check {
    let name = "limits";
    match &facts.limits {
        None => {
            let version = if facts.host.cgroup.v1.is_empty() { "2" } else { "1" };
            ok(name, format!("control groups of version {version} can be used"))
        }
        Some(Unlimited { why, hint, without }) => Check {
            name,
            state: State::Limited,
            found: why.clone(),
            without: Some((*without).to_owned()),
            fix: hint.clone(),
        },
    }
}

fn landlock(facts: &Facts) -> Check {
    let name = "landlock";
    let version = facts.host.landlock;
    let check = ok(name, format!("version {version} of the kernel's interface"));
    match version {
        sandbox::landlock::COMPLETE.. => check,
        0 => Check {
            state: State::Limited,
            found: "the kernel has none".to_owned(),
            without: Some("builds are confined by one layer less".to_owned()),
            fix: Some("boot with lsm=landlock,… where the kernel is 5.13 or later".to_owned()),
            ..check
        },
        _ => Check {
            state: State::Limited,
            without: Some(
                "signals and abstract sockets are confined by namespaces only".to_owned(),
            ),
            fix: Some("use kernel 6.12 or later".to_owned()),
            ..check
        },
    }
}

fn network(facts: &Facts) -> Check {
    let name = "network";
    let host = &facts.host.network;
    let Some(why) = host.unusable() else {
        let program = host.pasta.as_ref().or(host.slirp4netns.as_ref());
        let program = program.map(|path| path.display().to_string()).unwrap_or_default();
        return ok(name, format!("{program} keeps this host out of reach of package managers"));
    };
    let is_installed = host.pasta.is_some() || host.slirp4netns.is_some();
    Check {
        name,
        state: State::Limited,
        found: why,
        without: Some(
            "package managers, and the scriptlets that they run, see this host's network"
                .to_owned(),
        ),
        fix: Some(match is_installed {
            true => "modprobe tun, and chmod 666 /dev/net/tun".to_owned(),
            false => "apt-get install passt, or dnf install passt".to_owned(),
        }),
    }
}

fn package_managers(facts: &Facts) -> Check {
    let name = "package manager";
    let found: Vec<String> = facts
        .package_managers
        .iter()
        .map(|(program, path, version)| {
            let version = version.as_ref().map(|version| format!(" {version}"));
            let version = version.unwrap_or_default();
            match program == path {
                true => format!("{}{version}", program.display()),
                false => format!("{}{version} ({})", program.display(), path.display()),
            }
        })
        .collect();
    if !found.is_empty() {
        return ok(name, found.join(", "));
    }
    Check {
        name,
        state: State::Limited,
        found: "no dnf".to_owned(),
        without: Some("only configs with use_bootstrap_image can be built".to_owned()),
        fix: Some("apt-get install dnf dnf-plugins-core, or dnf install dnf".to_owned()),
    }
}

fn rpm(facts: &Facts) -> Check {
    match &facts.rpm {
        Some((path, version)) => {
            let version = version.as_deref().unwrap_or("of a version that it does not tell");
            ok("rpm", format!("{} {version}", path.display()))
        }
        None => Check {
            name: "rpm",
            state: State::Limited,
            found: "no rpm".to_owned(),
            without: Some("only configs with use_bootstrap_image can be built".to_owned()),
            fix: Some("apt-get install rpm, or dnf install rpm".to_owned()),
        },
    }
}

fn git(facts: &Facts) -> Check {
    match facts.has_git {
        true => ok("git", "for the sources of the build node"),
        false => Check {
            name: "git",
            state: State::Limited,
            found: "no git".to_owned(),
            without: Some("the node gets no sources of repositories".to_owned()),
            fix: Some("apt-get install git, or dnf install git-core".to_owned()),
        },
    }
}

/// The first word of what a program says that looks like a version.
pub(super) fn version(said: &str) -> Option<String> {
    let words = said.lines().take(3).flat_map(str::split_whitespace);
    words
        .map(|word| word.trim_end_matches(','))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(crate::run::plain)
}

/// Quotas are not for everybody, and not on every file system: what limits a build's disk is the
/// same everywhere.
fn disk_limit(facts: &Facts) -> Check {
    let place = facts.disk.0.display();
    let found = format!("what builds write in {place} is watched; quotas are not needed");
    ok("disk limit", found)
}

fn store(facts: &Facts) -> Check {
    let place = facts.disk.0.display();
    match &facts.unwritable {
        None => ok("store", format!("buildroots can be made in {place}")),
        Some(why) => Check {
            name: "store",
            state: State::Missing,
            found: format!("{place}: {why}"),
            without: Some("nothing can be built".to_owned()),
            fix: Some("choose another place: --store DIR, or ALBS_NODE_STORE=DIR".to_owned()),
        },
    }
}

fn disk(facts: &Facts) -> Check {
    let (path, free) = &facts.disk;
    let place = path.display();
    let Some(free) = free else { return ok("disk", format!("{place} tells no size")) };
    let check = ok("disk", format!("{} free in {place}", crate::run::bill::size(*free)));
    let (state, without) = match *free {
        LITTLE_DISK.. => return check,
        NO_DISK.. => (State::Limited, "larger builds will not fit"),
        _ => (State::Missing, "nothing can be built"),
    };
    Check {
        state,
        without: Some(without.to_owned()),
        fix: Some("albs-node clean, or --store DIR in another place".to_owned()),
        ..check
    }
}

fn memory(facts: &Facts) -> Check {
    if facts.has_shared_memory {
        return ok("memory", "/dev/shm is in memory");
    }
    Check {
        name: "memory",
        state: State::Limited,
        found: "/dev/shm is not in memory".to_owned(),
        without: Some("the plugin tmpfs has no effect".to_owned()),
        fix: Some("mount -t tmpfs tmpfs /dev/shm".to_owned()),
    }
}

fn emulators(facts: &Facts) -> Check {
    match facts.emulated.is_empty() {
        true => ok("emulators", "none, which only --forcearch needs"),
        false => ok("emulators", facts.emulated.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sandbox::HostFacts;

    use super::*;

    /// A host on which everything works.
    fn good() -> Facts {
        let mut host = HostFacts::probe_at(Path::new("/nonexistent"));
        host.uid = 1000;
        host.kernel = "6.1.0-13-amd64".to_owned();
        host.machine = "x86_64".to_owned();
        host.subuid = vec![(100_000, 65536)];
        host.subgid = vec![(100_000, 65536)];
        host.newuidmap = Some("/usr/bin/newuidmap".into());
        host.newgidmap = Some("/usr/bin/newgidmap".into());
        host.network.pasta = Some("/usr/bin/pasta".into());
        host.network.no_tunnel = None;
        host.landlock = 7;
        Facts {
            host,
            sandbox: None,
            overlay: None,
            limits: None,
            package_managers: vec![(
                "/usr/bin/dnf".into(),
                "/usr/bin/dnf5".into(),
                Some("5.2.6".to_owned()),
            )],
            rpm: Some(("/usr/bin/rpm".into(), Some("4.19.1".to_owned()))),
            has_git: true,
            disk: ("/var/lib".into(), Some(100 << 30)),
            unwritable: None,
            has_shared_memory: true,
            emulated: vec!["aarch64".to_owned()],
            core: ("core".to_owned(), u64::MAX),
        }
    }

    #[test]
    fn a_good_host() {
        let checks = examine(&good());
        assert!(checks.iter().all(|check| check.state == State::Ok), "{checks:?}");
    }

    #[test]
    fn core_dumps_that_reach_the_host() {
        let mut facts = good();
        let state = |facts: &Facts| core_dumps(facts).state;
        facts.core.0 = "|/usr/share/apport/apport\n".to_owned();
        assert_eq!(state(&facts), State::Ok);
        facts.core.0 = "@/run/coredump\n".to_owned();
        assert_eq!(state(&facts), State::Limited);
    }

    #[test]
    fn versions() {
        for (said, found) in [
            ("4.14.0\n  Installed: dnf-0:4.14.0-8.el9.noarch at x\n", "4.14.0"),
            ("dnf5 version 5.2.6.2\n", "5.2.6.2"),
            ("RPM version 4.20.0\n", "4.20.0"),
            ("git version 2.47.3\n", "2.47.3"),
        ] {
            assert_eq!(version(said).as_deref(), Some(found));
        }
        assert_eq!(version("no such program"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_helps() {
        let mut facts = good();
        facts.host.kernel = "3.10.0-1160.el7.x86_64".to_owned();
        facts.host.subuid = Vec::new();
        facts.host.userns_settings = vec![("user/max_user_namespaces".into(), "0".into())];
        facts.sandbox = Some(("clone: no space".to_owned(), None));
        facts.overlay = Some("no".to_owned());
        let (why, hint) = ("not writable".to_owned(), Some("run as root".to_owned()));
        facts.limits = Some(Unlimited { why, hint, without: "nothing is limited" });
        facts.host.network.pasta = None;
        facts.host.landlock = 0;
        facts.package_managers = Vec::new();
        facts.rpm = None;
        facts.has_git = false;
        facts.disk.1 = Some(1 << 30);
        facts.unwritable = Some("Permission denied".to_owned());
        facts.has_shared_memory = false;
        facts.core = ("|/usr/lib/systemd/systemd-coredump %P\n".to_owned(), 0);
        let mut checks = examine(&facts);
        // The name of the user who runs the tests is in it.
        checks[2].fix = None;
        insta::assert_json_snapshot!(checks);
    }
}
