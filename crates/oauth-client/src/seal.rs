use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use onceward_backend::{BackendError, KeyRing};
use zeroize::Zeroizing;

use crate::{Digest, Error, random};

/// First byte of everything sealed; a later layout gets another.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const HEAD: usize = 2 + NONCE;

/// Encrypts a record under the newest key: format, key id, nonce, ciphertext. It opens only in the same context and
/// under the same id, so rows cannot be swapped.
pub(crate) fn seal(keys: &KeyRing, context: &'static str, id: &Digest, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let key_id = keys.current();
    let cipher =
        cipher(keys, key_id, context).ok_or_else(|| Error::Config("key ring without its current key".into()))?;
    let mut sealed = vec![FORMAT, key_id];
    sealed.resize(HEAD, 0);
    random::fill(&mut sealed[2..])?;
    let aad = aad(context, id);
    let body = cipher
        .encrypt(&nonce(&sealed[2..HEAD])?, Payload { msg: plain, aad: &aad })
        .map_err(|_| Error::Config("record too large to be sealed".into()))?;
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what [`seal`] made. `None`: its key has left the key ring. A record that was changed is corrupt.
pub(crate) fn open(
    keys: &KeyRing,
    context: &'static str,
    id: &Digest,
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    if sealed.len() < HEAD || sealed[0] != FORMAT {
        return Err(corrupt("sealed record of an unknown format"));
    }
    let Some(cipher) = cipher(keys, sealed[1], context) else { return Ok(None) };
    cipher
        .decrypt(&nonce(&sealed[2..HEAD])?, Payload { msg: &sealed[HEAD..], aad: &aad(context, id) })
        .map(|plain| Some(Zeroizing::new(plain)))
        .map_err(|_| corrupt("sealed record does not open"))
}

pub(crate) fn corrupt(what: &'static str) -> Error {
    Error::Backend(BackendError::corrupt("oauth", what))
}

fn cipher(keys: &KeyRing, id: u8, context: &str) -> Option<XChaCha20Poly1305> {
    let key = keys.derive(id, context)?;
    XChaCha20Poly1305::new_from_slice(key.as_slice()).ok()
}

fn nonce(bytes: &[u8]) -> Result<XNonce, Error> {
    XNonce::try_from(bytes).map_err(|_| corrupt("nonce of a wrong length"))
}

fn aad(context: &str, id: &Digest) -> Vec<u8> {
    [context.as_bytes(), b"\0", id.to_hex().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_only_in_its_place_and_unchanged() {
        let keys = KeyRing::new(1, [7; 32]);
        let (id, other) = (Digest::of("t", &[b"1"]), Digest::of("t", &[b"2"]));
        let sealed = seal(&keys, "flow", &id, b"verifier").unwrap();
        assert!(!sealed.windows(8).any(|w| w == b"verifier"));
        assert_eq!(open(&keys, "flow", &id, &sealed).unwrap().unwrap().as_slice(), b"verifier");
        assert!(open(&keys, "flow", &other, &sealed).is_err(), "swapped row");
        assert!(open(&keys, "vault", &id, &sealed).is_err(), "other context");
        for at in [0, 5, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&keys, "flow", &id, &changed).is_err(), "byte {at}");
        }
        assert!(open(&keys, "flow", &id, &sealed[..20]).is_err());
    }

    #[test]
    fn a_retired_key_still_opens_and_an_unknown_one_counts_as_absent() {
        let id = Digest::of("t", &[b"1"]);
        let sealed = seal(&KeyRing::new(1, [7; 32]), "flow", &id, b"x").unwrap();
        let rotated = KeyRing::new(2, [8; 32]).with_retired(1, [7; 32]);
        assert!(open(&rotated, "flow", &id, &sealed).unwrap().is_some());
        assert!(open(&KeyRing::new(2, [8; 32]), "flow", &id, &sealed).unwrap().is_none());
    }
}
