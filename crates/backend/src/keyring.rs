//! Keys with ids, so that every key can be rotated.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

type HmacSha256 = Hmac<Sha256>;
type Secret = Zeroizing<[u8; 32]>;

const TAG: usize = 32;

/// A current 256-bit key and the retired ones that may still verify, each with an id of one byte.
///
/// Values are signed with the current key and verified with the key that they name. Every use has a *context* (such as
/// `cart-guest-id`): what was signed in one context does not verify in another. Tags are HMAC-SHA-256
/// ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)), compared in constant time. Clones share the keys, which are wiped
/// from memory with the last clone; `Debug` shows ids only.
///
/// ```
/// use onceward_backend::KeyRing;
///
/// let old = KeyRing::new(1, [7; 32]);
/// let signed = old.sign("greeting", b"hello");
///
/// let rotated = KeyRing::new(2, [8; 32]).with_retired(1, [7; 32]);
/// assert_eq!(rotated.verify("greeting", &signed).as_deref(), Some(&b"hello"[..]));
/// assert_eq!(rotated.verify("farewell", &signed), None);
/// assert_eq!(KeyRing::new(2, [8; 32]).verify("greeting", &signed), None);
/// ```
#[derive(Clone)]
pub struct KeyRing {
    /// The current key first; never empty.
    keys: Arc<Vec<(u8, Secret)>>,
}

impl KeyRing {
    /// A ring whose current key is `key` under `id`.
    pub fn new(id: u8, key: [u8; 32]) -> Self {
        Self { keys: Arc::new(vec![(id, Zeroizing::new(key))]) }
    }

    /// A ring with one random key under id 1. What it signs is lost with the process unless the key is kept elsewhere.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn generate() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(Self::new(1, key))
    }

    /// Adds a key that no longer signs but still verifies. An id that the ring already holds is left as it is.
    #[must_use]
    pub fn with_retired(self, id: u8, key: [u8; 32]) -> Self {
        let mut keys = (*self.keys).clone();
        if keys.iter().all(|(held, _)| *held != id) {
            keys.push((id, Zeroizing::new(key)));
        }
        Self { keys: Arc::new(keys) }
    }

    /// The id of the current key.
    pub fn current(&self) -> u8 {
        self.keys.first().map_or(0, |(id, _)| *id)
    }

    /// `key id ‖ payload ‖ tag`: one byte, the payload as it is (readable), 32 bytes.
    pub fn sign(&self, context: &str, payload: &[u8]) -> Vec<u8> {
        let mut signed = Vec::with_capacity(1 + payload.len() + TAG);
        signed.push(self.current());
        signed.extend_from_slice(payload);
        if let Some(mac) = self.mac(self.current(), context, payload) {
            signed.extend_from_slice(&mac.finalize().into_bytes());
        }
        signed
    }

    /// The payload, if `signed` was made by [`sign`](Self::sign) in this context with a key of this ring.
    pub fn verify(&self, context: &str, signed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = signed.split_first()?;
        let (payload, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        self.mac(*id, context, payload)?.verify_slice(tag).ok()?;
        Some(payload.to_vec())
    }

    /// A 256-bit key for one context, derived from the key with that id; for encryption. `None` if the ring does not
    /// hold the id.
    pub fn derive(&self, id: u8, context: &str) -> Option<Zeroizing<[u8; 32]>> {
        let mac = self.mac(id, "onceward derived key", context.as_bytes())?;
        Some(Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    /// Keyed over the length-prefixed context, so that no context can be shifted into the payload.
    fn mac(&self, id: u8, context: &str, payload: &[u8]) -> Option<HmacSha256> {
        let (_, key) = self.keys.iter().find(|(held, _)| *held == id)?;
        let mut mac = HmacSha256::new_from_slice(&key[..]).ok()?;
        mac.update(&(context.len() as u64).to_be_bytes());
        mac.update(context.as_bytes());
        mac.update(&[id]);
        mac.update(payload);
        Some(mac)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("ids", &self.keys.iter().map(|(id, _)| id).collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_refused() {
        let ring = KeyRing::new(3, [1; 32]);
        let signed = ring.sign("c", b"payload");
        assert_eq!(ring.verify("c", &signed).as_deref(), Some(&b"payload"[..]));
        for at in 0..signed.len() {
            let mut forged = signed.clone();
            forged[at] ^= 1;
            assert_eq!(ring.verify("c", &forged), None, "byte {at}");
            assert_eq!(ring.verify("c", &signed[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_context_cannot_be_shifted_into_the_payload() {
        let ring = KeyRing::new(1, [1; 32]);
        let signed = ring.sign("ab", b"c");
        assert_eq!(ring.verify("a", &signed), None);
        assert_ne!(ring.derive(1, "a"), ring.derive(1, "b"));
        assert_eq!(ring.derive(9, "a"), None);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", KeyRing::new(1, [255; 32])), "KeyRing { ids: [1] }");
    }
}
