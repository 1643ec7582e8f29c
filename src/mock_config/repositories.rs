//! The repositories that a package manager's configuration names, as far as they say something
//! about a config. The package manager itself reads the configuration; this is for warnings.

/// A section of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Section {
    pub name: String,
    entries: Vec<(String, String)>,
}

impl Section {
    /// What the last line of that name says.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Every address that packages or lists of mirrors come from.
    pub fn addresses(&self) -> Vec<&str> {
        ["baseurl", "mirrorlist", "metalink"]
            .into_iter()
            .filter_map(|key| self.get(key))
            .flat_map(|value| value.split([' ', ',', '\t', '\n']))
            .filter(|address| !address.is_empty())
            .collect()
    }
}

/// What a flag says; None for a word that is neither.
pub(super) fn flag(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// All sections, in order. Lines that begin with a blank continue the one before.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
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
}
