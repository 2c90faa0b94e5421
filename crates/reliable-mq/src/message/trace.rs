//! W3C [Trace Context](https://www.w3.org/TR/trace-context-1/) and [Baggage](https://www.w3.org/TR/baggage/).

use std::{fmt, ops::Range};

use super::{BAGGAGE, TRACEPARENT, TRACESTATE};

/// Which trace a message belongs to: the headers `traceparent`, `tracestate` and `baggage`. They are text to this crate, so
/// any tracing library will do.
///
/// [`read`](Self::read) takes it from whatever names headers: those of a request, those of a message that is being handled, or
/// a map into which the propagator of a tracing library has put the current span. With `opentelemetry` that is
///
/// ```text
/// let mut carrier = HashMap::new();
/// let span = tracing::Span::current().context();          // tracing_opentelemetry::OpenTelemetrySpanExt
/// opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject_context(&span, &mut carrier));
/// let draft = Message::to("orders.confirmed").trace(&TraceContext::read(&carrier));
/// ```
///
/// and in the handler, which runs in the span `onceward.reliable_mq.handle`,
///
/// ```text
/// let carrier: HashMap<String, String> = message.headers().clone().into_iter().collect();
/// let sender = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
/// tracing::Span::current().set_parent(sender);            // add_link, where messages wait for long
/// ```
///
/// ```
/// # use onceward_reliable_mq::{Message, TraceContext};
/// let request = [("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("Accept", "*/*")];
/// let message = Message::to("orders.confirmed").trace(&TraceContext::read(request)).text("thank you")?;
/// assert_eq!(message.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
/// assert!(message.trace().is_sampled());
/// # Ok::<_, onceward_reliable_mq::MessageError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    parent: Option<String>,
    state: Option<String>,
    baggage: Option<String>,
}

impl TraceContext {
    /// Reads these headers, whatever the case of their names, and passes over others. What their specifications do not allow
    /// counts as absent, as they ask for: whoever sends a request with nonsense in them loses the trace, and nothing else.
    pub fn read<N: AsRef<str>, V: AsRef<str>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        let [mut parents, mut states, mut baggage] = [const { Vec::new() }; 3];
        for (name, value) in headers {
            let is = |wanted: &str| name.as_ref().eq_ignore_ascii_case(wanted);
            let value = || value.as_ref().trim_matches([' ', '\t']).to_owned();
            if is(TRACEPARENT) {
                parents.push(value());
            } else if is(TRACESTATE) {
                states.push(value());
            } else if is(BAGGAGE) {
                baggage.push(value());
            }
        }
        // A list may come in several headers; of two parents none is right.
        let list = |parts: Vec<String>, is_good: fn(&str) -> bool| Some(parts.join(",")).filter(|list| is_good(list));
        let parent = parents.pop().filter(|parent| parents.is_empty() && trace_id(parent).is_some());
        let state = parent.as_ref().and_then(|_| list(states, is_state));
        Self { parent, state, baggage: list(baggage, is_baggage) }
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parent.is_none() && self.baggage.is_none()
    }

    /// The id of the trace, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.parent.as_deref().and_then(trace_id)
    }

    /// The id of the span that it comes from, 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> Option<&str> {
        self.parent.as_deref().map(|parent| &parent[PARENT_ID])
    }

    /// Whether that span was recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = self.parent.as_deref().and_then(|parent| u8::from_str_radix(&parent[FLAGS], 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }

    /// The headers that say it, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { parent, state, baggage } = self;
        let all = [(TRACEPARENT, parent), (TRACESTATE, state), (BAGGAGE, baggage)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl fmt::Debug for TraceContext {
    // Neither state nor baggage: they may hold what logs must not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceContext").field("trace_id", &self.trace_id()).finish_non_exhaustive()
    }
}

/// Where the parts of a `traceparent` stand: `00-{trace id}-{parent id}-{flags}`.
const TRACE_ID: Range<usize> = 3..35;
const PARENT_ID: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

/// The trace in a `traceparent`, if that is one. Later versions may have more behind the flags.
pub(super) fn trace_id(parent: &str) -> Option<&str> {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &str| is_hex(part) && part.bytes().any(|byte| byte != b'0');
    if !parent.is_ascii() || parent.len() < FLAGS.end {
        return None;
    }
    let (version, rest) = (&parent[..2], &parent[FLAGS.end..]);
    let dashes = [2, TRACE_ID.end, PARENT_ID.end].iter().all(|at| parent.as_bytes()[*at] == b'-');
    let is_version =
        is_hex(version) && version != "ff" && (rest.is_empty() || version != "00" && rest.starts_with('-'));
    let is_parent = dashes && is_version && is_id(&parent[PARENT_ID]) && is_hex(&parent[FLAGS]);
    Some(&parent[TRACE_ID]).filter(|trace| is_parent && is_id(trace))
}

/// At most 32 members `key=value`, no key twice.
pub(super) fn is_state(list: &str) -> bool {
    let members: Vec<&str> = members(list).filter(|member| !member.is_empty()).collect();
    let keys = members.iter().map(|member| member.split_once('=').filter(|(key, value)| is_state_pair(key, value)));
    let Some(mut keys) = keys.map(|pair| pair.map(|(key, _)| key)).collect::<Option<Vec<_>>>() else { return false };
    keys.sort_unstable();
    (1..=32).contains(&members.len()) && keys.is_sorted_by(|a, b| a < b)
}

fn is_state_pair(key: &str, value: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    let is_part = |part: &str, most: usize, first: fn(u8) -> bool| {
        let rest = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || b"_-*/".contains(&byte);
        part.len() <= most && part.bytes().next().is_some_and(first) && part.bytes().all(rest)
    };
    let is_key = match key.split_once('@') {
        None => is_part(key, 256, |byte| byte.is_ascii_lowercase()),
        Some((tenant, system)) => {
            is_part(tenant, 241, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && is_part(system, 14, |byte| byte.is_ascii_lowercase())
        }
    };
    let is_value = |byte: u8| matches!(byte, b' '..=b'~') && !b",=".contains(&byte);
    is_key && (1..=256).contains(&value.len()) && value.bytes().all(is_value) && !value.ends_with(' ')
}

/// At most 180 members `key=value;property…` in at most 8192 bytes.
pub(super) fn is_baggage(list: &str) -> bool {
    let is_value = |value: &str| {
        value.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~'))
    };
    let is_pair =
        |part: &str| part.split_once('=').is_some_and(|(key, value)| is_token(trim(key)) && is_value(trim(value)));
    let is_member = |member: &str| {
        let mut parts = member.split(';').map(trim);
        parts.next().is_some_and(is_pair) && parts.all(|property| is_token(property) || is_pair(property))
    };
    list.len() <= 8192 && list.split(',').count() <= 180 && members(list).all(is_member)
}

/// A token of HTTP.
pub(super) fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(trim)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_as_the_recommendation_has_it() {
        let trace = TraceContext::read([("TraceParent", PARENT)]);
        assert_eq!(trace.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!((trace.parent_id(), trace.is_sampled()), (Some("00f067aa0ba902b7"), true));
        let with = |from: &str, to: &str| PARENT.replacen(from, to, 1);
        let later = with("00-", "cc-");
        for (parent, is_sampled) in [
            (with("-01", "-00"), false),
            (with("-01", "-02"), false),
            (with("-01", "-03"), true),
            (later.clone(), true),
            (format!("{later}-what-comes-next"), true),
        ] {
            let trace = TraceContext::read([("traceparent", &parent)]);
            assert_eq!((trace.headers().next(), trace.is_sampled()), (Some((TRACEPARENT, &*parent)), is_sampled));
        }
        for parent in [
            String::new(),
            "00".to_owned(),
            PARENT[..54].to_owned(),
            format!("{PARENT}-"),
            format!("{PARENT}0"),
            format!("{later}0"),
            with("00-", "ff-"),
            with("00-", "0-0"),
            with("4bf9", "4BF9"),
            with("4bf9", "4bg9"),
            with("-01", "-0x"),
            with("-00f067", "_00f067"),
            with("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            with("00f067aa0ba902b7", &"0".repeat(16)),
            with("4bf92", "4bfü"),
        ] {
            let trace = TraceContext::read([("traceparent", parent.as_str()), ("tracestate", "a=1")]);
            assert!(trace.is_empty() && trace.headers().next().is_none() && trace.trace_id().is_none(), "{parent:?}");
        }
        assert!(TraceContext::read([("traceparent", PARENT); 2]).is_empty(), "of two none is right");
    }

    #[test]
    fn states_are_what_the_recommendation_allows() {
        let (long, value) = (format!("{}@{}=1", "1".repeat(241), "a".repeat(14)), format!("a={}", "x".repeat(256)));
        let most = (0..32).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        for state in
            ["a=1", "rojo=00f067aa0ba902b7 , congo=t61 x", "a=1,,b=2", "1a@b=1", "a_-*/0= !~", &most, &long, &value]
        {
            assert!(is_state(state), "{state}");
        }
        let (long, value) = (format!("1{long}"), format!("{value}x"));
        let many = format!("{most},more=1");
        for state in [
            "", ",", "a", "a=", "=1", "A=1", "1a=1", "a@=1", "a@b@c=1", "a@1=1", "a=1=2", "a=ü", "a=1,a=2", &many,
            &long, &value,
        ] {
            assert!(!is_state(state), "{state}");
        }
    }

    #[test]
    fn baggage_is_what_the_recommendation_allows() {
        for baggage in ["a=1", "userId=alice , server=DF%2028;public;ttl = 5", "a=", "~!=:/?@[]{}"] {
            assert!(is_baggage(baggage), "{baggage}");
        }
        let (many, long) = (vec!["a=1"; 181].join(","), format!("a={}", "x".repeat(8191)));
        for baggage in ["", "a", "a=1,", "=1", "a b=1", "a=1 2", "a=\"1\"", "a=1;", "a=\\", "a=ü", &many, &long] {
            assert!(!is_baggage(baggage), "{baggage}");
        }
    }

    #[test]
    fn lists_come_in_parts_and_what_is_wrong_is_left_behind() {
        let whole = TraceContext::read([
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("baggage", "user=alice"),
            ("tracestate", " b=2"),
            ("baggage", "plan=free"),
            ("accept", "*/*"),
        ]);
        let said: Vec<_> = whole.headers().collect();
        assert_eq!(said, [(TRACEPARENT, PARENT), (TRACESTATE, "a=1,b=2"), (BAGGAGE, "user=alice,plan=free")]);
        assert_eq!(TraceContext::read(said), whole);
        let part = TraceContext::read([("traceparent", PARENT), ("tracestate", "A"), ("baggage", "alice")]);
        assert_eq!(part.headers().collect::<Vec<_>>(), [(TRACEPARENT, PARENT)]);
        let alone = TraceContext::read([("tracestate", "a=1"), ("baggage", "user=alice")]);
        assert_eq!(alone.headers().collect::<Vec<_>>(), [(BAGGAGE, "user=alice")]);
        assert!(!alone.is_empty() && alone.trace_id().is_none() && !alone.is_sampled());
        assert!(!format!("{whole:?}").contains("alice"));
    }
}
