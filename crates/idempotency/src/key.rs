//! Names that every store tells apart byte by byte.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Error;

/// Longest user id.
pub(crate) const MAX_USER: usize = 128;
/// Longest purpose, scope, holder or bare prefix.
pub(crate) const MAX_NAME: usize = 64;

/// Databases differ in what they fold together (case, trailing spaces, over-long keys cut short), so keys are visible
/// ASCII of bounded length.
pub(crate) fn check(what: &'static str, value: &str, longest: usize) -> Result<(), Error> {
    let why = if value.is_empty() {
        "it is empty"
    } else if value.len() > longest {
        "it is too long"
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it is not visible ASCII without spaces"
    } else {
        return Ok(());
    };
    Err(Error::InvalidKey { what, why })
}

/// The identity of one token: what an order is stored under. It is no secret: without the signed token around it nobody
/// can spend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(Uuid);

impl TokenId {
    /// An id from 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for TokenId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = Error::InvalidKey { what: "the token id", why: "it is not a UUID" };
        Uuid::try_parse(text).map(Self).map_err(|_| wrong)
    }
}

/// Who made a claim: 16 random bytes per attempt, so that the same attempt may ask again after a lost reply and a later
/// one is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// Nobody: the owner of a record that was never claimed.
    pub const NOBODY: Self = Self([0; 16]);

    /// An owner from 16 bytes that no other attempt uses.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn random() -> Self {
        Self(*Uuid::new_v4().as_bytes())
    }

    #[cfg(feature = "sql")]
    pub(crate) fn hex(self) -> String {
        crate::digest::hex(&self.0)
    }

    #[cfg(feature = "sql")]
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(|uuid| Self(*uuid.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_would_fold_together_is_refused() {
        for good in ["a", "A", "qq:OPENID-1", "{x}", &"x".repeat(MAX_USER)] {
            assert!(check("user", good, MAX_USER).is_ok(), "{good}");
        }
        for bad in ["", "a ", " a", "a\tb", "a\nb", "a\0", "é", "用户", "\u{7f}", &"x".repeat(MAX_USER + 1)] {
            assert!(check("user", bad, MAX_USER).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_token_id_is_a_hyphenated_uuid() {
        let id = TokenId::random();
        let text = id.to_string();
        assert_eq!((text.len(), text.parse::<TokenId>().unwrap()), (36, id));
        assert_eq!(text.as_bytes()[14], b'4', "version 4");
        assert!("nonsense".parse::<TokenId>().is_err());
    }
}
