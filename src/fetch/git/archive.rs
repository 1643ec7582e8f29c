//! A source made of a repository, by git archive. Pure.

/// Where `.git` is inside.
pub const PLACE: &str = "/run/albs-node/git";

/// How archives are packed, by the ends of their names. Dates in them would make each another one.
const PACKERS: [(&str, &str); 8] = [
    (".tar.gz", "gzip -n"),
    (".tgz", "gzip -n"),
    (".tar.bz2", "bzip2"),
    (".tbz2", "bzip2"),
    (".tar.xz", "xz"),
    (".txz", "xz"),
    (".tar.zst", "zstd -q"),
    (".tar", "cat"),
];

/// Writes the repository as an archive with this name to the standard output, all below
/// `NAME-VERSION/`; none if the name is none of an archive.
pub fn command(name: &str, version: &str, file: &str) -> Option<Vec<String>> {
    let (_, packer) = PACKERS.iter().find(|(end, _)| file.ends_with(end))?;
    let script = format!(
        "set -o pipefail; git --git-dir={PLACE} archive --format=tar --prefix=\"$1/\" HEAD | {packer}"
    );
    let prefix = format!("{name}-{version}");
    Some(["bash", "-c", &script, "bash", &prefix].map(str::to_owned).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_by_their_names() {
        let packed = command("x", "1", "x-1.tar.bz2").unwrap();
        assert!(packed[2].ends_with("| bzip2") && packed[4] == "x-1");
        assert_eq!(command("x", "1", "x.patch"), None);
    }
}
