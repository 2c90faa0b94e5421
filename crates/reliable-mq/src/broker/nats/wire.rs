//! Between envelopes and NATS messages.

use std::collections::BTreeMap;

use async_nats::{HeaderMap, Message as Raw};

use crate::{
    broker::{
        headers::{DELIVERIES, ENQUEUED, FAILURES, KEY, ODD, ORIGIN, Past, REASON, TOPIC},
        origin, reason,
    },
    message::{Envelope, Message, MessageId},
};

/// The headers of a message on its way to a stream. A stream takes what comes under the same `once` for a repeat.
pub(super) fn write(envelope: &Envelope, past: &Past, once: Option<&str>) -> HeaderMap {
    let mut map = HeaderMap::new();
    let mut odd: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in envelope.headers() {
        if is_plain(name) && is_text(value) {
            map.insert(name.as_str(), value.as_str());
        } else {
            odd.insert(name, value);
        }
    }
    if let Some(json) = (!odd.is_empty()).then(|| serde_json::to_string(&odd).ok()).flatten() {
        map.insert(ODD, ascii(&json).as_str());
    }
    map.insert(ID, envelope.id.as_str());
    map.insert(TOPIC, envelope.topic());
    insert(&mut map, ENQUEUED, envelope.enqueued_at);
    if let Some(once) = once {
        map.insert(NATS_MESSAGE_ID, once);
    }
    if let Some(key) = envelope.key() {
        map.insert(KEY, key);
    }
    if let Some(stood) = envelope.origin {
        map.insert(ORIGIN, origin::write(stood).as_str());
    }
    if *past != Past::default() {
        insert(&mut map, FAILURES, past.failures.into());
        insert(&mut map, DELIVERIES, past.deliveries.into());
    }
    if let Some(reason) = &past.reason {
        let reason = serde_json::Value::from(reason::shortened(reason));
        map.insert(REASON, ascii(&reason.to_string()).as_str());
    }
    map
}

/// Reads a message; `None` if it has no id that this crate could keep apart from others. `topic` is that of its subject.
pub(super) fn read(raw: &Raw, topic: Option<String>) -> Option<(Envelope, Past)> {
    let map = raw.headers.as_ref()?;
    let id = MessageId::parse(text(map, ID).or_else(|| text(map, NATS_MESSAGE_ID))?).ok()?;
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, values) in map.iter() {
        let name: &str = name.as_ref();
        if let (true, Some(value)) = (is_plain(name), values.last()) {
            headers.insert(name.to_owned(), value.as_str().to_owned());
        }
    }
    if let Some(odd) = text(map, ODD) {
        headers.extend(serde_json::from_str::<BTreeMap<String, String>>(odd).ok()?);
    }
    let message = Message {
        id: None,
        topic: text(map, TOPIC).map(str::to_owned).or(topic)?,
        key: text(map, KEY).map(str::to_owned),
        headers,
        payload: raw.payload.clone(),
        delay: std::time::Duration::ZERO,
    };
    let mut envelope = Envelope::new(id, message, number(map, ENQUEUED).unwrap_or(0));
    envelope.origin = text(map, ORIGIN).and_then(origin::read);
    let reason = text(map, REASON).and_then(|reason| serde_json::from_str(reason).ok());
    let past = Past { failures: count(map, FAILURES), deliveries: count(map, DELIVERIES), reason };
    Some((envelope, past))
}

/// The headers of a message of others, without those that a server acts on.
pub(super) fn unguided(map: Option<&HeaderMap>) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, values) in map.into_iter().flat_map(HeaderMap::iter) {
        if is_plain(name.as_ref()) {
            values.iter().for_each(|value| kept.append(name.clone(), value.clone()));
        }
    }
    kept
}

/// How many bytes the headers are on the wire: the server counts them with the payload.
pub(super) fn size(map: &HeaderMap) -> usize {
    let lines = map.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        let name = name.len();
        values.iter().map(move |value| name + ": \r\n".len() + value.as_str().len())
    });
    "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>()
}

/// Whether a header can travel under its own name: the server acts on some, and has an alphabet for them.
fn is_plain(name: &str) -> bool {
    let fit = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    fit && !name.to_ascii_lowercase().starts_with("nats-") && !name.starts_with(crate::message::RESERVED_HEADER)
}

/// Whether a value comes back as it is: white space around it would not, and a line break would end it.
fn is_text(value: &str) -> bool {
    !value.is_empty() && value.trim() == value && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// JSON without what is not ASCII.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::new(), |mut written, c| {
        if c.is_ascii() {
            written.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                written.push_str(&format!("\\u{unit:04x}"));
            }
        }
        written
    })
}

fn insert(map: &mut HeaderMap, name: &'static str, number: i64) {
    map.insert(name, number.to_string().as_str());
}

fn text<'a>(map: &'a HeaderMap, name: &str) -> Option<&'a str> {
    map.get(name).map(async_nats::HeaderValue::as_str)
}

fn number(map: &HeaderMap, name: &str) -> Option<i64> {
    text(map, name)?.parse().ok()
}

fn count(map: &HeaderMap, name: &str) -> u32 {
    number(map, name).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}

const ID: &str = "onceward-message-id";
const NATS_MESSAGE_ID: &str = "Nats-Msg-Id";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Origin;

    fn envelope() -> Envelope {
        let draft = Message::to("topic").key("k").header("lang", "en").header("Nats-Expected-Last-Sequence", "9");
        let draft = draft.header("ünï", "wört 🦀").header("spaces", " a ").header("lines", "a\r\nNats-Rollup: all");
        let message = draft.header("none", "").header("a:b", "1").text("body").unwrap();
        Envelope::new(MessageId::parse("id").unwrap(), message, 7)
    }

    fn raw(headers: Option<HeaderMap>) -> Raw {
        Raw {
            subject: "s".into(),
            reply: None,
            payload: "body".into(),
            headers,
            status: None,
            description: None,
            length: 4,
        }
    }

    #[test]
    fn a_message_survives_its_headers() {
        let sent = envelope().with_origin(Origin { lane: 1, sequence: i64::MAX, epoch: 3 });
        let past = Past { failures: 2, deliveries: 3, reason: Some("why\r\nnöt".to_owned()) };
        let written = write(&sent, &past, Some("id again 4"));
        assert_eq!(read(&raw(Some(written)), None), Some((sent, past)));
    }

    #[test]
    fn no_header_of_a_message_tells_the_server_what_to_do() {
        let written = write(&envelope(), &Past::default(), None);
        assert_eq!(text(&written, "lang"), Some("en"));
        for (name, values) in written.iter() {
            let name: &str = name.as_ref();
            assert!(!name.to_lowercase().starts_with("nats"), "{name}");
            assert!(values.iter().all(|value| is_text(value.as_str())), "{name}");
        }
    }

    #[test]
    fn a_message_of_others_has_the_topic_of_its_subject_and_needs_an_id() {
        assert_eq!(read(&raw(None), Some("topic".to_owned())), None);
        let mut theirs = HeaderMap::new();
        theirs.insert(NATS_MESSAGE_ID, "theirs");
        let (read, _) = read(&raw(Some(theirs)), Some("topic".to_owned())).unwrap();
        assert_eq!((read.id.as_str(), read.topic()), ("theirs", "topic"));
    }
}
