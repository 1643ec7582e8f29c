//! The layers of an image become a tree.
//!
//! Source: layer.md of the OCI image specification.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{FchownatFlags, Gid, Uid, fchownat, mkfifo};
use serde::{Deserialize, Serialize};
use tar::{Entry, EntryType};

use super::context;
use crate::checksum::Summed;

/// Entries of all layers; no image has as many.
const MAX_ENTRIES: u64 = 5_000_000;
/// Bytes of all files.
const MAX_BYTES: u64 = 64 << 30;
/// Names that take away what lower layers have.
const WHITEOUT: &[u8] = b".wh.";
/// Takes away all of a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Where tar's extended headers have capabilities of files.
const CAPABILITY: &str = "security.capability";

/// A layer to unpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFile {
    /// Its file, compressed or not.
    pub path: PathBuf,
    /// The checksum that its unpacked content must have, `sha256:…`.
    pub diff_id: String,
}

struct Unpack {
    entries: u64,
    bytes: u64,
}

/// Unpacks layers, the lowest first, into `root`, which is empty, and makes that the root of this
/// process: no path and no link of a layer leads out of it.
pub(super) fn unpack(root: &Path, layers: &[LayerFile]) -> io::Result<()> {
    let open = |layer: &LayerFile| context("open the layer", &layer.path, File::open(&layer.path));
    let files: Vec<File> = layers.iter().map(open).collect::<io::Result<_>>()?;
    context("enter", root, nix::unistd::chroot(root).map_err(Into::into))?;
    nix::unistd::chdir("/")?;
    nix::sys::stat::umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let mut unpack = Unpack { entries: 0, bytes: 0 };
    for (layer, file) in layers.iter().zip(files) {
        context("unpack the layer", &layer.path, unpack.layer(file, &layer.diff_id))?;
    }
    // dnf in containers is told to leave out languages and documentation; builds want them.
    let languages = Path::new("/etc/rpm/macros.image-language-conf");
    absent(languages, fs::remove_file(languages))
}

/// The content of a layer, by its first bytes.
fn content(file: File) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(1 << 17, file);
    let start = file.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(file))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(file)?)
    } else {
        Box::new(file)
    })
}

/// Content that ends with an error where it is too large.
struct Bounded<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("the layer is larger than any that builds need"))?;
        Ok(count)
    }
}

impl Unpack {
    fn layer(&mut self, file: File, diff_id: &str) -> io::Result<()> {
        // Names and headers of any length are read whole, and what follows the last entry is read
        // for its checksum: all of it counts.
        let mut summed = Summed::new(Bounded { content: content(file)?, left: MAX_BYTES });
        let mut archive = tar::Archive::new(&mut summed);
        // Of this layer; what it takes away is that of others.
        let mut own = std::collections::BTreeSet::new();
        let mut directories = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = inside(&entry.path()?)?;
            self.entries += 1;
            self.bytes = self.bytes.saturating_add(entry.size());
            if self.entries > MAX_ENTRIES || self.bytes > MAX_BYTES {
                return Err(io::Error::other("the image is larger than any that builds need"));
            }
            if self.whiteout(&path, &own)? {
                continue;
            }
            context("make", &path, make(&mut entry, &path))?;
            if entry.header().entry_type() == EntryType::Directory {
                directories.push((path.clone(), times(&entry)?));
            }
            own.insert(path);
        }
        // What comes into a directory changes its time.
        for (path, time) in directories.iter().rev() {
            set_time(path, time)?;
        }
        io::copy(&mut summed, &mut io::sink())?;
        let sum = summed.end();
        match diff_id == format!("sha256:{sum}") {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "its content has the checksum sha256:{sum}, and should have {diff_id}"
            ))),
        }
    }

    /// Carries out what a name takes away, if it does.
    fn whiteout(&self, path: &Path, own: &std::collections::BTreeSet<PathBuf>) -> io::Result<bool> {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let parent = path.parent().unwrap_or(Path::new("/"));
        // What is below a path follows it in order.
        let brought = |path: &Path| {
            own.range(path.to_owned()..).next().is_some_and(|first| first.starts_with(path))
        };
        if name == OPAQUE {
            for entry in absent(parent, fs::read_dir(parent).map(Some))?.into_iter().flatten() {
                let below = entry?.path();
                // What this layer itself has brought stays.
                if !brought(&below) {
                    super::remove::remove(&below)?;
                }
            }
            return Ok(true);
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT) else { return Ok(false) };
        // Others of these names are notes of some tools to themselves.
        let hidden_path = parent.join(std::ffi::OsStr::from_bytes(hidden));
        let is_note = hidden.starts_with(WHITEOUT) || [&b""[..], b".", b".."].contains(&hidden);
        if !is_note && !brought(&hidden_path) {
            super::remove::remove(&hidden_path)?;
        }
        Ok(true)
    }
}

/// A missing file is fine.
fn absent<T: Default>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        result => context("look at", path, result),
    }
}

/// The path of an entry from the root on.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut inside = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::RootDir | Component::CurDir => {}
            _ => {
                let message = format!("the path {} of a layer leads upwards", path.display());
                return Err(io::Error::other(message));
            }
        }
    }
    Ok(inside)
}

fn make<R: Read>(entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
    let kind = entry.header().entry_type();
    if kind.is_character_special() || kind.is_block_special() || kind.is_pax_global_extensions() {
        // The sandbox has devices of its own.
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let there = absent(path, fs::symlink_metadata(path).map(Some))?;
    match there {
        Some(there) if there.is_dir() && kind.is_dir() => {}
        Some(_) if path == Path::new("/") => {
            return Err(io::Error::other("the root of a layer is no directory"));
        }
        Some(_) => super::remove::remove(path)?,
        None => {}
    }
    let mode = entry.header().mode()? & 0o7777;
    match kind {
        EntryType::Directory => match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        },
        EntryType::Symlink => std::os::unix::fs::symlink(target(entry)?, path)?,
        EntryType::Link => {
            // It has everything else from what it links to.
            return fs::hard_link(inside(&target(entry)?)?, path);
        }
        EntryType::Fifo => mkfifo(path, Mode::from_bits_truncate(mode))?,
        _ => {
            let mut options = File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
            io::copy(entry, &mut file)?;
        }
    }
    own(entry, path)?;
    if kind != EntryType::Symlink {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    if let Some(value) = capability(entry)? {
        xattr::set(path, CAPABILITY, &value)?;
    }
    set_time(path, &times(entry)?)
}

fn target<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name()?.map(|target| target.into_owned());
    target.ok_or_else(|| io::Error::other("a link of a layer leads nowhere"))
}

fn own<R: Read>(entry: &Entry<'_, R>, path: &Path) -> io::Result<()> {
    let number = |id: u64| u32::try_from(id).map_err(io::Error::other);
    let uid = Uid::from_raw(number(entry.header().uid()?)?);
    let gid = Gid::from_raw(number(entry.header().gid()?)?);
    let flags = FchownatFlags::AT_SYMLINK_NOFOLLOW;
    match fchownat(AT_FDCWD, path, Some(uid), Some(gid), flags) {
        // An id that this sandbox does not have: with a single id, everything belongs to that.
        Err(Errno::EINVAL) => Ok(()),
        result => Ok(result?),
    }
}

/// The file's capabilities, as the kernel has them.
fn capability<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Option<Vec<u8>>> {
    let key = format!("SCHILY.xattr.{CAPABILITY}");
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    for extension in extensions {
        let extension = extension?;
        if extension.key_bytes() == key.as_bytes() {
            return Ok(Some(extension.value_bytes().to_vec()));
        }
    }
    Ok(None)
}

fn times<R: Read>(entry: &Entry<'_, R>) -> io::Result<TimeSpec> {
    let seconds = entry.header().mtime()?;
    Ok(TimeSpec::new(i64::try_from(seconds).map_err(io::Error::other)?, 0))
}

fn set_time(path: &Path, time: &TimeSpec) -> io::Result<()> {
    match utimensat(AT_FDCWD, path, time, time, UtimensatFlags::NoFollowSymlink) {
        // A link whose end was taken away by a later entry of the same layer.
        Err(Errno::ENOENT) => Ok(()),
        result => context("set the time of", path, result.map_err(Into::into)),
    }
}
