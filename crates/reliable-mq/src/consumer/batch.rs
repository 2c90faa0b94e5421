//! Several messages in one transaction, which then costs them one commit and one trip for all their inbox rows.

use futures_util::{StreamExt, stream::FuturesUnordered};
use onceward_backend::{
    BackendError, Db, ErrorClass,
    internal::{begin, commit, mark},
};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Broken, Consumed, Consumer, settled};
use crate::{Error, broker::Delivery, message::MessageId};

type Deliveries = Vec<Box<dyn Delivery>>;

impl<D: Db> Consumer<D> {
    /// Handles a batch in one transaction, or each of its messages in one of its own where that cannot be.
    pub(super) async fn consume_together(&self, deliveries: Deliveries) -> Result<Consumed, Error> {
        match self.handle_together(&deliveries).await {
            Ok(true) => self.acknowledge(deliveries).await,
            Ok(false) => self.consume_apart(deliveries).await,
            Err(error) => {
                for delivery in deliveries {
                    if let Err(error) = delivery.release().await {
                        tracing::debug!(%error, "a delivery was not given back; its lease ends by itself");
                    }
                }
                Err(error)
            }
        }
    }

    /// Whether the effects of all of them are there.
    async fn handle_together(&self, deliveries: &Deliveries) -> Result<bool, Error> {
        let options = &self.shared.options;
        let alone = |delivery: &dyn Delivery| {
            let is_doubtful = !options.may_duplicate && delivery.envelope().replay().is_some();
            // One that came again without a word may be what killed a consumer.
            is_doubtful || delivery.deliveries() > delivery.failures().saturating_add(1)
        };
        if deliveries.len() < 2 || deliveries.iter().any(|delivery| alone(delivery.as_ref())) {
            return Ok(false);
        }
        let end = Instant::now() + options.timeout;
        let ids: Vec<&MessageId> = deliveries.iter().map(|delivery| &delivery.envelope().id).collect();
        let mut tx = begin(self.shared.inbox.pool()).await?;
        let queue = self.shared.subscription.queue();
        match self.shared.inbox.all_first_within_tx(&mut tx, queue, &ids, options.timeout).await {
            Ok(true) => {}
            Ok(false) => {
                tx.rollback().await.map_err(BackendError::from)?;
                return Ok(false);
            }
            Err(Error::Backend(error)) if error.class() == ErrorClass::Transient => return Ok(false),
            Err(error) => return Err(error),
        }
        for envelope in deliveries.iter().map(|delivery| delivery.envelope()) {
            tx = match self.call(tx, envelope, end).instrument(self.span(envelope)).await {
                Ok(tx) => tx,
                Err(Broken { tx, error }) => {
                    tracing::debug!(message_id = %envelope.id, %error, "a handler failed, and its batch is taken apart");
                    if let Some(tx) = tx {
                        tx.rollback().await.map_err(BackendError::from)?;
                    }
                    return Ok(false);
                }
            };
        }
        commit(tx).await?;
        Ok(true)
    }

    async fn acknowledge(&self, deliveries: Deliveries) -> Result<Consumed, Error> {
        mark("mq.consumer_before_ack");
        let mut running = FuturesUnordered::new();
        for delivery in deliveries {
            running.push(async { settled(delivery.ack().await, Consumed { first: 1, ..Consumed::default() }) });
        }
        let mut consumed = Ok(Consumed::default());
        while let Some(one) = running.next().await {
            consumed = both(consumed, one);
        }
        consumed
    }

    async fn consume_apart(&self, deliveries: Deliveries) -> Result<Consumed, Error> {
        let mut consumed = Ok(Consumed::default());
        for delivery in deliveries {
            consumed = both(consumed, self.consume(delivery).await);
        }
        consumed
    }
}

/// Whatever fails, nobody else of a batch is forgotten for it.
fn both(all: Result<Consumed, Error>, one: Result<Consumed, Error>) -> Result<Consumed, Error> {
    let (mut all, one) = (all?, one?);
    all.add(one);
    Ok(all)
}
