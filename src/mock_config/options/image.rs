//! OCI images that roots start from.

use serde::Serialize;

use super::read::Reader;
use crate::mock_config::error::ConfigError;

/// The image of a root: `bootstrap_image` and its relatives, or `buildroot_image` and its.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageOptions {
    /// Where it is: a name in a registry, or a path.
    pub reference: String,
    /// Whether everything the root needs is in it already.
    pub ready: bool,
    /// Whether only a copy that is here already is used.
    pub skip_pull: bool,
    /// Whether packages make the root where the image cannot be had.
    pub fallback: bool,
    /// Seconds until attempts to get it end.
    pub keep_getting: u64,
    /// Seconds that one attempt may take.
    pub pull_timeout: u64,
    /// The digest that it must have, with its `sha256:`.
    pub assert_digest: Option<String>,
}

impl ImageOptions {
    /// The image of a kind of root, `bootstrap` or `buildroot`, if one is used.
    pub(super) fn read(read: &Reader<'_>, kind: &str) -> Result<Option<Self>, ConfigError> {
        if !read.flag(&format!("use_{kind}_image"))? {
            return Ok(None);
        }
        let option = |suffix: &str| format!("{kind}_image{suffix}");
        Ok(Some(ImageOptions {
            reference: read.required(
                &option(""),
                &format!("use_{kind}_image wants it, for example 'almalinux:9'"),
            )?,
            ready: read.flag(&option("_ready"))?,
            skip_pull: read.flag(&option("_skip_pull"))?,
            fallback: read.flag(&option("_fallback"))?,
            keep_getting: read.number(&option("_keep_getting"))?,
            pull_timeout: read.number(&option("_pull_timeout"))?,
            assert_digest: read.optional_string(&option("_assert_digest"))?,
        }))
    }
}
