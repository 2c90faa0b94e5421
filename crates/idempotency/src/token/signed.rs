//! The string in the hidden field: id and expiry under a signature that also covers purpose and user.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onceward_backend::KeyRing;

use crate::TokenId;
use crate::store::TokenKey;

/// Longer strings are not even decoded.
const LONGEST: usize = 128;

/// A token to be put into a hidden form field.
///
/// `Display` writes the string, 76 characters of URL-safe base64; `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct FormToken {
    text: String,
    id: TokenId,
}

impl FormToken {
    /// The string for the form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The string for the form.
    pub fn into_string(self) -> String {
        self.text
    }

    /// The token's id.
    pub const fn id(&self) -> TokenId {
        self.id
    }

    pub(super) fn sign(keys: &KeyRing, key: &TokenKey, expires: SystemTime) -> Self {
        let expires = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
        let mut payload = [0; 24];
        payload[..16].copy_from_slice(key.id.as_bytes());
        payload[16..].copy_from_slice(&millis.to_be_bytes());
        let signed = keys.sign(&context(&key.purpose, &key.user), &payload);
        Self { text: URL_SAFE_NO_PAD.encode(signed), id: key.id }
    }
}

impl fmt::Display for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The id and expiry of a token that was made for this purpose and user.
pub(super) fn verify(keys: &KeyRing, purpose: &str, user: &str, text: &str) -> Option<(TokenId, SystemTime)> {
    if text.len() > LONGEST {
        return None;
    }
    let signed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let payload = keys.verify(&context(purpose, user), &signed)?;
    let (id, millis) = payload.split_first_chunk::<16>()?;
    let millis = u64::from_be_bytes(millis.try_into().ok()?);
    let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
    Some((TokenId::from_bytes(*id), expires))
}

/// Neither part can hold a line feed.
fn context(purpose: &str, user: &str) -> String {
    format!("onceward-idempotency form token\n{purpose}\n{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(purpose: &str, user: &str) -> TokenKey {
        TokenKey { purpose: purpose.to_owned(), user: user.to_owned(), id: TokenId::random() }
    }

    #[test]
    fn a_token_opens_for_its_user_and_purpose_only() {
        let keys = KeyRing::new(1, [1; 32]);
        let key = key("order", "alice");
        let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567);
        let token = FormToken::sign(&keys, &key, expires);
        assert_eq!(token.as_str().len(), 76);
        assert_eq!(verify(&keys, "order", "alice", token.as_str()), Some((key.id, expires)));
        for (purpose, user) in [("order", "bob"), ("refund", "alice"), ("orde", "ralice"), ("order", "")] {
            assert_eq!(verify(&keys, purpose, user, token.as_str()), None, "{purpose} {user}");
        }
        assert_eq!(verify(&KeyRing::new(1, [2; 32]), "order", "alice", token.as_str()), None);
    }

    #[test]
    fn a_forged_or_damaged_string_does_not_open() {
        let keys = KeyRing::new(1, [1; 32]);
        let token = FormToken::sign(&keys, &key("order", "alice"), SystemTime::UNIX_EPOCH);
        let text = token.as_str();
        for at in 0..text.len() {
            let mut forged = text.as_bytes().to_vec();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(verify(&keys, "order", "alice", &forged), None, "byte {at}");
        }
        for junk in ["", "A", "💥", &text[1..], &format!("{text}A"), &format!("{text}="), &"A".repeat(100_000)] {
            assert_eq!(verify(&keys, "order", "alice", junk), None);
        }
    }

    #[test]
    fn tokens_of_a_retired_key_still_open() {
        let old = KeyRing::new(1, [1; 32]);
        let token = FormToken::sign(&old, &key("order", "alice"), SystemTime::UNIX_EPOCH);
        let rotated = KeyRing::new(2, [2; 32]).with_retired(1, [1; 32]);
        assert!(verify(&rotated, "order", "alice", token.as_str()).is_some());
    }

    #[test]
    fn debug_shows_no_signature() {
        let token = FormToken::sign(&KeyRing::new(1, [1; 32]), &key("order", "alice"), SystemTime::UNIX_EPOCH);
        assert!(!format!("{token:?}").contains(&token.as_str()[40..]));
    }
}
