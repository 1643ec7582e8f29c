//! Giving up rights by Landlock.

use landlock::{
    AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope,
};

use super::Failure;
use crate::landlock::Restriction;

/// Restricts this process and all that it starts. The plan has left out what this kernel lacks.
pub(super) fn restrict(restrictions: &[Restriction]) -> Result<(), Failure> {
    if restrictions.is_empty() {
        return Ok(());
    }
    apply(restrictions).map_err(|error| Failure {
        step: "restrict the command by Landlock".to_owned(),
        errno: nix::errno::Errno::EINVAL,
        detail: Some(error.to_string()),
    })
}

fn apply(restrictions: &[Restriction]) -> Result<(), RulesetError> {
    let mut scopes = BitFlags::<Scope>::empty();
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    for restriction in restrictions {
        match restriction {
            Restriction::Devices => {
                ruleset = ruleset.handle_access(AccessFs::MakeChar | AccessFs::MakeBlock)?;
            }
            Restriction::Signals => scopes |= Scope::Signal,
            Restriction::AbstractSockets => scopes |= Scope::AbstractUnixSocket,
        }
    }
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes)?;
    }
    ruleset.create()?.restrict_self().map(drop)
}
