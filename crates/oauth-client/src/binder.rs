use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::{Digest, Error, digest, random};

/// The random value that ties a pending login to the browser which began it.
///
/// Keep it in a cookie of its own (`HttpOnly`, `SameSite=Lax`, `Path=/`, living a little longer than
/// [`Options::pending_ttl`](crate::Options)), one per browser: it serves any number of tabs. Do not derive it from the
/// session, which changes at login: a repeated callback must still match. The stores keep its hash only.
///
/// ```
/// use onceward_oauth_client::BrowserBinder;
///
/// let binder = BrowserBinder::generate()?;
/// let cookie = binder.as_str().to_owned();
/// assert!(BrowserBinder::parse(&cookie).is_some());
/// assert!(BrowserBinder::parse("guessed").is_none());
/// # Ok::<(), onceward_oauth_client::Error>(())
/// ```
#[derive(Clone)]
pub struct BrowserBinder(SecretString);

impl BrowserBinder {
    /// Makes a new one of 256 random bits.
    ///
    /// # Errors
    /// [`Error::Random`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, Error> {
        random::hex().map(Self)
    }

    /// Reads the value of the cookie; `None` unless it has the form that [`as_str`](Self::as_str) writes.
    #[must_use]
    pub fn parse(cookie: &str) -> Option<Self> {
        digest::is_hex(cookie).then(|| Self(SecretString::from(cookie)))
    }

    /// The value of the cookie: 64 lower-case hexadecimal characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of("browser", &[self.as_str().as_bytes()])
    }
}

impl fmt::Debug for BrowserBinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserBinder(..)")
    }
}
