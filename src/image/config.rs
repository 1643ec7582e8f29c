//! What an image says of itself: its configuration, which its id is the checksum of.
//!
//! Source: config.md of the OCI image specification.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::manifest::ManifestError;
use super::platform::{Place, Platform};
use super::reference::is_digest;
use crate::checksum;

/// The parts of a configuration that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    place: Place,
    rootfs: RootFs,
    #[serde(default)]
    config: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// The members of an image's `config` that podman shows: OCI's, which are left out when empty.
const SHOWN: [&str; 10] = [
    "ArgsEscaped",
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Labels",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];

impl Config {
    pub fn read(bytes: &[u8]) -> Result<Config, ManifestError> {
        let config: Config = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Malformed(error.to_string()))?;
        match config.rootfs.diff_ids.iter().find(|id| !is_digest(id)) {
            Some(bad) => Err(ManifestError::Malformed(format!("{bad:?} is not a digest"))),
            None => Ok(config),
        }
    }

    pub fn platform(&self) -> Platform {
        (&self.place).into()
    }

    /// Checksums of the unpacked layers, the lowest first.
    pub fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }

    /// The checksum that mock knows images by: of what `podman image inspect` shows as `Config`
    /// and `RootFS`, as Python's json writes it.
    ///
    /// Source: mock's `podman_get_oci_digest`.
    pub fn mock_digest(&self) -> String {
        let is_empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let own = self.config.iter().flatten();
        let shown: Map<String, Value> = own
            .filter(|(name, value)| SHOWN.contains(&name.as_str()) && !is_empty(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let rootfs = BTreeMap::from([
            ("Layers", Value::from(self.rootfs.diff_ids.clone())),
            ("Type", Value::from("layers")),
        ]);
        let mut text = String::new();
        let rootfs = rootfs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let both = [("Config", Value::Object(shown)), ("RootFS", Value::Object(rootfs))];
        let both = both.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        write(&Value::Object(both), &mut text);
        checksum::of(text.as_bytes())
    }
}

/// As `json.dumps(…, sort_keys=True)` does it: a space after `,` and `:`, and ASCII only.
fn write(value: &Value, text: &mut String) {
    let separate = |text: &mut String, at: usize| text.push_str(if at > 0 { ", " } else { "" });
    match value {
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(text, at);
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            for (at, (name, item)) in sorted.into_iter().enumerate() {
                separate(text, at);
                write(&Value::from(name.as_str()), text);
                text.push_str(": ");
                write(item, text);
            }
            text.push('}');
        }
        Value::String(_) => {
            for c in value.to_string().chars() {
                match c {
                    ' '..='~' => text.push(c),
                    _ => {
                        for unit in c.encode_utf16(&mut [0; 2]) {
                            text.push_str(&format!("\\u{unit:04x}"));
                        }
                    }
                }
            }
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_mock() {
        // What Python says of what podman shows of this.
        let layer = format!("sha256:{}", "0a".repeat(32));
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "Hostname": "", "Cmd": ["/bin/bash"], "Env": ["A=\u{e9}\u{1f600}\u{7f} \"x\"\n"],
                "Labels": {"b": "2", "a": "<1>"}, "Volumes": null, "ArgsEscaped": false,
                "ExposedPorts": {"80/tcp": {}}, "OnBuild": ["x"],
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        });
        let config = Config::read(config.to_string().as_bytes()).unwrap();
        assert_eq!(config.platform().to_string(), "linux/amd64");
        assert_eq!(
            config.mock_digest(),
            "c371cfb98828819b8824ee6fb191acf87702fa02c79cb7a821c7953ec58d5b28"
        );
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for text in ["", "{}", r#"{"rootfs": {"diff_ids": ["x"]}}"#] {
            assert!(Config::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
