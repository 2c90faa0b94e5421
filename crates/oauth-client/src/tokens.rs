//! The tokens of an account: what they are, when they may be sent, how they are kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onceward_backend::KeyRing;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{Account, Error, TokenVault, codec, seal};

const CONTEXT: &str = "onceward oauth-client vault";

/// What a provider issued. `Debug` shows no token.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Tokens {
    #[serde(with = "codec::secret")]
    access: SecretString,
    #[serde(with = "codec::optional_secret")]
    refresh: Option<SecretString>,
    /// Microseconds since the epoch; `None`: the provider did not say.
    expires_at: Option<u64>,
    scopes: Vec<String>,
}

impl Tokens {
    /// `asked` is the time just before the request was sent, so that the provider's clock started later than ours.
    pub(crate) fn new(
        access: SecretString,
        refresh: Option<SecretString>,
        expires_in: Option<Duration>,
        scopes: Vec<String>,
        asked: SystemTime,
    ) -> Self {
        let expires_at = expires_in.map(|life| micros(asked).saturating_add(whole_micros(life)));
        Self { access, refresh, expires_at, scopes }
    }

    /// The access token, unless it has expired.
    pub(crate) fn live(&self, now: SystemTime) -> Option<&SecretString> {
        self.expires_at.is_none_or(|end| micros(now) < end).then_some(&self.access)
    }
}

fn micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, whole_micros)
}

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Seals and writes the tokens over whatever the account had.
pub(crate) async fn keep(
    vault: &dyn TokenVault,
    keys: &KeyRing,
    account: &Account,
    tokens: &Tokens,
) -> Result<(), Error> {
    let id = account.digest();
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(tokens).map_err(|_| seal::corrupt("unwritable tokens"))?);
    let sealed = seal::seal(keys, CONTEXT, &id, &plain)?;
    // Another login of the same account may write at the same time; either one's tokens are good.
    for _ in 0..32 {
        let version = vault.load_tokens(&id).await?.map(|stored| stored.version);
        if vault.store_tokens_if(&id, version, &sealed).await? {
            return Ok(());
        }
    }
    Err(Error::Busy)
}

pub(crate) async fn load(vault: &dyn TokenVault, keys: &KeyRing, account: &Account) -> Result<Option<Tokens>, Error> {
    let id = account.digest();
    let Some(stored) = vault.load_tokens(&id).await? else { return Ok(None) };
    let Some(plain) = seal::open(keys, CONTEXT, &id, &stored.body)? else { return Ok(None) };
    serde_json::from_slice(&plain).map(Some).map_err(|_| seal::corrupt("unreadable tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(life: Option<u64>) -> Tokens {
        let asked = UNIX_EPOCH + Duration::from_secs(1_000);
        Tokens::new("secret-token".into(), None, life.map(Duration::from_secs), Vec::new(), asked)
    }

    #[test]
    fn a_token_is_live_until_the_moment_it_expires() {
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        let short = tokens(Some(60));
        assert!(short.live(at(1_059)).is_some());
        assert!(short.live(at(1_060)).is_none());
        assert!(tokens(Some(0)).live(at(1_000)).is_none());
        assert!(tokens(None).live(at(u64::from(u32::MAX))).is_some());
        assert!(tokens(Some(u64::MAX)).live(at(2_000)).is_some(), "an absurd life does not wrap");
    }

    #[test]
    fn debug_shows_no_token() {
        assert!(!format!("{:?}", tokens(None)).contains("secret-token"));
    }
}
