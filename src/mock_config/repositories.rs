//! The sections of a package manager's configuration, for what has to be known of repositories
//! without it.
//!
//! Source: `IniParser` and the options of libdnf.

/// A section of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Section {
    pub name: String,
    entries: Vec<(String, String)>,
}

impl Section {
    /// What the last line of that name says.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// What the section says, or `[main]` for all.
    pub fn inherited<'a>(&'a self, main: &'a Section, key: &str) -> Option<&'a str> {
        self.get(key).or_else(|| main.get(key))
    }

    /// A flag of the section or of `[main]`. A word that is none does not count.
    pub fn flag(&self, main: &Section, key: &str) -> Option<bool> {
        let own = self.get(key).and_then(flag);
        own.or_else(|| main.get(key).and_then(flag))
    }

    /// All lines: name and value.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Every address that packages or lists of mirrors come from.
    pub fn addresses(&self) -> Vec<&str> {
        ["baseurl", "mirrorlist", "metalink"]
            .into_iter()
            .filter_map(|key| self.get(key))
            .flat_map(words)
            .collect()
    }
}

/// The words of a list.
pub(crate) fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty())
}

/// What a flag says; None for a word that is neither.
pub(crate) fn flag(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// All sections, in order. As in dnf, remarks begin in the first column, and lines that begin with
/// a blank continue the one before. What dnf refuses is passed over: it will say so itself.
pub(crate) fn sections(text: &str) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            out.push(Section { name: name.to_owned(), entries: Vec::new() });
            continue;
        }
        let Some(section) = out.last_mut() else { continue };
        match (line.starts_with([' ', '\t']), section.entries.last_mut(), trimmed.split_once('=')) {
            (true, Some((_, value)), _) => {
                value.push('\n');
                value.push_str(trimmed);
            }
            (_, _, Some((key, value))) => {
                section.entries.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
            _ => {}
        }
    }
    out
}

/// The section `[main]`, and the repositories that are turned on, in order. Sections of one name
/// are one, in which later lines count.
pub(crate) fn in_force(text: &str) -> (Section, Vec<Section>) {
    let mut main = Section { name: "main".to_owned(), entries: Vec::new() };
    let mut repositories: Vec<Section> = Vec::new();
    for section in sections(text) {
        let known = repositories.iter_mut().find(|known| known.name == section.name);
        match known {
            _ if section.name == main.name => main.entries.extend(section.entries),
            Some(known) => known.entries.extend(section.entries),
            None => repositories.push(section),
        }
    }
    let is_enabled = |repository: &Section| repository.flag(&main, "enabled") != Some(false);
    repositories.retain(is_enabled);
    (main, repositories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_their_addresses() {
        let text = "# c\n[main]\ngpgcheck = 1\n[a]\nbaseurl=http://x/\n  https://y/\nenabled=0\n";
        let seen = sections(text);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].name, "a");
        assert_eq!(seen[1].addresses(), ["http://x/", "https://y/"]);
        assert_eq!(seen[1].get("enabled").and_then(flag), Some(false));
    }

    #[test]
    fn lines_as_dnf_reads_them() {
        let text = "[a]\nbaseurl=http://x/\n\n  # http://y/\n;off\n\t[b]  # remark\nname=é = 1\n";
        let seen = sections(text);
        // What is indented goes on, whatever it is.
        assert_eq!(seen[0].get("baseurl"), Some("http://x/\n# http://y/"));
        assert_eq!((seen[1].name.as_str(), seen[1].get("name")), ("b", Some("é = 1")));
    }

    #[test]
    fn what_is_in_force() {
        let text = "[main]\nenabled=0\ntimeout=5\n[a]\nenabled=1\nx=1\n[b]\n[c]\nenabled=yes\n\
                    [a]\nx=2\n[d]\nenabled=perhaps\n[e]\nenabled=on\n[e]\nenabled=Off\n";
        let (main, repositories) = in_force(text);
        let names: Vec<_> = repositories.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(repositories[0].get("x"), Some("2"));
        assert_eq!(repositories[0].inherited(&main, "timeout"), Some("5"));
    }
}
