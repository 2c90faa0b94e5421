//! Digests of content and of what a page showed.

use md5::{Digest as _, Md5};
use sha2::Sha256;

/// The digest by which equal content is known again.
///
/// MD5 finds repeats of honest content, but anybody can make two contents with one MD5 within seconds: somebody who
/// authors both can have the second taken for a repeat of the first. Where strangers write the content use
/// [`Sha256`](Self::Sha256) or [`Blake3`](Self::Blake3), or verify MD5 by a second digest
/// ([`DedupConfig::verified`](crate::DedupConfig::verified)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestKind {
    /// 128 bits, not collision resistant.
    #[default]
    Md5,
    /// 256 bits.
    Sha256,
    /// 256 bits, the fastest for large content.
    Blake3,
}

impl DigestKind {
    /// A short stable name, part of the key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }

    /// The digest of `content` in lower-case hexadecimal.
    ///
    /// ```
    /// use onceward_idempotency::DigestKind;
    ///
    /// assert_eq!(DigestKind::Md5.hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    /// ```
    pub fn hex(self, content: &[u8]) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(content)),
            Self::Sha256 => hex(&Sha256::digest(content)),
            Self::Blake3 => hex(blake3::hash(content).as_bytes()),
        }
    }

    /// The digest that confirms this one: another function, so that no collision of one is a collision of both.
    pub(crate) fn second(self, content: &[u8]) -> Fingerprint {
        match self {
            Self::Md5 | Self::Blake3 => Fingerprint(Sha256::digest(content).into()),
            Self::Sha256 => Fingerprint(*blake3::hash(content).as_bytes()),
        }
    }
}

/// What a token is bound to: a digest of what the page showed (lines, quantities, prices), compared when it is spent.
///
/// ```
/// use onceward_idempotency::Fingerprint;
///
/// let shown = Fingerprint::parts(["sku-1", "2", "1999"]);
/// assert_eq!(shown, Fingerprint::parts(["sku-1", "2", "1999"]));
/// assert_ne!(shown, Fingerprint::parts(["sku-1", "21", "999"]), "parts keep their borders");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Bound to nothing: equal to itself only.
    pub const NONE: Self = Self([0; 32]);

    /// The fingerprint of some bytes.
    pub fn of(content: impl AsRef<[u8]>) -> Self {
        Self(*blake3::hash(content.as_ref()).as_bytes())
    }

    /// The fingerprint of a list of parts, in their order; every part is taken with its length, so that bytes cannot move
    /// from one to the next.
    pub fn parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// A fingerprint from 32 bytes that were made by another digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_of_each_digest() {
        assert_eq!(DigestKind::Md5.hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(DigestKind::Sha256.hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(DigestKind::Blake3.hex(b""), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn the_second_digest_is_of_another_function() {
        for kind in [DigestKind::Md5, DigestKind::Sha256, DigestKind::Blake3] {
            assert_ne!(hex(kind.second(b"x").as_bytes()), kind.hex(b"x"), "{kind:?}");
        }
    }

    #[test]
    fn parts_are_ordered_and_bordered() {
        let whole = Fingerprint::parts(["ab", "c"]);
        for other in [vec!["a", "bc"], vec!["c", "ab"], vec!["ab", "c", ""], vec!["abc"]] {
            assert_ne!(whole, Fingerprint::parts(&other), "{other:?}");
        }
    }
}
