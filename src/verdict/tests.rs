use sandbox::outcome::Usage;
use sandbox::spec::{Limit, Limits};
use sandbox::{Exit, Outcome};

use super::*;

fn outcome(exit: Exit) -> Outcome {
    Outcome {
        exit,
        seconds: 12.3,
        usage: Usage::default(),
        leftovers: 0,
        enforcement: Vec::new(),
        samples: Vec::new(),
        largest: None,
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// What a reader of `outcome.json` gets.
fn summary(failure: Option<Failure>) -> serde_json::Value {
    let failure = failure.expect("it failed");
    let mut value = serde_json::to_value(failure.verdict()).unwrap();
    value["status"] = failure.status.into();
    value
}

fn rpmbuild(exit: Exit, text: &str) -> serde_json::Value {
    let limits = Limits::default();
    summary(classify_rpmbuild(
        Stage::Rpmbuild,
        "rpmbuild -bb",
        &outcome(exit),
        &limits,
        Said { tail: &lines(text), section: None, lacks_room: true },
    ))
}

fn dnf(stage: Stage, text: &str) -> serde_json::Value {
    let limits = Limits::default();
    let outcome = outcome(Exit::Exited(1));
    summary(classify_package_manager(stage, "installing", &outcome, &limits, &lines(text)))
}

#[test]
fn success_is_no_failure() {
    let good = outcome(Exit::Exited(0));
    let limits = Limits::default();
    assert!(classify_rpmbuild(Stage::Srpm, "x", &good, &limits, Said::default()).is_none());
    assert!(classify_package_manager(Stage::Install, "x", &good, &limits, &[]).is_none());
}

#[test]
fn compiler_error() {
    insta::assert_json_snapshot!(rpmbuild(
        Exit::Exited(1),
        "+ make -j2\ngcc -O2 -c x.c\nx.c:3:5: error: unknown type name 'foo'\n\
         make: *** [Makefile:2: x.o] Error 1\n\
         error: Bad exit status from /var/tmp/rpm-tmp.aBc (%build)\n\n\
         RPM build errors:\n    Bad exit status from /var/tmp/rpm-tmp.aBc (%build)",
    ));
}

#[test]
fn broken_spec() {
    insta::assert_json_snapshot!(rpmbuild(
        Exit::Exited(1),
        "error: line 7: Unknown tag: Nmae: x\nerror: Name field must be present in package: (main package)",
    ));
}

#[test]
fn disk_full_in_a_build() {
    insta::assert_json_snapshot!(rpmbuild(
        Exit::Exited(1),
        "cc1: error: x.o: No space left on device\nerror: Bad exit status from /x (%build)",
    ));
}

#[test]
fn a_package_that_talks_of_a_full_disk() {
    let tail = lines("dd: error writing '/dev/full': No space left on device\nFAIL: others.sh");
    let said = Said { tail: &tail, section: Some("%check"), lacks_room: false };
    let (failed, limits) = (outcome(Exit::Exited(1)), Limits::default());
    let failure = classify_rpmbuild(Stage::Rpmbuild, "rpmbuild -bb", &failed, &limits, said);
    assert_eq!(failure.unwrap().class, Class::Package);
}

#[test]
fn time_limit() {
    insta::assert_json_snapshot!(rpmbuild(Exit::TimedOut, "+ sleep 1000"));
    insta::assert_json_snapshot!("silence", rpmbuild(Exit::Silent, "+ sleep 1000"));
}

#[test]
fn memory_and_process_limits() {
    let limits = Limits {
        memory_bytes: Some(Limit::required(1 << 30)),
        pids: Some(Limit::required(100)),
        ..Limits::default()
    };
    let mut memory = outcome(Exit::Exited(1));
    memory.usage.oom_kills = 2;
    let tail = lines("g++: fatal error: Killed signal terminated program cc1plus");
    memory.usage.memory_peak_bytes = Some(1 << 30);
    memory.largest = Some(sandbox::Largest { name: "cc1plus".to_owned(), bytes: 900 << 20 });
    let said = Said { tail: &tail, section: Some("%check"), lacks_room: false };
    let failure = classify_rpmbuild(Stage::Rpmbuild, "rpmbuild -bb", &memory, &limits, said);
    insta::assert_json_snapshot!("memory_limit", summary(failure));

    let mut pids = outcome(Exit::Exited(2));
    pids.usage.pids_refused = 7;
    let tail = lines("/bin/sh: fork: retry: Resource temporarily unavailable");
    let said = Said { tail: &tail, ..Said::default() };
    let failure = classify_rpmbuild(Stage::Rpmbuild, "rpmbuild -bb", &pids, &limits, said);
    insta::assert_json_snapshot!("pids_limit", summary(failure));
}

#[test]
fn a_host_without_memory_is_not_the_packages_fault() {
    let mut killed = outcome(Exit::Signaled(9));
    killed.usage.host_oom_kills = 1;
    let limits = Limits { memory_bytes: Some(Limit::required(1 << 30)), ..Limits::default() };
    let said = Said { section: Some("%check"), ..Said::default() };
    let failure = classify_rpmbuild(Stage::Rpmbuild, "rpmbuild -bb", &killed, &limits, said);
    let failure = failure.unwrap();
    assert_eq!((failure.class, failure.retryable), (Class::Infrastructure, true));
    assert!(failure.message.contains("the host ran out of memory"), "{}", failure.message);
}

#[test]
fn only_rpmbuild_says_that_a_package_is_not_for_this() {
    let of = |text: &str, section| {
        let (failed, limits) = (outcome(Exit::Exited(1)), Limits::default());
        let said = Said { tail: &lines(text), section, lacks_room: true };
        classify_rpmbuild(Stage::Rpmbuild, "rpmbuild -bb", &failed, &limits, said).unwrap().class
    };
    let line = "error: No compatible architectures found for build";
    assert_eq!(of(line, None), Class::Excluded);
    assert_eq!(of(line, Some("%check")), Class::Package);
    assert_eq!(of("No compatible architectures found for build", None), Class::Package);
}

#[test]
fn missing_dependency() {
    insta::assert_json_snapshot!(dnf(
        Stage::Install,
        "Last metadata expiration check: 0:00:01 ago\nNo matching package to install: 'nosuch-devel'\n\
         Not all dependencies satisfied\nError: Some packages could not be found.",
    ));
}

#[test]
fn unreachable_repository() {
    insta::assert_json_snapshot!(dnf(
        Stage::Bootstrap,
        "Errors during downloading metadata for repository 'local':\n\
         - Curl error (7): Couldn't connect to server for http://127.0.0.1:1/repodata/repomd.xml\n\
         Error: Failed to download metadata for repo 'local': Cannot download repomd.xml",
    ));
}

#[test]
fn anything_else_shows_the_last_lines() {
    insta::assert_json_snapshot!(dnf(Stage::Bootstrap, "one\ntwo\nthree\nfour"));
}

#[test]
fn what_only_the_build_can_have_done() {
    let start = |step: &str, errno| {
        let step = step.to_owned();
        Exit::CouldNotStart(sandbox::StartFailure { step, errno, detail: None, hint: None })
    };
    let limits = Limits::default();
    let of = |exit: Exit| {
        let stage = Stage::Rpmbuild;
        let failure =
            classify_rpmbuild(stage, "rpmbuild", &outcome(exit), &limits, Said::default());
        failure.map(|failure| (failure.class, failure.retryable)).unwrap()
    };
    let (package, host) = ((Class::Package, false), (Class::Infrastructure, false));
    assert_eq!(of(start("file /builddir/.rpmmacros", nix::libc::EISDIR)), package);
    assert_eq!(of(start("file /builddir/.rpmmacros", nix::libc::EPERM)), host);
    assert_eq!(of(start("bind /opt/tools", nix::libc::ENOTDIR)), host);
    assert_eq!(of(start("chdir to /builddir", nix::libc::EACCES)), package);
    // The config may have forgotten it.
    assert_eq!(of(start("execute rpmbuild", nix::libc::ENOENT)), host);
    // Of namespaces, not of the disk.
    assert_eq!(of(start("clone a process", nix::libc::ENOSPC)), host);
    assert_eq!(of(Exit::Signaled(11)), package);
    assert_eq!(of(Exit::Signaled(9)), (Class::Infrastructure, true));
    // Programs of ours.
    let crashed = outcome(Exit::Signaled(11));
    let failure = classify_command(Stage::Srpm, "git archive", &crashed, &limits).unwrap();
    assert_eq!((failure.class, failure.retryable), (Class::Infrastructure, true));
}
