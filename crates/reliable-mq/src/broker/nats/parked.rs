//! Messages that were given up: how they get there, and back.

use async_nats::Message;
use bytes::Bytes;
use serde_json::json;

use super::{
    Shared,
    api::{self, NO_MESSAGE_AT_PLACE},
    confirm::Parcel,
    link::broker,
    pull::Place,
    wire,
};
use crate::{
    Error,
    broker::{DeadDelivery, Outcome, headers::Past},
    message::MessageId,
};

impl Shared {
    pub(super) async fn dead(&self, queue: &str, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
        let live = self.link.live().await?;
        self.known(&live, queue).await?;
        let stream = self.names.dead(queue);
        let (mut dead, mut next) = (Vec::new(), 1);
        while dead.len() < limit {
            let found = api::get(&live, &stream, &json!({ "seq": next, "next_by_subj": ">" })).await?;
            let Some((sequence, message)) = found else { break };
            next = sequence + 1;
            if let Some((envelope, past)) = wire::read(&message, None) {
                dead.push(DeadDelivery::new(envelope, past.failures, past.reason.unwrap_or_default()));
            }
        }
        Ok(dead)
    }

    pub(super) async fn replay(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let live = self.link.live().await?;
        self.known(&live, queue).await?;
        let stream = self.names.dead(queue);
        let oldest = json!({ "seq": 1, "next_by_subj": self.names.dead_by_id(queue, id) });
        let Some((sequence, message)) = api::get(&live, &stream, &oldest).await? else { return Ok(false) };
        let Some((envelope, _)) = wire::read(&message, None) else { return Ok(false) };
        // Not under its id alone, which the queue may still know; but two replays at once are one message.
        let once = format!("{id} again {sequence}");
        let outcome = self
            .put(Parcel {
                subject: self.names.direct(queue),
                headers: wire::write(&envelope, &Past::default(), Some(&once)),
                payload: envelope.payload().clone(),
            })
            .await;
        if outcome != Outcome::Accepted {
            return Err(broker(format!("the message was not replayed: {outcome:?}")));
        }
        match api::call(&live, &format!("STREAM.MSG.DELETE.{stream}"), &json!({ "seq": sequence })).await? {
            Ok(_) => Ok(true),
            // Somebody else has replayed it meanwhile.
            Err(refusal) if refusal.err_code == NO_MESSAGE_AT_PLACE => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Somebody else's message without an id cannot be handled once; it is kept for a person to look at.
    pub(super) async fn park_raw(&self, queue: &str, place: &Place, message: &Message) -> Result<(), Error> {
        let outcome = self
            .put(Parcel {
                subject: self.names.dead_at(queue, None, place.sequence),
                headers: wire::unguided(message.headers.as_ref()),
                payload: message.payload.clone(),
            })
            .await;
        tracing::warn!(queue, "a message without a usable id was parked");
        let parked = outcome == Outcome::Accepted;
        let answer = Bytes::from_static(if parked { b"+ACK" } else { b"-NAK" });
        self.link.live().await?.ask(place.acknowledge.clone(), answer).await?;
        if parked { Ok(()) } else { Err(broker("a message without a usable id was not parked")) }
    }
}
