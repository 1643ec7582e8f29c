//! Parts of lines that programs say when they fail, and what they mean.

/// What rpmbuild says of a spec that is for other architectures (rpm, build/parsePreamble.c).
pub(super) const NOT_FOR_THIS: [&str; 4] = [
    "Architecture is not included:",
    "Architecture is excluded:",
    "No compatible architectures found for build",
    "OS is not included:",
];
/// What the package manager and rpm say when the disk is full.
pub(super) const DISK_FULL: [&str; 5] = [
    "No space left on device",
    "more space needed on the",
    "more space on the",
    "more inodes on the",
    "Disk quota exceeded",
];
pub(super) const DISK_FULL_HINT: &str =
    "free space where the store is, or choose another place with --store DIR";
/// What dnf says when a package does not exist or cannot be installed.
pub(super) const NO_PACKAGE: [&str; 6] = [
    "No matching package to install",
    "Unable to find a match",
    "No match for argument",
    "No match for group package",
    "nothing provides",
    "Module or Group",
];
/// What dnf says when packages exist and cannot be installed, the reason included.
pub(super) const CONFLICT: [&str; 4] =
    ["conflicting requests", "filtered out by", " conflicts with ", "cannot install both"];
/// What dnf says of packages whose signature is missing or not by one of the config's keys.
pub(super) const NOT_TRUSTED: [&str; 6] = [
    "Failing package is",
    "GPG check FAILED",
    "is not signed",
    "not correct for this package",
    "GPG key retrieval failed",
    "Signature verification failed",
];
/// What dnf says when a repository does not answer.
pub(super) const NO_REPOSITORY: [&str; 7] = [
    "Failed to download metadata",
    "Cannot download",
    "Cannot prepare internal mirrorlist",
    "Curl error",
    "Error downloading packages",
    "Librepo error",
    "repomd.xml",
];
