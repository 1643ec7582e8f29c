//! The command itself.

use crate::landlock::Restriction;
use crate::spec::{SandboxSpec, Stdin, Stdio, Stdout};
use crate::wire::Payload;

/// `PATH` of execvp(3) when the environment has none.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

pub(super) fn payload(spec: &SandboxSpec, landlock: Vec<Restriction>) -> Payload {
    Payload {
        argv: spec.argv.clone(),
        programs: programs(
            &spec.argv[0],
            spec.environment.get("PATH").map_or(DEFAULT_PATH, String::as_str),
        ),
        environment: spec
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        cwd: spec.cwd.clone(),
        new_session: !spec.keep_session,
        terminal: terminal(&spec.stdio),
        linux32: spec.linux32,
        rlimits: spec.rlimits.clone(),
        capabilities: spec.capabilities.clone(),
        uid: spec.user.uid,
        gid: spec.user.gid,
        landlock,
        filter: Vec::new(),
    }
}

/// Numbers of the descriptors that are the sandbox's terminal.
fn terminal(stdio: &Stdio) -> Vec<i32> {
    let is = |out: Stdout| out == Stdout::Terminal;
    [(stdio.stdin == Stdin::Terminal, 0), (is(stdio.stdout), 1), (is(stdio.stderr), 2)]
        .into_iter()
        .filter_map(|(is_terminal, number)| is_terminal.then_some(number))
        .collect()
}

/// The paths that execvp(3) would try.
fn programs(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        .map(|dir| if dir.is_empty() { "." } else { dir })
        .map(|dir| format!("{}/{program}", dir.trim_end_matches('/')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::programs;

    #[test]
    fn programs_are_searched_as_execvp_does() {
        assert_eq!(programs("./x", "/bin"), ["./x"]);
        assert_eq!(programs("x", "/bin:/usr/bin/"), ["/bin/x", "/usr/bin/x"]);
        assert_eq!(programs("x", ":/bin"), ["./x", "/bin/x"]);
    }
}
