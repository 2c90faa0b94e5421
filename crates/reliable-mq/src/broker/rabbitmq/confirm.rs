//! Publishing with one outcome per message.
//!
//! The client attaches a returned message to whichever confirm completes next, so a single confirm proves nothing about
//! its own message. What holds: a return comes before the confirm of the same message, and each confirm carries at most
//! one. So once *every* confirm of a channel is there, the returned messages named by all of them together are exact.

use std::{collections::HashSet, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::time::{Instant, timeout_at};

use super::{
    link::{Link, Live, within},
    topology, wire,
};
use crate::{
    Error,
    broker::{Outcome, window::unknown},
};

/// A message on its way to an exchange.
pub(super) struct Parcel<'a> {
    /// As it stands in the properties; empty if it does not.
    pub(super) id: &'a str,
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) properties: BasicProperties,
    pub(super) payload: &'a [u8],
}

/// Publishes the parcels as one window and answers one outcome for each.
pub(super) async fn publish(link: &Link, timeout: Duration, parcels: Vec<Parcel<'_>>) -> Vec<Outcome> {
    let count = parcels.len();
    let sent: Vec<_> = parcels.iter().map(|parcel| (parcel.id, parcel.routing_key)).collect();
    if parcels.is_empty() {
        return Vec::new();
    }
    let (live, channel) = match open(link, timeout).await {
        Ok(open) => open,
        Err(error) => return vec![unknown(error.to_string()); count],
    };
    if live.connection.status().blocked() {
        live.put_idle(channel);
        return vec![unknown("the broker takes no messages for the moment"); count];
    }
    let answers = window(&channel, timeout, parcels).await;
    let (outcomes, drained) = outcomes(&answers, &sent);
    if drained {
        live.put_idle(channel);
    } else if !live.connection.status().blocked() && answers.iter().any(|answer| matches!(answer, Answer::Late)) {
        // Not a word in time: the next batch has better chances on a connection of its own.
        link.drop_live(&live).await;
    }
    outcomes
}

async fn open(link: &Link, timeout: Duration) -> Result<(Arc<Live>, Channel), Error> {
    let live = link.live().await?;
    if let Some(channel) = live.take_idle() {
        return Ok((live, channel));
    }
    let (live, channel) = link.channel().await?;
    // The exchange, because publishing to none would break the channel and look like an outage.
    let prepare = async {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        topology::exchange(&channel, &link.exchange).await
    };
    within(timeout, prepare).await?;
    Ok((live, channel))
}

/// A message that the broker gave back, by its id and its routing key. Two of a window that have both alike go the same way.
type Returned = Option<(String, String)>;

/// What was heard about one message of a window.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ack { returned: Returned },
    Nack { returned: Returned },
    Late,
    Lost(String),
}

async fn window(channel: &Channel, timeout: Duration, parcels: Vec<Parcel<'_>>) -> Vec<Answer> {
    let end = Instant::now() + timeout;
    let mut sends = Vec::with_capacity(parcels.len());
    for Parcel { exchange, routing_key, properties, payload, .. } in parcels {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let publish = channel.basic_publish(exchange.into(), routing_key.into(), options, payload, properties);
        let mut send = Box::pin(publish);
        // The first poll hands the frames over, so the messages leave in their order without a wait between them.
        let sent = poll_fn(|cx| Poll::Ready(send.as_mut().poll(cx))).await;
        sends.push((send, sent));
    }
    let mut answers = Vec::with_capacity(sends.len());
    for (send, sent) in sends {
        answers.push(answer(end, send, sent).await);
    }
    answers
}

type Sent = Result<PublisherConfirm, lapin::Error>;

async fn answer(end: Instant, send: Pin<Box<impl Future<Output = Sent>>>, sent: Poll<Sent>) -> Answer {
    let confirm = async {
        let confirm = match sent {
            Poll::Ready(confirm) => confirm?,
            Poll::Pending => send.await?,
        };
        confirm.await
    };
    let returned = |message: Option<BasicReturnMessage>| {
        message.map(|message| (wire::id(&message.properties).to_owned(), message.routing_key.to_string()))
    };
    match timeout_at(end, confirm).await {
        Ok(Ok(Confirmation::Ack(message))) => Answer::Ack { returned: returned(message) },
        Ok(Ok(Confirmation::Nack(message))) => Answer::Nack { returned: returned(message) },
        Ok(Ok(Confirmation::NotRequested)) => Answer::Lost("the channel does not confirm".to_owned()),
        Ok(Err(error)) => Answer::Lost(error.to_string()),
        Err(_elapsed) => Answer::Late,
    }
}

/// The outcomes, and whether the window is drained: only then an acknowledgement is believed.
fn outcomes(answers: &[Answer], sent: &[(&str, &str)]) -> (Vec<Outcome>, bool) {
    let heard = |answer: &Answer| matches!(answer, Answer::Ack { .. } | Answer::Nack { .. });
    let drained = answers.len() == sent.len() && answers.iter().all(heard);
    let returned: HashSet<(&str, &str)> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Ack { returned } | Answer::Nack { returned } => returned.as_ref(),
            _ => None,
        })
        .map(|(id, routing_key)| (id.as_str(), routing_key.as_str()))
        .collect();
    // A return of what was not sent could be anybody's.
    let exact = drained && returned.iter().all(|returned| sent.contains(returned));
    let outcome = |(answer, sent): (&Answer, &(&str, &str))| match answer {
        _ if returned.contains(sent) => Outcome::Unroutable,
        Answer::Nack { .. } => Outcome::Rejected { reason: "the broker refused it".to_owned(), permanent: false },
        Answer::Ack { .. } if exact => Outcome::Accepted,
        Answer::Ack { .. } => unknown("confirmed, but others of its batch were not"),
        Answer::Late => unknown("not confirmed in time"),
        Answer::Lost(reason) => unknown(reason.as_str()),
    };
    (answers.iter().zip(sent).map(outcome).collect(), drained)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: [(&str, &str); 4] = [("a", "t"), ("b", "t"), ("c", "t"), ("a", "u")];

    fn returned(n: usize) -> Returned {
        Some((SENT[n].0.to_owned(), SENT[n].1.to_owned()))
    }

    fn ack(returned: Returned) -> Answer {
        Answer::Ack { returned }
    }

    #[test]
    fn a_return_counts_for_its_own_message_whichever_confirm_carries_it() {
        let answers = [ack(returned(2)), ack(None), ack(None), ack(returned(3))];
        let (outcomes, drained) = outcomes(&answers, &SENT);
        assert!(drained);
        assert_eq!(outcomes, [Outcome::Accepted, Outcome::Accepted, Outcome::Unroutable, Outcome::Unroutable]);
    }

    #[test]
    fn an_ack_is_not_believed_before_the_whole_window_is_answered() {
        let (outcomes, drained) = outcomes(&[ack(None), Answer::Late, ack(returned(0))], &SENT[..3]);
        assert!(!drained);
        assert_eq!(outcomes[0], Outcome::Unroutable);
        assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. })), "{outcomes:?}");
    }

    #[test]
    fn a_nack_is_a_refusal_and_may_carry_the_return_of_another() {
        let (outcomes, drained) = outcomes(&[Answer::Nack { returned: returned(1) }, ack(None)], &SENT[..2]);
        assert!(drained);
        assert!(matches!(outcomes[0], Outcome::Rejected { permanent: false, .. }));
        assert_eq!(outcomes[1], Outcome::Unroutable);
    }

    #[test]
    fn a_return_of_what_was_not_sent_makes_the_window_doubtful() {
        for n in [2, 3] {
            let (outcomes, _) = outcomes(&[ack(returned(n)), ack(None)], &SENT[..2]);
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. })), "{outcomes:?}");
        }
    }
}
