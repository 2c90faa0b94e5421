//! Between rows of the embedded broker and messages.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use onceward_backend::BackendError;

use crate::{
    Error,
    broker::origin,
    message::{Envelope, Message, MessageId},
};

/// `message_id, topic, msg_key, headers, payload, origin, enqueued_at`
pub(super) type Item = (String, String, Option<String>, String, Vec<u8>, Option<String>, i64);

pub(super) fn envelope((id, topic, key, headers, payload, stood, enqueued_at): Item) -> Result<Envelope, Error> {
    let headers: BTreeMap<String, String> =
        serde_json::from_str(&headers).map_err(|error| BackendError::corrupt("sqlite", error))?;
    let message = Message { id: None, topic, key, headers, payload: Bytes::from(payload), delay: Duration::ZERO };
    let mut envelope = Envelope::new(MessageId::trusted(id), message, enqueued_at);
    envelope.origin = stood.as_deref().and_then(origin::read);
    Ok(envelope)
}
