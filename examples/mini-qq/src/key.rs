//! The server's one key and everything derived from it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// 32 random bytes, kept in the data folder. Purposes are separated by name.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        random().map(Self)
    }

    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Who `user` is to the client `client`: 32 upper-case hexadecimal digits, as QQ's are.
    pub(crate) fn openid(&self, client: &str, user: &str) -> String {
        hex(&self.mac("openid", &[client, user])[..16]).to_ascii_uppercase()
    }

    /// Who `user` is to all clients of this server's developer.
    pub(crate) fn unionid(&self, user: &str) -> String {
        format!("UID_{}", hex(&self.mac("unionid", &[user])[..16]).to_ascii_uppercase())
    }

    /// A code over `parts`; the parts cannot run into each other.
    pub(crate) fn mac(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length will do");
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// A new secret of 256 bits for a URL: a code, a token, a cookie.
pub(crate) fn secret() -> Result<String, getrandom::Error> {
    Ok(hex(&random()?))
}

/// The name under which a secret is kept: its SHA-256.
pub(crate) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// The S256 challenge of a PKCE verifier.
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|n| char::from(DIGITS[usize::from(n)])).collect()
}

fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_stable_and_differ_per_client_and_user() {
        let key = Key::generate().unwrap();
        let again = Key::from_text(&key.to_text()).unwrap();
        let openid = key.openid("shop", "alice");
        assert_eq!(openid, again.openid("shop", "alice"));
        assert_eq!(openid.len(), 32);
        assert!(openid.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)), "{openid}");
        assert_ne!(openid, key.openid("other", "alice"));
        assert_ne!(openid, key.openid("shop", "bob"));
        assert_ne!(openid, Key::generate().unwrap().openid("shop", "alice"));
        assert_eq!(key.unionid("alice"), again.unionid("alice"));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = Key::generate().unwrap();
        assert_ne!(key.mac("p", &["ab", "c"]), key.mac("p", &["a", "bc"]));
        assert_ne!(key.mac("p", &["a"]), key.mac("q", &["a"]));
    }

    #[test]
    fn the_challenge_of_rfc_7636() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
