//! Using up what there is, and not ending.

use serde_json::Value;

use crate::case::{Case, verdict};
use crate::fixture::Kind;
use crate::host::{attacked, spec};

/// How a build that takes too much ends.
struct Attack {
    name: &'static str,
    /// Lines of `%build`.
    lines: &'static str,
    /// Options of the build.
    options: &'static [&'static str],
    /// Exit status, and a part of the sentence; none of a build that must succeed.
    end: Option<(i32, &'static str)>,
    class: &'static str,
}

/// Only control groups stop these.
const ON_MEMORY_AND_PROCESSES: &[Attack] = &[
    Attack {
        name: "fork-bomb",
        lines: "bomb() { bomb | bomb & }; bomb; sleep 30",
        options: &["--pids", "80", "--timeout", "10"],
        // The shell tries again and again.
        end: Some((11, "in %build, at its limit of 80 processes")),
        class: "timeout",
    },
    Attack {
        name: "thread-bomb",
        lines: "cat > t.c <<'C'\n#include <pthread.h>\n#include <unistd.h>\n\
                static void *f(void *x) { pause(); return x; }\n\
                int main(void) { pthread_t t; while (!pthread_create(&t, 0, f, 0)); return 3; }\nC\n\
                gcc -o t t.c -lpthread && ./t",
        options: &["--pids", "80", "--timeout", "20"],
        end: Some((10, "reached the limit of 80 processes in %build")),
        class: "resource",
    },
    Attack {
        name: "memory",
        lines: "perl -e 'push @a, \"x\" x (8 << 20) while 1'",
        // User-mode-linux takes ten seconds of a processor for so many pages.
        options: &["--memory", "256M", "--timeout", "90"],
        end: Some((10, "hit the memory limit of 256 MiB in %build")),
        class: "resource",
    },
    Attack {
        name: "shared-memory",
        lines: "cat /dev/zero > /dev/shm/all",
        // User-mode-linux takes ten seconds of a processor for so many pages.
        options: &["--memory", "256M", "--timeout", "90"],
        end: Some((10, "hit the memory limit of 256 MiB in %build")),
        class: "resource",
    },
];

const ATTACKS: &[Attack] = &[
    Attack {
        name: "disk",
        lines: "cat /dev/zero > all",
        options: &["--disk", "200M", "--timeout", "60"],
        end: Some((10, "hit the disk limit of 200 MiB in %build")),
        class: "resource",
    },
    Attack {
        name: "hidden-disk",
        lines: "d=$(printf %0200d 0); for i in $(seq 60); do mkdir $d && cd $d || break; done\n\
                cat /dev/zero > all",
        options: &["--disk", "200M", "--timeout", "60"],
        end: Some((10, "hit the disk limit of 200 MiB in %build")),
        class: "resource",
    },
    Attack {
        name: "inodes",
        lines: "perl -e 'for (1 .. 1000000) { open my $f, \">\", \"f$_\" or die }'",
        options: &["--inodes", "20000", "--timeout", "60"],
        end: Some((10, "hit the limit of 20000 files in %build")),
        class: "resource",
    },
    Attack {
        name: "open-files",
        lines: "perl -e 'my @a; for (1 .. 1000000) { open $a[$_], \"/dev/null\" or last } print \"opened $#a\\n\"; exit(@a > 500000)'",
        options: &[],
        end: None,
        class: "",
    },
    Attack {
        name: "sparse-file",
        lines: "truncate -s 8191P sparse || truncate -s 15T sparse; ls -ls sparse",
        options: &["--disk", "200M"],
        end: None,
        class: "",
    },
    Attack {
        name: "deep-directories",
        lines: "perl -e 'for (1 .. 5000) { mkdir \"d\" and chdir \"d\" or last }'",
        options: &[],
        end: None,
        class: "",
    },
    Attack {
        name: "log-flood",
        lines: "yes",
        options: &["--log-size", "1M", "--timeout", "10"],
        end: Some((11, "was killed at the time limit")),
        class: "timeout",
    },
    Attack {
        name: "silence",
        lines: "exec > /dev/null 2>&1; while :; do :; done",
        // Longer than anything of the build is silent on a slow machine.
        options: &["--silence", "5"],
        end: Some((11, "was killed for its silence")),
        class: "timeout",
    },
    Attack {
        name: "stopping-everybody",
        lines: "kill -STOP -1; kill -STOP $$; sleep 100",
        options: &["--timeout", "2"],
        end: Some((11, "was killed at the time limit")),
        class: "timeout",
    },
    Attack {
        name: "ignoring-signals",
        lines: "trap '' TERM INT HUP QUIT; while :; do sleep 1; done",
        options: &["--timeout", "2"],
        end: Some((11, "was killed at the time limit")),
        class: "timeout",
    },
    Attack {
        name: "killing-everybody",
        lines: "kill -9 -1; kill -9 $$",
        options: &[],
        end: Some((10, "rpmbuild -bb")),
        class: "",
    },
    Attack {
        name: "no-place-for-macros",
        // When the spec is read, before the sandbox of %build is put together.
        lines: "%(rm -rf ~/.rpmmacros; mkdir -p ~/.rpmmacros/x; echo true)",
        options: &[],
        end: Some((10, "the build has changed or removed what that needs")),
        class: "package",
    },
    Attack {
        name: "no-way-home",
        // When the spec is read, by a program whose end nobody looks at.
        lines: "%(tr '\\0' ' ' < /proc/$PPID/cmdline | grep -q ^rpmspec && chmod 0 ~; echo true)",
        options: &[],
        end: Some((10, "the build has changed or removed what that needs")),
        class: "package",
    },
    Attack {
        name: "daemons",
        lines: "for i in 1 2 3; do setsid sh -c 'setsid sleep %{marker} & sleep %{marker}' < /dev/null > /dev/null 2>&1 & done",
        options: &[],
        end: None,
        class: "",
    },
    Attack {
        name: "core-dump",
        // With a limit of 0, a program of the host would be given the memory.
        lines: "ulimit -c unlimited || true; ulimit -c 0; grep -E 'core file size +1 +1 ' /proc/self/limits\n\
                sh -c 'kill -SEGV $$' || true; ls; test -z \"$(ls core* 2> /dev/null)\"",
        options: &[],
        end: None,
        class: "",
    },
];

#[test]
fn by_root() {
    carry_out(Kind::Root, ATTACKS);
}

#[test]
fn by_a_user() {
    carry_out(Kind::Subids, ATTACKS);
}

#[test]
fn by_a_user_without_subids() {
    carry_out(Kind::NoSubids, ATTACKS);
}

/// Root has control groups, and whoever runs the tests in a delegated one.
#[test]
fn on_memory_and_processes() {
    carry_out(Kind::own(), ON_MEMORY_AND_PROCESSES);
}

fn carry_out(kind: Kind, attacks: &[Attack]) {
    for attack in attacks {
        let Some(case) = Case::shared(kind, &format!("attack-{}", attack.name)) else { return };
        let spec = spec(&case, attack.name, attack.lines);
        let run = attacked(&case, &case.config(), &spec, attack.options);
        match attack.end {
            None => assert_eq!(run.status, 0, "{}: {run:?}", attack.name),
            Some((status, sentence)) => {
                run.fails(status, sentence);
                if !attack.class.is_empty() {
                    verdict(&case.outcome("result"), "rpmbuild", attack.class);
                }
            }
        }
        if attack.name == "log-flood" {
            let log = case.log("build.log");
            assert!(log.len() < 2 << 20, "{} bytes", log.len());
            assert!(log.contains("Executing(%build)") && log.contains(" bytes left out, "));
        }
        let outcome: Value = case.outcome("result");
        assert!(outcome["seconds"].as_f64().unwrap() < 200.0, "{}: {outcome:#}", attack.name);
    }
}
