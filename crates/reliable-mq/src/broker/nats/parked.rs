//! Messages that were given up: how they get there, and back.

use async_nats::Message;
use bytes::Bytes;
use serde_json::json;

use super::{
    Shared,
    api::{self, NO_MESSAGE_AT_PLACE},
    confirm::Parcel,
    link::{Live, broker},
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
        let Some((sequence, message)) = self.buried(&live, queue, id).await? else { return Ok(false) };
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
        self.unbury(&live, queue, sequence).await
    }

    pub(super) async fn discard(&self, queue: &str, id: &MessageId) -> Result<bool, Error> {
        let live = self.link.live().await?;
        let Some((sequence, _)) = self.buried(&live, queue, id).await? else { return Ok(false) };
        self.unbury(&live, queue, sequence).await
    }

    /// The oldest dead message of this id, and where it stands.
    async fn buried(&self, live: &Live, queue: &str, id: &MessageId) -> Result<Option<(u64, Message)>, Error> {
        self.known(live, queue).await?;
        let oldest = json!({ "seq": 1, "next_by_subj": self.names.dead_by_id(queue, id) });
        api::get(live, &self.names.dead(queue), &oldest).await
    }

    /// Takes it off the dead; `false` if somebody else did so meanwhile.
    async fn unbury(&self, live: &Live, queue: &str, sequence: u64) -> Result<bool, Error> {
        let delete = format!("STREAM.MSG.DELETE.{}", self.names.dead(queue));
        match api::call(live, &delete, &json!({ "seq": sequence })).await? {
            Ok(_) => Ok(true),
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
