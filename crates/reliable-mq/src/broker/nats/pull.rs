//! Taking messages off a stream, when asked for.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use bytes::Bytes;
use futures_util::{StreamExt, future::try_join_all};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{
    Shared, api,
    delivery::NatsDelivery,
    link::{Live, broker},
    topology::{self, CONSUMER},
    wire,
};
use crate::Error;

/// How often a queue is looked into that holds messages and gives none: what the server has just acknowledged takes it a
/// moment to see.
const LOOKS: usize = 50;
const MOMENT: Duration = Duration::from_millis(2);
/// After so long a silence a request has come to nothing: another process got what there was.
const SILENCE: Duration = Duration::from_millis(500);

impl Shared {
    pub(super) async fn fetch(self: &Arc<Self>, queue: &str, max: usize) -> Result<Vec<NatsDelivery>, Error> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let live = self.link.live().await?;
        let (until, messages) = self.look(&live, queue, max).await?;
        let mut deliveries = Vec::with_capacity(messages.len());
        for message in messages {
            let Some(place) = Place::of(&message) else { continue };
            let topic = self.names.topic(queue, &message.subject);
            let Some((envelope, _)) = wire::read(&message, topic) else {
                self.park_raw(queue, &place, &message).await?;
                continue;
            };
            let lease = self.leases.add(queue, until);
            deliveries.push(NatsDelivery {
                shared: Arc::clone(self),
                queue: queue.to_owned(),
                place,
                lease,
                envelope,
                failures: 0,
            });
        }
        self.count_failures(&live, deliveries).await
    }

    /// The server counts deliveries, not failures; those are written down, and looked up for what comes again.
    async fn count_failures(&self, live: &Live, mut deliveries: Vec<NatsDelivery>) -> Result<Vec<NatsDelivery>, Error> {
        let again = deliveries.iter_mut().filter(|delivery| delivery.place.deliveries > 1);
        let look = again.map(|delivery| async move {
            let stream = self.names.tried(&delivery.queue);
            let subject = self.names.tried_at(&delivery.queue, delivery.place.sequence);
            let record = api::get(live, &stream, &json!({ "last_by_subj": subject })).await?;
            let failures = record.and_then(|(_, record)| std::str::from_utf8(&record.payload).ok()?.parse().ok());
            delivery.failures = failures.unwrap_or(0);
            Ok::<_, Error>(())
        });
        let looked = try_join_all(look).await;
        if let Err(error) = looked {
            for delivery in &deliveries {
                // If the server cannot be told, they come back when their lease ends.
                let _ = delivery.tell(Bytes::from_static(b"-NAK")).await;
            }
            return Err(error);
        }
        Ok(deliveries)
    }

    /// What is ready now, and until when it is ours. One after the other in this process: of two requests for one message a
    /// server leaves one without an answer.
    async fn look(&self, live: &Live, queue: &str, max: usize) -> Result<(Instant, Vec<Message>), Error> {
        let receiver = live.receiver(queue);
        let mut known = receiver.lock().await;
        self.find(live, queue, &mut known).await?;
        for _ in 0..LOOKS {
            // Counted from before the server gives them away: ours ends first.
            let until = Instant::now() + self.options.visibility;
            let messages = self.pull(live, queue, max).await?;
            if !messages.is_empty() {
                return Ok((until, messages));
            }
            let depth = topology::depth(live, &self.names, queue, 0).await?;
            *known = depth.is_some();
            if depth.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))?.ready == 0 {
                break;
            }
            tokio::time::sleep(MOMENT).await;
        }
        Ok((Instant::now(), Vec::new()))
    }

    /// Asks for what is there at once. Not with a time after which the request is void: when 2.9 finds such a one at the moment
    /// when a message is to come again, that message waits longer and another is given out twice.
    async fn pull(&self, live: &Live, queue: &str, max: usize) -> Result<Vec<Message>, Error> {
        let body = json!({ "batch": max, "no_wait": true }).to_string();
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{CONSUMER}", self.names.queue(queue));
        let inbox = live.client.new_inbox();
        let ask = async {
            let answers = live.client.subscribe(inbox.clone()).await.map_err(|error| broker(Box::new(error)))?;
            let asked = live.client.publish_with_reply(next, inbox, body.into()).await;
            asked.map_err(|error| broker(Box::new(error))).map(|()| answers)
        };
        let mut answers = live.within(self.options.timeout, ask).await??;
        let mut messages = Vec::new();
        while messages.len() < max {
            match timeout(SILENCE, answers.next()).await {
                Ok(Some(answer)) if answer.status.is_none() => messages.push(answer),
                // No more for now, or others were promised what there is.
                Ok(_) => break,
                Err(_elapsed) => {
                    // The server is told before it is asked anything else, and forgets the request.
                    let _ = answers.unsubscribe().await;
                    break;
                }
            }
        }
        Ok(messages)
    }

    /// Whether there is such a queue, asked once per connection.
    pub(super) async fn known(&self, live: &Live, queue: &str) -> Result<(), Error> {
        self.find(live, queue, &mut *live.receiver(queue).lock().await).await
    }

    async fn find(&self, live: &Live, queue: &str, known: &mut bool) -> Result<(), Error> {
        if !*known {
            let verb = format!("CONSUMER.INFO.{}.{CONSUMER}", self.names.queue(queue));
            match api::call(live, &verb, &json!({})).await? {
                Ok(_) => *known = true,
                Err(refusal) if refusal.is_missing() => return Err(Error::UnknownQueue(queue.to_owned())),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(())
    }
}

/// Where a delivery stands, as the subject of its acknowledgement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) acknowledge: String,
    /// The message's number in its stream.
    pub(super) sequence: u64,
    /// How often it was given out, this time included.
    pub(super) deliveries: u32,
}

impl Place {
    fn of(message: &Message) -> Option<Self> {
        let acknowledge = message.reply.as_ref()?.to_string();
        let parts: Vec<&str> = acknowledge.split('.').collect();
        // `$JS.ACK`, with domain and account since 2.10 where there are some, stream, consumer, then these.
        let at = match parts.len() {
            9 => 4,
            11.. => 6,
            _ => return None,
        };
        let (deliveries, sequence) = (parts.get(at)?.parse().ok()?, parts.get(at + 1)?.parse().ok()?);
        Some(Self { sequence, deliveries, acknowledge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(reply: &str) -> Option<Place> {
        let reply = Some(reply.into());
        let message = Message {
            subject: "s".into(),
            reply,
            payload: Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        Place::of(&message)
    }

    #[test]
    fn a_place_is_read_from_both_forms_of_its_subject() {
        for reply in ["$JS.ACK.o+q.onceward.2.7.9.1795877981615837018.3", "$JS.ACK.hub.AcC.o+q.onceward.2.7.9.17.3.tok"]
        {
            let place = place(reply).unwrap();
            assert_eq!((place.deliveries, place.sequence, place.acknowledge.as_str()), (2, 7, reply));
        }
        assert_eq!(place("$JS.ACK.o+q.onceward"), None);
    }
}
