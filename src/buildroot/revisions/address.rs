//! Addresses, which are never shown with what opens them.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use crate::http::redacted;

/// Where the metadata's index is below a repository.
const INDEX: &str = "repodata/repomd.xml";

/// The address of a repository, an index or a list of mirrors. Shown without names, passwords and
/// tokens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// The address that a config or a list of mirrors writes. Paths of this host are addresses too.
    pub fn new(text: &str) -> Address {
        match text.starts_with('/') {
            true => Address(format!("file://{text}")),
            false => Address(text.to_owned()),
        }
    }

    /// With everything that belongs to it.
    pub(super) fn exact(&self) -> &str {
        &self.0
    }

    /// Whether it is on this host.
    pub fn is_local(&self) -> bool {
        self.0.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
    }

    /// Whether what is there can be had: by HTTP, or from a file.
    pub fn is_supported(&self) -> bool {
        self.url().is_some()
    }

    /// The address in parts; none if nothing can be had from it.
    pub(super) fn url(&self) -> Option<Url> {
        let url = Url::parse(&self.0).ok()?;
        ["http", "https", "file"].contains(&url.scheme()).then_some(url)
    }

    /// The path on this host, if it is there.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.url()?.to_file_path().ok()
    }

    /// The index of the repository at this address. A query stays behind it, as in librepo.
    pub(super) fn index(&self) -> Address {
        let (place, query) = match self.0.find('?') {
            Some(at) => self.0.split_at(at),
            None => (self.0.as_str(), ""),
        };
        Address(format!("{}/{INDEX}{query}", place.trim_end_matches('/')))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_indexes_are() {
        let index = |text: &str| Address::new(text).index().exact().to_owned();
        assert_eq!(index("http://h/r"), "http://h/r/repodata/repomd.xml");
        assert_eq!(index("http://h/r//?a=b"), "http://h/r/repodata/repomd.xml?a=b");
        assert_eq!(index("/srv/r/"), "file:///srv/r/repodata/repomd.xml");
        let path = |text: &str| Address::new(text).path().map(|path| path.display().to_string());
        assert_eq!(path("file:///srv/a%20b").as_deref(), Some("/srv/a b"));
        assert_eq!(path("file://localhost/srv").as_deref(), Some("/srv"));
        assert_eq!(path("file://elsewhere/srv"), None);
        assert_eq!(path("http://h/srv"), None);
        for bad in ["ftp://h/r", "rsync://h/r", "h/r", "", "http://"] {
            let bad = Address::new(bad);
            assert!(!bad.is_supported() && !bad.is_local(), "{bad}");
        }
    }

    #[test]
    fn shown_without_secrets() {
        let address = Address::new("https://user:secret@h/r?token=secret");
        for shown in [address.to_string(), format!("{address:?}")] {
            assert_eq!(shown, "https://h/r?token=...");
        }
    }
}
