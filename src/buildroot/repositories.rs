//! What a package manager's configuration refers to on this host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use crate::mock_config::MockOptions;
use crate::mock_config::repositories::{Section, in_force, words};

/// Host paths that the configuration refers to by `file://`, and by the options that are paths of
/// certificates and keys. They must be visible where the package manager runs.
pub fn visible_paths(options: &MockOptions) -> Vec<PathBuf> {
    const PATH_OPTIONS: [&str; 4] = ["sslcacert", "sslclientcert", "sslclientkey", "gpgkey"];
    let mut paths: Vec<PathBuf> = Vec::new();
    let shown: Vec<&str> = match options.use_bootstrap {
        // They come from elsewhere on the host, and only into the bootstrap root.
        true => options.network.certificates.iter().map(|(_, inside)| inside.as_str()).collect(),
        false => Vec::new(),
    };
    for (option, word) in enabled_words(&options.dnf_conf) {
        let path = match word.strip_prefix("file://") {
            Some(path) => path,
            None if PATH_OPTIONS.contains(&option.as_str()) && word.starts_with('/') => &word,
            None => continue,
        };
        let path = with_variables(options, path);
        if shown.contains(&path.as_str()) {
            continue;
        }
        let path = PathBuf::from(path);
        if path.is_absolute() && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// TCP ports of this host's loopback interface at which the configuration's repositories and
/// proxies are.
pub fn host_ports(options: &MockOptions) -> Vec<u16> {
    let mut ports: Vec<u16> =
        addresses(options).filter_map(|address| host_port(&address)).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Values that may be addresses of repositories, and those of proxies.
fn addresses(options: &MockOptions) -> impl Iterator<Item = String> {
    enabled_words(&options.dnf_conf)
        .into_iter()
        .map(|(_, word)| with_variables(options, &word))
        .chain(options.network.proxies.values().cloned())
}

/// The port of an address on the loopback interface.
fn host_port(address: &str) -> Option<u16> {
    let url = Url::parse(address).ok()?;
    let is_host = url.host_str()? == "localhost" || ip(&url).is_some_and(|ip| ip.is_loopback());
    is_host.then(|| url.port_or_known_default()).flatten()
}

fn ip(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// The repositories and proxies of the configuration that are at one of these addresses of the host,
/// which a filtered network closes.
pub fn at_own_addresses(options: &MockOptions, own: &[IpAddr]) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = addresses(options)
        .filter_map(|address| ip(&Url::parse(&address).ok()?))
        .filter(|ip| own.contains(ip))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The words of the values of options that are in force, each with its option.
fn enabled_words(conf: &str) -> Vec<(String, String)> {
    let (main, repositories) = in_force(conf);
    let sections = std::iter::once(main).chain(repositories);
    let own = |section: Section| -> Vec<_> {
        let entries = section.entries();
        let each = |(option, value)| words(value).map(move |word| (option, word));
        entries.flat_map(each).map(|(a, b): (&str, &str)| (a.to_owned(), b.to_owned())).collect()
    };
    sections.flat_map(own).collect()
}

/// Bytes of an address from which on no variables are put in; no file has so long a name.
const MAX_ADDRESS: usize = 16 << 10;

/// A text with the variables that package managers know, `$name` or `${name}`.
pub(super) fn with_variables(options: &MockOptions, text: &str) -> String {
    let own = options.dnf_vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let arch = options.forcearch.as_deref().unwrap_or(&options.target_arch);
    let release = options.releasever.as_deref();
    let parts = release.and_then(|release| release.split_once('.'));
    let usual = [("basearch", Some(base_arch(arch))), ("arch", Some(arch))]
        .into_iter()
        .chain([("releasever", release)])
        .chain([("releasever_major", parts.map(|(major, _)| major).or(release))])
        .chain([("releasever_minor", parts.map(|(_, minor)| minor))])
        .filter_map(|(name, value)| Some((name, value?)));
    let variables: BTreeMap<&str, &str> = usual.chain(own).collect();
    let mut out = String::new();
    let mut rest = text;
    // What is put in is not looked at again, as in dnf.
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|text| text.split_once('}'));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, others) = braced
            .unwrap_or_else(|| after.split_at(after.find(|c| !plain(c)).unwrap_or(after.len())));
        match variables.get(name).filter(|_| out.len() < MAX_ADDRESS) {
            Some(value) => {
                out.push_str(value);
                rest = others;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

/// What package managers call the family of an architecture (dnf's rpm/__init__.py and libdnf's
/// arch tables, which agree).
fn base_arch(arch: &str) -> &str {
    match arch {
        "i386" | "i486" | "i586" | "i686" | "athlon" | "geode" => "i386",
        "amd64" | "ia32e" | "x86_64_v2" => "x86_64",
        "armv7l" | "armv7hl" | "armv7hnl" | "armv8hl" => "armhfp",
        "armv5tel" | "armv5tejl" | "armv6l" => "arm",
        arch => arch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildroot::testing::options;

    #[test]
    fn ports_of_this_host() {
        let mut options = options("dnf");
        options.dnf_conf = "[main]\nproxy=http://127.0.0.1:3128\n[a]\n\
                            baseurl=http://localhost:8080/$basearch https://h:1/\n\
                            metalink = https://[::1]/m?repo=a\n\
                            [off]\nbaseurl=http://localhost:1/\nenabled=0\n"
            .to_owned();
        options.network.proxies =
            [("https_proxy".to_owned(), "http://127.0.0.2:3129/".to_owned())].into();
        assert_eq!(host_ports(&options), [443, 3128, 3129, 8080]);
        assert!(at_own_addresses(&options, &["192.0.2.1".parse().unwrap()]).is_empty());
        options.dnf_conf += "[b]\nbaseurl=http://192.0.2.1:1/ http://192.0.2.2/\n";
        let own = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(at_own_addresses(&options, &own), own[..1]);
    }

    #[test]
    fn paths_that_repositories_need() {
        let mut options = options("dnf");
        options.dnf_vars = [("stream", "9-s"), ("releasever_minor", "4")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        options.dnf_conf = "[main]\nsslcacert=/etc/my.pem\n[a]\n\
                            baseurl=file:///srv/r/$releasever/$basearch https://h/x\n\
                            #baseurl=file:///no\ngpgkey=file:///keys/a, file:///keys/${stream}\n\
                            [off]\nbaseurl=file:///off\nenabled = 0\n\
                            [b]\nbaseurl = file:///srv/$releasever.$releasever_minor/\n\
                            [last]\nenabled=False\nbaseurl=file:///last\n"
            .to_owned();
        let paths = visible_paths(&options);
        let text: Vec<_> = paths.iter().filter_map(|p| p.to_str()).collect();
        let expected = ["/etc/my.pem", "/srv/r/9/x86_64", "/keys/a", "/keys/9-s", "/srv/9.4/"];
        assert_eq!(text, expected);
    }
}
