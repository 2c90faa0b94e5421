//! Between envelopes and records.

use std::collections::BTreeMap;

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
};
use sha2::{Digest, Sha256};

use crate::{
    broker::{
        headers::{DELIVERIES, ENQUEUED, FAILURES, KEY, ODD, ORIGIN, Past, REASON, TOPIC},
        origin, reason,
    },
    message::{Envelope, MAX_NAME, Message, MessageId, RESERVED_HEADER, check_name},
};

/// The headers of a record. `due` is when it is to be delivered, in microseconds since the epoch.
pub(super) fn write(envelope: &Envelope, past: &Past, due: Option<i64>) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    let mut odd: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in envelope.headers() {
        // The client library takes names that end at a zero; and those of our beginning are read as what we say of it.
        if name.contains('\0') || name.starts_with(RESERVED_HEADER) {
            odd.insert(name, value);
        } else {
            headers = put(headers, name, value);
        }
    }
    if let Some(json) = (!odd.is_empty()).then(|| serde_json::to_string(&odd).ok()).flatten() {
        headers = put(headers, ODD, &json);
    }
    headers = put(headers, ID, envelope.id.as_str());
    headers = put(headers, TOPIC, envelope.topic());
    headers = put(headers, ENQUEUED, &envelope.enqueued_at.to_string());
    if let Some(key) = envelope.key() {
        headers = put(headers, KEY, key);
    }
    if let Some(stood) = envelope.origin {
        headers = put(headers, ORIGIN, &origin::write(stood));
    }
    if *past != Past::default() {
        headers = put(headers, FAILURES, &past.failures.to_string());
        headers = put(headers, DELIVERIES, &past.deliveries.to_string());
    }
    if let Some(reason) = &past.reason {
        headers = put(headers, REASON, &reason::shortened(reason));
    }
    if let Some(due) = due {
        headers = put(headers, DUE, &due.to_string());
    }
    headers
}

fn put(headers: OwnedHeaders, name: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key: name, value: Some(value) })
}

/// A record as this crate sees it.
pub(super) struct Read {
    pub(super) envelope: Envelope,
    pub(super) past: Past,
    pub(super) due: Option<i64>,
}

/// Reads a record; every one can be. What others published has no id of ours: its place is one, which stays the same over all
/// repeats of the delivery. `topic` is the record's own, in the words of this crate.
pub(super) fn read(record: &BorrowedMessage<'_>, topic: &str) -> Read {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for header in record.headers().into_iter().flat_map(|headers| headers.iter()) {
        if let Some(value) = header.value.and_then(|value| std::str::from_utf8(value).ok()) {
            headers.insert(header.key.to_owned(), value.to_owned());
        }
    }
    let place = Place {
        id: place_id(record.topic(), record.partition(), record.offset()),
        topic,
        key: record.key().and_then(|key| std::str::from_utf8(key).ok()),
        at: record.timestamp().to_millis().unwrap_or(0).saturating_mul(1000),
    };
    understood(headers, place, record.payload().unwrap_or_default())
}

/// What a record tells without our headers.
struct Place<'a> {
    id: MessageId,
    topic: &'a str,
    key: Option<&'a str>,
    at: i64,
}

fn understood(mut headers: BTreeMap<String, String>, place: Place<'_>, payload: &[u8]) -> Read {
    // Other names of the same beginning go with them: no message of ours has one.
    let ours: BTreeMap<String, String> =
        headers.extract_if(.., |name, _| name.is_empty() || name.starts_with(RESERVED_HEADER)).collect();
    let text = |name: &str| ours.get(name).map(String::as_str);
    let name = |name: &str| text(name).filter(|text| check_name("", text, MAX_NAME).is_ok());
    let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
    let count = |name: &str| number(name).and_then(|count| u32::try_from(count).ok());
    if let Some(odd) = text(ODD).and_then(|json| serde_json::from_str::<BTreeMap<String, String>>(json).ok()) {
        headers.extend(odd);
    }
    let message = Message {
        id: None,
        topic: name(TOPIC).unwrap_or(place.topic).to_owned(),
        key: name(KEY).or(place.key.filter(|key| check_name("", key, MAX_NAME).is_ok())).map(str::to_owned),
        headers,
        payload: Bytes::copy_from_slice(payload),
        delay: std::time::Duration::ZERO,
    };
    let id = text(ID).and_then(|id| MessageId::parse(id).ok()).unwrap_or(place.id);
    let mut envelope = Envelope::new(id, message, number(ENQUEUED).unwrap_or(place.at));
    envelope.origin = text(ORIGIN).and_then(origin::read);
    let past = Past {
        failures: count(FAILURES).unwrap_or(0),
        deliveries: count(DELIVERIES).unwrap_or(0),
        reason: text(REASON).map(str::to_owned),
    };
    Read { envelope, past, due: number(DUE) }
}

/// An id for a record that has none: its place. A topic may be longer than an id.
fn place_id(topic: &str, partition: i32, offset: i64) -> MessageId {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(topic));
    let topic = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    MessageId::trusted(format!("kafka-{topic:016x}-{partition}-{offset}"))
}

const ID: &str = "onceward-id";
const DUE: &str = "onceward-due";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Origin, REPLAY_WINDOW};

    fn place() -> Place<'static> {
        Place { id: place_id("t", 1, 2), topic: "t", key: Some("k"), at: 7 }
    }

    fn back(written: &OwnedHeaders) -> BTreeMap<String, String> {
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        written.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    }

    #[test]
    fn a_message_survives_its_headers() {
        let mut message =
            Message::to("topic").key("k/1").header("ünï", "wört 🦀\0").header("a\0b", "c").text("x").unwrap();
        message.headers.insert(REPLAY_WINDOW.to_owned(), "may-duplicate".to_owned());
        let origin = Origin { lane: 1, sequence: i64::MAX, epoch: 3 };
        let sent = Envelope::new(MessageId::parse("id").unwrap(), message, 9).with_origin(origin);
        let past = Past { failures: 1, deliveries: 2, reason: Some("no\ngood".to_owned()) };
        let read = understood(back(&write(&sent, &past, Some(-5))), place(), b"x");
        assert_eq!((read.envelope, read.past, read.due), (sent, past, Some(-5)));
    }

    #[test]
    fn a_record_of_others_is_named_by_its_place() {
        let theirs = BTreeMap::from([("h".to_owned(), "v".to_owned()), ("onceward-else".to_owned(), "x".to_owned())]);
        let read = understood(theirs, place(), b"x");
        assert_eq!((read.envelope.id.clone(), read.envelope.enqueued_at), (place_id("t", 1, 2), 7));
        assert_eq!((read.envelope.topic(), read.envelope.key()), ("t", Some("k")));
        assert_eq!(read.envelope.headers().keys().collect::<Vec<_>>(), ["h"]);
        let longest = place_id(&"t".repeat(249), i32::MAX, i64::MAX);
        assert!(MessageId::parse(longest.as_str()).is_ok(), "{longest}");
        assert_ne!(place_id("t", 1, 2), place_id("u", 1, 2));
    }

    #[test]
    fn what_means_nothing_is_passed_over() {
        let odd = [(ID, "a b"), (TOPIC, "ü"), (KEY, ""), (ENQUEUED, "soon"), (ODD, "{"), (FAILURES, "-1"), (DUE, "")];
        let theirs = odd.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let read = understood(theirs.into(), Place { key: Some("a b"), ..place() }, b"");
        assert_eq!((read.envelope.id.clone(), read.envelope.key(), read.due), (place_id("t", 1, 2), None, None));
        assert_eq!((read.envelope.topic(), read.past), ("t", Past::default()));
    }
}
