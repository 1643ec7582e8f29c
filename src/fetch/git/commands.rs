//! Command lines of git. Pure.
//!
//! Nothing that a repository brings is executed: no hooks, no filters (none are configured, and
//! attributes only choose among those that are), no helpers of transports. What this host has
//! configured for git is not seen.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::remote::Remote;

/// Where the tree of checkouts is inside.
pub const PLACE: &str = "/fetch";
/// Where a mirror is inside.
pub const MIRROR: &str = "/mirror";
/// The repository of a mirror, below that.
pub const BARE: &str = "repository";

/// Protocols that git may use, with its own name for paths inside the sandbox.
const PROTOCOLS: &str = "https:http:ssh:git:file";

/// Settings for all commands. The values are those of git-config(1).
const SETTINGS: [(&str, &str); 12] = [
    // Trees are of another id where there is but one.
    ("safe.directory", "*"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    // Where it leads was found out, and checked, before.
    ("http.followRedirects", "false"),
    // A server that stalls: less than 1000 bytes a second for two minutes.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "120"),
    ("submodule.recurse", "false"),
    ("uploadpack.allowAnySHA1InWant", "true"),
];

/// Variables of proxies that are passed on.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// The environment of git. `pinned` are addresses that the remote's name was found to have: it is
/// not looked up again, so that nobody can change the answer in between.
pub fn environment(
    remote: Option<&Remote>,
    pinned: &[IpAddr],
    host: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/tmp"),
        ("LC_ALL", "C.UTF-8"),
        ("GIT_ALLOW_PROTOCOL", PROTOCOLS),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_LFS_SKIP_SMUDGE", "1"),
        // Whose key a server has is not known here, and there is no key of ours to lose.
        ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for name in PROXIES {
        if let Some(value) = host(name) {
            variables.insert(name.to_owned(), value);
        }
    }
    let mut settings: Vec<(&str, String)> =
        SETTINGS.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    settings.push(("http.userAgent", format!("git/2 {}", crate::http::USER_AGENT)));
    if let Some(place) = remote.and_then(|remote| remote.pin(pinned)) {
        settings.push(("http.curloptResolve", place));
    }
    for (index, (name, value)) in settings.iter().enumerate() {
        variables.insert(format!("GIT_CONFIG_KEY_{index}"), (*name).to_owned());
        variables.insert(format!("GIT_CONFIG_VALUE_{index}"), value.clone());
    }
    variables.insert("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string());
    variables
}

/// Makes an empty repository.
pub fn init(directory: &str) -> Vec<String> {
    git(&["init", "-q", "--", directory])
}

/// Makes an empty repository without files.
pub fn init_bare(directory: &str) -> Vec<String> {
    git(&["init", "-q", "--bare", "--", directory])
}

/// Fetches one commit without what was before it.
pub fn fetch_one(directory: &str, url: &str, wanted: &str) -> Vec<String> {
    git(&["-C", directory, "fetch", "-q", "--no-tags", "--depth", "1", "--", url, wanted])
}

/// Fetches all branches and tags with their history into a mirror.
pub fn fetch_all(directory: &str, url: &str) -> Vec<String> {
    let refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    let start = ["-C", directory, "fetch", "-q", "--prune", "--no-tags", "--", url];
    git(&[&start[..], &refs].concat())
}

/// Fetches all branches and tags, and what else is wanted, with their history.
pub fn fetch_history(directory: &str, url: &str) -> Vec<String> {
    let refs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    git(&[&["-C", directory, "fetch", "-q", "--no-tags", "--", url], &refs[..]].concat())
}

/// Fetches one more ref.
pub fn fetch_ref(directory: &str, url: &str, wanted: &str) -> Vec<String> {
    git(&["-C", directory, "fetch", "-q", "--no-tags", "--", url, wanted])
}

/// Makes a repository independent of those that it borrows from.
pub fn repack(directory: &str) -> Vec<String> {
    git(&["-C", directory, "repack", "-q", "-a", "-d"])
}

/// Prints the commit of a name.
pub fn commit_of(directory: &str, name: &str) -> Vec<String> {
    let name = format!("{name}^{{commit}}");
    git(&["-C", directory, "rev-parse", "-q", "--verify", "--end-of-options", &name])
}

/// Writes the files of a commit.
pub fn checkout(directory: &str, commit: &str) -> Vec<String> {
    git(&["-C", directory, "checkout", "-q", "--force", "--detach", commit])
}

/// Lists everything of the commit that is checked out: `MODE TYPE HASH\tPATH\0`.
pub fn list(directory: &str) -> Vec<String> {
    git(&["-C", directory, "ls-tree", "-r", "-z", "HEAD"])
}

/// Lists the settings of submodules: `KEY\nVALUE\0`.
pub fn list_submodules(directory: &str) -> Vec<String> {
    let place = format!("{directory}/.gitmodules");
    git(&["config", "-z", "--no-includes", "--file", &place, "--get-regexp", r"^submodule\."])
}

fn git(arguments: &[&str]) -> Vec<String> {
    std::iter::once("git").chain(arguments.iter().copied()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_nothing_of_the_host_but_proxies() {
        let remote = Remote::parse("https://git.example.org/x.git").unwrap();
        let host = |name: &str| (name != "no_proxy").then(|| format!("{name} of the host"));
        let found = environment(Some(&remote), &["192.0.2.7".parse().unwrap()], host);
        insta::assert_debug_snapshot!(found);
    }

    #[test]
    fn what_is_from_outside_comes_after_the_options() {
        for line in
            [fetch_one("/d", "URL", "x"), fetch_all("/d", "URL"), fetch_ref("/d", "URL", "x")]
        {
            let end = line.iter().position(|word| word == "--").unwrap();
            assert_eq!(line[end + 1], "URL");
        }
        assert!(commit_of("/d", "x").ends_with(&["--end-of-options".into(), "x^{commit}".into()]));
    }
}
