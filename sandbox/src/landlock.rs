//! Landlock: what a command gives up for itself and its descendants, on top of everything else
//! (landlock(7)). It holds where a namespace is shared or turns out to have a hole.

use serde::{Deserialize, Serialize};

use crate::outcome::Enforcement;

/// Something that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restriction {
    /// To make device nodes. Nothing can be mounted either: the kernel refuses that to whoever is
    /// restricted in any of the rights to files.
    Devices,
    /// To send signals to processes that are not restricted together with it.
    Signals,
    /// To connect to abstract unix sockets of such processes.
    AbstractSockets,
}

/// The first version of the kernel's interface that has all of them.
pub const COMPLETE: u32 = 6;

impl Restriction {
    /// The first version of the kernel's interface that has it.
    fn since(self) -> u32 {
        match self {
            Restriction::Devices => 1,
            Restriction::Signals | Restriction::AbstractSockets => COMPLETE,
        }
    }
}

/// Which restrictions a kernel with this version of the interface has, 0 being none at all, and
/// how far that is what was wanted.
pub(crate) fn plan(wanted: &[Restriction], version: u32) -> (Vec<Restriction>, Enforcement) {
    let (had, missing): (Vec<_>, Vec<_>) =
        wanted.iter().copied().partition(|restriction| restriction.since() <= version);
    let enforcement = match (wanted, version, missing.as_slice()) {
        ([], ..) => Enforcement::Off("no restriction was asked for".to_owned()),
        (_, 0, _) => Enforcement::Off("the kernel has no Landlock".to_owned()),
        (.., []) => Enforcement::Full,
        (.., missing) => {
            let reason = format!("version {version} of the kernel's Landlock lacks: {missing:?}");
            match had.is_empty() {
                true => Enforcement::Off(reason),
                false => Enforcement::Partial(reason),
            }
        }
    };
    (had, enforcement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_have_less() {
        use Restriction::{AbstractSockets, Devices, Signals};
        let wanted = [Devices, Signals, AbstractSockets];
        assert_eq!(plan(&wanted, 7), (wanted.to_vec(), Enforcement::Full));
        let (had, enforcement) = plan(&wanted, 3);
        assert_eq!(had, [Devices]);
        assert!(
            matches!(enforcement, Enforcement::Partial(why) if why.ends_with("[Signals, AbstractSockets]"))
        );
        assert!(matches!(plan(&wanted[1..], 3).1, Enforcement::Off(_)));
        assert!(matches!(plan(&wanted, 0), (had, Enforcement::Off(_)) if had.is_empty()));
        assert!(matches!(plan(&[], 7).1, Enforcement::Off(_)));
    }
}
