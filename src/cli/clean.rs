//! `albs-node clean`: removes buildroots, by the user to whom their files do not belong.

use std::collections::BTreeSet;
use std::fs;

use sandbox::HostFacts;
use sandbox::spec::{Limits, User};

use super::args;
use super::error::CliError;
use super::output::print;
use super::setup::{open_store, options_of, own_program, store_error};
use crate::buildroot::remove::{self, Removed};
use crate::buildroot::sandboxes::{Context, HostTools};
use crate::verdict::status;

pub(super) fn run(args: &args::Clean) -> Result<u8, CliError> {
    let host = HostFacts::probe();
    let store = open_store(&args.store, &host)?;
    let context = Context {
        host,
        build_user: User::ROOT,
        limits: Limits::default(),
        hostname: "localhost".to_owned(),
        tools: HostTools::probe(),
    };
    let program = own_program()?;
    remove::sweep(&context, &program, &store);
    let prefix = match &args.config {
        Some(name) => Some(options_of(name, args.configdir.clone())?.root),
        None => None,
    };
    let mut names = BTreeSet::new();
    for dir in [store.roots(), store.sessions(), store.caches()] {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A lock alone is what an interrupted removal leaves.
            let name = name.strip_suffix(".lock").unwrap_or(&name).to_owned();
            let wanted = match &prefix {
                None => true,
                Some(root) => crate::buildroot::key::is_of(&name, root),
            };
            if wanted {
                names.insert(name);
            }
        }
    }
    for name in &names {
        match remove::remove_root(&context, &program, &store, name).map_err(store_error)? {
            Removed::Gone => print(format_args!("removed {name}")),
            Removed::InUse => {
                return Err(CliError::new(
                    status::LOCKED,
                    format!("the buildroot {name} is in use"),
                    Some("wait for its builds and shells to end".to_owned()),
                ));
            }
            Removed::Failed(reason) => {
                let message = format!("cannot remove the buildroot {name}: {reason}");
                return Err(CliError::new(status::ROOT, message, None));
            }
        }
    }
    Ok(0)
}
