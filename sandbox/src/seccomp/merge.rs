//! Several policies to one decision for each system call.

use std::collections::BTreeMap;

use super::{Answer, Argument, SeccompError, SeccompPolicy};

/// What is decided of one system call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What it gets; none if no policy says so without conditions.
    pub answer: Option<Answer>,
    /// What it gets instead where all the conditions on its arguments hold.
    pub refusals: Vec<(Answer, Vec<Argument>)>,
    /// Whether only newer versions of libseccomp know the name.
    pub newer: bool,
}

/// What is decided of all system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Names of the policies that say so, for messages.
    pub policies: String,
    /// What calls get that are not in `calls`; none if they go to the kernel.
    pub otherwise: Option<Answer>,
    /// Decisions by the name of the call.
    pub calls: BTreeMap<String, Decision>,
}

/// Merges policies. Of each call, what a later rule says without conditions replaces everything
/// before; a rule with conditions comes on top.
///
/// # Errors
///
/// A rule allows something on conditions: what is allowed is said of whole calls.
pub fn merge(policies: &[(&str, SeccompPolicy)]) -> Result<Decisions, SeccompError> {
    let mut decisions = Decisions::default();
    let names: Vec<&str> = policies.iter().map(|(name, _)| *name).collect();
    decisions.policies = names.join(", ");
    for (policy, content) in policies {
        decisions.otherwise = content.otherwise.or(decisions.otherwise);
        for rule in &content.rules {
            let names = rule.syscalls.iter().map(|name| (name, false));
            for (name, newer) in names.chain(rule.newer.iter().map(|name| (name, true))) {
                let decision = decisions.calls.entry(name.clone()).or_default();
                decision.newer = newer;
                if rule.args.is_empty() {
                    decision.answer = Some(rule.answer);
                    decision.refusals.clear();
                } else if rule.answer == Answer::Allow {
                    let (policy, syscall) = ((*policy).to_owned(), name.clone());
                    return Err(SeccompError::Conditional { policy, syscall });
                } else {
                    decision.refusals.push((rule.answer, rule.args.clone()));
                }
            }
        }
    }
    Ok(decisions)
}

impl Decisions {
    /// What a call gets with these arguments; none if it goes to the kernel.
    pub fn answer(&self, name: &str) -> Option<Answer> {
        let decided = self.calls.get(name).and_then(|decision| decision.answer);
        decided.or(self.otherwise).filter(|answer| *answer != Answer::Allow)
    }
}
