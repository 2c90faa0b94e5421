//! Run once per content.

mod config;
mod work;

use std::sync::Arc;

pub use config::DedupConfig;
pub use work::{FirstTime, Marked, Work};

use crate::key::{MAX_NAME, check};
use crate::repeat;
use crate::{ContentAnswer, ContentClaim, ContentKey, ContentSlot, DedupStore, Error, Owner};

/// Lets each content be processed once, known by its digest. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use onceward_idempotency::{Dedup, FirstTime, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), onceward_idempotency::Error> {
/// let dedup = Dedup::new(Arc::new(MemoryStore::new()), "invoices")?;
/// let FirstTime::First(work) = dedup.first_time(b"the invoice").await? else { panic!() };
/// // ... process it ...
/// work.complete().await?;
/// assert!(matches!(dedup.first_time(b"the invoice").await?, FirstTime::Done));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Dedup {
    store: Arc<dyn DedupStore>,
    scope: Arc<str>,
    config: Arc<DedupConfig>,
}

impl Dedup {
    /// Contents of one scope (a tenant, a source, a kind of message): equal contents of two scopes do not meet.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the scope is not 1 to 64 bytes of visible ASCII.
    pub fn new(store: Arc<dyn DedupStore>, scope: &str) -> Result<Self, Error> {
        check("the scope", scope, MAX_NAME)?;
        Ok(Self { store, scope: scope.into(), config: Arc::new(DedupConfig::default()) })
    }

    /// Sets the configuration.
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::Config`], or [`Error::Unsupported`] if it asks for verified digests and the store
    /// has none.
    pub fn with_config(mut self, config: DedupConfig) -> Result<Self, Error> {
        let config = config.checked()?;
        if config.verified && !self.store.capabilities().verified {
            return Err(Error::Unsupported("verify digests"));
        }
        self.config = Arc::new(config);
        Ok(self)
    }

    /// Claims a content for processing: [`FirstTime::First`] hands over a [`Work`] with a lease, which ends in `complete`
    /// or `release`. If its process dies the content is handed out again after the lease.
    ///
    /// # Errors
    /// [`Error::Backend`].
    #[tracing::instrument(name = "onceward.idempotency.first_time", skip_all)]
    pub async fn first_time(&self, content: &[u8]) -> Result<FirstTime, Error> {
        let ask = self.request(content);
        Ok(match self.claim(&ask).await? {
            ContentAnswer::First { attempt, takeover, collided } => {
                if takeover {
                    metrics::counter!("onceward_idempotency_takeovers_total", "of" => "content").increment(1);
                }
                let claim = ContentClaim { key: ask.key, collided, owner: ask.owner };
                FirstTime::First(Work::new(self.clone(), claim, attempt, takeover))
            }
            ContentAnswer::Done => FirstTime::Done,
            ContentAnswer::InFlight { retry_after } => FirstTime::InFlight { retry_after },
        })
    }

    /// The literal "mark, then process": the content counts as processed from now on. One call, no lease, and if the
    /// process dies before it has processed the content, **the content is lost** for as long as the mark is retained.
    /// [`first_time`](Self::first_time) does not have that hole.
    ///
    /// # Errors
    /// [`Error::Backend`]; after an unknown outcome that outlasts the repeats the mark may stand.
    pub async fn mark(&self, content: &[u8]) -> Result<Marked, Error> {
        let ask = ContentSlot { mark: true, ..self.request(content) };
        Ok(match self.claim(&ask).await? {
            ContentAnswer::First { collided, .. } => Marked::New { collided },
            ContentAnswer::Done | ContentAnswer::InFlight { .. } => Marked::Seen,
        })
    }

    /// The wish to be the first to process a content, for a store's `first_time_tx`.
    pub fn request(&self, content: &[u8]) -> ContentSlot {
        let kind = self.config.digest;
        ContentSlot {
            key: ContentKey {
                name: [&*self.scope, kind.name(), &kind.hex(content)].join(":"),
                second: self.config.verified.then(|| kind.second(content)),
            },
            owner: Owner::random(),
            holder: self.config.holder.clone(),
            lease: self.config.lease,
            tail: self.config.tail,
            retention: self.config.retention,
            mark: false,
        }
    }

    /// Fails if the store cannot be used now.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn health(&self) -> Result<(), Error> {
        self.store.health().await
    }

    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error> {
        let answer = repeat::owned(&self.config.retry, || self.store.claim(ask)).await?;
        let label = match answer {
            ContentAnswer::First { .. } => "first",
            ContentAnswer::Done => "done",
            ContentAnswer::InFlight { .. } => "in_flight",
        };
        metrics::counter!("onceward_idempotency_contents_total", "answer" => label).increment(1);
        if let ContentAnswer::First { collided: true, .. } = answer {
            metrics::counter!("onceward_idempotency_collisions_total").increment(1);
        }
        Ok(answer)
    }
}
