//! The story of a task: `task.log`, which node and worker write to line by line, and which becomes
//! the artifact `albs.….log`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;

use crate::run::plain;

/// Name of the file in the task's directory.
pub const FILE: &str = "task.log";
/// Bytes after which nothing is added: a story is no log of a build.
const MOST: u64 = 4 << 20;

/// Adds a line, with the time. What cannot be written is not told: the disk is full then, and the
/// task itself fails with it.
pub fn add(directory: &Path, line: &str) {
    let _ = append(directory, line);
}

fn append(directory: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(directory.join(FILE))?;
    if file.metadata()?.len() > MOST {
        return Ok(());
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    // Several processes write; a line is one call.
    file.write_all(format!("{now} {}\n", plain(line)).as_bytes())
}
