//! Whose cart it is, and the ids of merges and orders.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onceward_backend::KeyRing;

use super::random;
use crate::error::Error;

/// What a guest id is signed for; a value signed for anything else does not verify.
const CONTEXT: &str = "onceward.cart.guest";

/// Whose cart it is. Guests and members live in separate namespaces: a guest id can never name a member's cart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A visitor who has not signed in.
    Guest(GuestId),
    /// A signed-in user.
    Member(MemberId),
}

impl Owner {
    /// True for a member.
    pub const fn is_member(&self) -> bool {
        matches!(self, Self::Member(_))
    }

    /// The owner as one text that no other owner has: `g:` or `u:` and the id.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Guest(guest) => format!("g:{}", guest.text()),
            Self::Member(member) => format!("u:{}", member.as_str()),
        }
    }

    #[cfg(feature = "sql")]
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        match id.split_at_checked(2)? {
            ("g:", guest) => GuestId::from_text(guest).map(Self::Guest),
            ("u:", member) => MemberId::new(member).ok().map(Self::Member),
            _ => None,
        }
    }
}

impl From<GuestId> for Owner {
    fn from(guest: GuestId) -> Self {
        Self::Guest(guest)
    }
}

impl From<MemberId> for Owner {
    fn from(member: MemberId) -> Self {
        Self::Member(member)
    }
}

/// A visitor who has not signed in: 16 random bytes, shown to the browser only as a signed token.
///
/// ```
/// use onceward_backend::KeyRing;
/// use onceward_cart_store::GuestId;
///
/// let keys = KeyRing::new(1, [7; 32]);
/// let guest = GuestId::random();
/// let cookie = guest.signed(&keys);
/// assert_eq!(GuestId::verify(&keys, &cookie), Some(guest));
/// assert_eq!(GuestId::verify(&keys, "user-5"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GuestId([u8; 16]);

impl GuestId {
    /// A new guest.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn random() -> Self {
        Self(random())
    }

    /// The token for the browser: safe in URLs and cookies, at most 72 characters.
    pub fn signed(&self, keys: &KeyRing) -> String {
        URL_SAFE_NO_PAD.encode(keys.sign(CONTEXT, &self.0))
    }

    /// The guest of a token that one of `keys` signed; anything else is `None` and counts as no token at all. The
    /// signature is compared in constant time.
    pub fn verify(keys: &KeyRing, token: &str) -> Option<Self> {
        let signed = URL_SAFE_NO_PAD.decode(token).ok()?;
        Some(Self(keys.verify(CONTEXT, &signed)?.try_into().ok()?))
    }

    /// A guest by its 16 bytes, for those who keep the id inside a signed session of their own. Bytes that came with a
    /// request unsigned are whatever the client liked: use [`verify`](Self::verify) there.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    #[cfg(feature = "sql")]
    fn from_text(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }
}

/// Shows a quarter of it: enough to tell two guests apart in a log, too little to be one.
impl fmt::Debug for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "GuestId({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $refusal:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the text: 1 to 128 printable ASCII characters without space.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it is anything else.
            pub fn new(text: impl Into<String>) -> Result<Self, Error> {
                let text = text.into();
                let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
                if fits { Ok(Self(text)) } else { Err(Error::Invalid($refusal)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

bounded_text! {
    /// A signed-in user, by the id that your accounts give. Take it from the session, never from the request.
    MemberId, "a member id is 1 to 128 printable ASCII characters without space"
}

bounded_text! {
    /// An order, by the id that your orders give: the key under which bought lines leave a cart once.
    OrderId, "an order id is 1 to 128 printable ASCII characters without space"
}

/// One merge of one guest cart into one member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MergeId([u8; 16]);

impl MergeId {
    /// A new merge.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    pub fn random() -> Self {
        Self(random())
    }

    /// A merge by its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    #[cfg(feature = "sql")]
    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_for_guests_is_a_guest() {
        let keys = KeyRing::new(1, [7; 32]);
        let guest = GuestId::random();
        let token = guest.signed(&keys);
        assert!(token.len() <= 72 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(GuestId::verify(&keys, &token), Some(guest));
        assert_eq!(GuestId::verify(&KeyRing::new(2, [8; 32]).with_retired(1, [7; 32]), &token), Some(guest));
        assert_eq!(GuestId::verify(&KeyRing::new(1, [8; 32]), &token), None);
        let elsewhere = URL_SAFE_NO_PAD.encode(keys.sign("onceward.form", guest.as_bytes()));
        let short = URL_SAFE_NO_PAD.encode(keys.sign(CONTEXT, b"5"));
        for forged in ["", "5", "user-5", "..", &guest.text(), &elsewhere, &short, &format!("{token}A"), &token[1..]] {
            assert_eq!(GuestId::verify(&keys, forged), None, "{forged}");
        }
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' { 'B' } else { 'A' };
            let mut changed = token.clone();
            changed.replace_range(at..=at, &other.to_string());
            assert_eq!(GuestId::verify(&keys, &changed), None, "{at}");
        }
    }

    #[test]
    fn a_guest_in_a_log_is_no_guest() {
        let guest = GuestId::from_bytes([0xab; 16]);
        assert_eq!(format!("{guest:?}"), "GuestId(abababab..)");
    }

    #[test]
    fn ids_are_bounded() {
        for refused in ["", " ", "a b", "a\n", "ä", &"x".repeat(129)] {
            assert!(MemberId::new(refused).is_err() && OrderId::new(refused).is_err(), "{refused:?}");
        }
        assert!(MemberId::new("x".repeat(128)).is_ok() && MemberId::new("qq:0F3A~{}").is_ok());
    }

    #[test]
    fn guests_are_spread_and_never_repeat() {
        let mut seen = std::collections::HashSet::new();
        assert!((0..10_000).all(|_| seen.insert(GuestId::random())));
    }
}
