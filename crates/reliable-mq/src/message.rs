//! Messages: what a service says, and what travels.

mod meaning;
mod replay;
mod trace;

use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

pub use self::meaning::{BAGGAGE, CONTENT_TYPE, TENANT, TRACEPARENT, TRACESTATE};
pub use self::replay::{REPLAY_WINDOW, Replay};
pub use self::trace::TraceContext;

/// Longest topic, ordering key, message id and queue name, in bytes.
pub const MAX_NAME: usize = 200;
/// Longest message id, in bytes.
pub const MAX_ID: usize = 64;
/// Most headers of one message.
pub const MAX_HEADERS: usize = 64;
/// Most bytes that the names and values of the headers have together.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most bytes of one payload.
pub const MAX_PAYLOAD: usize = 1024 * 1024;
/// Header names that begin like this belong to this crate.
pub const RESERVED_HEADER: &str = "onceward-";

/// Why a message cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Topic, key, id or queue name: 1 to [`MAX_NAME`] visible ASCII characters (ids: [`MAX_ID`]).
    #[error("{what} must be 1 to {max} visible ascii characters, without spaces")]
    Name {
        /// Which name.
        what: &'static str,
        /// How many characters it may have.
        max: usize,
    },
    /// A subscription without a topic would wait for nothing.
    #[error("a subscription needs at least one topic")]
    NoTopic,
    /// More than [`MAX_HEADERS`] headers, or more than [`MAX_HEADER_BYTES`] bytes of them.
    #[error("the headers are too many or too long")]
    Headers,
    /// The header's name is empty, or begins with [`RESERVED_HEADER`].
    #[error("the header name is empty or reserved")]
    HeaderName,
    /// A header that has a meaning here, [`TENANT`] say, and a value that has none.
    #[error("the header {0} has a value that means nothing")]
    HeaderValue(&'static str),
    /// The payload has more than [`MAX_PAYLOAD`] bytes.
    #[error("the payload has {0} bytes, more than {MAX_PAYLOAD}")]
    Payload(usize),
    /// The value does not become JSON.
    #[error("the value cannot be written as json")]
    Encode(#[source] serde_json::Error),
    /// The payload is not the JSON that was asked for.
    #[error("the payload cannot be read as the json that was asked for")]
    Decode(#[source] serde_json::Error),
}

/// Names one message over all its repeats: retries, redeliveries and replays keep it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// Takes an id of the caller's making.
    ///
    /// # Errors
    /// [`MessageError::Name`] unless it is 1 to [`MAX_ID`] visible ASCII characters.
    pub fn parse(id: impl Into<String>) -> Result<Self, MessageError> {
        let id = id.into();
        check_name("the message id", &id, MAX_ID)?;
        Ok(Self(id))
    }

    pub(crate) fn trusted(id: String) -> Self {
        Self(id)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a service has to say: a topic, a payload, and how it is to be ordered.
///
/// ```
/// # use onceward_reliable_mq::Message;
/// let message = Message::to("orders.confirmed").key("order-7").header("lang", "en").text("thank you")?;
/// assert_eq!(message.topic(), "orders.confirmed");
/// # Ok::<_, onceward_reliable_mq::MessageError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) id: Option<MessageId>,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Bytes,
    pub(crate) delay: Duration,
}

impl Message {
    /// Begins a message to this topic; the payload ends it.
    pub fn to(topic: impl Into<String>) -> Draft {
        Draft {
            message: Self {
                id: None,
                topic: topic.into(),
                key: None,
                headers: BTreeMap::new(),
                payload: Bytes::new(),
                delay: Duration::ZERO,
            },
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The ordering key: first deliveries of one key keep the order of their enqueues.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// One header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// [`MessageError::Decode`] if it is something else; a handler that returns this with `?` parks the message at once,
    /// since no repeat will make it readable.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, MessageError> {
        serde_json::from_slice(&self.payload).map_err(MessageError::Decode)
    }

    fn check(&self) -> Result<(), MessageError> {
        check_name("the topic", &self.topic, MAX_NAME)?;
        if let Some(key) = &self.key {
            check_name("the ordering key", key, MAX_NAME)?;
        }
        let bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            return Err(MessageError::Headers);
        }
        if self.headers.keys().any(|name| name.is_empty() || name.starts_with(RESERVED_HEADER)) {
            return Err(MessageError::HeaderName);
        }
        meaning::check(&self.headers)?;
        if self.payload.len() > MAX_PAYLOAD {
            return Err(MessageError::Payload(self.payload.len()));
        }
        Ok(())
    }
}

impl fmt::Debug for Message {
    // Neither payload nor header values: they may hold what logs must not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("headers", &self.headers.len())
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// A message in the making.
#[derive(Debug, Clone)]
#[must_use = "a draft becomes a message with its payload"]
pub struct Draft {
    message: Message,
}

impl Draft {
    /// Orders this message after those of the same key that were enqueued before it.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.message.key = Some(key.into());
        self
    }

    /// Adds a header, or replaces the one of this name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.headers.insert(name.into(), value.into());
        self
    }

    /// Uses the caller's own id, for a caller that repeats an enqueue. Without it `enqueue` makes a UUIDv7.
    pub fn id(mut self, id: MessageId) -> Self {
        self.message.id = Some(id);
        self
    }

    /// Holds the message back for this long. A message with a delay takes no part in the order of its key.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.message.delay = delay;
        self
    }

    /// Ends the message with these bytes.
    ///
    /// # Errors
    /// [`MessageError`] if a limit of this module is broken.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Result<Message, MessageError> {
        self.message.payload = payload.into();
        self.message.check()?;
        Ok(self.message)
    }

    /// Ends the message with this text.
    ///
    /// # Errors
    /// As [`payload`](Self::payload).
    pub fn text(self, text: impl Into<String>) -> Result<Message, MessageError> {
        self.payload(text.into().into_bytes())
    }

    /// Ends the message with this value as JSON, of the content type `application/json` if it has no other.
    ///
    /// # Errors
    /// As [`payload`](Self::payload), and [`MessageError::Encode`] if the value does not become JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Message, MessageError> {
        self.message.headers.entry(CONTENT_TYPE.to_owned()).or_insert_with(|| "application/json".to_owned());
        self.payload(serde_json::to_vec(value).map_err(MessageError::Encode)?)
    }
}

/// Where in the outbox a message stood. A paused relay that wakes up may publish repeats after newer messages; a consumer
/// without an inbox drops, per lane and key, what has a sequence below the highest that it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The lane of the outbox.
    pub lane: u32,
    /// The place in the lane.
    pub sequence: i64,
    /// The epoch of the relay's lease.
    pub epoch: i64,
}

/// A message with its id: what brokers carry and handlers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The id, the same for every repeat.
    pub id: MessageId,
    /// The message; on its way nobody changes it, so a copy of an envelope costs little.
    pub message: Arc<Message>,
    /// Where it stood in the outbox; absent if it was delayed from the start, or never in an outbox.
    pub origin: Option<Origin>,
    /// When it was enqueued, in microseconds since the epoch, by the clock of the outbox.
    pub enqueued_at: i64,
}

impl Envelope {
    /// Puts a message on its way.
    #[must_use]
    pub fn new(id: MessageId, mut message: Message, enqueued_at: i64) -> Self {
        message.id = None;
        message.delay = Duration::ZERO;
        Self { id, message: Arc::new(message), origin: None, enqueued_at }
    }

    /// Says where in the outbox it stood.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl Deref for Envelope {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// The lane that a key belongs to; without a key, the message id spreads the load.
pub(crate) fn lane(key: Option<&str>, id: &MessageId, lanes: u32) -> u32 {
    // A hash that every database and language has, since others enqueue too (README). The lane is stored: it never changes.
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(key.unwrap_or(id.as_str())));
    u32::from_le_bytes([a, b, c, d]) % lanes.max(1)
}

pub(crate) fn check_topic(topic: &str) -> Result<(), MessageError> {
    check_name("the topic", topic, MAX_NAME)
}

pub(crate) fn check_name(what: &'static str, name: &str, max: usize) -> Result<(), MessageError> {
    if name.is_empty() || name.len() > max || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(MessageError::Name { what, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_what_it_was_given() {
        let message = Message::to("t").key("k").header("a", "1").header("a", "2").json(&[1, 2]).unwrap();
        assert_eq!(message.key(), Some("k"));
        assert_eq!(message.header("a"), Some("2"));
        assert_eq!(message.json::<Vec<i32>>().unwrap(), [1, 2]);
        assert!(matches!(message.json::<String>(), Err(MessageError::Decode(_))));
    }

    #[test]
    fn limits_are_refused_with_a_reason() {
        for topic in ["", "a b", "ü", "line\n", &"x".repeat(MAX_NAME + 1)] {
            assert!(matches!(Message::to(topic).text(""), Err(MessageError::Name { .. })), "{topic:?}");
        }
        assert!(matches!(Message::to("t").key("").text(""), Err(MessageError::Name { .. })));
        assert!(matches!(Message::to("t").payload(vec![0; MAX_PAYLOAD + 1]), Err(MessageError::Payload(_))));
        assert!(Message::to("t").payload(vec![0; MAX_PAYLOAD]).is_ok());
        assert!(matches!(Message::to("t").header("onceward-x", "").text(""), Err(MessageError::HeaderName)));
        assert!(matches!(
            Message::to("t").header("x", "y".repeat(MAX_HEADER_BYTES)).text(""),
            Err(MessageError::Headers)
        ));
        let many = (0..=MAX_HEADERS).fold(Message::to("t"), |draft, n| draft.header(format!("h{n}"), ""));
        assert!(matches!(many.text(""), Err(MessageError::Headers)));
        assert!(MessageId::parse("x".repeat(MAX_ID + 1)).is_err());
    }

    #[test]
    fn debug_shows_neither_payload_nor_header_values() {
        let message = Message::to("t").header("token", "hidden-value").text("hidden-payload").unwrap();
        assert!(!format!("{message:?}").contains("hidden"));
    }

    #[test]
    fn the_lane_of_a_key_is_that_of_the_readme_and_never_changes() {
        let id = MessageId::parse("any").unwrap();
        // What is stored under these lanes must be found by every later version, and by other languages.
        for (key, of) in [("a", 2), ("b", 6), ("order-7", 7), ("customer/42", 1)] {
            assert_eq!(lane(Some(key), &id, 8), of, "{key}");
            assert!(include_str!("../README.md").contains(&format!("`{key}` {of}")), "{key} is not in the README");
        }
        assert_eq!(lane(None, &MessageId::parse("b").unwrap(), 8), 6);
        assert!((0..1000).all(|n| lane(Some(&n.to_string()), &id, 1) == 0));
    }
}
