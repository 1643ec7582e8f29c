//! Taking a value for what it should be, or telling where it was set wrongly.

use std::collections::BTreeMap;

use crate::mock_config::error::{ConfigError, ErrorKind};
use crate::mock_config::load::LoadedConfig;
use crate::mock_config::map::OrderedMap;
use crate::mock_config::value::Value;

pub(super) struct Reader<'a> {
    pub config: &'a LoadedConfig,
    /// All options, expanded.
    pub options: &'a OrderedMap<Value>,
}

pub(super) type Read<T> = Result<T, ConfigError>;

impl Reader<'_> {
    fn value(&self, option: &str) -> &Value {
        self.options.get_str(option).unwrap_or(&Value::None)
    }

    pub fn optional_string(&self, option: &str) -> Read<Option<String>> {
        match self.value(option) {
            Value::None => Ok(None),
            Value::Str(text) => Ok(Some(text.clone())),
            // A release may be written as a number.
            Value::Int(number) => Ok(Some(number.to_string())),
            other => Err(self.wrong(&[option], "a string", other)),
        }
    }

    /// One of these words, if there is any.
    pub fn one_of(&self, option: &str, words: &[&str]) -> Read<Option<String>> {
        match self.optional_string(option)? {
            Some(word) if !words.contains(&word.as_str()) => {
                let wanted = format!("one of {}", words.join(", "));
                Err(self.wrong(&[option], &wanted, self.value(option)))
            }
            word => Ok(word),
        }
    }

    /// Files for the buildroot: those of `files`, and those of yum's plugins, which have options of
    /// their own.
    pub fn files(&self) -> Read<BTreeMap<String, String>> {
        let mut files = self.string_map("files")?;
        for name in ["priorities.conf", "rhnplugin.conf", "subscription-manager.conf"] {
            if let Some(text) = self.own_string(name)? {
                files.entry(format!("etc/yum/pluginconf.d/{name}")).or_insert(text);
            }
        }
        Ok(files)
    }

    /// A string that the config itself sets, not one of the defaults.
    pub fn own_string(&self, option: &str) -> Read<Option<String>> {
        match self.config.place(&[option]) {
            Some(_) => Ok(self.optional_string(option)?.filter(|text| !text.is_empty())),
            None => Ok(None),
        }
    }

    /// Whether the config itself says no to something.
    pub fn is_refused(&self, option: &str) -> Read<bool> {
        Ok(self.config.place(&[option]).is_some() && !self.flag(option)?)
    }

    pub fn string(&self, option: &str) -> Read<String> {
        let text = self.optional_string(option)?;
        text.ok_or_else(|| self.wrong(&[option], "a string", &Value::None))
    }

    /// A string that no build can do without.
    pub fn required(&self, option: &str, why: &str) -> Read<String> {
        match self.optional_string(option)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _ => {
                let message = format!("the config does not set config_opts['{option}']");
                Err(ConfigError::new(ErrorKind::Missing, message)
                    .with_location(self.config.place(&[option]))
                    .with_hint(why))
            }
        }
    }

    /// Numbers count as what they are true for, as they do in Python.
    pub fn flag(&self, option: &str) -> Read<bool> {
        match self.value(option) {
            // As in mock; the note about it is made when the config is loaded.
            Value::Str(text) => Ok(!text.is_empty()),
            Value::None | Value::Bool(_) | Value::Int(_) => Ok(self.value(option).is_true()),
            other => Err(self.wrong(&[option], "True or False", other)),
        }
    }

    pub fn optional_number<T: TryFrom<i64>>(&self, option: &str) -> Read<Option<T>> {
        match self.value(option) {
            Value::None => Ok(None),
            Value::Int(number) => T::try_from(*number).map(Some).map_err(|_| {
                let message = format!("'{option}' cannot be {number}");
                ConfigError::new(ErrorKind::Value, message)
                    .with_location(self.config.place(&[option]))
                    .with_hint("it is a whole number of 0 or more")
            }),
            other => Err(self.wrong(&[option], "a whole number", other)),
        }
    }

    pub fn number<T: TryFrom<i64>>(&self, option: &str) -> Read<T> {
        let number = self.optional_number(option)?;
        number.ok_or_else(|| self.wrong(&[option], "a whole number", &Value::None))
    }

    /// A list of strings; nothing is an empty one.
    pub fn strings(&self, option: &str) -> Read<Vec<String>> {
        self.list(&[option], self.value(option), |text| vec![text.to_owned()])
    }

    /// Arguments: a list, or one string of words.
    pub fn words(&self, option: &str) -> Read<Vec<String>> {
        self.list(&[option], self.value(option), split)
    }

    fn list(
        &self,
        path: &[&str],
        value: &Value,
        single: fn(&str) -> Vec<String>,
    ) -> Read<Vec<String>> {
        let (items, sorted);
        match value {
            Value::None => return Ok(Vec::new()),
            Value::Str(text) => return Ok(single(text)),
            Value::List(list) | Value::Tuple(list) => items = list,
            Value::Set(keys) => {
                sorted = keys.iter().cloned().map(Value::from).collect();
                items = &sorted;
            }
            other => return Err(self.wrong(path, "a list of strings", other)),
        }
        items
            .iter()
            .enumerate()
            .map(|(at, item)| match item {
                Value::Str(text) => Ok(text.clone()),
                other => {
                    let at = at.to_string();
                    let path: Vec<&str> = path.iter().copied().chain([at.as_str()]).collect();
                    Err(self.wrong(&path, "a string", other))
                }
            })
            .collect()
    }

    fn dict(&self, option: &str) -> Read<Vec<(&str, &Value)>> {
        match self.value(option) {
            Value::None => Ok(Vec::new()),
            Value::Dict(map) => map
                .iter()
                .map(|(key, value)| match key.as_str() {
                    Some(name) => Ok((name, value)),
                    None => {
                        let key = Value::from(key.clone());
                        Err(self.wrong(&[option, &key.to_string()], "named by a string", &key))
                    }
                })
                .collect(),
            other => Err(self.wrong(&[option], "a dictionary", other)),
        }
    }

    /// Names with texts. Numbers are texts as well; what is None is left out.
    pub fn string_map(&self, option: &str) -> Read<BTreeMap<String, String>> {
        let mut out = BTreeMap::new();
        for (name, value) in self.dict(option)? {
            let text = match value {
                Value::None => continue,
                Value::Str(text) => text.clone(),
                Value::Bool(_) | Value::Int(_) | Value::Float(_) => value.to_string(),
                other => return Err(self.wrong(&[option, name], "a string", other)),
            };
            out.insert(name.to_owned(), text);
        }
        Ok(out)
    }

    /// Names with words.
    pub fn words_map(&self, option: &str) -> Read<BTreeMap<String, Vec<String>>> {
        let entries = self.dict(option)?.into_iter();
        entries
            .map(|(name, value)| Ok((name.to_owned(), self.list(&[option, name], value, split)?)))
            .collect()
    }

    /// Names with requirements: of rpm's kind, in which there are blanks, so that a text is one.
    pub fn requirements(&self, option: &str) -> Read<BTreeMap<String, Vec<String>>> {
        let one = |text: &str| vec![text.trim().to_owned()];
        let entries = self.dict(option)?.into_iter();
        entries
            .map(|(name, value)| Ok((name.to_owned(), self.list(&[option, name], value, one)?)))
            .collect()
    }

    /// A list of pairs of strings.
    pub fn pairs(&self, option: &str) -> Read<Vec<(String, String)>> {
        let wanted = "a list of pairs of strings";
        let items = match self.value(option) {
            Value::None => return Ok(Vec::new()),
            Value::List(items) | Value::Tuple(items) => items,
            other => return Err(self.wrong(&[option], wanted, other)),
        };
        let pair = |item: &Value| match item {
            Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                [Value::Str(one), Value::Str(other)] => Some((one.clone(), other.clone())),
                _ => None,
            },
            _ => None,
        };
        let read = |item| pair(item).ok_or_else(|| self.wrong(&[option], wanted, item));
        items.iter().map(read).collect()
    }

    pub fn wrong(&self, path: &[&str], wanted: &str, value: &Value) -> ConfigError {
        let option = path.join(" → ");
        let message = format!("'{option}' must be {wanted}, but it is {}", value.type_name());
        let hint = match wanted {
            "a whole number" => "write digits without quotes",
            "True or False" => "write True or False without quotes",
            "a list of strings" => "write ['one', 'two']",
            "a list of pairs of strings" => "write [('one', 'two')]",
            "a dictionary" => "write {'name': 'value'}",
            _ => "write it in quotes",
        };
        ConfigError::new(ErrorKind::Type, message)
            .with_location(self.config.place(path))
            .with_hint(hint)
    }
}

/// Words as a shell sees them, as far as quotes go: arguments with spaces are quoted in configs.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for symbol in text.chars() {
        match quote {
            Some(open) if symbol == open => quote = None,
            Some(_) => word.get_or_insert_default().push(symbol),
            None if symbol == '"' || symbol == '\'' => {
                quote = Some(symbol);
                word.get_or_insert_default();
            }
            None if symbol.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(symbol),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_and_quotes() {
        assert_eq!(split("  install 'a  b' c\"d e\"f '' "), ["install", "a  b", "cd ef", ""]);
    }
}
