//! Addresses of git repositories. Pure.

use std::net::IpAddr;

use reqwest::Url;

/// A repository on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// As git takes it.
    pub url: String,
    /// Protocol: `https`, `http`, `ssh` or `git`.
    pub scheme: String,
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Remote {
    /// From an address, if it is one of a server and of a protocol of git.
    pub fn parse(url: &str) -> Option<Remote> {
        if !crate::task::is_source(url) {
            return None;
        }
        let remote = |scheme: &str, host: &str, port: u16| Remote {
            url: url.to_owned(),
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
        };
        if !url.contains("://") {
            let host = url.split_once(':')?.0;
            return Some(remote("ssh", host.rsplit('@').next()?, 22));
        }
        let parsed = Url::parse(url).ok()?;
        let usual = match parsed.scheme() {
            "https" => 443,
            "http" => 80,
            "ssh" => 22,
            "git" => 9418,
            _ => return None,
        };
        Some(remote(parsed.scheme(), parsed.host_str()?, parsed.port().unwrap_or(usual)))
    }

    /// Whether it is fetched by HTTP.
    pub fn is_http(&self) -> bool {
        self.scheme.starts_with("http")
    }

    /// Where its server says whether there is a repository (gitprotocol-http(5)).
    pub fn question(&self) -> String {
        format!("{}/info/refs?service=git-upload-pack", self.url.trim_end_matches('/'))
    }

    /// The repository whose server answered that question at this address.
    pub fn of_answer(address: &str) -> Option<Remote> {
        Remote::parse(address.split_once("/info/refs")?.0)
    }

    /// Name, port and addresses, as curl takes them (CURLOPT_RESOLVE(3)).
    pub fn pin(&self, addresses: &[IpAddr]) -> Option<String> {
        if addresses.is_empty() || !self.is_http() || self.host.starts_with('[') {
            return None;
        }
        let texts: Vec<String> = addresses
            .iter()
            .map(|address| match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            })
            .collect();
        Some(format!("{}:{}:{}", self.host, self.port, texts.join(",")))
    }

    /// The address of a submodule: itself, or relative to its repository (gitsubmodules(7)).
    pub fn relative(&self, url: &str) -> Option<Remote> {
        if !url.starts_with("./") && !url.starts_with("../") {
            return Remote::parse(url);
        }
        let (start, path) = match self.url.find("://") {
            Some(at) => {
                let path = self.url[at + 3..].find('/')? + at + 3;
                self.url.split_at(path)
            }
            None => self.url.split_at(self.url.find(':')? + 1),
        };
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for part in url.split('/') {
            match part {
                "." | "" => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        let slash = if path.starts_with('/') { "/" } else { "" };
        Remote::parse(&format!("{start}{slash}{}", parts.join("/")))
    }

    /// The package, as the repository is named after it.
    pub fn package(&self) -> &str {
        package_of(&self.url)
    }
}

/// The last part of an address, by which its package goes.
pub fn package_of(url: &str) -> &str {
    let path = url.trim_end_matches('/');
    let name = path.rsplit(['/', ':']).next().unwrap_or_default();
    name.strip_suffix(".git").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Remote {
        Remote::parse(url).unwrap()
    }

    #[test]
    fn servers() {
        for (url, scheme, host, port, package) in [
            ("https://git.almalinux.org/rpms/bash.git", "https", "git.almalinux.org", 443, "bash"),
            ("http://h:8080/a/b/", "http", "h", 8080, "b"),
            ("git@github.com:a/x.git", "ssh", "github.com", 22, "x"),
            ("ssh://u@h:2222/x", "ssh", "h", 2222, "x"),
            ("git://h/y", "git", "h", 9418, "y"),
        ] {
            let remote = parse(url);
            assert_eq!((remote.scheme.as_str(), remote.host.as_str()), (scheme, host), "{url}");
            assert_eq!((remote.port, remote.package()), (port, package), "{url}");
        }
        for bad in ["ftp://h/x", "file:///x", "/x", "ext::sh -c id", "-x"] {
            assert_eq!(Remote::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn submodules() {
        let of = |url: &str, submodule: &str| parse(url).relative(submodule).map(|r| r.url);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("https://h/a/b.git", "../c.git"), some("https://h/a/c.git"));
        assert_eq!(of("https://h/a/b", "./c"), some("https://h/a/b/c"));
        assert_eq!(of("u@h:a/b.git", "../c"), some("u@h:a/c"));
        assert_eq!(of("https://h/a/b", "https://g/x"), some("https://g/x"));
        for bad in ["../../../x", "file:///etc", "/etc", "ext::sh", "--upload-pack=x"] {
            assert_eq!(of("https://h/a/b", bad), None, "{bad}");
        }
    }

    #[test]
    fn answers_and_pins() {
        let remote = parse("http://h/x.git/");
        assert_eq!(remote.question(), "http://h/x.git/info/refs?service=git-upload-pack");
        let answered = Remote::of_answer("https://g/y.git/info/refs?service=git-upload-pack");
        assert_eq!(answered.unwrap().url, "https://g/y.git");
        let addresses = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(remote.pin(&addresses).unwrap(), "h:80:192.0.2.1,[2001:db8::1]");
        assert_eq!(parse("ssh://h/x").pin(&addresses), None);
    }
}
