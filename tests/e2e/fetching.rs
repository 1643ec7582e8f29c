//! Sources from git repositories, and what they list: `albs-node fetch`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::case::{Case, Run};
use crate::fixture::Kind;
use crate::full::Small;
use crate::git_server::{GitServer, Repository, sum};

const SPEC: &str = "Name: hello\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n";

/// A case with its server.
fn served(kind: Kind, name: &str) -> Option<(Case, GitServer)> {
    let case = Case::alone(kind, name)?;
    let server = GitServer::start(&case.dir.join("served"));
    Some((case, server))
}

/// Fetches from loopback into a directory of the case.
fn fetch(case: &Case, url: &str, to: &str, more: &[&str]) -> Run {
    let to = case.dir.join(to);
    if to.exists() {
        fs::remove_dir_all(&to).unwrap();
    }
    let to = to.display().to_string();
    let args = ["fetch", "--private-network", "127.0.0.0/8", url, &to];
    let run = case.run(&[&args[..], more].concat());
    case.nothing_left();
    let left = fs::read_dir(case.store.join("builds")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{run:?}");
    run
}

trait Refused {
    fn is_refused(&self, told: &str);
}

impl Refused for Run {
    /// Asserts that it failed for its source, and that the one error, or its cause, tells this.
    #[track_caller]
    fn is_refused(&self, told: &str) {
        self.fails(40, "");
        self.tells(told);
    }
}

fn read(case: &Case, path: &str) -> String {
    fs::read_to_string(case.dir.join(path)).unwrap()
}

fn commit_of(run: &Run) -> String {
    run.succeeds();
    let line = run.stdout.lines().find_map(|line| line.strip_prefix("commit   "));
    line.unwrap_or_else(|| panic!("{run:?}")).to_owned()
}

#[test]
fn with_specs_and_sources_apart() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some((case, server)) = served(kind, "fetch-apart") else { return };
        let repository = server.repository("hello");
        let tarball = b"a tarball".as_slice();
        let (sha1, sha512) = (sum::<sha1::Sha1>(tarball), sum::<sha2::Sha512>(b"another"));
        server.file(&sha1, tarball);
        server.file(&sha512, b"another");
        let lookasides = server.lookasides(&case.dir.join("lookaside.toml"));
        symlink("/etc/shadow", repository.work.join("leak")).unwrap();
        let commit = repository.commit(&[
            ("SPECS/hello.spec", SPEC),
            ("SOURCES/run*", "#!/bin/sh\n"),
            ("top.patch", "at the top"),
            (".hello.metadata", &format!("{sha1} SOURCES/hello-1.tar.gz\n")),
            ("sources", &format!("SHA512 (more.tgz) = {sha512}\n")),
        ]);
        let more = ["--lookasides", &lookasides, "--ref", "main"];
        let run = fetch(&case, &server.url("git/hello.git"), "to", &more);
        assert_eq!(commit_of(&run), commit);
        assert!(run.stderr.contains("SPECS/hello.spec is built, since it has the name"), "{run:?}");
        assert!(run.stdout.contains("to/tree/SPECS/hello.spec\nsources  "), "{run:?}");
        assert_eq!(read(&case, "to/tree/SOURCES/hello-1.tar.gz"), "a tarball");
        assert_eq!(read(&case, "to/tree/SOURCES/more.tgz"), "another");
        assert_eq!(read(&case, "to/tree/SOURCES/top.patch"), "at the top");
        let program = case.dir.join("to/tree/SOURCES/run");
        assert_eq!(fs::metadata(program).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(case.dir.join("to/tree/SOURCES/leak").is_symlink());
        let asked = server.requests();
        assert_eq!(asked.matches("/files/").count(), 2, "{asked}");
        assert!(asked.lines().all(|line| line.contains("albs-node/")), "{asked}");
        // The checksum is all that is needed the next time.
        fetch(&case, &server.url("git/hello.git"), "again", &more).succeeds();
        assert_eq!(read(&case, "again/tree/SOURCES/hello-1.tar.gz"), "a tarball");
        assert!(!server.requests().contains("/files/"));
    }
}

#[test]
fn files_of_lfs_if_they_are_allowed() {
    let Some((case, server)) = served(Kind::own(), "fetch-lfs") else { return };
    let repository = server.repository("hello");
    let tarball = "a tarball of LFS";
    let sha256 = sum::<sha2::Sha256>(tarball.as_bytes());
    server.file(&sha256, tarball.as_bytes());
    let pointer = |sum: &str, size: usize| {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sum}\nsize {size}\n")
    };
    let kept = pointer(&sha256, tarball.len());
    repository.commit(&[
        ("hello.spec", SPEC),
        ("hello-1.tar.gz", &kept),
        // What git would run, if anybody had configured it.
        (".gitattributes", "*.tar.gz filter=lfs diff=lfs merge=lfs -text\n"),
        (".lfsconfig", "[lfs]\n\turl = http://10.254.254.254/\n"),
    ]);
    let url = server.url("git/hello.git");
    let run = fetch(&case, &url, "to", &[]);
    run.succeeds();
    run.tells("hello-1.tar.gz is but a pointer of git LFS, as 1 of the sources are");
    assert_eq!(read(&case, "to/tree/hello-1.tar.gz"), kept);
    assert!(!server.requests().contains("lfs"));

    for (place, asked) in [("git", 1), ("moved", 0)] {
        let url = server.url(&format!("{place}/hello.git"));
        fetch(&case, &url, "to", &["--lfs"]).succeeds();
        assert_eq!(read(&case, "to/tree/hello-1.tar.gz"), tarball);
        // The second time it is in the cache.
        assert_eq!(server.requests().matches("GET /files/").count(), asked);
    }
    let nobodys = pointer(&"0".repeat(64), 7);
    repository.commit(&[("more.tar.gz", &nobodys)]);
    let run = fetch(&case, &url, "to", &["--lfs"]);
    run.succeeds();
    run.tells("more.tar.gz is listed with sha256 000");
    run.tells("no server of git LFS has it");
    // rpmbuild finds something of that name, and nobody gets it from elsewhere without a checksum.
    assert_eq!(read(&case, "to/tree/more.tar.gz"), nobodys);
    repository.commit(&[("more.tar.gz", &pointer(&"f".repeat(64), 7))]);
    fetch(&case, &url, "to", &["--lfs"]).is_refused("gives 403");
    repository.commit(&[("more.tar.gz", &pointer(&"0".repeat(64), 1 << 60))]);
    fetch(&case, &url, "to", &["--lfs"]).fails(40, "more than sources may have");
    // What is longer than its pointer says is not read to its end.
    let long = pointer(&sha256, tarball.len() - 1);
    repository.commit(&[("hello-1.tar.gz", &long), ("more.tar.gz", "")]);
    let cache = case.store.join("sources");
    fs::remove_dir_all(cache).unwrap();
    fetch(&case, &url, "to", &["--lfs"]).is_refused("is larger than 15 bytes");
}

#[test]
fn any_ref_and_any_commit() {
    let Some((case, server)) = served(Kind::own(), "fetch-refs") else { return };
    let repository = server.repository("hello");
    let first = repository.commit(&[("hello.spec", SPEC)]);
    repository.git(&["tag", "both"]);
    let second = repository.commit(&[("second", "")]);
    repository.git(&["branch", "both"]);
    repository.git(&["branch", "c10s/beta"]);
    let third = repository.commit(&[("third", "")]);
    repository.git(&["tag", "-a", "-m", "annotated", "v3"]);
    repository.git(&["update-ref", "refs/pull/7/head", &first]);
    repository.push();
    for place in ["git", "dumb"] {
        let url = server.url(&format!("{place}/hello.git"));
        let get = |more: &[&str]| commit_of(&fetch(&case, &url, "to", more));
        assert_eq!(get(&[]), third, "{place}");
        assert_eq!(get(&["--ref", "c10s/beta"]), second, "{place}");
        // As git does for names without more.
        assert_eq!(get(&["--ref", "both"]), first, "{place}");
        assert_eq!(get(&["--ref", "v3"]), third, "{place}");
        assert_eq!(get(&["--ref", "refs/pull/7/head"]), first, "{place}");
        assert_eq!(get(&["--ref", &second[..10]]), second, "{place}");
        assert_eq!(get(&["--commit", &second, "--ref", "v3"]), second, "{place}");
        assert!(!case.dir.join("to/tree/third").exists());
        let run = fetch(&case, &url, "to", &["--ref", "no-such-ref"]);
        run.is_refused("could not be fetched");
        assert!(run.stderr.contains("no-such-ref"), "{run:?}");
    }
    // One commit is all that was asked for, where one could be had.
    server.requests();
    commit_of(&fetch(&case, &server.url("moved/hello.git"), "to", &["--ref", "main"]));
    let asked = server.requests();
    assert_eq!(asked.matches("/moved/").count(), 1, "{asked}");
    let shallow = case.dir.join("to/tree/.git/shallow");
    assert_eq!(fs::read_to_string(shallow).unwrap().trim(), third);
}

#[test]
fn the_history_comes_through_a_mirror() {
    let Some((case, server)) = served(Kind::own(), "fetch-history") else { return };
    let repository = server.repository("hello");
    repository.commit(&[("hello.spec", SPEC)]);
    let commit = repository.commit(&[("second", "")]);
    let url = server.url("git/hello.git");
    let history = |to: &str| {
        let run = fetch(&case, &url, to, &["--history"]);
        let git = case.dir.join(to).join("tree/.git");
        let args = ["-c", "safe.directory=*", "--git-dir", git.to_str().unwrap()];
        let log = std::process::Command::new("git")
            .args(args)
            .args(["rev-list", "--count", "HEAD"])
            .output()
            .unwrap();
        assert!(log.status.success(), "{log:?}");
        (commit_of(&run), String::from_utf8(log.stdout).unwrap().trim().to_owned())
    };
    assert_eq!(history("to"), (commit, "2".to_owned()));
    let mirrors = case.store.join("git");
    let mirror = fs::read_dir(&mirrors).unwrap().flatten().find(|entry| entry.path().is_dir());
    let mirror = mirror.unwrap().path();
    // Rewritten, with a directory where a branch was.
    repository.git(&["checkout", "-q", "--orphan", "other"]);
    let rewritten = repository.commit(&[("rewritten", "")]);
    repository.git(&["branch", "-f", "main"]);
    repository.push();
    assert_eq!(history("to"), (rewritten.clone(), "1".to_owned()));
    // Somebody else updates the mirror: it is borrowed from.
    let lock = fs::File::open(mirror.with_extension("lock")).unwrap();
    let lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let last = repository.commit(&[("last", "")]);
    repository.git(&["branch", "-f", "main"]);
    repository.push();
    assert_eq!(history("to"), (last.clone(), "2".to_owned()));
    drop(lock);
    // Broken: made anew.
    fs::write(mirror.join("repository/HEAD"), "nonsense").unwrap();
    assert_eq!(history("to"), (last.clone(), "2".to_owned()));
    // Where room is wanted, it goes, but not before the day is over.
    let caches = ["--git-cache", mirrors.to_str().unwrap(), "--source-cache", "/nonexistent"];
    let make_room = |least| {
        let words = [&["buildroot", "gc", "--min-free", least][..], &caches].concat();
        case.run(&words).succeeds();
    };
    make_room("900T");
    assert!(mirror.exists());
    let used = SystemTime::now() - Duration::from_secs(7 * 3600);
    let lock = fs::File::options().write(true).open(mirror.with_extension("lock")).unwrap();
    lock.set_modified(used).unwrap();
    make_room("1");
    assert!(mirror.exists());
    make_room("900T");
    assert!(!mirror.exists() && mirrors.exists());
    assert_eq!(history("to"), (last, "2".to_owned()));
    // Only everything includes it.
    case.run(&["clean", "-r", &case.config()]).succeeds();
    assert!(mirror.exists());
    let cleaned = case.run(&["clean", "--all"]);
    cleaned.succeeds();
    assert!(cleaned.stdout.contains("removed sources"), "{cleaned:?}");
    assert!(!mirrors.exists());
}

#[test]
fn repositories_in_repositories() {
    let Some((case, server)) = served(Kind::own(), "fetch-submodules") else { return };
    let inner = server.repository("inner");
    inner.commit(&[("deep", "in the inner one")]);
    let outer = server.repository("outer");
    outer.commit(&[("outer.spec", SPEC)]);
    let add = |url: &str, path: &str| {
        outer.git(&["submodule", "--quiet", "add", "--force", url, path]);
    };
    add(inner.bare.to_str().unwrap(), "lib/inner");
    // It is the next later, which is of no concern.
    inner.commit(&[("later", "")]);
    outer.git(&["config", "-f", ".gitmodules", "submodule.lib/inner.url", "../inner.git"]);
    outer.commit(&[]);
    fetch(&case, &server.url("git/outer.git"), "to", &[]).succeeds();
    assert_eq!(read(&case, "to/tree/lib/inner/deep"), "in the inner one");
    assert!(!case.dir.join("to/tree/lib/inner/later").exists());
    for (url, sentence) in [
        ("file:///etc", "which is no server's address"),
        ("ext::sh -c id", "which is no server's address"),
        ("http://10.254.254.254/x", "sources may not come from there"),
    ] {
        outer.git(&["config", "-f", ".gitmodules", "submodule.lib/inner.url", url]);
        outer.commit(&[]);
        fetch(&case, &server.url("git/outer.git"), "to", &[]).is_refused(sentence);
    }
}

#[test]
fn what_is_refused() {
    let Some((case, server)) = served(Kind::own(), "fetch-refused") else { return };
    server.repository("hello").commit(&[("hello.spec", SPEC)]);
    let url = server.url("git/hello.git");
    let to = case.dir.join("to").display().to_string();
    let run = case.run(&["fetch", &url, &to]);
    run.is_refused("127.0.0.1, which is not on the internet; sources may not come from there");
    assert!(server.requests().is_empty());
    fetch(&case, &server.url("away/hello.git"), "to", &[]).is_refused("10.254.254.254");
    for odd in ["file:///etc", "/etc", "ext::sh -c id", "ssh://-oProxyCommand=id/x"] {
        fetch(&case, odd, "to", &[]).is_refused("is not the address of a git repository");
    }
    for odd in ["--upload-pack=touch /x", "a..b", "a:b"] {
        let odd = format!("--ref={odd}");
        fetch(&case, &url, "to", &[&odd]).is_refused("no name that git accepts");
    }
    fetch(&case, &server.url("git/none.git"), "to", &[]).is_refused("gives 404");
    // A server that is away is asked more than once.
    let run = fetch(&case, "http://127.0.0.1:1/x.git", "to", &[]);
    run.is_refused("127.0.0.1:1/x.git");
    // Nothing is overwritten.
    fs::create_dir_all(case.dir.join("full/x")).unwrap();
    let full = case.dir.join("full").display().to_string();
    case.run(&["fetch", &url, &full]).fails(5, "is not empty");
}

/// Files that other clients of git would execute, or let decide what is.
#[test]
fn nothing_of_a_repository_is_executed() {
    let Some((case, server)) = served(Kind::own(), "fetch-hostile") else { return };
    let repository = server.repository("hello");
    let marker = case.dir.join("executed");
    let code = format!("#!/bin/sh\ntouch {}\n", marker.display());
    let config = format!(
        "[core]\n\tfsmonitor = touch {0}\n\thooksPath = hooks\n[filter \"x\"]\n\tsmudge = touch {0}\n",
        marker.display()
    );
    repository.commit(&[
        ("hello.spec", SPEC),
        ("hooks/post-checkout*", &code),
        (".gitattributes", "* filter=x\nbig filter=lfs\n"),
        (".gitconfig", &config),
        ("big", "version https://git-lfs.github.com/spec/v1\n"),
    ]);
    fetch(&case, &server.url("git/hello.git"), "to", &[]).succeeds();
    fetch(&case, &server.url("git/hello.git"), "to", &["--history"]).succeeds();
    assert!(read(&case, "to/tree/big").starts_with("version "));
    assert!(!marker.exists());
}

/// A tree of trees that are all the same: few objects, a million files.
#[test]
fn what_git_writes_is_limited() {
    const BOMB: &str = "
        entry=\"100644 blob $(git hash-object -w --stdin < /dev/null)\"
        for level in 1 2 3 4 5 6; do
            tree=$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '%s\t%s\n' \"$entry\" $i; done | git mktree)
            entry=\"040000 tree $tree\"
        done
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
        git update-ref refs/heads/bomb $(git commit-tree -m bomb $tree)";
    for kind in Kind::possible(&[Kind::Root, Kind::Subids]) {
        let Some((case, server)) = served(kind, "fetch-bomb") else { return };
        let Some(_small) = Small::mount(&case, "size=1g,nr_inodes=20k") else { return };
        let repository = server.repository("hello");
        repository.commit(&[("hello.spec", SPEC)]);
        let made = Command::new("sh").args(["-ec", BOMB]).current_dir(&repository.work).status();
        assert!(made.unwrap().success());
        repository.push();
        let url = server.url("git/hello.git");
        for more in [&[][..], &["--history"]] {
            let fetch = |branch| fetch(&case, &url, "to", &[&["--ref", branch], more].concat());
            fetch("main").succeeds();
            let run = fetch("bomb");
            run.is_refused("git hit the limit of ");
            run.tells("hint: no more of the disk was free for it: make room where the store is");
            fetch("main").succeeds();
        }
    }
}

#[test]
fn lists_that_are_wrong() {
    let Some((case, server)) = served(Kind::own(), "fetch-lists") else { return };
    let lookasides = server.lookasides(&case.dir.join("lookaside.toml"));
    let repository = server.repository("hello");
    let good = sum::<sha2::Sha256>(b"good");
    let outside = case.dir.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    symlink(&outside, repository.work.join("out")).unwrap();
    repository.commit(&[("hello.spec", SPEC)]);
    let get = |repository: &Repository, list: &str| {
        repository.commit(&[(".hello.metadata", list)]);
        fetch(&case, &server.url("git/hello.git"), "to", &["--lookasides", &lookasides])
    };
    // Nobody has it: perhaps nobody needs it.
    let run = get(&repository, &format!("{good} good\n"));
    run.succeeds();
    assert!(run.stderr.contains("no lookaside has it"), "{run:?}");
    server.file(&good, b"bad");
    let run = get(&repository, &format!("{good} good\n"));
    run.is_refused("the source good could not be downloaded");
    assert!(run.stderr.contains(&good), "{run:?}");
    server.file(&good, b"good");
    for odd in ["../x", "/etc/passwd", ".git/hooks/x"] {
        let run = get(&repository, &format!("# a comment\n{good} {odd}\n"));
        run.is_refused(".hello.metadata: line 2 is ");
    }
    get(&repository, &format!("{good} out/kept\n")).is_refused("out/kept");
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    get(&repository, &format!("{good} good\n")).succeeds();
    assert_eq!(read(&case, "to/tree/good"), "good");
    // Without a spec, nothing can be built.
    let empty = server.repository("empty");
    empty.commit(&[("README", "")]);
    fetch(&case, &server.url("git/empty.git"), "to", &[]).is_refused("has no spec file");
    assert!(Path::new("/etc/shadow").exists());
}
