//! Files of git LFS. A repository holds pointers to them, which stay what they are unless this host
//! allows to get what they point to. That is done here, not by git's filters: the server is asked
//! where the files are, and they come as other sources do, from addresses that are allowed, with
//! their checksums verified.
//!
//! Pointers: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>, the question:
//! <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::DownloadError;
use super::download::{Download, Downloads, Wait};
use super::git::Remote;
use super::lookaside::Entry;
use super::sums::{Sum, SumKind};

/// Pointers are shorter than this.
const LONGEST: u64 = 1024;
/// Their first line.
const VERSION: &str = "version https://git-lfs.github.com/spec/v1";
/// Files that are asked for at once, as git-lfs does. Answers are good for some minutes.
pub const AT_ONCE: usize = 100;
/// Most pointers of a repository that are followed.
pub const MOST: usize = 10_000;
/// What a server may want to be told with the question for a file, by the beginnings of names: who may
/// have it. Nothing that would make another question of it, or that is not forgotten when the
/// question is sent elsewhere and has secrets.
const HEADERS: [&str; 4] = ["accept", "authorization", "x-amz-", "x-ms-"];
/// Most of them.
const MOST_HEADERS: usize = 20;
/// Kind of questions and answers.
const KIND: &str = "application/vnd.git-lfs+json";

/// A pointer: where it is, the file's checksum, and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// Where it is, below the directory of sources, and what it points to.
    pub entry: Entry,
    /// Bytes.
    pub size: u64,
}

/// The pointers among sources, but not those of submodules, whose server is another.
///
/// # Errors
///
/// The sources cannot be read.
pub fn pointers(sources: &Path) -> io::Result<Vec<Pointer>> {
    let mut found = Vec::new();
    let mut directories = vec![sources.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                let is_other =
                    entry.file_name() == ".git" || path.join(".git").symlink_metadata().is_ok();
                directories.extend((!is_other).then_some(path));
            } else if kind.is_file() && entry.metadata()?.len() < LONGEST {
                let Some((sum, size)) = parse(&String::from_utf8_lossy(&fs::read(&path)?)) else {
                    continue;
                };
                let path = path.strip_prefix(sources).unwrap_or(&path).to_owned();
                found.push(Pointer { entry: Entry { path, sum }, size });
            }
        }
    }
    found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    Ok(found)
}

fn parse(text: &str) -> Option<(Sum, u64)> {
    let mut lines = text.lines();
    if lines.next() != Some(VERSION) {
        return None;
    }
    let value = |key: &str| {
        let line = lines.clone().find_map(|line| line.strip_prefix(key));
        line.and_then(|value| value.strip_prefix(' '))
    };
    let sum = Sum::parse(value("oid")?.strip_prefix("sha256:")?)?;
    (sum.kind == SumKind::Sha256).then_some((sum, value("size")?.parse().ok()?))
}

/// Where a repository's server is asked.
fn question(remote: &Remote) -> Option<Url> {
    // Only HTTP is spoken here; servers of ssh have their files at the same path.
    let address = match remote.url.split_once("://") {
        Some(_) if remote.is_http() => remote.url.clone(),
        Some((_, rest)) => format!("https://{}/{}", remote.host, rest.split_once('/')?.1),
        None => format!("https://{}/{}", remote.host, remote.url.split_once(':')?.1),
    };
    let address = address.trim_end_matches('/');
    let end = if address.ends_with(".git") { "" } else { ".git" };
    Url::parse(&format!("{address}{end}/info/lfs/objects/batch")).ok()
}

#[derive(Serialize)]
struct Question {
    operation: &'static str,
    transfers: [&'static str; 1],
    hash_algo: &'static str,
    objects: Vec<Wanted>,
}

#[derive(Serialize)]
struct Wanted {
    oid: String,
    size: u64,
}

#[derive(Deserialize)]
struct Answer {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: Actions,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
}

#[derive(Deserialize, Default)]
struct Actions {
    download: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: Option<HashMap<String, String>>,
}

/// Asks where files are, [`AT_ONCE`] at most; gives the places by checksums. What the server does not
/// have is missing.
///
/// # Errors
///
/// The server is away, has no LFS, or does not give one of them.
pub fn places(
    pointers: &[Pointer],
    remote: &Remote,
    downloads: &Downloads,
    wait: &Wait<'_>,
) -> Result<HashMap<String, Download>, DownloadError> {
    let url = question(remote)
        .ok_or_else(|| DownloadError::Address(crate::http::redacted(&remote.url)))?;
    let wanted =
        |pointer: &Pointer| Wanted { oid: pointer.entry.sum.hex.clone(), size: pointer.size };
    let question = Question {
        operation: "download",
        transfers: ["basic"],
        hash_algo: "sha256",
        objects: pointers.iter().map(wanted).collect(),
    };
    let answer: Answer = downloads.ask_json(&url, KIND, &question, wait)?;
    let mut places = HashMap::new();
    for object in answer.objects {
        let is_it = |pointer: &&Pointer| pointer.entry.sum.hex == object.oid;
        let Some(pointer) = pointers.iter().find(is_it) else { continue };
        match (object.error, object.actions.download) {
            (Some(Refusal { code: 404 | 410 }), _) => {}
            (Some(Refusal { code }), _) => {
                let url = crate::http::redacted(url.as_str());
                return Err(DownloadError::Status { url, status: code });
            }
            (None, Some(action)) => {
                let headers = headers(action.header.unwrap_or_default());
                let place = Download { url: action.href, headers, most: pointer.size };
                places.insert(object.oid, place);
            }
            (None, None) => {}
        }
    }
    Ok(places)
}

fn headers(named: HashMap<String, String>) -> HeaderMap {
    let header = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).ok()?;
        let is_known = HEADERS.iter().any(|start| match start.ends_with('-') {
            true => name.as_str().starts_with(start),
            false => name.as_str() == *start,
        });
        let mut value = HeaderValue::try_from(value).ok().filter(|_| is_known)?;
        value.set_sensitive(true);
        Some((name, value))
    };
    named.into_iter().filter_map(header).take(MOST_HEADERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    #[test]
    fn what_is_a_pointer() {
        let text = format!("{VERSION}\noid sha256:{OID}\nsize 12345\n");
        let (sum, size) = parse(&text).unwrap();
        assert_eq!((sum.hex.as_str(), size), (OID, 12345));
        assert!(
            parse(&format!("{VERSION}\next-0-x sha256:1\noid sha256:{OID}\nsize 1\n")).is_some()
        );
        for bad in [
            String::new(),
            format!("oid sha256:{OID}\nsize 1\n"),
            format!("{VERSION}\noid sha1:{OID}\nsize 1\n"),
            format!("{VERSION}\noid sha256:{}\nsize 1\n", &OID[1..]),
            format!("{VERSION}\noid sha256:{OID}\nsize -1\n"),
            format!("{VERSION}\noid sha256:{OID}\n"),
            format!("{VERSION}2\noid sha256:{OID}\nsize 1\n"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn pointers_are_found_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{VERSION}\noid sha256:{OID}\nsize 5\n");
        fs::create_dir_all(dir.path().join("submodule/.git")).unwrap();
        for directory in ["b", ".git", "submodule"] {
            fs::create_dir_all(dir.path().join(directory)).unwrap();
            fs::write(dir.path().join(directory).join("x.tgz"), &text).unwrap();
        }
        fs::write(dir.path().join("a.tgz"), &text).unwrap();
        fs::write(dir.path().join("long"), format!("{text}{}", "x".repeat(1024))).unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("a.tgz", dir.path().join("also")).unwrap();
        let found = pointers(dir.path()).unwrap();
        let paths: Vec<_> = found.iter().map(|pointer| pointer.entry.path.to_str()).collect();
        assert_eq!(paths, [Some("a.tgz"), Some("b/x.tgz")]);
    }

    #[test]
    fn what_servers_are_told() {
        let named =
            ["Authorization", "x-amz-date", "Host", "content-length", "Private-Token", "a b"];
        let found = headers(named.map(|name| (name.to_owned(), "x".to_owned())).into());
        let mut names: Vec<&str> = found.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-amz-date"]);
        let many = (0..100_000).map(|number| (format!("x-amz-{number}"), String::new()));
        assert_eq!(headers(many.collect()).len(), MOST_HEADERS);
    }

    #[test]
    fn where_servers_are_asked() {
        for (url, wanted) in [
            ("https://h/a/b.git", "https://h/a/b.git/info/lfs/objects/batch"),
            ("https://h:8443/a/b/", "https://h:8443/a/b.git/info/lfs/objects/batch"),
            ("ssh://git@h:2222/a/b.git", "https://h/a/b.git/info/lfs/objects/batch"),
            ("git@h.example.org:a/b.git", "https://h.example.org/a/b.git/info/lfs/objects/batch"),
        ] {
            let found = question(&Remote::parse(url).unwrap()).unwrap();
            assert_eq!(found.as_str(), wanted, "{url}");
        }
    }
}
