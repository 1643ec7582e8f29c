//! Which sources a spec expects, as its expanded text has them. Pure.

/// What a spec says of itself and of its sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Sources and patches in their order.
    pub files: Vec<File>,
}

/// One source or patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// `Source0`, `Patch12`.
    pub tag: String,
    /// A name, or an address.
    pub value: String,
}

impl File {
    /// The name that rpmbuild looks for: what follows the last slash, also in the fragment of an
    /// address, as `https://h/v1.tar.gz#/x-1.tar.gz` has it.
    pub fn name(&self) -> &str {
        self.value.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it can be downloaded.
    pub fn is_remote(&self) -> bool {
        ["https://", "http://", "ftp://"].iter().any(|scheme| self.value.starts_with(scheme))
    }
}

/// Sections that end the part of a spec with tags; `%package` begins another one.
const SECTIONS: [&str; 24] = [
    "%description",
    "%prep",
    "%generate_buildrequires",
    "%conf",
    "%build",
    "%install",
    "%check",
    "%clean",
    "%files",
    "%changelog",
    "%pre",
    "%post",
    "%preun",
    "%postun",
    "%pretrans",
    "%posttrans",
    "%preuntrans",
    "%postuntrans",
    "%verifyscript",
    "%triggerprein",
    "%triggerin",
    "%triggerun",
    "%triggerpostun",
    "%filetriggerin",
];

/// Where a line of a spec is.
#[derive(PartialEq)]
enum Part {
    Tags,
    List(&'static str),
    Text,
}

/// Reads what `rpmspec --parse` prints.
pub fn expected(text: &str) -> Expected {
    let mut expected = Expected::default();
    let mut part = Part::Tags;
    // Counted as rpm does for tags without a number.
    let (mut next_source, mut next_patch) = (0, 0);
    for line in text.lines() {
        let line = line.trim();
        let word = line.split_whitespace().next().unwrap_or_default();
        if word.starts_with('%') {
            part = match word {
                "%package" => Part::Tags,
                "%sourcelist" => Part::List("Source"),
                "%patchlist" => Part::List("Patch"),
                _ if SECTIONS.contains(&word) || word.starts_with("%transfiletrigger") => {
                    Part::Text
                }
                _ => part,
            };
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match part {
            Part::Text => {}
            Part::List(tag) => {
                let next = if tag == "Source" { &mut next_source } else { &mut next_patch };
                push(&mut expected, tag, *next, line);
                *next += 1;
            }
            Part::Tags => {
                let Some((tag, value)) = line.split_once(':') else { continue };
                let (tag, value) = (tag.trim().to_ascii_lowercase(), value.trim());
                match tag.as_str() {
                    "name" if expected.name.is_empty() => expected.name = value.to_owned(),
                    "version" if expected.version.is_empty() => expected.version = value.to_owned(),
                    _ => {
                        for (kind, next) in
                            [("Source", &mut next_source), ("Patch", &mut next_patch)]
                        {
                            let Some(digits) = tag.strip_prefix(&kind.to_ascii_lowercase()) else {
                                continue;
                            };
                            let number = match digits {
                                "" => Some(*next),
                                digits => digits.parse::<u32>().ok(),
                            };
                            if let Some(number) = number {
                                push(&mut expected, kind, number, value);
                                *next = number.saturating_add(1);
                            }
                        }
                    }
                }
            }
        }
    }
    expected
}

fn push(expected: &mut Expected, kind: &str, number: u32, value: &str) {
    // rpm takes the first word.
    let value = value.split_whitespace().next().unwrap_or_default();
    if !value.is_empty() {
        expected.files.push(File { tag: format!("{kind}{number}"), value: value.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_lists() {
        let spec = "Name: hello\nVersion:2.1\nSource: https://h/hello-2.1.tar.gz\n\
                    source7: https://h/archive/v2.tar.gz#/hello-7.tgz\nSource: eighth\n\
                    Patch0001: a.patch\n# Source9: no\nURL: https://h\n\
                    %description\nSource10: https://no\n%package x\nSource11: last\n\
                    %sourcelist\nlisted\nhttp://h/y\n%patchlist\nb.patch\n%build\nPatch5: no\n";
        let found = expected(spec);
        assert_eq!((found.name.as_str(), found.version.as_str()), ("hello", "2.1"));
        let files: Vec<_> =
            found.files.iter().map(|f| (f.tag.as_str(), f.name(), f.is_remote())).collect();
        assert_eq!(
            files,
            [
                ("Source0", "hello-2.1.tar.gz", true),
                ("Source7", "hello-7.tgz", true),
                ("Source8", "eighth", false),
                ("Patch1", "a.patch", false),
                ("Source11", "last", false),
                ("Source12", "listed", false),
                ("Source13", "y", true),
                ("Patch2", "b.patch", false),
            ]
        );
    }
}
