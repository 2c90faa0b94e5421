use std::time::Duration;

use crate::Error;

/// How long things last and how much is read.
///
/// ```
/// use std::time::Duration;
/// use onceward_oauth_client::Options;
///
/// let options = Options::default().with_pending_ttl(Duration::from_secs(300));
/// assert_eq!(options.done_ttl, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// How long a login may be pending; 10 minutes.
    pub pending_ttl: Duration,
    /// How long a repeated callback gets the first one's answer; 60 seconds.
    pub done_ttl: Duration,
    /// How long the claim on a running login outlives the process that held it; 4 seconds. A live process renews it.
    pub lease: Duration,
    /// How long a repeated callback waits for the first; 10 seconds. Longer than the lease, so that a callback which
    /// finds the claim of a dead process outlives it.
    pub wait: Duration,
    /// How long a code is remembered after it was sent; 24 hours.
    pub code_ttl: Duration,
    /// Time to connect to a provider; 3 seconds.
    pub connect_timeout: Duration,
    /// Time for the whole token request; 10 seconds.
    pub token_timeout: Duration,
    /// Time for each question about the user; 5 seconds.
    pub api_timeout: Duration,
    /// Largest answer that is read, in bytes; 64 KiB.
    pub body_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pending_ttl: Duration::from_secs(600),
            done_ttl: Duration::from_secs(60),
            lease: Duration::from_secs(4),
            wait: Duration::from_secs(10),
            code_ttl: Duration::from_secs(24 * 3600),
            connect_timeout: Duration::from_secs(3),
            token_timeout: Duration::from_secs(10),
            api_timeout: Duration::from_secs(5),
            body_limit: 64 * 1024,
        }
    }
}

macro_rules! with {
    ($($(#[$doc:meta])* $name:ident $field:ident: $type:ty;)+) => {
        $($(#[$doc])* #[must_use] pub fn $name(mut self, $field: $type) -> Self { self.$field = $field; self })+
    };
}

impl Options {
    with! {
        /// Sets [`pending_ttl`](Self::pending_ttl).
        with_pending_ttl pending_ttl: Duration;
        /// Sets [`done_ttl`](Self::done_ttl).
        with_done_ttl done_ttl: Duration;
        /// Sets [`lease`](Self::lease).
        with_lease lease: Duration;
        /// Sets [`wait`](Self::wait).
        with_wait wait: Duration;
        /// Sets [`code_ttl`](Self::code_ttl).
        with_code_ttl code_ttl: Duration;
        /// Sets [`connect_timeout`](Self::connect_timeout).
        with_connect_timeout connect_timeout: Duration;
        /// Sets [`token_timeout`](Self::token_timeout).
        with_token_timeout token_timeout: Duration;
        /// Sets [`api_timeout`](Self::api_timeout).
        with_api_timeout api_timeout: Duration;
        /// Sets [`body_limit`](Self::body_limit).
        with_body_limit body_limit: usize;
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let times = [
            self.pending_ttl,
            self.done_ttl,
            self.lease,
            self.wait,
            self.connect_timeout,
            self.token_timeout,
            self.api_timeout,
        ];
        if times.contains(&Duration::ZERO) || self.body_limit == 0 {
            return Err(Error::Config("a duration or limit is zero".into()));
        }
        if self.wait <= self.lease {
            return Err(Error::Config("wait must be longer than lease".into()));
        }
        if self.code_ttl < self.pending_ttl {
            return Err(Error::Config("code_ttl must not be shorter than pending_ttl".into()));
        }
        Ok(())
    }
}
