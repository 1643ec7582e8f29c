//! Checksums of sources, of every kind that lists of sources have.

use std::io::{self, Read, Write};

use sha2::digest::DynDigest;

/// Kinds, by the names that lookasides have in their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SumKind {
    /// 32 digits; old lists have nothing better.
    Md5,
    /// 40 digits.
    Sha1,
    /// 64 digits.
    Sha256,
    /// 128 digits.
    Sha512,
}

impl SumKind {
    /// All of them.
    pub const ALL: [SumKind; 4] = [SumKind::Md5, SumKind::Sha1, SumKind::Sha256, SumKind::Sha512];

    /// The name, lower-case.
    pub fn name(self) -> &'static str {
        match self {
            SumKind::Md5 => "md5",
            SumKind::Sha1 => "sha1",
            SumKind::Sha256 => "sha256",
            SumKind::Sha512 => "sha512",
        }
    }

    fn digest(self) -> Box<dyn DynDigest> {
        match self {
            SumKind::Md5 => Box::new(md5::Md5::default()),
            SumKind::Sha1 => Box::new(sha1::Sha1::default()),
            SumKind::Sha256 => Box::new(sha2::Sha256::default()),
            SumKind::Sha512 => Box::new(sha2::Sha512::default()),
        }
    }
}

/// A checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Its kind.
    pub kind: SumKind,
    /// Hexadecimal digits, lower-case.
    pub hex: String,
}

impl Sum {
    /// From digits, whose number tells the kind.
    pub fn parse(text: &str) -> Option<Sum> {
        let kind = match text.len() {
            32 => SumKind::Md5,
            40 => SumKind::Sha1,
            64 => SumKind::Sha256,
            128 => SumKind::Sha512,
            _ => return None,
        };
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| Sum { kind, hex: text.to_ascii_lowercase() })
    }

    /// Copies what has this checksum; gives the bytes, and what it is if it is another.
    ///
    /// # Errors
    ///
    /// Reading or writing failed.
    pub fn copy(
        &self,
        from: &mut dyn Read,
        to: &mut dyn Write,
    ) -> io::Result<(u64, Option<String>)> {
        let mut digest = self.kind.digest();
        let mut buffer = vec![0; 128 << 10];
        let mut bytes = 0;
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            to.write_all(&buffer[..count])?;
            bytes += count as u64;
        }
        let hex = crate::checksum::digits(&digest.finalize());
        Ok((bytes, (hex != self.hex).then_some(hex)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_abc() {
        for hex in [
            "900150983cd24fb0d6963f7d28e17f72",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            let sum = Sum::parse(&hex.to_uppercase()).unwrap();
            assert_eq!(sum.copy(&mut &b"abc"[..], &mut io::sink()).unwrap(), (3, None), "{hex}");
            let (_, other) = sum.copy(&mut &b"abd"[..], &mut io::sink()).unwrap();
            assert!(other.is_some_and(|other| other.len() == hex.len()));
        }
        assert_eq!((Sum::parse("abc"), Sum::parse(&"x".repeat(40))), (None, None));
    }
}
