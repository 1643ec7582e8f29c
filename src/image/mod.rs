//! OCI images that buildroots start from: got from a registry or a file, kept by their digests,
//! and unpacked by a helper inside a sandbox. Nothing of a layer is decompressed here.

mod archive;
mod blobs;
mod config;
mod error;
mod manifest;
mod obtain;
mod platform;
mod reference;
mod registry;

pub use error::ImageError;
pub use obtain::{Image, Layer, Wanted, obtain, prune};
pub use platform::Platform;
pub use registry::Access;
