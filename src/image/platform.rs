//! What an image is built for.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Operating system, architecture and variant, in the words of OCI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `ppc64le` …
    pub architecture: String,
    /// `v2`, `v7` …
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of a target architecture: as `oci_platform_map` of the config says, else by
    /// the names that both worlds have.
    pub fn of_target(target: &str, map: &BTreeMap<String, String>) -> Platform {
        let text = map.get(target).map(String::as_str).unwrap_or(match target {
            "x86_64" => "linux/amd64",
            "aarch64" => "linux/arm64",
            "i386" | "i486" | "i586" | "i686" => "linux/386",
            "armhfp" | "armv7hl" | "armv7l" => "linux/arm/v7",
            _ => "",
        });
        let mut parts = text.split('/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next()) {
            (Some(os), Some(architecture)) => Platform {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: parts.next().map(str::to_owned),
            },
            _ => Platform { os: "linux".into(), architecture: target.to_owned(), variant: None },
        }
    }

    /// Whether an image for `other` is one for this. A variant matters if this has one.
    pub fn fits(&self, other: &Platform) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }
}

/// A platform as documents write it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl From<&Place> for Platform {
    fn from(place: &Place) -> Platform {
        Platform {
            os: place.os.clone(),
            architecture: place.architecture.clone(),
            variant: place.variant.clone().filter(|variant| !variant.is_empty()),
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_worlds() {
        let map = BTreeMap::from([("x86_64_v2".to_owned(), "linux/amd64/v2".to_owned())]);
        let of = |target: &str| Platform::of_target(target, &map).to_string();
        assert_eq!(
            [of("x86_64"), of("x86_64_v2"), of("ppc64le"), of("armv7hl")],
            ["linux/amd64", "linux/amd64/v2", "linux/ppc64le", "linux/arm/v7"]
        );
        let (plain, second) =
            (Platform::of_target("x86_64", &map), Platform::of_target("x86_64_v2", &map));
        assert!(plain.fits(&second) && !second.fits(&plain));
    }
}
