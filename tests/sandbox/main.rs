//! The sandbox as its users see it: `albs-node sandbox run` with a program inside that looks
//! around, as root, as an ordinary user with subordinate ids and as one without.

/// Runs a test's body for each mode that can be tested here.
macro_rules! in_each_mode {
    ($($name:ident)*) => {
        $(
            mod $name {
                #[test]
                fn as_root() {
                    $crate::harness::with($crate::harness::Mode::Root, super::$name);
                }
                #[test]
                fn with_subids() {
                    $crate::harness::with($crate::harness::Mode::Subids, super::$name);
                }
                #[test]
                fn without_subids() {
                    $crate::harness::with($crate::harness::Mode::Single, super::$name);
                }
            }
        )*
    };
}

mod binds;
mod death;
mod denied;
mod exits;
mod harness;
mod init;
mod library;
mod limits;
mod oldest;
mod policies;
mod processes;
mod pty;
mod roots;
mod terminal;
mod view;
