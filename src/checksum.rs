//! SHA-256, in hexadecimal digits.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// The checksum of bytes that are here.
pub fn of(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

/// Copies everything. Gives the number of bytes and their checksum.
///
/// # Errors
///
/// Reading or writing failed.
pub fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(u64, String)> {
    let mut summed = Summed::new(from);
    let mut buffer = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        let count = summed.read(&mut buffer)?;
        if count == 0 {
            return Ok((bytes, summed.end()));
        }
        to.write_all(&buffer[..count])?;
        bytes += count as u64;
    }
}

/// Passes content on, and adds up its checksum.
#[derive(Debug)]
pub struct Summed<R> {
    content: R,
    sum: Sha256,
}

impl<R: Read> Summed<R> {
    /// Starts with nothing read.
    pub fn new(content: R) -> Self {
        Summed { content, sum: Sha256::new() }
    }

    /// The checksum of what was read.
    pub fn end(self) -> String {
        digits(&self.sum.finalize())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.sum.update(&buffer[..count]);
        Ok(count)
    }
}

pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_sha256sum_says() {
        let mut copy = Vec::new();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::copy(&mut &b"abc"[..], &mut copy).unwrap(), (3, sum.to_owned()));
        assert_eq!((copy.as_slice(), super::of(b"abc").as_str()), (&b"abc"[..], sum));
    }
}
