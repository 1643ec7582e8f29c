//! `albs-node clean`: removes buildroots, by the user to whom their files do not belong.

use std::collections::BTreeSet;
use std::fs;

use sandbox::HostFacts;

use super::args;
use super::error::CliError;
use super::output::print;
use super::setup::{StoreUse, maintenance_context, options_of, own_program, store_error, store_of};
use crate::buildroot::inventory;
use crate::buildroot::remove::{self, Removed};
use crate::buildroot::store::{self, LockKind, Store};
use crate::verdict::status;

pub(super) fn run(args: &args::Clean) -> Result<u8, CliError> {
    let host = HostFacts::probe();
    let options = match &args.config {
        Some(name) => Some(options_of(name, args.configdir.clone())?),
        None => None,
    };
    let store = store_of(&args.store, options.as_ref(), &host, StoreUse::Make)?;
    let context = maintenance_context(host);
    let program = own_program()?;
    remove::sweep(&context, &program, &store);
    let prefix = options.map(|options| options.root);
    let mut names = BTreeSet::new();
    for dir in
        [store.layers(), store.roots(), store.sessions(), store.caches(), store.compiler_caches()]
    {
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
    // Layers after the roots that they lie on, and last what roots have in common.
    let rank = |name: &String| {
        let (has_root, has_layer) = (store.root(name).exists(), store.layers().join(name).exists());
        (!has_root, !has_layer, name.clone())
    };
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by_key(rank);
    let mut is_used = false;
    let mut worst = match prefix {
        Some(_) => Ok(0),
        None => remove_images(&store),
    };
    for name in &names {
        if inventory::has_root(&store, name) {
            continue;
        }
        let error = match remove::remove_root(&context, &program, &store, name) {
            Ok(Removed::Gone) => {
                print(format_args!("removed {name}"));
                continue;
            }
            // Whoever uses a layer uses its root, which was told.
            Ok(Removed::InUse) if is_used => continue,
            Ok(Removed::InUse) => CliError::new(
                status::LOCKED,
                format!("the buildroot {name} is in use"),
                Some("wait for its builds and shells to end".to_owned()),
            ),
            Ok(Removed::Failed(reason)) => {
                let message = format!("cannot remove the buildroot {name}: {reason}");
                CliError::new(status::ROOT, message, None)
            }
            Err(error) => store_error(error),
        };
        is_used |= error.status() == status::LOCKED;
        // The others are removed all the same; the first failure is the one that is told last.
        match worst {
            Ok(_) => worst = Err(error),
            Err(_) => error.print(),
        }
    }
    inventory::forget_wants(&store);
    worst
}

/// Removes the images that roots were started from.
fn remove_images(store: &Store) -> Result<u8, CliError> {
    let path = store.images();
    let lock = store.path().join("images.lock");
    if !path.join("names").exists() && !lock.exists() {
        return Ok(0);
    }
    let held = store::lock(&lock, LockKind::Exclusive, &mut store::do_not_wait);
    let Some(_held) = held.map_err(store_error)? else {
        let message = "images are being pulled or unpacked";
        let hint = "wait for the buildroots that are made of them".to_owned();
        return Err(CliError::new(status::LOCKED, message, Some(hint)));
    };
    let removed = fs::remove_dir_all(&path).and_then(|()| fs::remove_file(&lock));
    removed.map_err(|error| {
        let message = format!("cannot remove the images in {}: {error}", path.display());
        CliError::new(status::ROOT, message, None)
    })?;
    print(format_args!("removed images"));
    Ok(0)
}
