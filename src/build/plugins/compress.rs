//! Compressing the logs of a build that has ended.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;

use crate::mock_config::Compression;
use crate::run::ResultDir;

/// The logs that a build may leave.
const LOGS: [&str; 8] = [
    "available_pkgs.log",
    "build.log",
    "hw_info.log",
    "installed_pkgs.log",
    "procenv.log",
    "root.log",
    "showrc.log",
    "state.log",
];

/// Compresses every log of a result directory, under its name with an extension. Nothing may write
/// to them any more.
///
/// # Errors
///
/// One cannot be read or written; those before are compressed.
pub fn compress_logs(results: &ResultDir, compression: Compression) -> io::Result<()> {
    for name in LOGS {
        let Some(mut log) = results.read(name)? else { continue };
        let mut pending = results.pending()?;
        let extension = match compression {
            Compression::Gzip => {
                let mut out = GzEncoder::new(pending.file(), flate2::Compression::default());
                io::copy(&mut log, &mut out)?;
                out.finish()?;
                "gz"
            }
            Compression::Xz => {
                let mut out = XzEncoder::new(pending.file(), 6);
                io::copy(&mut log, &mut out)?;
                out.finish()?;
                "xz"
            }
        };
        pending.file().flush()?;
        pending.publish(&format!("{name}.{extension}"))?;
        results.remove(name)?;
    }
    Ok(())
}
