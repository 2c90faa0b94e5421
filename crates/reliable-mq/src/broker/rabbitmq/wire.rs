//! Between envelopes and AMQP messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::{
    broker::{
        headers::{DELIVERIES, ENQUEUED, FAILURES, KEY, ODD, Past, REASON},
        origin,
    },
    message::{CONTENT_TYPE, Envelope, Message, MessageId},
};

/// The properties of a message on its way to a queue. As few headers as can be: each costs the broker more than reading the
/// message from an outbox does.
pub(super) fn write(envelope: &Envelope, past: &Past) -> BasicProperties {
    let mut table = FieldTable::default();
    let mut odd: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in envelope.headers() {
        if is_plain(name) {
            table.insert(name.as_str().into(), text(value));
        } else {
            odd.insert(name, value);
        }
    }
    if let Some(json) = (!odd.is_empty()).then(|| serde_json::to_string(&odd).ok()).flatten() {
        table.insert(ODD.into(), text(&json));
    }
    table.insert(ENQUEUED.into(), text(&enqueued(envelope)));
    if let Some(key) = envelope.key() {
        table.insert(KEY.into(), text(key));
    }
    if *past != Past::default() {
        table.insert(FAILURES.into(), AMQPValue::LongLongInt(i64::from(past.failures)));
        table.insert(DELIVERIES.into(), AMQPValue::LongLongInt(i64::from(past.deliveries)));
    }
    if let Some(reason) = &past.reason {
        table.insert(REASON.into(), text(reason));
    }
    let properties = BasicProperties::default()
        .with_message_id(envelope.id.as_str().into())
        .with_type(envelope.topic().into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(table);
    // Also where others look for it, if it fits there.
    match envelope.content_type().filter(|media_type| media_type.len() <= usize::from(u8::MAX)) {
        Some(media_type) => properties.with_content_type(media_type.into()),
        None => properties,
    }
}

/// Reads a message; `None` if it has no id that this crate could keep apart from others.
pub(super) fn read(properties: &BasicProperties, routing_key: &str, payload: Vec<u8>) -> Option<(Envelope, Past)> {
    let id = MessageId::parse(properties.message_id().as_ref()?.as_str()).ok()?;
    let empty = FieldTable::default();
    let table = properties.headers().as_ref().unwrap_or(&empty);
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in table.inner() {
        if let (true, AMQPValue::LongString(value)) = (is_plain(name.as_str()), value) {
            headers.insert(name.as_str().to_owned(), value.to_string());
        }
    }
    if let Some(odd) = string(table, ODD) {
        headers.extend(serde_json::from_str::<BTreeMap<String, String>>(&odd).ok()?);
    }
    if let Some(media_type) = properties.content_type() {
        headers.entry(CONTENT_TYPE.to_owned()).or_insert_with(|| media_type.as_str().to_owned());
    }
    let enqueued = string(table, ENQUEUED);
    // What others say there is their affair.
    let topic = properties.kind().as_ref().filter(|_| enqueued.is_some()).map_or(routing_key, |topic| topic.as_str());
    let message = Message {
        id: None,
        topic: topic.to_owned(),
        key: string(table, KEY),
        headers,
        payload: Bytes::from(payload),
        delay: std::time::Duration::ZERO,
    };
    let enqueued = enqueued.unwrap_or_default();
    let (at, stood) = enqueued.split_once(' ').unwrap_or((&enqueued, ""));
    let mut envelope = Envelope::new(id, message, at.parse().unwrap_or(0));
    envelope.origin = origin::read(stood);
    let past =
        Past { failures: count(table, FAILURES), deliveries: count(table, DELIVERIES), reason: string(table, REASON) };
    Some((envelope, past))
}

/// When it was enqueued, and where it stood then.
fn enqueued(envelope: &Envelope) -> String {
    match envelope.origin {
        Some(stood) => format!("{} {}", envelope.enqueued_at, origin::write(stood)),
        None => envelope.enqueued_at.to_string(),
    }
}

/// How often a queue gave the message out before: quorum queues count, others only say that they did.
pub(super) fn earlier(properties: &BasicProperties, redelivered: bool) -> u32 {
    let counted = properties.headers().as_ref().and_then(|table| number(table, "x-delivery-count"));
    let counted = counted.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    counted.max(u32::from(redelivered))
}

/// What only asks whether a topic is routed: it dies on arrival.
pub(super) fn probe() -> BasicProperties {
    let mut table = FieldTable::default();
    table.insert(PROBE.into(), AMQPValue::Boolean(true));
    BasicProperties::default().with_expiration("0".into()).with_headers(table)
}

pub(super) fn is_probe(properties: &BasicProperties) -> bool {
    properties.headers().as_ref().is_some_and(|table| table.contains_key(PROBE))
}

/// The properties of a message of others, to be kept, without those that the broker acts on.
pub(super) fn unguided(properties: &BasicProperties) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in properties.headers().iter().flat_map(|table| table.inner()) {
        if is_plain(name.as_str()) {
            table.insert(name.clone(), value.clone());
        }
    }
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(table);
    if let Some(id) = properties.message_id() {
        kept = kept.with_message_id(id.clone());
    }
    if let Some(media_type) = properties.content_type() {
        kept = kept.with_content_type(media_type.clone());
    }
    if let Some(id) = properties.correlation_id() {
        kept = kept.with_correlation_id(id.clone());
    }
    kept
}

/// The id that a message has there, as others see it too; empty if it has none.
pub(super) fn id(properties: &BasicProperties) -> &str {
    properties.message_id().as_ref().map_or("", |id| id.as_str())
}

/// Whether a header can travel under its own name: AMQP names have 255 bytes, and the broker acts on some.
fn is_plain(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let acted_on = lower == "cc" || lower == "bcc" || lower.starts_with("x-");
    name.len() <= 255 && !acted_on && !name.starts_with(crate::message::RESERVED_HEADER)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn string(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        _ => None,
    }
}

fn number(table: &FieldTable, name: &str) -> Option<i64> {
    match table.inner().get(name)? {
        AMQPValue::LongLongInt(value) => Some(*value),
        AMQPValue::LongInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortShortInt(value) => Some(i64::from(*value)),
        AMQPValue::LongUInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortUInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortShortUInt(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn count(table: &FieldTable, name: &str) -> u32 {
    number(table, name).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}

const PERSISTENT: u8 = 2;
const PROBE: &str = "onceward-probe";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Origin;

    fn envelope() -> Envelope {
        let long = "h".repeat(300);
        let draft = Message::to("topic").key("k").header("lang", "en").header("CC", "1").header("x-death", "2");
        let message = draft.header(long, "3").text("body").unwrap();
        Envelope::new(MessageId::parse("id").unwrap(), message, 7)
    }

    #[test]
    fn a_message_survives_its_properties() {
        let sent = envelope().with_origin(Origin { lane: 1, sequence: i64::MAX, epoch: 3 });
        let past = Past { failures: 2, deliveries: 3, reason: Some("why".to_owned()) };
        let properties = write(&sent, &past);
        assert_eq!(read(&properties, "queue", b"body".to_vec()), Some((sent, past)));
    }

    #[test]
    fn a_content_type_stands_where_others_look_for_it_and_is_read_from_there() {
        let draft = Message::to("topic").content_type("text/plain; charset=utf-8");
        let sent = Envelope::new(MessageId::parse("id").unwrap(), draft.text("body").unwrap(), 7);
        let mut properties = write(&sent, &Past::default());
        assert_eq!(properties.content_type().as_ref().map(|media_type| media_type.as_str()), sent.content_type());
        properties = properties.with_headers(FieldTable::default());
        let (read, _) = read(&properties, "topic", b"body".to_vec()).unwrap();
        assert_eq!(read.content_type(), sent.content_type(), "of a message of others");
    }

    #[test]
    fn no_header_of_a_message_tells_the_broker_what_to_do() {
        let properties = write(&envelope(), &Past::default());
        let table = properties.headers().clone().unwrap();
        assert!(table.contains_key("lang"));
        assert!(!table.contains_key("CC") && !table.contains_key("x-death"));
        assert!(table.inner().keys().all(|name| name.as_str().len() <= 255));
    }

    #[test]
    fn the_type_of_a_message_of_others_is_no_topic() {
        let theirs = BasicProperties::default().with_message_id("id".into()).with_type("com.example.Order".into());
        assert_eq!(read(&theirs, "orders", Vec::new()).unwrap().0.topic(), "orders");
        assert_eq!(write(&envelope(), &Past::default()).kind().as_ref().map(|topic| topic.as_str()), Some("topic"));
    }

    #[test]
    fn a_message_without_an_id_is_not_read() {
        assert_eq!(read(&BasicProperties::default(), "topic", Vec::new()), None);
        assert_eq!(read(&BasicProperties::default().with_message_id("a b".into()), "topic", Vec::new()), None);
    }
}
