//! What the keys are called.

use crate::message::{MAX_NAME, MessageError, MessageId, check_name};

/// All keys of one prefix, with one hash tag: a script may touch several of them.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Result<Self, MessageError> {
        let what = "the prefix (without braces)";
        check_name(what, prefix, MAX_NAME)?;
        if prefix.contains(['{', '}']) {
            return Err(MessageError::Name { what, max: MAX_NAME });
        }
        Ok(Self { prefix: format!("{prefix}{{mq}}:") })
    }

    /// What the names of streams begin with; the queue's follows.
    pub(super) fn streams(&self) -> String {
        self.of("stream", "")
    }

    /// What the names of routes begin with; the topic follows.
    pub(super) fn routes(&self) -> String {
        self.of("route", "")
    }

    /// The queues of a topic.
    pub(super) fn route(&self, topic: &str) -> String {
        self.of("route", topic)
    }

    /// The mark of a message that is stored: under one id others may send something to each of several topics.
    pub(super) fn seen(&self, id: &MessageId, topic: &str) -> String {
        self.of("seen", &format!("{} {topic}", id.as_str()))
    }

    /// The topics of a queue.
    pub(super) fn topics(&self, queue: &str) -> String {
        self.of("topics", queue)
    }

    /// What a queue consists of, in the order in which the scripts take it.
    pub(super) fn queue(&self, queue: &str) -> [String; 6] {
        ["stream", "leased", "delayed", "state", "dead", "buried"].map(|kind| self.of(kind, queue))
    }

    fn of(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_things_share_a_key_and_all_share_a_slot() {
        let names = Names::new("shop:").unwrap();
        let id = MessageId::parse("q").unwrap();
        let mut keys = names.queue("q").to_vec();
        keys.extend([names.route("q"), names.topics("q"), names.seen(&id, "t"), names.queue("q:leased")[0].clone()]);
        keys.extend(names.queue("leased:q"));
        assert!(keys.iter().all(|key| key.starts_with("shop:{mq}:")), "{keys:?}");
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert_eq!((names.streams() + "q", names.routes() + "t"), (names.queue("q")[0].clone(), names.route("t")));
    }

    #[test]
    fn a_prefix_has_no_tag_of_its_own() {
        for bad in ["", "{shop}:", "a b", "}"] {
            assert!(matches!(Names::new(bad), Err(MessageError::Name { .. })), "{bad}");
        }
    }
}
