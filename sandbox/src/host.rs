//! What this host can do, probed once into a value. Pure code decides from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupFacts;
use crate::ids::IdRange;
use crate::network::NetworkFacts;

/// Facts about the host and the calling user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Effective user id of the caller.
    pub uid: u32,
    /// Effective group id of the caller.
    pub gid: u32,
    /// Ranges granted to the caller in `/etc/subuid`: first id and count.
    pub subuid: Vec<(u32, u32)>,
    /// Ranges granted to the caller in `/etc/subgid`: first id and count.
    pub subgid: Vec<(u32, u32)>,
    /// The caller's own uid_map: which user ids exist at all.
    pub uid_map: Vec<IdRange>,
    /// The caller's own gid_map.
    pub gid_map: Vec<IdRange>,
    /// newuidmap, if installed.
    pub newuidmap: Option<PathBuf>,
    /// newgidmap, if installed.
    pub newgidmap: Option<PathBuf>,
    /// Kernel release as uname(2) tells it.
    pub kernel: String,
    /// Machine as uname(2) tells it, for example `x86_64`.
    pub machine: String,
    /// Processors that the caller may use.
    pub processors: u32,
    /// Settings that can forbid user namespaces: sysctl path and value.
    pub userns_settings: Vec<(String, String)>,
    /// How much of the kernel's own objects each user may have, by names of `/proc/sys/user`
    /// (namespaces(7)); those of the caller's user namespace.
    #[serde(default)]
    pub user_limits: BTreeMap<String, u64>,
    /// Version of the kernel's Landlock interface; 0 if it has none.
    #[serde(default)]
    pub landlock: u32,
    /// Control groups.
    pub cgroup: CgroupFacts,
    /// What filtered networks are made with.
    #[serde(default)]
    pub network: NetworkFacts,
}

/// Variable that names the kernel's version instead of uname(2): what newer kernels have is not
/// used then. For tests of what older ones get.
const ASSUMED_KERNEL: &str = "ALBS_NODE_ASSUME_KERNEL";

/// Sysctls that can forbid or limit unprivileged user namespaces. The first is upstream's, the
/// second Debian's, the third Ubuntu's.
const USERNS_SETTINGS: [&str; 3] = [
    "user/max_user_namespaces",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
];

impl HostFacts {
    /// Looks at this host.
    pub fn probe() -> HostFacts {
        HostFacts::probe_at(Path::new("/"))
    }

    /// Looks at the files of the host below `root`; processes and ids are still the caller's.
    pub fn probe_at(root: &Path) -> HostFacts {
        let uid = nix::unistd::geteuid();
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (subuid, subgid) = (text("etc/subuid"), text("etc/subgid"));
        let name = user_name(uid, &[&subuid, &subgid]);
        let owner = Owner { name: name.as_deref(), uid: uid.as_raw() };
        let uname = nix::sys::utsname::uname().ok();
        let field = |f: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            uname.as_ref().map(|u| f(u).to_string_lossy().into_owned()).unwrap_or_default()
        };
        HostFacts {
            uid: uid.as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            subuid: parse_subids(&subuid, &owner),
            subgid: parse_subids(&subgid, &owner),
            uid_map: parse_id_map(&text("proc/self/uid_map")),
            gid_map: parse_id_map(&text("proc/self/gid_map")),
            newuidmap: find_program(root, "newuidmap"),
            newgidmap: find_program(root, "newgidmap"),
            kernel: std::env::var(ASSUMED_KERNEL).unwrap_or_else(|_| field(|u| u.release())),
            machine: field(|u| u.machine()),
            processors: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            userns_settings: USERNS_SETTINGS
                .iter()
                .filter_map(|name| {
                    let value = fs::read_to_string(root.join("proc/sys").join(name)).ok()?;
                    Some((name.to_string(), value.trim().to_owned()))
                })
                .collect(),
            user_limits: user_limits(&root.join("proc/sys/user")),
            landlock: crate::sys::landlock_version(),
            cgroup: CgroupFacts::probe_at(root),
            network: NetworkFacts::probe_at(root),
        }
    }

    /// Whether the kernel is this version or a later one.
    pub fn kernel_is(&self, version: (u32, u32)) -> bool {
        let mut numbers = self.kernel.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= version
    }

    /// The sysctl that forbids user namespaces to this caller, if one does, as
    /// `name=value` that would allow them.
    pub fn userns_forbidden_by(&self) -> Option<String> {
        self.userns_settings.iter().find_map(|(name, value)| {
            let dotted = name.replace('/', ".");
            match (name.as_str(), value.as_str()) {
                ("user/max_user_namespaces", "0") => Some(format!("{dotted}=15000")),
                ("kernel/unprivileged_userns_clone", "0") if self.uid != 0 => {
                    Some(format!("{dotted}=1"))
                }
                ("kernel/apparmor_restrict_unprivileged_userns", "1") if self.uid != 0 => {
                    Some(format!("{dotted}=0"))
                }
                _ => None,
            }
        })
    }
}

/// Bytes in a page of memory.
pub fn page_size() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

/// The numbers in the files of a directory.
fn user_limits(directory: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let limit = |entry: fs::DirEntry| {
        let number = fs::read_to_string(entry.path()).ok()?.trim().parse().ok()?;
        Some((entry.file_name().into_string().ok()?, number))
    };
    entries.filter_map(limit).collect()
}

/// Whose lines count in `/etc/subuid`.
struct Owner<'a> {
    name: Option<&'a str>,
    uid: u32,
}

/// The name that lines of these texts can mean; none if they have no names. Looking it up can load
/// libraries and ask a server.
fn user_name(uid: Uid, texts: &[&str]) -> Option<String> {
    let is_name =
        |line: &str| line.split_once(':').is_some_and(|(owner, _)| owner.parse::<u32>().is_err());
    if !texts.iter().flat_map(|text| text.lines()).any(is_name) {
        return None;
    }
    User::from_uid(uid).ok().flatten().map(|user| user.name)
}

/// Lines `owner:first:count`, the owner being a name or a number (subuid(5)).
fn parse_subids(text: &str, owner: &Owner<'_>) -> Vec<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let who = fields.next()?;
            let mine = owner.name == Some(who) || who.parse() == Ok(owner.uid);
            let first: u32 = fields.next()?.trim().parse().ok()?;
            let count: u32 = fields.next()?.trim().parse().ok()?;
            (mine && first.checked_add(count).is_some()).then_some((first, count))
        })
        .collect()
}

/// Lines `inside outside count` of /proc/PID/uid_map.
fn parse_id_map(text: &str) -> Vec<IdRange> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(|f| f.parse::<u32>().ok());
            Some(IdRange {
                inside: fields.next()??,
                outside: fields.next()??,
                count: fields.next()??,
            })
        })
        .collect()
}

/// Searches the standard program directories, which are not the caller's `PATH`: a setuid helper
/// must come from the system.
pub(crate) fn find_program(root: &Path, name: &str) -> Option<PathBuf> {
    ["usr/bin", "bin", "usr/sbin", "sbin", "usr/local/bin"]
        .iter()
        .map(|dir| root.join(dir).join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subids_by_name_and_by_number() {
        let text = "alice:100000:65536\n1001:200000:65536\nbob:1:2\nbroken\n1001:4294967295:9\n";
        let alice = Owner { name: Some("alice"), uid: 1001 };
        assert_eq!(parse_subids(text, &alice), [(100_000, 65536), (200_000, 65536)]);
        assert_eq!(parse_subids(text, &Owner { name: None, uid: 7 }), []);
    }

    #[test]
    fn id_map_of_the_initial_namespace() {
        let map = parse_id_map("         0          0 4294967295\n");
        assert_eq!(map, [IdRange { inside: 0, outside: 0, count: u32::MAX }]);
    }

    #[test]
    fn a_foreign_root_has_its_own_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/sys/user")).unwrap();
        fs::write(dir.path().join("proc/sys/user/max_user_namespaces"), "0\n").unwrap();
        let facts = HostFacts::probe_at(dir.path());
        assert!(facts.subuid.is_empty() && facts.newuidmap.is_none());
        assert_eq!(facts.userns_forbidden_by().as_deref(), Some("user.max_user_namespaces=15000"));
        assert_eq!(facts.user_limits, BTreeMap::from([("max_user_namespaces".to_owned(), 0)]));
    }
}
