//! Messages that were given up: how they get there, and back.

use lapin::{
    Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
};

use super::{
    Shared,
    confirm::{self, Parcel},
    delivery::REQUEUE,
    link::{broker, within},
    wire,
};
use crate::{
    Error,
    broker::{DeadDelivery, Outcome, headers::Past},
    message::MessageId,
};

impl Shared {
    pub(super) async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        self.known(queue).await?;
        let name = self.names.dead(queue);
        let (_live, channel) = self.consuming.channel().await?;
        let mut dead = Vec::new();
        while dead.len() < limit {
            let get = channel.basic_get(name.as_str().into(), BasicGetOptions::default());
            let Some(got) = within(self.options.timeout, get).await? else { break };
            let got = got.delivery;
            if let Some((envelope, past)) = wire::read(&got.properties, got.routing_key.as_str(), got.data) {
                dead.push(DeadDelivery::new(envelope, past.failures, past.reason.unwrap_or_default()));
            }
        }
        self.put_back(&channel, &name).await?;
        Ok(dead)
    }

    pub(super) async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        self.unbury(queue, id, true).await
    }

    pub(super) async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        self.unbury(queue, id, false).await
    }

    /// Takes a message off the dead, after it was put into its queue again or not.
    async fn unbury(&self, queue: &str, id: &MessageId, again: bool) -> Result<bool, Error> {
        self.known(queue).await?;
        let name = self.names.dead(queue);
        let (_live, channel) = self.consuming.channel().await?;
        let mut found = false;
        loop {
            let get = channel.basic_get(name.as_str().into(), BasicGetOptions::default());
            let Some(got) = within(self.options.timeout, get).await? else { break };
            let got = got.delivery;
            let read = wire::read(&got.properties, got.routing_key.as_str(), got.data);
            let Some((envelope, _)) = read.filter(|(envelope, _)| envelope.id == *id) else { continue };
            if again {
                let outcome = self.put(&self.names.queue(queue), &envelope, &Past::default()).await;
                if outcome != Outcome::Accepted {
                    self.put_back(&channel, &name).await?;
                    return Err(broker(format!("the message was not replayed: {outcome:?}")));
                }
            }
            within(self.options.timeout, got.acker.ack(BasicAckOptions::default())).await?;
            found = true;
            break;
        }
        self.put_back(&channel, &name).await?;
        Ok(found)
    }

    /// Somebody else's message without an id cannot be handled once; it is kept for a person to look at.
    pub(super) async fn park_raw(&self, queue: &str, got: &lapin::message::Delivery) -> Result<(), Error> {
        let dead = self.names.dead(queue);
        let (id, properties) = (wire::id(&got.properties), wire::unguided(&got.properties));
        let parcel = Parcel { id, exchange: "", routing_key: &dead, properties, payload: &got.data };
        let outcomes = confirm::publish(&self.publishing, self.options.confirm_timeout, vec![parcel]).await;
        tracing::warn!(queue, "a message without a usable id was parked");
        if outcomes == [Outcome::Accepted] {
            within(self.options.timeout, got.acker.ack(BasicAckOptions::default())).await?;
            return Ok(());
        }
        within(self.options.timeout, got.acker.nack(REQUEUE)).await?;
        Err(broker("a message without a usable id was not parked"))
    }

    /// Puts everything that was only looked at back, and waits until it is there.
    async fn put_back(&self, channel: &Channel, name: &str) -> Result<(), Error> {
        let all = BasicNackOptions { multiple: true, requeue: true };
        within(self.options.timeout, channel.basic_nack(0, all)).await?;
        self.count_on(channel, name).await?;
        let close = channel.close(lapin::protocol::constants::REPLY_SUCCESS, "done".into());
        within(self.options.timeout, close).await
    }
}
