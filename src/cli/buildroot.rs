//! `albs-node buildroot`: what is kept of buildroots.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandbox::HostFacts;

use super::args::{
    BuildrootCommand, BuildrootExplain, BuildrootGc, BuildrootList, BuildrootVerify,
};
use super::error::CliError;
use super::output::{bytes, note, print};
use super::setup::{Setup, StoreUse, maintenance_context, own_program, store_error, store_of};
use crate::buildroot::disk::{self, Size};
use crate::buildroot::integrity::{self, Integrity};
use crate::buildroot::inventory::{self, Allowance, Entry, Kind};
use crate::buildroot::keep::{self, KeepPolicy};
use crate::buildroot::layers::{self, Want};
use crate::buildroot::remove::{self, Removed};
use crate::buildroot::scratch::Tools;
use crate::buildroot::{revisions, route};
use crate::fetch;
use crate::source::SourcePackage;
use crate::verdict::status;

/// After which what is known of repositories is forgotten.
const REVISIONS_AGE: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn run(command: &BuildrootCommand) -> Result<u8, CliError> {
    match command {
        BuildrootCommand::List(args) => list(args),
        BuildrootCommand::Explain(args) => explain(args),
        BuildrootCommand::Gc(args) => gc(args),
        BuildrootCommand::Verify(args) => verify(args),
    }
}

fn list(args: &BuildrootList) -> Result<u8, CliError> {
    let store = store_of(&args.store, None, &HostFacts::probe(), StoreUse::Look)?;
    let entries = inventory::list(&store);
    if args.json {
        print(serde_json::json!({ "store": store.path(), "entries": entries }));
        return Ok(0);
    }
    let now = now();
    let rows: Vec<[String; 7]> = entries.iter().map(|entry| row(entry, now)).collect();
    let head = ["what", "key", "size", "files", "made", "used", "by"].map(str::to_owned);
    print(table(&[&[head], &rows[..]].concat()).trim_end());
    let total = entries.iter().map(|entry| entry.size.bytes).sum();
    print(format_args!("{} in {}", bytes(total), store.path().display()));
    Ok(0)
}

fn row(entry: &Entry, now: u64) -> [String; 7] {
    let mut users: Vec<String> = entry.users.iter().map(u32::to_string).collect();
    if entry.has_session {
        users.push("shell".to_owned());
    }
    [
        kind(entry.kind).to_owned(),
        entry.key.clone(),
        bytes(entry.size.bytes),
        entry.size.inodes.to_string(),
        ago(now, entry.created),
        ago(now, entry.used),
        if users.is_empty() { "-".to_owned() } else { users.join(",") },
    ]
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Root => "root",
        Kind::Dependencies => "dependencies",
    }
}

/// Rows with columns of equal width.
fn table(rows: &[[String; 7]]) -> String {
    let mut widths = [0; 7];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 7]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// How long ago something was, for people.
fn ago(now: u64, then: u64) -> String {
    match now.saturating_sub(then) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn explain(args: &BuildrootExplain) -> Result<u8, CliError> {
    let setup = Setup::new(&args.common, StoreUse::Look)?;
    let offline = args.common.offline;
    let revisions = revisions::of(&setup.options, setup.store(), offline, &|| false);
    let revisions = revisions.map_err(|error| {
        let hint = error.hint();
        CliError::new(status::ROOT, error, hint)
    })?;
    let (key, is_there) = route::explain(setup.store(), setup.key(), &revisions);
    let mut document = serde_json::json!({
        "key": key,
        "is_there": is_there,
        "parts": setup.key_parts(),
        "repositories": revisions.repositories,
        "not_known": revisions.failed,
    });
    let state = match is_there {
        true => "there",
        false => "not there: none was made of exactly these parts",
    };
    let mut text = format!("buildroot    {key}: {state}\n");
    if let Some(path) = &args.package {
        let package = SourcePackage::read(path)
            .map_err(|error| CliError::new(status::SOURCE_PACKAGE, error, None))?;
        let (requires, conflicts) = (package.requires, package.conflicts);
        let want = Want { requires, conflicts, ..Want::default() };
        let known = layers::known(setup.store(), &key, &want);
        text += &match &known {
            Some(layer) => format!("dependencies {layer}: there\n"),
            None => {
                "dependencies not there: the first build that has them installs them\n".to_owned()
            }
        };
        document["dependencies"] = serde_json::json!({
            "requires": want.requires,
            "want": want.hash(&key),
            "layer": known,
        });
    }
    if args.common.json {
        print(document);
        return Ok(0);
    }
    let parts = document["parts"].as_object().into_iter().flatten();
    for (name, value) in parts.filter(|(_, value)| !value.is_null()) {
        let shown: String = value.to_string().chars().take(100).collect();
        text += &format!("  {name} = {shown}\n");
    }
    for (id, revision) in &revisions.repositories {
        text += &format!("  repository {id} = {} ({})\n", &revision.sha256[..12], revision.from);
    }
    for (id, reason) in &revisions.failed {
        text += &format!("  repository {id} is not known: {reason}\n");
    }
    print(text.trim_end());
    Ok(0)
}

fn gc(args: &BuildrootGc) -> Result<u8, CliError> {
    let host = HostFacts::probe();
    let store = store_of(&args.store, None, &host, StoreUse::Make)?;
    let given = [args.max_size, args.min_free, args.min_free_inodes, args.max_age];
    let least = match given {
        [None, None, None, None] => KeepPolicy::load(&args.policy)
            .and_then(|policy| policy.allowance(keep::file_system_bytes(&store)))
            .map_err(|error| CliError::new(status::CONFIG, error, None))?,
        [bytes, free, inodes, age] => {
            let free = Size { bytes: free.unwrap_or(0), inodes: inodes.unwrap_or(0) };
            Allowance { bytes, free, age }
        }
    };
    let context = maintenance_context(host);
    let program = own_program()?;
    let mut worst = 0;
    let allowed = Allowance { free: least.wanted(disk::free(store.path())), ..least };
    if !args.dry_run {
        remove::sweep(&context, &program, &store);
        let tools = Tools { context: &context, program: &program, store: &store };
        let kept = (args.source_cache.as_deref(), args.git_cache.as_deref());
        for problem in fetch::make_room(kept, &least, tools) {
            note(problem);
            worst = status::ROOT;
        }
    }
    let mut freed = 0;
    let free = disk::free(store.path());
    for removal in inventory::removals(&inventory::list(&store), allowed, free, now()) {
        let (what, size) = (kind(removal.kind), bytes(removal.bytes));
        let line = format!("{what} {} ({size}): {}", removal.key, removal.why);
        if args.dry_run {
            print(format_args!("would remove {line}"));
            freed += removal.bytes;
            continue;
        }
        match remove::remove_root(&context, &program, &store, &removal.key) {
            Ok(Removed::Gone) => {
                print(format_args!("removed {line}"));
                freed += removal.bytes;
            }
            // Somebody has begun to use it.
            Ok(Removed::InUse) => {}
            Ok(Removed::Failed(reason)) => {
                note(format_args!("{what} {} was not removed: {reason}", removal.key));
                worst = status::ROOT;
            }
            Err(error) => return Err(store_error(error)),
        }
    }
    if !args.dry_run {
        inventory::forget_wants(&store);
        for line in inventory::caches_without_roots(&store) {
            remove::remove_root(&context, &program, &store, &line).map_err(store_error)?;
        }
        if let Err(error) = revisions::prune(&store.revisions(), REVISIONS_AGE) {
            note(format_args!("what is known of repositories was not tidied: {error}"));
        }
    }
    print(format_args!(
        "{} {}",
        bytes(freed),
        if args.dry_run { "would be free" } else { "freed" }
    ));
    Ok(worst)
}

fn verify(args: &BuildrootVerify) -> Result<u8, CliError> {
    let host = HostFacts::probe();
    let store = store_of(&args.store, None, &host, StoreUse::Make)?;
    let context = maintenance_context(host);
    let program = own_program()?;
    let mut damaged = 0;
    let entries = inventory::list(&store);
    for entry in &entries {
        let (dir, tree) = inventory::place(&store, entry);
        let why = match integrity::verify(&context, &program, &tree, &dir) {
            Ok(Integrity::Intact) => continue,
            Ok(Integrity::Changed(lines, count)) => {
                format!("{count} lines of its manifest differ\n  {}", lines.join("\n  "))
            }
            Err(error) => error,
        };
        damaged += 1;
        let what = kind(entry.kind);
        print(format_args!("{what} {}: {why}", entry.key));
        match remove::remove_root(&context, &program, &store, &entry.key) {
            Ok(Removed::Gone) => print(format_args!("removed {}", entry.key)),
            Ok(Removed::InUse) => note(format_args!("{} is in use and was not removed", entry.key)),
            Ok(Removed::Failed(reason)) => {
                note(format_args!("{} was not removed: {reason}", entry.key));
            }
            Err(error) => return Err(store_error(error)),
        }
    }
    inventory::forget_wants(&store);
    print(format_args!("{} of {} intact", entries.len() - damaged, entries.len()));
    Ok(if damaged > 0 { status::GENERIC } else { 0 })
}
