//! Publishing with one outcome per message.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::join_all;
use rdkafka::{
    message::OwnedHeaders,
    producer::{DeliveryFuture, FutureRecord},
};
use tokio::time::{Duration, Instant, timeout_at};

use super::{Shared, link::Publisher, verdict::outcome, wire};
use crate::{
    broker::{Outcome, headers::Past, window::unknown},
    message::{Envelope, MessageError},
};

/// What goes to a topic of the cluster.
pub(super) struct Parcel<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) headers: OwnedHeaders,
    /// `None` says that what was there under this key is no more.
    pub(super) payload: Option<&'a [u8]>,
}

impl Shared {
    /// Publishes one window; not to topics that too few brokers have.
    pub(super) async fn window(&self, end: Instant, few: &HashSet<String>, batch: &[Envelope]) -> Vec<Outcome> {
        let publisher = match self.link.publisher() {
            Ok(publisher) => publisher,
            Err(error) => return vec![unknown(error.to_string()); batch.len()],
        };
        let sent: Vec<_> = batch.iter().map(|envelope| self.hand_over(&publisher, few, envelope)).collect();
        // The library ends each by itself in time; the limit is for the case that it does not.
        let outcomes = join_all(sent.into_iter().map(|sent| told(sent, end + GRACE))).await;
        // What was not sent says nothing about the client.
        let of_the_client = batch.iter().zip(&outcomes).filter(|(envelope, _)| !few.contains(envelope.topic()));
        self.look_back(publisher, of_the_client.map(|(_, outcome)| outcome));
        outcomes
    }

    /// Gives the client up where it was refused, which sticks to it, or heard nothing.
    fn look_back<'o>(&self, publisher: Arc<Publisher>, outcomes: impl IntoIterator<Item = &'o Outcome>) {
        let (mut doubtful, mut refused) = (false, false);
        for outcome in outcomes {
            doubtful |= matches!(outcome, Outcome::Unknown { .. });
            refused |= matches!(outcome, Outcome::Rejected { permanent: false, .. });
        }
        if doubtful || refused {
            self.link.give_up(publisher, doubtful);
        }
    }

    fn hand_over(
        &self,
        publisher: &Publisher,
        few: &HashSet<String>,
        envelope: &Envelope,
    ) -> Result<DeliveryFuture, Outcome> {
        let refused = |reason: MessageError| Outcome::Rejected { reason: reason.to_string(), permanent: true };
        if few.contains(envelope.topic()) {
            return Err(Outcome::Rejected { reason: "the topic is on one broker only".to_owned(), permanent: false });
        }
        let topic = self.names.topic(envelope.topic()).map_err(refused)?;
        if envelope.payload().len() > self.options.max_payload {
            return Err(refused(MessageError::Payload(envelope.payload().len())));
        }
        let headers = wire::write(envelope, &Past::default(), None);
        send(publisher, Parcel { topic: &topic, key: envelope.key(), headers, payload: Some(envelope.payload()) })
    }

    /// Puts one record into a topic of this crate's own.
    pub(super) async fn put(&self, parcel: Parcel<'_>) -> Outcome {
        let publisher = match self.link.publisher() {
            Ok(publisher) => publisher,
            Err(error) => return unknown(error.to_string()),
        };
        let sent = send(&publisher, parcel);
        let outcome = told(sent, Instant::now() + self.options.confirm_timeout + GRACE).await;
        self.look_back(publisher, [&outcome]);
        outcome
    }
}

/// Beyond the library's own limit, which it looks at about once a second.
const GRACE: Duration = Duration::from_secs(1);

fn send(publisher: &Publisher, parcel: Parcel<'_>) -> Result<DeliveryFuture, Outcome> {
    let mut record = FutureRecord::<str, [u8]>::to(parcel.topic).headers(parcel.headers);
    record.key = parcel.key;
    record.payload = parcel.payload;
    publisher.send_result(record).map_err(|(error, _)| outcome(&error))
}

async fn told(sent: Result<DeliveryFuture, Outcome>, end: Instant) -> Outcome {
    let sent = match sent {
        Ok(sent) => sent,
        Err(outcome) => return outcome,
    };
    match timeout_at(end, sent).await {
        Ok(Ok(Ok(_delivery))) => Outcome::Accepted,
        Ok(Ok(Err((error, _message)))) => outcome(&error),
        Ok(Err(_canceled)) => unknown("the client was given up"),
        Err(_elapsed) => unknown("the broker did not acknowledge in time"),
    }
}
