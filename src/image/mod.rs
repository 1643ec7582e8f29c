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

use std::io::{self, Read};

pub use error::ImageError;
pub use obtain::{Image, Layer, Wanted, obtain, prune};
pub use platform::Platform;
pub use registry::Access;

/// Bytes of a manifest, index or configuration; those of real images have some thousand.
const MAX_DOCUMENT: u64 = 4 << 20;

/// Reads a whole document. One that is larger than any is an error.
fn read_document(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_DOCUMENT {
        true => Err(io::Error::other(format!("it is larger than {MAX_DOCUMENT} bytes"))),
        false => Ok(bytes),
    }
}
