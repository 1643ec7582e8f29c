//! What must not change on the host while it is attacked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::case::{Case, Run};

/// What an honest build does until it is told to end: a little at a time, never waiting for long.
const HONEST: &str = "echo working\nperl -e '
my ($longest, $last) = (0, time);
until (-e q(/until/end)) {
    open my $f, q(>), q(part) or die; print $f 1 x 100000; close $f or die;
    select undef, undef, undef, 0.1;
    my $now = time; $longest = $now - $last if $now - $last > $longest; $last = $now;
}
print $longest < 30 ? qq(worked without a break\\n) : qq(had to wait for $longest s\\n)'";

/// Whether a log has such a line.
fn says(log: &Path, line: &str) -> bool {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().any(|known| known == line)
}

/// Facts about the host that builds have no business with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    settings: BTreeMap<&'static str, String>,
    mounts: usize,
    victim: String,
}

/// Settings that attempts aim at.
const SETTINGS: [&str; 6] = [
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/net/ipv4/ip_forward",
    "/etc/shadow",
];

impl Host {
    /// `victim` is a file of the user who builds.
    pub(crate) fn look(victim: &Path) -> Host {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Host {
            settings: SETTINGS.into_iter().map(|path| (path, text(path))).collect(),
            // Not of other tests, which mount in namespaces of their own.
            mounts: text("/proc/self/mountinfo").lines().count(),
            victim: fs::read_to_string(victim).unwrap_or_default(),
        }
    }
}

/// A package whose `%build` runs these lines.
pub(crate) fn spec(case: &Case, name: &str, build: &str) -> String {
    let text = format!(
        "%global debug_package %{{nil}}\nName: {name}\nVersion: 1\nRelease: 1\nSummary: s\n\
         License: MIT\nBuildArch: noarch\n%description\n.\n%prep\n%build\n{build}\n%install\n\
         mkdir -p %{{buildroot}}/x\n%files\n/x\n"
    );
    case.file(&format!("{name}.spec"), text.as_bytes())
}

/// Arguments that build a spec into a result directory.
pub(crate) fn arguments(case: &Case, config: &str, spec: &str, result: &str) -> Vec<String> {
    let empty = case.fixture.base.join("empty").display().to_string();
    let result = case.result(result).display().to_string();
    let define = format!("marker {}", case.marker);
    ["build", "-r", config, "--spec", spec, "--sources", &empty, "--resultdir", &result, "-D"]
        .into_iter()
        .chain([define.as_str()])
        .map(str::to_owned)
        .collect()
}

/// Builds a hostile package with an honest one beside it, which must succeed, in a host that must
/// stay as it is.
pub(crate) fn attacked(case: &Case, config: &str, spec_path: &str, more: &[&str]) -> Run {
    let hostile = arguments(case, config, spec_path, "result");
    let hostile: Vec<&str> =
        hostile.iter().map(String::as_str).chain(more.iter().copied()).collect();
    beside_an_honest_one(case, || case.run(&hostile))
}

/// Does something with an honest build beside it, which must succeed, in a host that must stay as
/// it is.
pub(crate) fn beside_an_honest_one<T>(case: &Case, hostile: impl FnOnce() -> T) -> T {
    let victim = case.dir.join("victim");
    fs::write(&victim, "of the user who builds").unwrap();
    let before = Host::look(&victim);
    let until = case.dir.join("until");
    let _ = fs::remove_dir_all(&until);
    fs::create_dir(&until).unwrap();
    fs::set_permissions(&until, fs::Permissions::from_mode(0o755)).unwrap();
    let shown = format!("config_opts['nspawn_args'] += ['--bind-ro={}:/until']", until.display());
    let config = case.config_plus("honest", &shown);
    let honest = arguments(case, &config, &spec(case, "honest", HONEST), "honest");
    let honest: Vec<&str> = honest.iter().map(String::as_str).collect();
    let mut neighbour = case.start(&honest);
    let log = case.result("honest").join("build.log");
    neighbour.wait_for("honest work", |_| says(&log, "working").then_some(()));
    let result = hostile();
    fs::write(until.join("end"), "").unwrap();
    neighbour.end().succeeds();
    assert!(says(&log, "worked without a break"), "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(Host::look(&victim), before, "the host has changed");
    case.nothing_left();
    result
}
