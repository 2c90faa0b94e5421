//! Headers that mean the same to everybody: what the payload is, whose it is, and which trace it belongs to.

use std::collections::BTreeMap;

use super::{Draft, MAX_NAME, Message, MessageError, TraceContext, check_name, trace};

/// The media type of the payload: `application/json`.
pub const CONTENT_TYPE: &str = "content-type";
/// On whose behalf the message was sent.
pub const TENANT: &str = "tenant";
/// The trace, and the span in it, as W3C Trace Context writes them.
pub const TRACEPARENT: &str = "traceparent";
/// What tracing systems add to that.
pub const TRACESTATE: &str = "tracestate";
/// What the application hands along its calls, as W3C Baggage writes it.
pub const BAGGAGE: &str = "baggage";

impl Draft {
    /// Says what the payload is: a media type, `application/json` say, with or without parameters.
    pub fn content_type(self, media_type: impl Into<String>) -> Self {
        self.header(CONTENT_TYPE, media_type)
    }

    /// Says on whose behalf: 1 to [`MAX_NAME`] visible ASCII characters, which travel with the message.
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        self.header(TENANT, tenant)
    }

    /// Makes the message a part of this trace; an empty one changes nothing. See [`TraceContext`].
    pub fn trace(self, trace: &TraceContext) -> Self {
        trace.headers().fold(self, |draft, (name, value)| draft.header(name, value))
    }
}

impl Message {
    /// What the payload is, if its sender has said so.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(CONTENT_TYPE)
    }

    /// On whose behalf it was sent.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.header(TENANT)
    }

    /// The trace that it belongs to; empty if it belongs to none.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        TraceContext::read(self.headers())
    }

    /// The id of that trace, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.header(TRACEPARENT).and_then(trace::trace_id)
    }
}

/// Whether each of them has a value that means something.
pub(super) fn check(headers: &BTreeMap<String, String>) -> Result<(), MessageError> {
    let value = |name| headers.get(name).map(String::as_str);
    if let Some(tenant) = value(TENANT) {
        check_name("the tenant", tenant, MAX_NAME)?;
    }
    let known: [(_, IsGood); 4] = [
        (CONTENT_TYPE, is_media_type),
        (TRACEPARENT, |value| trace::trace_id(value).is_some()),
        (TRACESTATE, trace::is_state),
        (BAGGAGE, trace::is_baggage),
    ];
    let broken = known.into_iter().find(|(name, is_good)| value(name).is_some_and(|value| !is_good(value)));
    broken.map_or(Ok(()), |(name, _)| Err(MessageError::HeaderValue(name)))
}

type IsGood = fn(&str) -> bool;

/// `type/subtype`, and whatever parameters.
fn is_media_type(value: &str) -> bool {
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let is_essence = essence.trim_end().split_once('/').is_some_and(|(a, b)| trace::is_token(a) && trace::is_token(b));
    is_essence && value.len() <= MAX_NAME && parameters.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_refused_by_its_name_however_it_is_said() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (name, value) in [
            (CONTENT_TYPE, "json"),
            (CONTENT_TYPE, "a/b/c"),
            (CONTENT_TYPE, "text/plain; charset=ü"),
            (TRACEPARENT, "00-0-0-0"),
            (TRACEPARENT, ""),
            (TRACESTATE, "A=1"),
            (BAGGAGE, "user"),
        ] {
            let refused = Message::to("t").header(name, value).text("");
            assert!(matches!(refused, Err(MessageError::HeaderValue(of)) if of == name), "{name}: {value:?}");
        }
        for tenant in ["", "a b", "ü", &"x".repeat(MAX_NAME + 1)] {
            assert!(matches!(Message::to("t").tenant(tenant).text(""), Err(MessageError::Name { .. })), "{tenant:?}");
        }
        for media_type in ["text/plain", "application/vnd.order+json ; version=2", "text/plain; charset=\"utf-8\""] {
            assert!(Message::to("t").content_type(media_type).text("").is_ok(), "{media_type}");
        }
        let message = Message::to("t").tenant("acme").header(TRACEPARENT, parent).json(&7).unwrap();
        assert_eq!((message.tenant(), message.content_type()), (Some("acme"), Some("application/json")));
        assert_eq!(message.trace_id(), Some(&parent[3..35]));
        let message = Message::to("t").content_type("text/json").json(&7).unwrap();
        assert_eq!(message.content_type(), Some("text/json"));
        assert_eq!((message.tenant(), message.trace_id()), (None, None));
    }
}
