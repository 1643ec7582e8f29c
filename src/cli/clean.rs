//! `albs-node clean`: removes buildroots, by the user to whom their files do not belong.

use std::collections::BTreeSet;
use std::fs;

use sandbox::HostFacts;

use super::args::{self, Scrub};
use super::error::CliError;
use super::output::print;
use super::setup::{StoreUse, maintenance_context, options_of, own_program, store_error, store_of};
use crate::buildroot::remove::{self, Part, Removed};
use crate::buildroot::scratch::Tools;
use crate::buildroot::store::{self, LockKind, Store};
use crate::buildroot::{inventory, key};
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
                Some(root) => key::is_of(&name, root),
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
    let is_everything = args.scrub.is_empty() || args.scrub.contains(&Scrub::All);
    let mut worst = match prefix {
        None if is_everything => remove_images(&store).and(forget_sources(Tools {
            context: &context,
            program: &program,
            store: &store,
        })),
        _ => Ok(0),
    };
    for name in &names {
        let parts = parts(&args.scrub, key::is_of_bootstrap(name));
        // What roots have in common goes after them, unless it is what is to go.
        let is_all = parts.len() == Part::ALL.len();
        if parts.is_empty() || (is_all && inventory::has_root(&store, name)) {
            continue;
        }
        if !is_all && !remove::has_parts(&store, name, &parts) {
            continue;
        }
        let error = match remove::remove_parts(&context, &program, &store, name, &parts) {
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

/// What is removed of things that are, or are not, of a bootstrap root.
fn parts(scrub: &[Scrub], is_of_bootstrap: bool) -> Vec<Part> {
    let has = |wanted: &[Scrub]| scrub.iter().any(|one| wanted.contains(one));
    if scrub.is_empty() || has(&[Scrub::All]) {
        return Part::ALL.to_vec();
    }
    let mut parts = Vec::new();
    let roots = if is_of_bootstrap { Scrub::Bootstrap } else { Scrub::RootCache };
    if has(&[roots]) || (!is_of_bootstrap && has(&[Scrub::Cache])) {
        // What lies over a root is of no use without it.
        parts.extend([Part::Root, Part::Layer, Part::Session]);
    } else if has(&[Scrub::Chroot]) && !is_of_bootstrap {
        parts.push(Part::Session);
    }
    if has(&[Scrub::Cache, Scrub::DnfCache, Scrub::YumCache]) {
        parts.push(Part::Packages);
    }
    if has(&[Scrub::Cache, Scrub::CCache]) {
        parts.push(Part::Compilers);
    }
    parts
}

/// Removes what `albs-node fetch` keeps.
fn forget_sources(tools: Tools<'_>) -> Result<u8, CliError> {
    match crate::fetch::forget(tools) {
        (false, _) => Ok(0),
        (true, problems) if problems.is_empty() => {
            print(format_args!("removed sources"));
            Ok(0)
        }
        (true, problems) => Err(CliError::new(status::ROOT, problems.join("; "), None)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scrubbed() {
        use Part::{Compilers, Layer, Packages, Root, Session};
        let of = |scrub: &[Scrub]| (parts(scrub, false), parts(scrub, true));
        let all = Part::ALL.to_vec();
        assert_eq!(of(&[]), (all.clone(), all.clone()));
        assert_eq!(of(&[Scrub::Chroot, Scrub::All]), (all.clone(), all.clone()));
        assert_eq!(of(&[Scrub::Chroot]), (vec![Session], vec![]));
        let roots = vec![Root, Layer, Session];
        assert_eq!(of(&[Scrub::Bootstrap]), (vec![], roots.clone()));
        assert_eq!(of(&[Scrub::RootCache, Scrub::Chroot]), (roots, vec![]));
        assert_eq!(of(&[Scrub::DnfCache]), (vec![Packages], vec![Packages]));
        assert_eq!(of(&[Scrub::YumCache]), of(&[Scrub::DnfCache]));
        assert_eq!(of(&[Scrub::CCache]), (vec![Compilers], vec![Compilers]));
        assert_eq!(of(&[Scrub::Cache]), (all, vec![Packages, Compilers]));
    }
}
