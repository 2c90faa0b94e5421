//! The consumer: from the broker to a handler, each message with one effect.

mod batch;
mod handler;
mod options;
mod router;

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use onceward_backend::{
    BackendError, Db, ErrorClass,
    internal::{Progress, begin, commit, mark, random_unit, work},
};
use sqlx::Transaction;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::handler::{After, BoxHandler, after_failure, is_killer};
pub use self::{handler::HandlerError, options::ConsumerOptions, router::Router};
use crate::{
    Error,
    broker::{Broker, Delivery, Subscription},
    inbox::Inbox,
    message::Envelope,
    tx::{Tx, lend},
};

/// Receives the messages of one queue and runs a handler on each, in the transaction that also records the message in the
/// inbox: effects once per message while that record lives. The message is acknowledged after the commit. What was replayed out
/// of an outbox, and may have been handled and [forgotten](crate::Forgotten), is parked.
pub struct Consumer<D: Db> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: Db> {
    broker: Arc<dyn Broker>,
    subscription: Subscription,
    inbox: Inbox<D>,
    handler: BoxHandler<D>,
    options: ConsumerOptions,
    upkeep: Mutex<Upkeep>,
}

#[derive(Default)]
struct Upkeep {
    subscribed: bool,
    purged: Option<Instant>,
    /// Messages were given back, since the database did not answer.
    doubtful: bool,
    /// How many messages a transaction may have by now. A new process begins with one: if it came after one that a message
    /// killed, that message is the first to come again, and takes no others with it.
    batch: usize,
}

/// What one round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consumed {
    /// Messages whose effects were committed now.
    pub first: usize,
    /// Repeats that were acknowledged without running the handler.
    pub duplicates: usize,
    /// Messages whose handler failed and that come again.
    pub retried: usize,
    /// Messages that were parked.
    pub dead: usize,
}

impl Consumed {
    /// How many deliveries that were.
    #[must_use]
    pub fn total(&self) -> usize {
        self.first + self.duplicates + self.retried + self.dead
    }

    fn add(&mut self, other: Self) {
        self.first += other.first;
        self.duplicates += other.duplicates;
        self.retried += other.retried;
        self.dead += other.dead;
    }
}

impl<D: Db> Consumer<D> {
    /// A consumer of this queue. The queue's name is also its name in the inbox.
    ///
    /// The handler may run again for a message whose transaction did not commit, so what it does outside the transaction
    /// must bear repetition.
    pub fn new<F, Fut>(broker: Arc<dyn Broker>, subscription: Subscription, inbox: Inbox<D>, handler: F) -> Self
    where
        F: Fn(Tx<D>, Envelope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        Self::boxed(broker, subscription, inbox, Arc::new(move |tx, envelope| Box::pin(handler(tx, envelope))))
    }

    /// A consumer of a queue of all topics of a router, which has a handler for each.
    ///
    /// # Errors
    /// [`Error::TwoHandlers`] if a topic was given to two.
    pub fn routed(broker: Arc<dyn Broker>, queue: &str, inbox: Inbox<D>, router: Router<D>) -> Result<Self, Error> {
        let subscription = router.subscription(queue)?;
        Ok(Self::boxed(broker, subscription, inbox, router.into_handler()))
    }

    fn boxed(broker: Arc<dyn Broker>, subscription: Subscription, inbox: Inbox<D>, handler: BoxHandler<D>) -> Self {
        let (options, upkeep) = (ConsumerOptions::default(), Mutex::default());
        Self { shared: Arc::new(Shared { broker, subscription, inbox, handler, options, upkeep }) }
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(self, options: ConsumerOptions) -> Self {
        let Shared { broker, subscription, inbox, handler, .. } = &*self.shared;
        Self {
            shared: Arc::new(Shared {
                broker: Arc::clone(broker),
                subscription: subscription.clone(),
                inbox: inbox.clone(),
                handler: Arc::clone(handler),
                options,
                upkeep: Mutex::default(),
            }),
        }
    }

    /// Consumes until `shutdown`: subscribes, then receives, woken from within this process, else by polling. Ends after
    /// the handlers in flight. Purges the inbox now and then.
    pub async fn run(&self, shutdown: CancellationToken) {
        let arrivals = self.shared.broker.arrivals(self.shared.subscription.queue());
        work("reliable_mq.consumer", self.shared.options.poll, &arrivals, &shutdown, || async {
            self.purge_now_and_then().await;
            let consumed = self.step().await?;
            Ok::<_, Error>(if consumed.total() > 0 { Progress::More } else { Progress::Idle })
        })
        .await;
    }

    /// Handles what is ready now, at most as many messages as the concurrency allows at once.
    ///
    /// # Errors
    /// Whatever broker or database report. The messages concerned come again and have spent nothing.
    pub async fn step(&self) -> Result<Consumed, Error> {
        let Shared { broker, subscription, options, upkeep, .. } = &*self.shared;
        let mut upkeep = upkeep.lock().await;
        if !upkeep.subscribed {
            broker.subscribe(subscription).await?;
            upkeep.subscribed = true;
        }
        if upkeep.doubtful {
            // Before anything is received: what is given back counts as delivered.
            begin(self.shared.inbox.pool()).await?.rollback().await.map_err(BackendError::from)?;
            upkeep.doubtful = false;
        }
        let batch = upkeep.batch.clamp(1, options.batch.max(1));
        drop(upkeep);
        let most = options.concurrency.saturating_mul(batch);
        let mut deliveries = broker.receive(subscription.queue(), most).await?.into_iter().peekable();
        // Pushed one by one: a closure over boxed deliveries would make this future not `Send` for its callers.
        let mut running = FuturesUnordered::new();
        while deliveries.peek().is_some() {
            running.push(self.consume_together(deliveries.by_ref().take(batch).collect()));
        }
        let (mut consumed, mut failed) = (Consumed::default(), None);
        while let Some(result) = running.next().await {
            match result {
                Ok(one) => consumed.add(one),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            self.shared.upkeep.lock().await.doubtful = true;
            return Err(error);
        }
        if consumed.total() > 0 {
            self.shared.upkeep.lock().await.batch = batch.saturating_mul(2);
        }
        Ok(consumed)
    }

    /// Consumes until the queue holds nothing but the dead, or `within` is over.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`Error::Unsupported`] if the broker cannot tell how full its queue is.
    pub async fn drain(&self, within: Duration) -> Result<Consumed, Error> {
        let Shared { broker, subscription, options, .. } = &*self.shared;
        let (end, arrivals) = (Instant::now() + within, broker.arrivals(subscription.queue()));
        let mut consumed = Consumed::default();
        loop {
            let step = self.step().await?;
            consumed.add(step);
            if step.total() > 0 {
                continue;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || broker.depth(subscription.queue()).await?.open() == 0 {
                return Ok(consumed);
            }
            let _ = tokio::time::timeout(options.poll.min(left), arrivals.notified()).await;
        }
    }

    async fn consume(&self, delivery: Box<dyn Delivery>) -> Result<Consumed, Error> {
        if is_killer(delivery.failures(), delivery.deliveries(), &self.shared.options.retry) {
            let reason = format!("delivered {} times, and no handler came to an end", delivery.deliveries());
            return settled(delivery.reject(&reason).await, Consumed { dead: 1, ..Consumed::default() });
        }
        let consumed = match self.handle_patiently(delivery.envelope()).instrument(self.span(delivery.envelope())).await
        {
            Ok(Handled::First) => {
                mark("mq.consumer_before_ack");
                (delivery.ack().await, Consumed { first: 1, ..Consumed::default() })
            }
            Ok(Handled::Duplicate) => (delivery.ack().await, Consumed { duplicates: 1, ..Consumed::default() }),
            Ok(Handled::Failed(error)) => self.put_back(delivery, &error).await,
            Err(error) => {
                // Not the message's fault, so it spends nothing.
                delivery.release().await?;
                return Err(error);
            }
        };
        settled(consumed.0, consumed.1)
    }

    fn span(&self, envelope: &Envelope) -> tracing::Span {
        tracing::info_span!(
            "onceward.reliable_mq.handle",
            queue = self.shared.subscription.queue(),
            message_id = %envelope.id,
            trace_id = envelope.trace_id(),
        )
    }

    /// Runs the handler until it succeeds, as often as it may and as long as there is time.
    async fn handle_patiently(&self, envelope: &Envelope) -> Result<Handled, Error> {
        let ConsumerOptions { timeout, at_once, .. } = &self.shared.options;
        let end = Instant::now() + *timeout;
        let mut failures = 0;
        loop {
            failures += 1;
            let handled = self.handle(envelope, end).await?;
            let Handled::Failed(error) = &handled else { return Ok(handled) };
            let pause = at_once.delay(failures, random_unit());
            if error.is_permanent() || !at_once.allows(failures) || Instant::now() + pause >= end {
                return Ok(handled);
            }
            tracing::debug!(failures, %error, "a handler failed, and is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Runs the handler once, in a transaction with the inbox row.
    async fn handle(&self, envelope: &Envelope, end: Instant) -> Result<Handled, Error> {
        let Shared { subscription, inbox, options, .. } = &*self.shared;
        let mut tx = begin(inbox.pool()).await?;
        let left = end.saturating_duration_since(Instant::now());
        match inbox.all_first_within_tx(&mut tx, subscription.queue(), &[&envelope.id], left).await {
            Ok(true) => {}
            Ok(false) => {
                tx.rollback().await.map_err(BackendError::from)?;
                return Ok(Handled::Duplicate);
            }
            // A consumer that nobody hears of any more may have it in hand: others are not to wait behind this one.
            Err(Error::Backend(error)) if error.class() == ErrorClass::Transient => {
                return Ok(Handled::Failed(HandlerError::from(error)));
            }
            Err(error) => return Err(error),
        }
        if !options.may_duplicate
            && let Some(forgotten) = inbox.forgotten_tx(&mut tx, envelope).await?
        {
            tx.rollback().await.map_err(BackendError::from)?;
            return Ok(Handled::Failed(HandlerError::reject(forgotten)));
        }
        match self.call(tx, envelope, end).await {
            Ok(tx) => {
                commit(tx).await?;
                Ok(Handled::First)
            }
            Err(Broken { tx, error }) => {
                if let Some(tx) = tx {
                    tx.rollback().await.map_err(BackendError::from)?;
                }
                Ok(Handled::Failed(error))
            }
        }
    }

    /// Runs the handler once, in this transaction.
    async fn call(
        &self,
        tx: Transaction<'static, D>,
        envelope: &Envelope,
        end: Instant,
    ) -> Result<Transaction<'static, D>, Broken<D>> {
        let (tx, home) = lend(tx);
        // A handler that panics before its first await does so in the call itself.
        let call = async { (self.shared.handler)(tx, envelope.clone()).await };
        let answer = match tokio::time::timeout_at(end, AssertUnwindSafe(call).catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => Err(HandlerError::retry("the handler panicked")),
            Err(_elapsed) => Err(HandlerError::retry("the handler took too long")),
        };
        match (home.take(), answer) {
            (Some(tx), Ok(())) => Ok(tx),
            (Some(tx), Err(error)) => Err(Broken { tx: Some(tx), error }),
            (None, _) => Err(Broken { tx: None, error: Error::TransactionKept.into() }),
        }
    }

    async fn put_back(&self, delivery: Box<dyn Delivery>, error: &HandlerError) -> (Result<(), Error>, Consumed) {
        let retry = &self.shared.options.retry;
        let after = after_failure(error, delivery.failures(), retry, random_unit());
        let id = &delivery.envelope().id;
        tracing::warn!(message_id = %id, failures = delivery.failures() + 1, %error, ?after, "a handler failed");
        let reason = error.chain();
        match after {
            After::Retry(pause) => {
                (delivery.retry(pause, &reason).await, Consumed { retried: 1, ..Consumed::default() })
            }
            After::Dead => (delivery.reject(&reason).await, Consumed { dead: 1, ..Consumed::default() }),
        }
    }

    async fn purge_now_and_then(&self) {
        let mut upkeep = self.shared.upkeep.lock().await;
        if upkeep.purged.is_some_and(|at| at.elapsed() < PURGE_EVERY) {
            return;
        }
        let purged = self.shared.inbox.purge(PURGE_AT_ONCE).await.unwrap_or_else(|error| {
            // No reason to handle nothing.
            tracing::warn!(%error, "the inbox was not purged; it is tried again later");
            0
        });
        // A full batch means there is more: come back after the next round.
        upkeep.purged = (purged < PURGE_AT_ONCE as u64).then(Instant::now);
    }
}

const PURGE_EVERY: Duration = Duration::from_secs(600);
const PURGE_AT_ONCE: usize = 1000;

enum Handled {
    First,
    Duplicate,
    Failed(HandlerError),
}

/// What a handler that failed leaves.
struct Broken<D: Db> {
    /// None, if it was kept.
    tx: Option<Transaction<'static, D>>,
    error: HandlerError,
}

fn settled(answer: Result<(), Error>, consumed: Consumed) -> Result<Consumed, Error> {
    match answer {
        // Somebody else has it now, and the inbox knows what was done.
        Ok(()) | Err(Error::LeaseLost) => {
            report(consumed);
            Ok(consumed)
        }
        Err(error) => Err(error),
    }
}

fn report(consumed: Consumed) {
    let Consumed { first, duplicates, retried, dead } = consumed;
    for (word, count) in [("first", first), ("duplicate", duplicates), ("retry", retried), ("dead", dead)] {
        if count > 0 {
            metrics::counter!("onceward_reliable_mq_deliveries_total", "outcome" => word).increment(count as u64);
        }
    }
}

impl<D: Db> Clone for Consumer<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D: Db> fmt::Debug for Consumer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("queue", &self.shared.subscription.queue()).finish_non_exhaustive()
    }
}
