//! A group around the groups of several sandboxes.

use std::path::Path;

use super::{Cgroup, CgroupFacts, Version, plan, v2};
use crate::error::SandboxError;
use crate::spec::Limits;

/// A group in which sandboxes are made, so that they compete, are limited and are found as one:
/// a build, whose stages have groups of their own inside. Removed when dropped.
#[derive(Debug)]
pub struct Subtree {
    /// Removed with this value.
    _cgroup: Cgroup,
    facts: CgroupFacts,
}

impl Subtree {
    /// Makes the group with its limits below the caller's own.
    ///
    /// # Errors
    ///
    /// A required limit cannot be enforced, or the hierarchy cannot be written.
    pub fn create(
        name: &str,
        limits: &Limits,
        facts: &CgroupFacts,
    ) -> Result<Subtree, SandboxError> {
        let plan = plan(name, limits, facts)
            .map_err(|source| SandboxError::Plan { name: name.to_owned(), source })?;
        let cgroup = Cgroup::create(&plan)?;
        if let Some(dir) = cgroup.unified() {
            v2::hand_down(&dir)?;
        }
        let facts = moved(facts, &cgroup);
        Ok(Subtree { _cgroup: cgroup, facts })
    }

    /// What a sandbox has to know to be made in this group: the caller's place is here.
    pub fn facts(&self) -> &CgroupFacts {
        &self.facts
    }
}

/// The facts as seen from inside the group.
fn moved(facts: &CgroupFacts, cgroup: &Cgroup) -> CgroupFacts {
    let mut facts = facts.clone();
    let relative = |mount: &Path, group: &Path| group.strip_prefix(mount).ok().map(Path::to_owned);
    match cgroup.version {
        Version::None => {}
        Version::V2 => {
            if let (Some(v2), Some(group)) = (&mut facts.v2, cgroup.groups.first())
                && let Some(own) = relative(&v2.mount, group)
            {
                v2.own = own;
            }
        }
        Version::V1 => {
            for (_, hierarchy) in &mut facts.v1 {
                let own = hierarchy.own_directory();
                let group = cgroup.groups.iter().find(|group| group.parent() == Some(&own));
                if let Some(own) = group.and_then(|group| relative(&hierarchy.mount, group)) {
                    hierarchy.own = own;
                }
            }
        }
    }
    facts
}
