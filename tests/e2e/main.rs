//! What a user of the program sees, from a spec to installed packages, and from bad input to a
//! clear line with nothing left over.
//!
//! The tests need root, to become the kinds of users that they are about (`scripts/as-user`), and
//! a local distribution (`scripts/local-distro`); without, they skip with the reason, and fail
//! where the variable CI is set. `ALBS_NODE_LOCAL_DISTRO` and `ALBS_NODE_SOURCES` name directories
//! that keep the distribution and the tarballs between runs. `ALBS_NODE_KEEP=1` keeps what the
//! tests have made.

mod case;
mod downloads;
mod failing;
mod fetching;
mod fixture;
mod ftp;
mod full;
mod git_server;
mod history;
mod hostile;
mod images;
mod install;
mod interrupted;
mod kept;
mod layers;
mod left;
mod limits;
mod managers;
mod node;
mod oci;
mod offline;
mod options;
mod outcome;
mod output;
mod packages;
mod places;
mod plugins;
mod refused;
mod registries;
mod repository;
mod srpm;
mod task;
mod tidy;
