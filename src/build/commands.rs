//! Command lines inside the buildroot. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::mock_config::MockOptions;
use crate::source::Source;

/// Directory of rpmbuild inside the buildroot.
pub fn top_directory(options: &MockOptions) -> String {
    format!("{}/build", options.chroothome.trim_end_matches('/'))
}

/// Where the inputs are seen inside the buildroot.
pub fn originals(options: &MockOptions) -> String {
    format!("{}/originals", top_directory(options))
}

/// Brings a source to where rpmbuild looks.
pub fn take_source(options: &MockOptions, source: &Source) -> Vec<String> {
    match source {
        Source::Srpm(_) => unpack(options),
        Source::Spec { .. } => copy_sources(options),
    }
}

/// Unpacks the source package that was given.
fn unpack(options: &MockOptions) -> Vec<String> {
    let package = format!("{}/source.src.rpm", originals(options));
    ["rpm", "-Uvh", "--nodeps", &package].map(str::to_owned).to_vec()
}

/// Copies a spec and its sources to where rpmbuild looks.
fn copy_sources(options: &MockOptions) -> Vec<String> {
    let (from, to) = (originals(options), top_directory(options));
    ["cp", "-R", "--", &format!("{from}/SPECS"), &format!("{from}/SOURCES"), &format!("{to}/")]
        .map(str::to_owned)
        .to_vec()
}

/// Makes the source package.
pub fn build_source(options: &MockOptions, spec: &str) -> Vec<String> {
    rpmbuild(options, "-bs", spec)
}

/// Makes the source package in a directory of its own.
pub fn build_source_into(options: &MockOptions, spec: &str, directory: &str) -> Vec<String> {
    rpmbuild(options, &format!("-bs --define {}", quote(&format!("_srcrpmdir {directory}"))), spec)
}

/// Makes the binary packages. `prepared` says that `%prep` has run, for generated requirements;
/// they become part of the source package, which is made once more then.
pub fn build_binary(options: &MockOptions, spec: &str, prepared: bool) -> Vec<String> {
    rpmbuild(options, if prepared { "-ba --noprep" } else { "-bb" }, spec)
}

/// Asks a spec for what it finds out to require: exit status 11, and a package that requires it,
/// as long as something is missing. `%prep` runs the first time.
pub fn generate_requires(options: &MockOptions, spec: &str, prepared: bool) -> Vec<String> {
    rpmbuild(options, if prepared { "-br --noprep" } else { "-br" }, spec)
}

/// Whether a spec leaves its release or changelog to rpmautospec, and has a history beside it.
pub fn uses_autospec(options: &MockOptions, spec: &str) -> Vec<String> {
    let top = top_directory(options);
    let line = r#"test -d "$1/SOURCES/.git" && cmp -s "$1/SOURCES/$2" "$1/SPECS/$2" &&
        grep -Eq '%(\{\??)?(autorelease|autochangelog)' "$1/SPECS/$2""#;
    ["sh", "-c", line, "sh", &top, spec].map(str::to_owned).to_vec()
}

/// Prints a spec with its macros expanded.
pub fn expand_spec(options: &MockOptions, spec: &str, more: &[String]) -> Vec<String> {
    let target = options.rpmbuild_arch.as_deref().unwrap_or(&options.target_arch);
    let path = format!("{}/SPECS/{spec}", top_directory(options));
    let start = ["rpmspec", "--parse", "--target", target].map(str::to_owned);
    start.into_iter().chain(more.iter().cloned()).chain([path]).collect()
}

/// What decides of the source package that `rpmbuild -bs` makes of a spec, besides its sources.
const DECISIVE: &str = r"%{NAME} %{EPOCH} %{VERSION} %{RELEASE}\n[requires %{REQUIRENAME} %{REQUIREFLAGS} %{REQUIREVERSION}\n][not %{EXCLUDEARCH}\n][only %{EXCLUSIVEARCH}\n][arch %{BUILDARCHS}\n][source %{SOURCE}\n][patch %{PATCH}\n]";

/// Succeeds if the source package that was unpacked is what `rpmbuild -bs` would make of it here,
/// as far as headers tell. What rpm itself requires of a reader is left out: it is added later.
pub fn is_same_source(options: &MockOptions, spec: &str) -> Vec<String> {
    let target = options.rpmbuild_arch.as_deref().unwrap_or(&options.target_arch);
    let path = format!("{}/SPECS/{spec}", top_directory(options));
    let package = format!("{}/source.src.rpm", originals(options));
    let script = "sorted() { grep -v '^requires rpmlib(' | LC_ALL=C sort -u; }
        here=$(rpmspec -q --srpm --target \"$1\" --qf \"$4\" \"$2\" | sorted) &&
        there=$(rpm -qp --nosignature --qf \"$4\" \"$3\" | sorted) &&
        test -n \"$here\" && test \"$here\" = \"$there\"";
    ["sh", "-c", script, "sh", target, &path, &package, DECISIVE].map(str::to_owned).to_vec()
}

/// Lists what a spec requires with the macros that are there now, one requirement a line.
pub fn list_requires(options: &MockOptions, spec: &str) -> Vec<String> {
    let target = options.rpmbuild_arch.as_deref().unwrap_or(&options.target_arch);
    let path = format!("{}/SPECS/{spec}", top_directory(options));
    ["rpmspec", "--query", "--buildrequires", "--target", target, &path].map(str::to_owned).to_vec()
}

/// As mock calls it: through a login shell, so that profile scripts of packages take effect.
fn rpmbuild(options: &MockOptions, what: &str, spec: &str) -> Vec<String> {
    let target = options.rpmbuild_arch.as_deref().unwrap_or(&options.target_arch);
    let path = format!("{}/SPECS/{spec}", top_directory(options));
    let mut line =
        format!("{} {what} --noclean --target {}", options.rpmbuild_command, quote(target));
    if !options.check && (what.starts_with("-bb") || what.starts_with("-ba")) {
        line += " --nocheck";
    }
    // What is missing is found out by installing it; only `-br` is there to ask.
    if !what.starts_with("-br") {
        line += " --nodeps";
    }
    for option in &options.rpmbuild_opts {
        let _ = write!(line, " {}", quote(option));
    }
    let _ = write!(line, " {}", quote(&path));
    ["bash", "--login", "-c", &line].map(str::to_owned).to_vec()
}

/// Installs the build dependencies of a source package that is seen at this path.
pub fn build_dependencies(package: &str) -> Vec<String> {
    ["builddep", package].map(str::to_owned).to_vec()
}

/// The macro file of the build user: the config's macros, those of the command line, and how many
/// jobs may run at once.
pub fn macro_file(
    options: &MockOptions,
    defines: &[(String, String)],
    jobs: Option<u32>,
) -> String {
    let mut macros: BTreeMap<String, String> = options.macros.clone();
    if let Some(jobs) = jobs {
        macros.insert("%_smp_build_ncpus".to_owned(), jobs.to_string());
        macros.insert("%_smp_mflags".to_owned(), format!("-j{jobs}"));
    }
    for (name, value) in defines {
        macros.insert(format!("%{}", name.trim_start_matches('%')), value.clone());
    }
    macros.into_iter().fold(String::new(), |mut text, (name, value)| {
        // A line break inside a value is continued with a backslash (rpm-macrofile(5)).
        let _ = writeln!(text, "{name} {}", value.replace('\n', "\\\n"));
        text
    })
}

/// Jobs for a processor limit: whole processors, at least one.
pub fn jobs(cpus: f64) -> u32 {
    (cpus as u32).max(1)
}

/// Quotes a word for a POSIX shell.
pub(super) fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._+-~^:@%=".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(
            quote("/builddir/build/SPECS/gtk+3.0~rc^1.spec"),
            "/builddir/build/SPECS/gtk+3.0~rc^1.spec"
        );
        assert_eq!(quote("a b'c"), r"'a b'\''c'");
        assert_eq!(quote("$(id)"), "'$(id)'");
    }

    #[test]
    fn jobs_follow_the_limit() {
        assert_eq!([0.2, 1.0, 2.9, 64.0].map(jobs), [1, 1, 2, 64]);
    }
}
