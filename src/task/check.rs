//! What texts of a task may look like. They end up in command lines and addresses; what could be
//! taken for something else there is refused before it gets near.

/// `x86_64_v2`, `src`.
pub(super) fn is_arch(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.len() <= 32 && text.chars().all(plain)
}

/// Where sources are fetched from: a server, by the protocols of git and of downloads. Never a
/// path or program of this host, as `ext::sh -c …` would be.
pub(crate) fn is_source(text: &str) -> bool {
    const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "ftp"];
    if !is_one_word(text) || text.starts_with('-') || text.contains("::") {
        return false;
    }
    if text.contains("://") {
        return has_host(text, &SCHEMES);
    }
    // user@host:path, git's short form of ssh.
    let Some((host, path)) = text.split_once(':') else { return false };
    let name = host.rsplit('@').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    host.contains('@')
        && !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(plain)
        && !path.is_empty()
}

/// The address of a file.
pub(super) fn is_download(text: &str) -> bool {
    is_one_word(text) && has_host(text, &["https", "http", "ftp"])
}

/// A name that git accepts (git-check-ref-format), and does not take for an option, a range or
/// two names.
pub(crate) fn is_git_ref(text: &str) -> bool {
    is_one_word(text)
        && !text.starts_with(['-', '/'])
        && !text.ends_with(['/', '.'])
        && !text.contains(['~', '^', ':', '?', '*', '[', '\\'])
        && !["..", "//", "@{", "/."].iter().any(|part| text.contains(part))
        && text != "@"
}

/// Hexadecimal digits, as many as that.
pub(super) fn is_hexadecimal(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Text without blanks and control characters.
pub(super) fn is_one_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 4096
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn has_host(text: &str, schemes: &[&str]) -> bool {
    // Three slashes are two to browsers, and no host to git.
    !text.contains(":///")
        && reqwest::Url::parse(text).is_ok_and(|url| {
            let host = url.host_str().unwrap_or_default();
            schemes.contains(&url.scheme())
            && !host.is_empty()
            // ssh would take it for an option.
            && !host.starts_with('-')
            && !url.username().starts_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for good in [
            "https://git.almalinux.org/rpms/hello.git",
            "ssh://git@host:2222/x",
            "git://h/x",
            "git@github.com:a/b.git",
            "http://h/a-1-1.src.rpm",
            "ftp://h/a.src.rpm",
        ] {
            assert!(is_source(good), "{good}");
        }
        for bad in [
            "",
            "/etc",
            "../x",
            "file:///etc",
            "ext::sh -c id",
            "ext::sh",
            "-uid",
            "--upload-pack=x",
            "ssh://-oProxyCommand=id/x",
            "ssh://-l@h/x",
            "a b",
            "https://h/a\nb",
            "https:///x",
            "host:path",
            "u@-h:x",
            "u@h:",
            "u@h/x:y",
        ] {
            assert!(!is_source(bad), "{bad}");
        }
    }

    #[test]
    fn refs() {
        for good in ["c8", "imports/c8/hello-1-1", "a10s-beta", "v1.2", "0123abc"] {
            assert!(is_git_ref(good), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a:b",
            "a b",
            "a^",
            "@",
            "a@{1}",
            "a//b",
            "/a",
            "a/",
            "a\0",
        ] {
            assert!(!is_git_ref(bad), "{bad}");
        }
    }
}
