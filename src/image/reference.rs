//! Where an image is, as configs write it.
//!
//! Source: containers-transports(5), and the grammar of references of the distribution project.

use std::path::PathBuf;

/// A reference, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it is.
    pub source: Source,
    /// As it was written.
    pub text: String,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a registry.
    Registry {
        /// Host, and port if it has one.
        host: String,
        /// Name of the repository.
        repository: String,
        /// A tag.
        tag: String,
        /// What it must be: `sha256:…`; goes before the tag.
        digest: Option<String>,
    },
    /// In a directory in the layout of OCI.
    Layout(PathBuf, Option<String>),
    /// In an archive of such a directory, or of the format of docker.
    Archive(PathBuf, Option<String>),
}

/// A text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an image: {reason}")]
pub struct BadReference {
    text: String,
    reason: &'static str,
}

/// The registry of names without one.
const DEFAULT_HOST: &str = "docker.io";

impl Reference {
    /// Reads a reference. A plain path is a layout if it is that of a directory.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(text: &str) -> Result<Reference, BadReference> {
        let bad = |reason| BadReference { text: text.to_owned(), reason };
        let source = match text.split_once(':') {
            Some(("oci", rest)) => {
                let (path, name) = path_and_name(rest);
                Source::Layout(path, name)
            }
            Some(("oci-archive" | "docker-archive", rest)) => {
                let (path, name) = path_and_name(rest);
                Source::Archive(path, name)
            }
            Some(("docker", rest)) => registry(rest.trim_start_matches('/')).map_err(bad)?,
            Some(("containers-storage" | "docker-daemon" | "dir" | "ostree", _)) => {
                return Err(bad("images come from registries, oci: layouts and archives"));
            }
            _ if text.starts_with(['/', '.']) => {
                let path = PathBuf::from(text);
                if path.is_dir() { Source::Layout(path, None) } else { Source::Archive(path, None) }
            }
            _ => registry(text).map_err(bad)?,
        };
        Ok(Reference { source, text: text.to_owned() })
    }
}

/// `path[:name]`; a path has no colon.
fn path_and_name(text: &str) -> (PathBuf, Option<String>) {
    match text.split_once(':') {
        Some((path, name)) => (path.into(), Some(name.to_owned())),
        None => (text.into(), None),
    }
}

fn registry(text: &str) -> Result<Source, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("a digest is sha256: and 64 hexadecimal digits");
    }
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[slash..].find(':') {
        Some(at) => (&rest[..slash + at], &rest[slash + at + 1..]),
        None => (rest, "latest"),
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(word) || tag.starts_with(['.', '-']) {
        return Err("a tag has letters, digits, dots, dashes and underscores");
    }
    // The first part is a host if it could be none of a repository's names.
    let (host, repository) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (host.to_owned(), rest.to_owned())
        }
        Some(_) => (DEFAULT_HOST.to_owned(), name.to_owned()),
        None => (DEFAULT_HOST.to_owned(), format!("library/{name}")),
    };
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(lower) && !part.starts_with(['.', '-', '_'])
    };
    if repository.len() > 255 || !repository.split('/').all(plain) {
        return Err("the name of a repository has small letters, digits, dots and dashes");
    }
    let host_sign = |b: u8| b.is_ascii_alphanumeric() || b".-:".contains(&b);
    if !host.bytes().all(host_sign) {
        return Err("the name of a registry is a host, and perhaps a port");
    }
    let (tag, digest) = (tag.to_owned(), digest.map(str::to_owned));
    Ok(Source::Registry { host, repository, tag, digest })
}

/// Whether a text is `sha256:` and its digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        match Reference::parse(text).map(|reference| reference.source) {
            Ok(Source::Registry { host, repository, tag, digest }) => {
                format!("{host} {repository} {tag} {}", digest.unwrap_or_default().len())
            }
            Ok(Source::Layout(path, name)) => format!("layout {} {name:?}", path.display()),
            Ok(Source::Archive(path, name)) => format!("archive {} {name:?}", path.display()),
            Err(error) => error.reason.to_owned(),
        }
    }

    #[test]
    fn references_as_configs_write_them() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        assert_eq!(shown("fedora:41"), "docker.io library/fedora 41 0");
        assert_eq!(shown("user/x"), "docker.io user/x latest 0");
        assert_eq!(shown("example.org/a/b:9"), "example.org a/b 9 0");
        assert_eq!(shown("localhost:5000/x"), "localhost:5000 x latest 0");
        assert_eq!(shown(&format!("example.org/a@{digest}")), "example.org a latest 71");
        assert_eq!(shown("oci:/srv/images:tag"), "layout /srv/images Some(\"tag\")");
        assert_eq!(shown("docker-archive:/srv/x.tar"), "archive /srv/x.tar None");
        assert_eq!(shown("docker-archive:/srv/x.tar:a/b:c"), "archive /srv/x.tar Some(\"a/b:c\")");
        assert_eq!(shown("/srv/x.tar"), "archive /srv/x.tar None");
        for bad in ["Fedora", "a/../b", "x:", "x:..", "x@sha256:1", "ex ample.org/x", "dir:/x", ""]
        {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// An address made of a reference is exactly that, whatever the text was.
        #[test]
        fn what_is_read_stands_in_addresses(
            text in r"([a-z0-9.:-]{0,8}/)?[a-z0-9._/-]{1,12}(:[a-zA-Z0-9._-]{1,5})?|.{0,20}",
        ) {
            let source = Reference::parse(&text).map(|reference| reference.source);
            if let Ok(Source::Registry { repository, tag, .. }) = source {
                let path = format!("/v2/{repository}/manifests/{tag}");
                let url = reqwest::Url::parse(&format!("https://h{path}")).unwrap();
                prop_assert_eq!(url.path(), path);
                prop_assert_eq!(url.query(), None);
            }
        }
    }
}
