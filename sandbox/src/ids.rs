//! Which ids of the host exist inside a sandbox, and how the mapping is written.
//!
//! Source: user_namespaces(7), subuid(5), newuidmap(1).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::HostFacts;

/// First host id of the range that root uses when `/etc/subuid` names none for it. It lies in the
/// range that systemd reserves for containers (524288 to 1879048191, systemd UIDS-GIDS).
pub const ROOT_RANGE_START: u32 = 0x5000_0000;
/// How many ids a sandbox sees: 0 to 65535, as on a real system.
pub const RANGE_LENGTH: u32 = 65536;

/// One line of uid_map or gid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id on the host.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

impl IdRange {
    /// Whether `id` exists inside.
    fn contains(&self, id: u32) -> bool {
        id >= self.inside && id - self.inside < self.count
    }
}

/// The ids of a sandbox and who may write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdMapping {
    /// User ids.
    pub uids: Vec<IdRange>,
    /// Group ids.
    pub gids: Vec<IdRange>,
    /// How the maps are written.
    pub writer: MapWriter,
}

/// How uid_map and gid_map are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MapWriter {
    /// By ourselves: the caller has CAP_SETUID and CAP_SETGID.
    Direct,
    /// By the setuid helpers, from the ranges of `/etc/subuid` and `/etc/subgid`.
    Helpers {
        /// newuidmap.
        newuidmap: PathBuf,
        /// newgidmap.
        newgidmap: PathBuf,
    },
    /// By ourselves, the caller's own id only.
    SingleId,
}

impl IdMapping {
    /// Chooses the mapping for the calling user: a whole range where the host grants one, else a
    /// single id, that appears inside as `single`.
    ///
    /// No mapping contains the caller's own id unless it is the only one: what runs inside is
    /// neither root nor the caller on the host.
    pub fn choose(host: &HostFacts, single: u32) -> IdMapping {
        if host.uid == 0 {
            if let (Some(uids), Some(gids)) =
                (root_range(&host.subuid, &host.uid_map), root_range(&host.subgid, &host.gid_map))
            {
                return IdMapping { uids: vec![uids], gids: vec![gids], writer: MapWriter::Direct };
            }
        } else if let (Some(uids), Some(gids), Some(newuidmap), Some(newgidmap)) = (
            subordinate_range(&host.subuid),
            subordinate_range(&host.subgid),
            host.newuidmap.clone(),
            host.newgidmap.clone(),
        ) {
            return IdMapping {
                uids: vec![uids],
                gids: vec![gids],
                writer: MapWriter::Helpers { newuidmap, newgidmap },
            };
        }
        IdMapping::single(host, single)
    }

    /// Maps only the caller's own ids, both to `inside`.
    pub fn single(host: &HostFacts, inside: u32) -> IdMapping {
        IdMapping {
            uids: vec![IdRange { inside, outside: host.uid, count: 1 }],
            gids: vec![IdRange { inside, outside: host.gid, count: 1 }],
            writer: MapWriter::SingleId,
        }
    }

    /// Whether ownership calls must be answered by the filter because only one id exists.
    pub fn is_single(&self) -> bool {
        self.writer == MapWriter::SingleId
    }

    /// Whether both ids exist inside.
    pub fn contains(&self, uid: u32, gid: u32) -> bool {
        self.uids.iter().any(|r| r.contains(uid)) && self.gids.iter().any(|r| r.contains(gid))
    }
}

/// The first granted range that is long enough for a whole system.
fn subordinate_range(granted: &[(u32, u32)]) -> Option<IdRange> {
    granted.iter().find(|(_, count)| *count >= RANGE_LENGTH).map(|&(outside, _)| IdRange {
        inside: 0,
        outside,
        count: RANGE_LENGTH,
    })
}

/// Root's range: the one granted in `/etc/subuid`, else the dedicated one, else (in a container
/// that has few ids itself) the upper part of what exists, never including id 0.
fn root_range(granted: &[(u32, u32)], own_map: &[IdRange]) -> Option<IdRange> {
    let exists = |start: u32, count: u32| {
        own_map.iter().any(|r| r.contains(start) && r.contains(start + (count - 1)))
    };
    let dedicated = IdRange { inside: 0, outside: ROOT_RANGE_START, count: RANGE_LENGTH };
    subordinate_range(granted)
        .filter(|range| exists(range.outside, range.count))
        .or_else(|| exists(dedicated.outside, dedicated.count).then_some(dedicated))
        .or_else(|| {
            let last = own_map.iter().max_by_key(|r| r.inside)?;
            let end = last.inside.checked_add(last.count)?;
            let start = end.saturating_sub(RANGE_LENGTH).max(last.inside).max(1);
            // Fewer ids than the system accounts of a distribution need are of no use.
            (end - start >= 1000).then_some(IdRange {
                inside: 0,
                outside: start,
                count: end - start,
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Vec<IdRange> {
        vec![IdRange { inside: 0, outside: 0, count: u32::MAX }]
    }

    #[test]
    fn root_gets_the_dedicated_range_when_nothing_is_granted() {
        let range = root_range(&[], &whole()).unwrap();
        assert_eq!(range, IdRange { inside: 0, outside: ROOT_RANGE_START, count: RANGE_LENGTH });
    }

    #[test]
    fn root_prefers_what_etc_subuid_grants() {
        assert_eq!(root_range(&[(100_000, 65536)], &whole()).unwrap().outside, 100_000);
    }

    #[test]
    fn root_of_a_small_container_never_maps_its_own_id() {
        let own = vec![IdRange { inside: 0, outside: 100_000, count: 65536 }];
        let range = root_range(&[], &own).unwrap();
        assert_eq!((range.outside, range.count), (1, 65535));
    }

    #[test]
    fn root_of_a_tiny_container_has_no_range() {
        assert_eq!(root_range(&[], &[IdRange { inside: 0, outside: 7, count: 1 }]), None);
    }

    #[test]
    fn short_subordinate_ranges_are_not_used() {
        assert_eq!(subordinate_range(&[(100_000, 1000)]), None);
        assert_eq!(subordinate_range(&[(1, 10), (100_000, 65536)]).unwrap().outside, 100_000);
    }
}
