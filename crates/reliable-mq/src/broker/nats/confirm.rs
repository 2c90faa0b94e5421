//! Publishing with one outcome per message.

use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::{
    api::Refusal,
    link::{Link, Live},
    wire,
};
use crate::broker::{Outcome, window::unknown};

/// A message on its way to a stream.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Publishes the parcels as one window and answers one outcome for each.
pub(super) async fn publish(link: &Link, timeout: Duration, parcels: Vec<Parcel>) -> Vec<Outcome> {
    if parcels.is_empty() {
        return Vec::new();
    }
    let live = match link.live().await {
        Ok(live) => live,
        Err(error) => return vec![unknown(error.to_string()); parcels.len()],
    };
    let (outcomes, late) = window(&live, timeout, parcels).await;
    if late {
        // Not a word in time: the next batch has better chances on a connection of its own.
        link.drop_live(&live).await;
    }
    outcomes
}

/// The outcomes, and whether some were waited for in vain.
async fn window(live: &Live, timeout: Duration, parcels: Vec<Parcel>) -> (Vec<Outcome>, bool) {
    let end = Instant::now() + timeout;
    let left = || end.saturating_duration_since(Instant::now());
    let most = live.client.server_info().max_payload;
    let mut outcomes: Vec<Option<Outcome>> = vec![None; parcels.len()];
    // One subject per message to answer on, so an answer is never taken for that of another.
    let inbox = live.client.new_inbox();
    let mut missing = parcels.len();
    let talk = async {
        let mut answers = live.client.subscribe(format!("{inbox}.*")).await.map_err(|error| error.to_string())?;
        for (index, Parcel { subject, headers, payload }) in parcels.into_iter().enumerate() {
            // The server would end the connection.
            if payload.len() + wire::size(&headers) > most {
                outcomes[index] = Some(Outcome::Rejected {
                    reason: format!("with its headers it is larger than the {most} bytes that the server takes"),
                    permanent: true,
                });
                missing -= 1;
                continue;
            }
            let reply = format!("{inbox}.{index}");
            let sent = live.client.publish_with_reply_and_headers(subject, reply, headers, payload).await;
            sent.map_err(|error| error.to_string())?;
        }
        while missing > 0 {
            let Some(answer) = answers.next().await else { return Err("the connection to the broker is lost".into()) };
            let index = answer.subject.rsplit('.').next().and_then(|index| index.parse::<usize>().ok());
            let slot = index.and_then(|index| outcomes.get_mut(index)).filter(|slot| slot.is_none());
            if let Some(slot) = slot {
                *slot = Some(outcome(&answer));
                missing -= 1;
            }
        }
        Ok::<_, String>(())
    };
    let (why, late) = match live.within(left(), talk).await {
        Ok(Ok(())) => (String::new(), false),
        Ok(Err(error)) => (error, false),
        Err(error) => (error.to_string(), true),
    };
    (outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| unknown(&*why))).collect(), late)
}

/// What the server says about one message.
fn outcome(answer: &Message) -> Outcome {
    if answer.status == Some(StatusCode::NO_RESPONDERS) {
        return unknown("no server has the queue in hand for the moment");
    }
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(&answer.payload) else {
        return unknown("the answer is none of jetstream's");
    };
    match serde_json::from_value::<Refusal>(answer["error"].clone()) {
        Ok(refusal) => refused(&refusal),
        // One that the server had before is as good as one that it has now.
        Err(_) if answer["seq"].as_u64().is_some_and(|sequence| sequence > 0) => Outcome::Accepted,
        Err(_) => unknown("the answer is none of jetstream's"),
    }
}

fn refused(refusal: &Refusal) -> Outcome {
    let Refusal { code, err_code, description } = refusal;
    let reason = format!("{description} ({err_code})");
    match (*code, *err_code) {
        // The stream is full, by messages or by bytes.
        (_, STORE_FAILED) => Outcome::Rejected { reason, permanent: false },
        // It is not about the message: the server has no leader, no room, no time.
        (500.., _) => Outcome::Unknown { reason },
        (_, err_code) => Outcome::Rejected { reason, permanent: err_code == MESSAGE_TOO_LARGE },
    }
}

const STORE_FAILED: u32 = 10077;
const MESSAGE_TOO_LARGE: u32 = 10054;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(payload: &str) -> Outcome {
        let (status, description) = (None, None);
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        outcome(&Message { subject: "s".into(), reply: None, length: 0, payload, headers: None, status, description })
    }

    fn refusal(code: u16, err_code: u32) -> Outcome {
        heard(&format!(
            r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"why"}},"stream":"s","seq":0}}"#
        ))
    }

    #[test]
    fn only_a_place_in_the_stream_is_acceptance() {
        assert_eq!(heard(r#"{"stream":"s", "seq":1}"#), Outcome::Accepted);
        assert_eq!(heard(r#"{"stream":"s", "seq":1,"duplicate": true}"#), Outcome::Accepted);
        for odd in ["", "{}", r#"{"stream":"s","seq":0}"#, "+OK"] {
            assert!(matches!(heard(odd), Outcome::Unknown { .. }), "{odd}");
        }
    }

    #[test]
    fn a_refusal_says_whether_it_is_about_the_message() {
        assert!(matches!(refusal(503, STORE_FAILED), Outcome::Rejected { permanent: false, .. }));
        assert!(matches!(refusal(400, MESSAGE_TOO_LARGE), Outcome::Rejected { permanent: true, .. }));
        assert!(matches!(refusal(400, 10071), Outcome::Rejected { permanent: false, .. }));
        for about_the_server in [(503, 10008), (503, 10023), (500, 10047)] {
            let outcome = refusal(about_the_server.0, about_the_server.1);
            assert!(matches!(&outcome, Outcome::Unknown { reason } if reason.contains("why")), "{outcome:?}");
        }
    }
}
