//! Source packages as no rpmbuild makes them: headers and archives that say different things, with
//! checksums that are right, so that rpm goes on to unpack them. The format is that of version 4
//! (rpm's docs/manual/format_*.md), the archive that of cpio's newc.

use sha2::{Digest, Sha256};

pub(crate) const REGULAR: u32 = 0o100_644;
pub(crate) const LINK: u32 = 0o120_777;
pub(crate) const FIFO: u32 = 0o010_644;
pub(crate) const BLOCK_DEVICE: u32 = 0o060_666;
pub(crate) const DIRECTORY: u32 = 0o040_755;

/// One file of a package.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Its name in the header.
    pub(crate) name: String,
    /// Its name in the archive.
    pub(crate) stored: String,
    /// Type and permissions in the header.
    pub(crate) mode: u32,
    /// Type and permissions in the archive.
    pub(crate) stored_mode: u32,
    /// Where it leads to, in the header.
    pub(crate) target: String,
    pub(crate) content: Vec<u8>,
    /// The size that both claim.
    pub(crate) size: u32,
    /// Checksum that the header tells, if it is not that of the content.
    pub(crate) digest: Option<String>,
}

impl File {
    pub(crate) fn new(name: &str, content: &[u8]) -> File {
        File {
            name: name.to_owned(),
            stored: name.to_owned(),
            mode: REGULAR,
            stored_mode: REGULAR,
            target: String::new(),
            content: content.to_owned(),
            size: content.len() as u32,
            digest: None,
        }
    }

    /// What header and archive agree on.
    pub(crate) fn of_kind(name: &str, mode: u32, target: &str) -> File {
        File {
            mode,
            stored_mode: mode,
            target: target.to_owned(),
            ..File::new(name, target.as_bytes())
        }
    }

    /// What only the archive says.
    pub(crate) fn stored_as(name: &str, stored: &str, mode: u32, content: &str) -> File {
        File { stored: stored.to_owned(), stored_mode: mode, ..File::new(name, content.as_bytes()) }
    }
}

/// A source package with these files, whose archive has `more` entries after them.
pub(crate) fn source_package(files: &[File], more: &[File]) -> Vec<u8> {
    let mut archive = Vec::new();
    files.iter().chain(more).enumerate().for_each(|(inode, file)| entry(&mut archive, inode, file));
    entry(&mut archive, 0, &File { stored_mode: 0, ..File::new("TRAILER!!!", b"") });
    with_payload(files, &zstd::encode_all(archive.as_slice(), 1).expect("compress"))
}

/// A source package whose compressed archive is given.
pub(crate) fn with_payload(files: &[File], payload: &[u8]) -> Vec<u8> {
    let header = header(files, payload);
    let mut signature = Index::default();
    signature.text(273, &hex(&header));
    signature.numbers(1000, &[(header.len() + payload.len()) as u32]);
    let mut signature = signature.end(62);
    signature.resize(signature.len().next_multiple_of(8), 0);
    // The lead: magic, version 3.0, source, architecture, name, system, signatures in a header.
    let mut bytes = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 1, 0, 1];
    bytes.extend(b"hostile-1-1");
    bytes.resize(76, 0);
    bytes.extend([0, 1, 0, 5]);
    bytes.resize(96, 0);
    [bytes, signature, header, payload.to_vec()].concat()
}

fn header(files: &[File], payload: &[u8]) -> Vec<u8> {
    let mut index = Index::default();
    for (tag, text) in [(1000, "hostile"), (1001, "1"), (1002, "1"), (1007, "host"), (1014, "MIT")]
    {
        index.text(tag, text);
    }
    for tag in [1004, 1005, 1016] {
        index.texts(tag, 9, &["text".to_owned()]);
    }
    for (tag, text) in [(1021, "linux"), (1022, "noarch"), (1064, "4.18.0"), (1124, "cpio")] {
        index.text(tag, text);
    }
    index.text(1125, "zstd");
    index.text(1126, "19");
    let numbers = |number: fn(&File) -> u32| files.iter().map(number).collect::<Vec<u32>>();
    let texts = |text: fn(&File) -> String| files.iter().map(text).collect::<Vec<String>>();
    index.numbers(1006, &[1]);
    index.numbers(1009, &[1]);
    index.numbers(1028, &numbers(|file| file.size));
    index.shorts(1030, &numbers(|file| file.mode));
    // Numbers of the first disk, for device nodes.
    index.shorts(1033, &numbers(|_| 0xfe00));
    index.numbers(1034, &numbers(|_| 1));
    index.texts(
        1035,
        8,
        &texts(|file| match file.mode == REGULAR {
            true => file.digest.clone().unwrap_or_else(|| hex(&file.content)),
            false => String::new(),
        }),
    );
    index.texts(1036, 8, &texts(|file| file.target.clone()));
    let is_spec = |file: &File| if file.name.ends_with(".spec") { 1 << 5 } else { 0 };
    index.numbers(1037, &numbers(is_spec));
    index.texts(1039, 8, &texts(|_| "root".to_owned()));
    index.texts(1040, 8, &texts(|_| "root".to_owned()));
    index.numbers(1095, &numbers(|_| 1));
    index.numbers(1096, &(1..=files.len() as u32).collect::<Vec<u32>>());
    index.texts(1097, 8, &texts(|_| String::new()));
    index.numbers(1106, &[1]);
    index.numbers(1116, &numbers(|_| 0));
    index.texts(1117, 8, &texts(|file| file.name.clone()));
    index.texts(1118, 8, &[String::new()]);
    index.numbers(5011, &[8]);
    index.texts(5092, 8, &[hex(payload)]);
    index.numbers(5093, &[8]);
    index.end(63)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tags and their values.
#[derive(Default)]
struct Index {
    /// Tag, kind, number of values, alignment, bytes.
    entries: Vec<(u32, u32, usize, usize, Vec<u8>)>,
}

impl Index {
    fn add(&mut self, tag: u32, kind: u32, count: usize, alignment: usize, value: &[u8]) {
        self.entries.push((tag, kind, count, alignment, value.to_owned()));
    }

    fn text(&mut self, tag: u32, text: &str) {
        self.add(tag, 6, 1, 1, &[text.as_bytes(), &[0]].concat());
    }

    fn texts(&mut self, tag: u32, kind: u32, texts: &[String]) {
        let value: Vec<u8> =
            texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
        self.add(tag, kind, texts.len(), 1, &value);
    }

    fn numbers(&mut self, tag: u32, numbers: &[u32]) {
        let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        self.add(tag, 4, numbers.len(), 4, &value);
    }

    fn shorts(&mut self, tag: u32, numbers: &[u32]) {
        let value: Vec<u8> =
            numbers.iter().flat_map(|number| (*number as u16).to_be_bytes()).collect();
        self.add(tag, 3, numbers.len(), 2, &value);
    }

    /// The header, with everything in a region of that tag, which has its end in the store.
    fn end(mut self, region: u32) -> Vec<u8> {
        // rpm wants tags and values in the same order.
        self.entries.sort();
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, kind, count, alignment, value) in &self.entries {
            store.resize(store.len().next_multiple_of(*alignment), 0);
            index.extend(words(&[*tag, *kind, store.len() as u32, *count as u32]));
            store.extend(value);
        }
        let (count, at) = (self.entries.len() as u32 + 1, store.len() as u32);
        store.extend(words(&[region, 7, (count * 16).wrapping_neg(), 16]));
        let start = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
        let region = words(&[count, store.len() as u32, region, 7, at, 16]);
        [start, region, index, store].concat()
    }
}

/// An entry of the archive.
pub(crate) fn entry(archive: &mut Vec<u8>, inode: usize, file: &File) {
    let pad = |archive: &mut Vec<u8>| archive.resize(archive.len().next_multiple_of(4), 0);
    let name_size = file.stored.len() as u32 + 1;
    let mode = file.stored_mode;
    let fields = [inode as u32 + 1, mode, 0, 0, 1, 1, file.size, 0, 1, 254, 0, name_size, 0];
    archive.extend(b"070701");
    fields.iter().for_each(|field| archive.extend(format!("{field:08x}").as_bytes()));
    archive.extend(file.stored.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend(&file.content);
    pad(archive);
}
