//! Repositories that change: what lies over each other is what a fresh root would be, after each
//! change of a history.

use std::fs;
use std::path::Path;

use crate::case::Case;
use crate::fixture::Kind;
use crate::layers::same;
use crate::repository::{Repository, section};

/// Lists a root: packages, what verifying them says, every file with mode, owner and link,
/// capabilities, and contents. Not what has times of installing in it, and what builds leave.
const LISTING: &str = r#"
rpm -qa --qf 'package %{nevra} %{pkgid}\n' | sort
rpm -Va --nomtime 2>&1 | sed 's/^/verify /' | sort
find / -xdev ! -path '/builddir*' ! -path '/tmp*' ! -path '/var/tmp*' ! -path '/run*' \
    ! -path '/var/lib/rpm*' -printf 'entry %p %y %m %U %G %l\n' | LC_ALL=C sort
getcap -r /etc /opt /usr /var | sed 's/^/capabilities /' | LC_ALL=C sort
find / -xdev -type f ! -path '/builddir*' ! -path '/tmp*' ! -path '/var/tmp*' ! -path '/run*' \
    ! -path '/var/lib/rpm*' ! -path '/var/lib/dnf*' ! -path '/var/cache/*' \
    -exec sha256sum {} + | sed 's/^/sum /' | LC_ALL=C sort
"#;

/// How a root has come about.
#[derive(Debug, PartialEq, Eq)]
enum How {
    /// From nothing.
    Made,
    /// An update of one that was there.
    Updated,
}

/// A spec of a package without architecture: tags, scriptlets, and a file list with the commands
/// that make it.
fn spec(name: &str, version: &str, tags: &str, install: &str, rest: &str) -> String {
    format!(
        "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: Test\nLicense: MIT\n\
         BuildArch: noarch\n{tags}\n%description\nFor a test.\n%install\n\
         mkdir -p %{{buildroot}}/etc %{{buildroot}}/usr/bin %{{buildroot}}/usr/share/{name}\n\
         {install}\n{rest}\n"
    )
}

/// A package that has only a directory of its own.
fn plain(name: &str, version: &str, tags: &str) -> String {
    spec(name, version, tags, "", &format!("%files\n%dir /usr/share/{name}"))
}

/// A package with all that files may have.
fn alpha(version: &str, requires: &str, files: &str) -> String {
    let install = format!(
        "echo {version} > %{{buildroot}}/etc/alpha.conf\n\
         for name in alpha alpha-{version} alpha-caps; do\n\
         printf '#!/bin/sh\\necho {version}\\n' > %{{buildroot}}/usr/bin/$name; done\n\
         ln -s alpha-{version} %{{buildroot}}/usr/bin/alpha-link\n\
         echo {version} > %{{buildroot}}/usr/share/alpha/owned\n\
         ln %{{buildroot}}/usr/share/alpha/owned %{{buildroot}}/usr/share/alpha/hard"
    );
    let files = format!(
        "%files\n%config(noreplace) /etc/alpha.conf\n%attr(755,root,root) /usr/bin/alpha-{version}\n\
         /usr/bin/alpha-link\n%dir /usr/share/alpha\n{files}"
    );
    spec("alpha", version, &format!("Requires: {requires}"), &install, &files)
}

const ALPHA_1: &str = "%attr(755,root,root) /usr/bin/alpha\n\
    %caps(cap_net_bind_service=ep) /usr/bin/alpha-caps\n/usr/share/alpha/owned\n\
    /usr/share/alpha/hard";
const ALPHA_2: &str = "%attr(4711,root,root) /usr/bin/alpha\n\
    %caps(cap_net_raw=ep) /usr/bin/alpha-caps\n%attr(640,root,mail) /usr/share/alpha/owned\n\
    %attr(640,root,mail) /usr/share/alpha/hard";

/// A package whose scriptlet makes a file that no package owns.
fn zeta(version: &str, file: &str) -> String {
    let rest = format!("%post\necho x > /usr/share/zeta/{file}\n%files\n%dir /usr/share/zeta");
    spec("zeta", version, "", "", &rest)
}

/// A package that makes a user.
fn user(name: &str) -> String {
    let rest = format!("%pre\nuseradd -r {name}\n%files\n%dir /usr/share/{name}");
    spec(name, "1", "Requires(pre): shadow-utils", "", &rest)
}

struct History {
    case: Case,
    extra: Repository,
    first: Repository,
    steps: u32,
}

impl History {
    fn begin(case: Case) -> History {
        let (extra, first) = (Repository::new(&case, "extra"), Repository::new(&case, "first"));
        let needed = spec("needed", "1", "BuildRequires: req\n", "", "%files");
        case.file("needed.spec", needed.as_bytes());
        for text in [
            alpha("1", "beta", ALPHA_1),
            plain("beta", "1", ""),
            zeta("1", "one"),
            plain("req", "1", "Requires: lib-a"),
            plain("lib-a", "1", ""),
            plain("lib-b", "1", ""),
        ] {
            add(&extra, &text);
        }
        History { case, extra, first, steps: 0 }
    }

    /// A config where these are the priorities of the two repositories.
    fn config(&self, extra: u32, first: u32) -> String {
        // Little, since it is installed often.
        let setup = "config_opts['chroot_setup_cmd'] = 'install bash coreutils findutils gawk grep \
                     local-release redhat-rpm-config rpm-build sed shadow-utils tar which xz \
                     libcap2-bin alpha zeta'\nconfig_opts['cleanup_on_success'] = False\n";
        let options = |priority| format!("gpgcheck=0\npriority={priority}");
        let sections = section(&self.extra.baseurl(), &options(extra))
            + &section(&self.first.baseurl(), &options(first)).replace("extra]", "first]");
        self.case.config_plus(&format!("history-{extra}-{first}"), &(setup.to_owned() + &sections))
    }

    /// Builds in the layers that there are and in a new store, and compares what the builds have
    /// had.
    fn step(&mut self, config: &str, changes: &str, how: How, packages: &[&str]) {
        self.steps += 1;
        let layered = self.layer(config);
        let log = fs::read_to_string(self.case.result("layered/root.log")).unwrap();
        let is_update =
            log.contains("updating the buildroot") && !log.contains("the buildroot is made anew");
        let was = if is_update { How::Updated } else { How::Made };
        assert_eq!(was, how, "{changes}: {log}");
        let new = self.case.dir.join(format!("new-{}", self.steps));
        let fresh = self.listing(config, &new, "fresh");
        self.case.run_in(&new, &["clean", "--all"]).succeeds();
        println!("{changes}: {} lines", fresh.len());
        for package in packages {
            let start = format!("package {package}.noarch ");
            assert!(fresh.iter().any(|line| line.starts_with(&start)), "{changes}: {package}");
        }
        same(&layered, &fresh);
    }

    /// Builds in the layers that there are.
    fn layer(&self, config: &str) -> Vec<String> {
        self.extra.publish();
        self.first.publish();
        self.listing(config, &self.case.store, "layered")
    }

    /// What a build in a store has had.
    fn listing(&self, config: &str, store: &Path, result: &str) -> Vec<String> {
        let case = &self.case;
        let spec = case.dir.join("needed.spec").display().to_string();
        let empty = case.fixture.base.join("empty").display().to_string();
        let result = case.result(result).display().to_string();
        let _ = fs::remove_dir_all(&result);
        let args = ["--spec", &spec, "--sources", &empty, "--resultdir", &result];
        case.run_in(store, &[&["build", "-r", config], &args[..]].concat()).succeeds();
        // The build is kept with everything that lies below it, and opened.
        let run = case.run_in(store, &["shell", "-r", config, "--", "sh", "-c", LISTING]);
        run.succeeds();
        // A shell would go on in it.
        for entry in fs::read_dir(store.join("sessions")).unwrap() {
            let path = entry.unwrap().path();
            let _ = fs::remove_dir_all(&path);
        }
        let lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        assert!(lines.len() > 1000, "{run:?}");
        assert!(lines.iter().any(|line| line.starts_with("capabilities /usr/bin/alpha-caps ")));
        lines
    }
}

fn add(repository: &Repository, text: &str) {
    let words: Vec<&str> = text.split_whitespace().take(4).collect();
    repository.add_spec(&format!("{}-{}", words[1], words[3]), text);
}

#[test]
fn updates_are_what_a_fresh_root_is() {
    let Some(case) = Case::alone(Kind::Root, "updates") else { return };
    let mut history = History::begin(case);
    let config = history.config(50, 50);
    history.step(&config, "nothing was there", How::Made, &["alpha-1-1", "beta-1-1", "lib-a-1-1"]);

    add(&history.extra, &alpha("2", "beta", ALPHA_2));
    history.step(&config, "a new version", How::Updated, &["alpha-2-1", "beta-1-1"]);

    add(&history.extra, &user("req-user"));
    add(&history.extra, &plain("req", "2", "Requires: lib-b req-user"));
    let packages = ["req-2-1", "lib-b-1-1", "req-user-1-1"];
    history.step(&config, "a build dependency requires others", How::Updated, &packages);

    add(&history.extra, &plain("delta", "1", "Obsoletes: beta < 2\nProvides: beta = 2"));
    history.step(&config, "a package is obsolete", How::Updated, &["alpha-2-1", "delta-1-1"]);
    history.case.nothing_left();
}

#[test]
fn what_updates_cannot_give_is_made_anew() {
    let Some(case) = Case::alone(Kind::Root, "anew") else { return };
    let mut history = History::begin(case);
    let config = history.config(50, 50);
    history.layer(&config);

    add(&history.extra, &plain("gamma", "1", ""));
    add(&history.extra, &alpha("3", "gamma", ALPHA_1));
    history.step(&config, "a changed dependency", How::Made, &["alpha-3-1", "gamma-1-1"]);

    add(&history.extra, &zeta("2", "two"));
    history.step(&config, "a scriptlet does something else", How::Made, &["zeta-2-1"]);

    add(&history.extra, &user("alpha-user"));
    add(&history.extra, &alpha("3.1", "gamma alpha-user", ALPHA_1));
    let packages = ["alpha-3.1-1", "alpha-user-1-1"];
    history.step(&config, "an update makes a user", How::Made, &packages);

    history.extra.remove("alpha", "3.1");
    history.extra.remove("alpha", "3");
    history.step(&config, "a package was taken back", How::Made, &["alpha-1-1", "beta-1-1"]);

    add(&history.extra, &alpha("2", "beta", ALPHA_2));
    let config = history.config(50, 10);
    history.layer(&config);
    add(&history.first, &alpha("1.5", "beta", ALPHA_1));
    history.step(&config, "an older package goes first", How::Made, &["alpha-1.5-1"]);
    history.case.nothing_left();
}
