//! Which architectures a source package is for.

/// What a source package says of architectures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arches {
    /// Whether its packages are for all of them.
    pub is_noarch: bool,
    /// `ExcludeArch`: those it is not for.
    pub exclude: Vec<String>,
    /// `ExclusiveArch`: those it is for; empty for all.
    pub exclusive: Vec<String>,
}

/// 32-bit architectures of Intel's, which stand for each other.
const IX86: [&str; 4] = ["i386", "i486", "i586", "i686"];

impl Arches {
    /// Why nothing is built of it for an architecture; nothing if something is.
    pub fn refusal(&self, target: &str) -> Option<String> {
        let names: Vec<&str> = match target {
            // One that runs its programs, and which specs seldom know.
            "x86_64_v2" => vec![target, "x86_64"],
            target if IX86.contains(&target) => IX86.to_vec(),
            target => vec![target],
        };
        let has = |list: &[String]| list.iter().any(|arch| names.contains(&arch.as_str()));
        if has(&self.exclude) {
            return Some(format!("ExcludeArch: {}", self.exclude.join(" ")));
        }
        let is_for = |list: &[String]| {
            has(list) || self.is_noarch && list.iter().any(|arch| arch == "noarch")
        };
        (!self.exclusive.is_empty() && !is_for(&self.exclusive))
            .then(|| format!("ExclusiveArch: {}", self.exclusive.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(is_noarch: bool, exclude: &str, exclusive: &str, target: &str) -> Option<String> {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Arches { is_noarch, exclude: list(exclude), exclusive: list(exclusive) }.refusal(target)
    }

    #[test]
    fn what_is_excluded() {
        assert_eq!(refusal(false, "", "", "x86_64"), None);
        assert_eq!(refusal(false, "i686", "", "x86_64"), None);
        assert_eq!(refusal(false, "i386", "", "i686").unwrap(), "ExcludeArch: i386");
        assert_eq!(refusal(false, "x86_64", "", "x86_64_v2").unwrap(), "ExcludeArch: x86_64");
        let told = refusal(false, "", "ppc64le s390x", "aarch64").unwrap();
        assert_eq!(told, "ExclusiveArch: ppc64le s390x");
        assert_eq!(refusal(false, "", "x86_64 aarch64", "x86_64_v2"), None);
        assert_eq!(refusal(false, "", "i586", "i686"), None);
    }

    #[test]
    fn packages_for_all_architectures() {
        assert_eq!(refusal(true, "", "x86_64 noarch", "ppc64le"), None);
        assert!(refusal(false, "", "x86_64 noarch", "ppc64le").is_some());
        assert!(refusal(true, "ppc64le", "noarch", "ppc64le").is_some());
    }
}
