//! Between rows and messages.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    Error,
    message::{Envelope, MAX_ID, MAX_NAME, Message, MessageError, MessageId, Origin, check_name},
    store::Lease,
};

pub(super) fn with_origin(envelope: Envelope, lease: &Lease, sequence: i64) -> Envelope {
    if sequence == 0 {
        return envelope;
    }
    envelope.with_origin(Origin { lane: lease.lane, sequence, epoch: lease.epoch })
}

/// The message of a row that others may have inserted: with what of it cannot be read, if anything. Headers that cannot are
/// one header then, so that they can be looked at.
pub(super) fn foreign(
    id: String,
    topic: String,
    key: Option<String>,
    headers: &str,
    payload: Vec<u8>,
    enqueued_at: i64,
) -> (Envelope, Option<String>) {
    let read = serde_json::from_str(headers);
    let flaw = read.as_ref().err().map(|error| format!("its headers are no object of strings: {error}"));
    let headers = read.unwrap_or_else(|_| BTreeMap::from([(UNREADABLE.to_owned(), headers.to_owned())]));
    let name = |what, name: &str, max| check_name(what, name, max).err().map(|error| error.to_string());
    let flaw = flaw
        .or_else(|| name("the message id", &id, MAX_ID))
        .or_else(|| name("the topic", &topic, MAX_NAME))
        .or_else(|| key.as_ref().and_then(|key| name("the key", key, MAX_NAME)));
    let message =
        Message { id: None, topic, key, headers, payload: Bytes::from(payload), delay: std::time::Duration::ZERO };
    (Envelope::new(MessageId::trusted(id), message, enqueued_at), flaw)
}

const UNREADABLE: &str = "unreadable-headers";

pub(crate) fn write_headers(message: &Message) -> Result<String, Error> {
    Ok(serde_json::to_string(message.headers()).map_err(MessageError::Encode)?)
}

/// One header of a text that holds them; none if that is no such text, which a list must not fail of.
pub(super) fn header(headers: &str, name: &str) -> Option<String> {
    serde_json::from_str::<BTreeMap<String, String>>(headers).ok()?.remove(name)
}

/// The same text with one header more, or another value of it; as it is if it is no such text, for which it is parked again.
pub(super) fn with_header(headers: String, name: &str, value: String) -> String {
    let Ok(mut read) = serde_json::from_str::<BTreeMap<String, String>>(&headers) else { return headers };
    read.insert(name.to_owned(), value);
    serde_json::to_string(&read).unwrap_or(headers)
}

/// A count as the database takes it.
pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A count as the database gives it.
pub(crate) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A number of attempts as the database gives it.
pub(crate) fn attempts(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}
