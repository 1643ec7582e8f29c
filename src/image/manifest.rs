//! Manifests and lists of them, of OCI and of docker.
//!
//! Source: the OCI image specification, and "Image Manifest Version 2, Schema 2" of docker.

use serde::Deserialize;

use super::platform::{Place, Platform};

/// What a client accepts.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// More layers than any image has.
const MAX_LAYERS: usize = 200;

/// A manifest, or a list of manifests.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    #[serde(default)]
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Place>,
    #[serde(default)]
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// Why a document is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("the manifest is not one of OCI or docker: {0}")]
    Malformed(String),
    #[error("the image is not for {wanted}; it is for {there}")]
    NoPlatform { wanted: String, there: String },
}

impl Document {
    pub fn read(bytes: &[u8]) -> Result<Document, ManifestError> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Malformed(error.to_string()))?;
        let all = document.manifests.iter().chain(&document.layers).chain(&document.config);
        if let Some(bad) = all.into_iter().find(|item| !super::reference::is_digest(&item.digest)) {
            return Err(ManifestError::Malformed(format!("{:?} is not a digest", bad.digest)));
        }
        if document.manifests.is_empty() && document.config.is_none() {
            return Err(ManifestError::Malformed("it names neither manifests nor layers".into()));
        }
        if document.layers.len() > MAX_LAYERS {
            let many = document.layers.len();
            return Err(ManifestError::Malformed(format!("it has {many} layers")));
        }
        Ok(document)
    }

    /// The manifest of a list that is for a platform; the first of several.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, ManifestError> {
        let is = |item: &&Descriptor| {
            item.platform.as_ref().is_some_and(|place| wanted.fits(&place.into()))
        };
        // One that does not say what it is for is chosen when there is no other.
        let only = match self.manifests.as_slice() {
            [only] if only.platform.is_none() => Some(only),
            _ => None,
        };
        self.manifests.iter().find(is).or(only).ok_or_else(|| {
            let there = self.manifests.iter().filter_map(|item| item.platform.as_ref());
            let there: Vec<String> = there.map(|place| Platform::from(place).to_string()).collect();
            ManifestError::NoPlatform { wanted: wanted.to_string(), there: there.join(", ") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: char) -> String {
        format!("sha256:{}", of.to_string().repeat(64))
    }

    fn list(platforms: &[&str]) -> Document {
        let items: Vec<_> = platforms
            .iter()
            .zip(b'a'..)
            .map(|(platform, letter)| {
                let mut item = serde_json::json!({"digest": digest(letter as char)});
                if let [os, architecture] = platform.split('/').collect::<Vec<_>>()[..] {
                    item["platform"] = serde_json::json!({"os": os, "architecture": architecture});
                }
                item
            })
            .collect();
        Document::read(serde_json::json!({ "manifests": items }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_manifest_of_a_platform_is_chosen() {
        let wanted = Platform::of_target("ppc64le", &Default::default());
        let both = list(&["linux/amd64", "linux/ppc64le"]);
        assert_eq!(both.choose(&wanted).unwrap().digest, digest('b'));
        assert_eq!(list(&[""]).choose(&wanted).unwrap().digest, digest('a'));
        insta::assert_snapshot!(
            list(&["linux/amd64", "linux/arm64"]).choose(&wanted).unwrap_err(),
            @"the image is not for linux/ppc64le; it is for linux/amd64, linux/arm64"
        );
        assert!(list(&["", "linux/amd64"]).choose(&wanted).is_err());
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in
            ["", "[]", "{}", "<html>", r#"{"layers": []}"#, r#"{"config": {"digest": "../x"}}"#]
        {
            assert!(Document::read(text.as_bytes()).is_err(), "{text}");
        }
        let layer = serde_json::json!({"digest": digest('c')});
        let many = serde_json::json!({"config": layer, "layers": vec![layer.clone(); 201]});
        assert!(Document::read(many.to_string().as_bytes()).is_err());
    }
}
