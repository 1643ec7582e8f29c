//! `--bind`.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Mode, Run, open_directory, temporary_directory};

in_each_mode! { directories files mistakes }

struct Fixture {
    _dir: tempfile::TempDir,
    shared: PathBuf,
}

/// A directory for everyone with a file for everyone.
fn fixture() -> Fixture {
    use std::os::unix::fs::PermissionsExt;
    let dir = temporary_directory();
    let shared = open_directory(&dir.path().join("shared"));
    fs::write(shared.join("file"), "content").expect("write");
    fs::set_permissions(shared.join("file"), fs::Permissions::from_mode(0o666)).expect("chmod");
    Fixture { _dir: dir, shared }
}

fn directories(mode: Mode) {
    let fixture = fixture();
    let shared = fixture.shared.display().to_string();
    let done =
        Run::new(mode).bind(&shared).shell(&format!("cat {shared}/file; echo x > {shared}/new"));
    assert_eq!((done.code(), done.text().as_str()), (0, "content"), "{done:?}");
    assert_eq!(fs::read_to_string(fixture.shared.join("new")).expect("the new file"), "x\n");

    let done =
        Run::new(mode).bind(format!("{shared}:/tmp/a/b:rw")).shell("ls /tmp/a/b; rm /tmp/a/b/new");
    assert_eq!((done.code(), done.text().as_str()), (0, "file\nnew"), "{done:?}");
    assert!(!fixture.shared.join("new").exists());

    let script = "cat /tmp/a/file; echo y > /tmp/a/file || echo y > /tmp/a/new || rm /tmp/a/file";
    let done = Run::new(mode).bind(format!("{shared}:/tmp/a:ro")).shell(script);
    assert_ne!(done.code(), 0);
    assert_eq!(done.text(), "content");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    assert_eq!(fs::read_to_string(fixture.shared.join("file")).expect("the file"), "content");
}

fn files(mode: Mode) {
    let fixture = fixture();
    let file = fixture.shared.join("file").display().to_string();
    // Not in /tmp: where fs.protected_regular is set, O_CREAT of another user's file is refused in
    // sticky directories.
    let script = "cat /run/one; ls /run; echo more >> /run/one";
    let done = Run::new(mode).bind(format!("{file}:/run/one")).shell(script);
    assert_eq!((done.code(), done.text().as_str()), (0, "contentone"), "{done:?}");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "contentmore\n");
    let done = Run::new(mode).bind(format!("{file}:/run/one:ro")).shell("echo more >> /run/one");
    assert_ne!(done.code(), 0);
    // Over something that exists.
    let done =
        Run::new(mode).bind(format!("{file}:/etc/passwd:ro")).command(&["cat", "/etc/passwd"]);
    assert_eq!(done.text(), "contentmore");
}

fn mistakes(mode: Mode) {
    let fixture = fixture();
    let shared = fixture.shared.display().to_string();
    let run = |bind: String| Run::new(mode).bind(bind).command(&["true"]);
    run(format!("{shared}/missing")).assert_not_started("No such file or directory");
    for destination in ["relative", "/tmp/../etc", "/tmp/..", "/", "/.."] {
        let done = run(format!("{shared}:{destination}"));
        done.assert_not_started("is not an absolute path below /");
    }
    run(format!("{shared}:/etc/passwd")).assert_not_started("Not a directory");
    run(format!("{shared}/file:/etc")).assert_not_started("Is a directory");
    // The root is read-only, so no place can be made in it.
    run(format!("{shared}:/place")).assert_not_started("Read-only file system");
}
