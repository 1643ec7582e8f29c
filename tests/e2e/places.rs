//! Disks that are full, directories that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::case::{Case, verdict};
use crate::fixture::{Kind, directory_of};

/// Puts the store on a file system in memory that only the runs of this test see. Lists what is
/// left in the store after each.
fn small_store(case: &mut Case, options: &str) {
    let owner = if case.kind == Kind::Root { 0 } else { crate::fixture::USER };
    let script = format!(
        "mount -t tmpfs -o {options},mode=700,uid={owner} none \"$1\" || exit 99
         store=$1; into=$2; shift 2; \"$@\"; status=$?
         find \"$store\" -mindepth 1 -maxdepth 3 ! -path '*/cache/*' > \"$into\"; exit $status"
    );
    let into = case.dir.join("listing").display().to_string();
    let store = case.store.display().to_string();
    case.prefix =
        ["unshare", "-m", "sh", "-c", &script, "sh", &store, &into].map(str::to_owned).to_vec();
}

fn nothing_in_small_store(case: &Case) {
    case.nothing_left();
    let listing = fs::read_to_string(case.dir.join("listing")).unwrap();
    for path in listing.lines() {
        let inside = path.strip_prefix(&case.store.display().to_string()).unwrap();
        let parts = [
            "/roots",
            "/layers",
            "/wants",
            "/sessions",
            "/builds",
            "/cache",
            "/ccache",
            "/images",
            "/tidied",
        ];
        let lock = inside.starts_with("/roots/") && inside.ends_with(".lock");
        assert!(parts.contains(&inside) || lock, "{inside}: {listing}");
    }
}

#[test]
fn the_disk_fills_while_the_buildroot_is_made() {
    for (kind, size) in [
        (Kind::Subids, "size=100m"),
        (Kind::Root, "size=100m"),
        (Kind::NoSubids, "size=12m"),
        (Kind::Subids, "nr_inodes=2000"),
    ] {
        let name = format!("disk-{}", size.replace('=', "-"));
        let Some(mut case) = Case::alone(kind, &name) else { return };
        small_store(&mut case, size);
        let run = case.build("bad/small", &[]);
        run.fails(30, "installing the buildroot failed: the disk is full");
        run.tells("hint: free space where the store is");
        verdict(&case.outcome("result"), "bootstrap", "resource");
        nothing_in_small_store(&case);
    }
}

#[test]
fn not_even_a_directory_fits() {
    for inodes in 1..14 {
        let Some(mut case) = Case::alone(Kind::Subids, &format!("inodes-{inodes}")) else { return };
        small_store(&mut case, &format!("nr_inodes={inodes}"));
        let run = case.build("bad/small", &[]);
        assert!([20, 30].contains(&run.status), "{run:?}");
        run.fails(run.status, "");
        assert!(run.stderr.contains("No space left on device"), "{inodes}: {run:?}");
        if case.result("result").exists() {
            verdict(&case.outcome("result"), "bootstrap", "resource");
        }
        nothing_in_small_store(&case);
    }
}

#[test]
fn the_build_fills_the_disk() {
    let Some(mut case) = Case::alone(Kind::Subids, "disk-build") else { return };
    small_store(&mut case, "size=900m");
    let run = case.build("bad/disk-hog", &[]);
    run.fails(10, "rpmbuild -bb failed: the disk is full");
    run.tells("No space left on device");
    run.tells("hint: free space where the store is");
    verdict(&case.outcome("result"), "rpmbuild", "resource");
    case.nothing_left();
    let listing = fs::read_to_string(case.dir.join("listing")).unwrap();
    assert!(!listing.contains("/builds/"), "{listing}");
}

#[test]
fn the_result_directory_cannot_be_used() {
    let Some(case) = Case::shared(Kind::Subids, "no-results") else { return };
    let file = case.file("file", b"precious\n");
    let forbidden = case.dir.join("forbidden");
    fs::create_dir(&forbidden).unwrap();
    for result in [
        file.clone(),
        format!("{file}/below"),
        forbidden.join("x").display().to_string(),
        forbidden.display().to_string(),
    ] {
        let mut args = case.build_args("bad/small");
        *args.last_mut().unwrap() = result.clone();
        let run = case.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        run.fails(70, &format!("cannot use the result directory {result}"));
        run.tells("cause: ");
        case.nothing_left();
    }
    assert_eq!(fs::read(file).unwrap(), b"precious\n");
    assert_eq!(fs::read_dir(forbidden).unwrap().count(), 0);
}

#[test]
fn the_store_cannot_be_used() {
    let Some(mut case) = Case::alone(Kind::Subids, "bad-store") else { return };
    let own = case.store.clone();
    case.store = case.file("file", b"").into();
    case.build("bad/small", &[]).fails(20, "the store");
    // Somebody else's directory is not used, even where everybody may write.
    case.store = case.dir.join("foreign");
    directory_of(&case.store, Kind::Root);
    fs::set_permissions(&case.store, fs::Permissions::from_mode(0o777)).unwrap();
    let run = case.build("bad/small", &[]);
    run.fails(20, "cannot use the store");
    run.tells("it is not a directory that belongs to this user");
    assert_eq!(fs::read_dir(&case.store).unwrap().count(), 0);
    case.store = case.dir.join("link");
    std::os::unix::fs::symlink(own, &case.store).unwrap();
    case.build("bad/small", &[]).fails(20, "cannot use the store");
    case.nothing_left();
}
