//! What packages do besides their files: the programs that run when they are installed. What those
//! leave belongs to no package, so that an update cannot take it back.

use std::collections::BTreeMap;

use sandbox::spec::Root;

use super::{Env, packages};
use crate::run::StageRun;
use crate::verdict::Failure;

/// What stands before each package: nothing that a script would have (form feed).
const PACKAGE: char = '\u{c}';
/// What runs when a package is installed, in rpm's names. What runs when it is removed is left
/// out: a new root has never run it.
const SCRIPTS: [&str; 8] = [
    "PRETRANS",
    "PRETRANSPROG",
    "PREIN",
    "PREINPROG",
    "POSTIN",
    "POSTINPROG",
    "POSTTRANS",
    "POSTTRANSPROG",
];
/// What runs when others are installed; arrays. The last two came with rpm 4.13.
const TRIGGERS: [&str; 3] = ["TRIGGERSCRIPTS", "FILETRIGGERSCRIPTS", "TRANSFILETRIGGERSCRIPTS"];

/// The scripts of packages that have some, by name and architecture.
pub(super) type Scriptlets = BTreeMap<String, String>;

/// Asks the root's own rpm for the scripts of everything that is installed.
///
/// # Errors
///
/// rpm failed.
pub(super) fn of(env: &Env<'_>, stage: &StageRun<'_>, root: Root) -> Result<Scriptlets, Failure> {
    let ask = |triggers: &[&str]| {
        let argv = ["rpm", "-qa", "--qf", &format(triggers)].map(str::to_owned).to_vec();
        packages::query(env, stage, root.clone(), argv)
    };
    // An old rpm refuses names that it does not know, and its packages do not have them either.
    match ask(&TRIGGERS) {
        Ok(answer) if answer.contains(PACKAGE) => Ok(read(&answer)),
        Err(failure) if stage.is_cancelled() => Err(failure),
        _ => ask(&TRIGGERS[..1]).map(|answer| read(&answer)),
    }
}

/// A format of rpm's that has the name of each package on a line, and its scripts below.
fn format(triggers: &[&str]) -> String {
    let mut text = "\\f%{name}.%{arch}\\n".to_owned();
    for tag in SCRIPTS.iter().chain(triggers) {
        // In brackets, what is missing gives nothing, and of arrays there is all.
        text += &format!("[{tag}:%{{{tag}}}\\n]");
    }
    text
}

fn read(answer: &str) -> Scriptlets {
    let mut all = Scriptlets::new();
    for package in answer.split(PACKAGE) {
        let (name, scripts) = package.split_once('\n').unwrap_or_default();
        if !scripts.is_empty() {
            // Several versions of one package may be there.
            *all.entry(name.to_owned()).or_default() += scripts;
        }
    }
    all
}

/// A package that was replaced or removed, and whose scripts may have left what a new root would
/// not have: they are not the ones that a new root runs. `updated` is what is installed now.
pub(super) fn stale<'a>(before: &'a Scriptlets, updated: &Scriptlets) -> Option<&'a str> {
    let changed = before.iter().find(|(name, scripts)| updated.get(*name) != Some(*scripts));
    changed.map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_is_found() {
        let before = read("\u{c}a.noarch\nPOSTIN:true\n\u{c}b.x\n\u{c}c.x\nPREIN:if x\n\nfi\n");
        assert_eq!(before.keys().collect::<Vec<_>>(), ["a.noarch", "c.x"]);
        let with = |text: &str| stale(&before, &read(text)).map(str::to_owned);
        let same = "\u{c}c.x\nPREIN:if x\n\nfi\n\u{c}a.noarch\nPOSTIN:true\n";
        assert_eq!(with(same), None);
        // One that had none, or was not there, has left nothing.
        assert_eq!(with(&format!("{same}\u{c}b.x\nPOSTIN:true\n")), None);
        assert_eq!(with("\u{c}a.noarch\nPOSTIN:true\n").as_deref(), Some("c.x"));
        assert_eq!(with(&same.replace("true", "false")).as_deref(), Some("a.noarch"));
    }
}
