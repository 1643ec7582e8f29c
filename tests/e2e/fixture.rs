//! What all tests share: the local distribution, sources, the program, one buildroot for each kind
//! of user.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::case::Case;

/// The user of `scripts/as-user`.
pub(crate) const USER: u32 = 61000;
/// Stores with four buildroots and what builds write.
const ROOM: u64 = 4 << 30;

/// What makes a buildroot small.
const SMALL: &str = "
config_opts['chroot_setup_cmd'] = 'install bash coreutils diffutils file findutils gawk grep \
gzip local-release make patch redhat-rpm-config rpm-build sed shadow-utils tar util-linux which xz'
";

/// Who runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Root.
    Root,
    /// An ordinary user with a range of subordinate ids.
    Subids,
    /// An ordinary user without.
    NoSubids,
}

impl Kind {
    /// Who runs the tests.
    pub(crate) fn own() -> Kind {
        if nix::unistd::geteuid().is_root() {
            return Kind::Root;
        }
        let host = sandbox::HostFacts::probe();
        let single = sandbox::IdMapping::choose(&host, 0).is_single();
        if single { Kind::NoSubids } else { Kind::Subids }
    }

    /// Of these, whom a test can be run as: root can become everybody.
    pub(crate) fn possible(kinds: &[Kind]) -> Vec<Kind> {
        let own = Kind::own();
        kinds.iter().copied().filter(|kind| own == Kind::Root || *kind == own).collect()
    }

    /// Whether another user has to be become first.
    pub(crate) fn is_another(self) -> bool {
        self != Kind::own()
    }
}

pub(crate) struct Fixture {
    pub(crate) base: PathBuf,
    /// The config of the local distribution.
    pub(crate) config: PathBuf,
    /// The same with a smaller buildroot: half of what dnf takes for one is for compilers.
    pub(crate) small_config: PathBuf,
    stores: [OnceLock<PathBuf>; 3],
}

/// The fixture, or none after telling why the test is skipped.
pub(crate) fn fixture() -> Option<&'static Fixture> {
    static FIXTURE: OnceLock<Result<Fixture, String>> = OnceLock::new();
    match FIXTURE.get_or_init(Fixture::prepare) {
        Ok(fixture) => Some(fixture),
        Err(reason) => {
            skip(reason);
            None
        }
    }
}

/// Tells that a test is skipped. In CI, everything that tests need is there, or the CI is broken.
pub(crate) fn skip(reason: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!ci, "a test would be skipped in CI: {reason}");
    eprintln!("skipped: {reason}");
}

/// Tells that this machine lacks what no package brings, such as a disk below its directories:
/// a skip in CI, too.
pub(crate) fn skip_here(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A directory of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program, beside which sandbox-init is. Those of another build are in `ALBS_NODE_PROGRAMS`.
fn program() -> PathBuf {
    match std::env::var_os("ALBS_NODE_PROGRAMS") {
        Some(directory) => Path::new(&directory).join("albs-node"),
        None => env!("CARGO_BIN_EXE_albs-node").into(),
    }
}

impl Fixture {
    fn prepare() -> Result<Fixture, String> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("/"));
        let place = |variable: &str, default: &str| {
            std::env::var_os(variable).map_or_else(|| target.join(default), PathBuf::from)
        };
        let distro = place("ALBS_NODE_LOCAL_DISTRO", "local-distro");
        // A guest of scripts/vm-test has no packages to make one of.
        let config = match std::env::var_os("ALBS_NODE_LOCAL_DISTRO_CONFIG") {
            Some(config) => config.into(),
            None => {
                let out = script("local-distro", &["--out".as_ref(), distro.as_ref()])?;
                PathBuf::from(out.lines().last().unwrap_or_default())
            }
        };
        let sources = place("ALBS_NODE_SOURCES", "sources");
        script("fetch-sources", &[sources.as_ref()])?;
        let repomd = distro.join("repo/repodata/repomd.xml");
        if Kind::own() == Kind::Root {
            script("as-user", &["test".as_ref(), "-r".as_ref(), repomd.as_ref()]).map_err(
                |_| {
                    format!(
                        "other users cannot read {}; choose a place with ALBS_NODE_LOCAL_DISTRO",
                        repomd.display()
                    )
                },
            )?;
        }

        let init = program().with_file_name("sandbox-init");
        if !init.is_file() {
            return Err(format!("{} is missing: cargo build --workspace", init.display()));
        }

        let base = base()?;
        let small_config = base.join("small.cfg");
        let fixture = Fixture { base, config, small_config, stores: Default::default() };
        fixture.fill(&sources).map_err(|error| format!("the place of the tests: {error}"))?;
        remove_at_end(&fixture.base);
        Ok(fixture)
    }

    fn fill(&self, sources: &Path) -> std::io::Result<()> {
        for name in ["bin", "specs", "specs/bad", "sources", "empty", "cases"] {
            fs::create_dir(self.base.join(name))?;
        }
        let small = fs::read_to_string(&self.config)? + SMALL;
        fs::write(&self.small_config, small)?;
        let program = program();
        fs::copy(&program, self.base.join("bin/albs-node"))?;
        let init = program.with_file_name("sandbox-init");
        fs::copy(init, self.base.join("bin/sandbox-init"))?;
        for (from, to) in [
            (repository("tests/specs"), "specs"),
            (repository("tests/specs/bad"), "specs/bad"),
            (sources.to_owned(), "sources"),
        ] {
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    let copy = self.base.join(to).join(entry.file_name());
                    fs::copy(entry.path(), &copy)?;
                    fs::set_permissions(copy, fs::Permissions::from_mode(0o644))?;
                }
            }
        }
        Ok(())
    }

    /// A store whose buildroot is there already. Those in the directory `ALBS_NODE_TEST_STORES`
    /// stay when this process ends: another one of tests finds them.
    pub(crate) fn store(&'static self, kind: Kind) -> PathBuf {
        let made = self.stores[kind as usize].get_or_init(|| {
            let kept = std::env::var_os("ALBS_NODE_TEST_STORES").map(|directory| {
                let store = Path::new(&directory).join(format!("{kind:?}"));
                directory_of(&store, kind);
                store
            });
            let case = Case::new(self, kind, &format!("store-{kind:?}"), kept);
            let run = case.run(&["init", "-r", &case.config()]);
            assert_eq!(run.status, 0, "{run:?}");
            case.keep()
        });
        made.clone()
    }
}

/// A directory on a file system in memory if there is room: making and removing buildroots is slow
/// on disks.
fn base() -> Result<PathBuf, String> {
    let memory = Path::new("/dev/shm");
    let room = nix::sys::statvfs::statvfs(memory)
        .is_ok_and(|stat| stat.blocks_available() * stat.fragment_size() > ROOM);
    let place = if room { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    let made = tempfile::Builder::new()
        .prefix("albs-node-e2e-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(place)
        .map_err(|error| format!("no directory can be made in {}: {error}", place.display()))?;
    Ok(made.keep())
}

/// Removes the directory when this process ends, however it ends: the tests have no common end.
fn remove_at_end(base: &Path) {
    if std::env::var_os("ALBS_NODE_KEEP").is_some() {
        eprintln!("kept: {}", base.display());
        return;
    }
    let child = Command::new("setsid")
        .args(["sh", "-c", "read -r _; rm -rf -- \"$1\"", "sh"])
        .arg(base)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // Its standard input closes with this process.
    std::mem::forget(child);
}

/// Runs a script of the repository; gives its standard output, or why it failed.
fn script(name: &str, args: &[&std::ffi::OsStr]) -> Result<String, String> {
    let path = repository("scripts").join(name);
    let output = Command::new(&path)
        .args(args)
        .output()
        .map_err(|error| format!("{} cannot be started: {error}", path.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("scripts/{name} failed: {}", said.lines().last().unwrap_or_default()))
}

/// A directory of the user.
pub(crate) fn directory_of(path: &Path, kind: Kind) {
    fs::create_dir_all(path).unwrap();
    if kind.is_another() {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
}

/// Gives a file to the user of `scripts/as-user`.
pub(crate) fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
}
