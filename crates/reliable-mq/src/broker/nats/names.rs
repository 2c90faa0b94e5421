//! Names of streams and subjects, and the names of this crate in them.
//!
//! What NATS reserves is written as `=` and two hexadecimal digits, which can be read back. Not as `%`: a server takes the
//! name of a stream for a format when it makes the subjects of acknowledgements, and these then lead nowhere.

use crate::message::{MessageError, MessageId, check_name};

/// Names at the server. `+` is in no name as it is written there, so what follows one is ours alone.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Result<Self, MessageError> {
        check_name("the prefix", prefix, LONGEST_PREFIX)?;
        if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return Err(MessageError::Name { what: "the prefix", max: LONGEST_PREFIX });
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The stream of a queue.
    pub(super) fn queue(&self, queue: &str) -> String {
        format!("{}+{}", self.prefix, token(queue))
    }

    /// The stream of what was given up.
    pub(super) fn dead(&self, queue: &str) -> String {
        format!("{}+{}+dead", self.prefix, token(queue))
    }

    /// The stream of the counts of failures.
    pub(super) fn tried(&self, queue: &str) -> String {
        format!("{}+{}+tried", self.prefix, token(queue))
    }

    /// The names of the streams must fit.
    pub(super) fn check(&self, queue: &str) -> Result<(), MessageError> {
        if self.tried(queue).len() > LONGEST_STREAM {
            let max = LONGEST_STREAM - self.tried("").len();
            return Err(MessageError::Name { what: "the queue name, with `.` and its like as three,", max });
        }
        Ok(())
    }

    /// Where a queue takes messages of whatever topic.
    pub(super) fn direct(&self, queue: &str) -> String {
        format!("{}.{}", self.prefix, token(queue))
    }

    /// Where a queue takes messages of a topic.
    pub(super) fn bound(&self, queue: &str, topic: &str) -> String {
        format!("{}.{}", self.direct(queue), subject(topic))
    }

    /// What all subjects for a topic match.
    pub(super) fn any(&self, topic: &str) -> String {
        format!("{}.*.{}", self.prefix, subject(topic))
    }

    /// Where a message of a topic goes into the queue that has this stream; `None` if it is no queue's stream.
    pub(super) fn through(&self, stream: &str, topic: &str) -> Option<String> {
        let queue = stream.strip_prefix(&self.prefix)?.strip_prefix('+')?;
        (!queue.contains('+')).then(|| format!("{}.{queue}.{}", self.prefix, subject(topic)))
    }

    /// The topic in the subject of a message that came without our headers.
    pub(super) fn topic(&self, queue: &str, subject: &str) -> Option<String> {
        read(subject.strip_prefix(&self.direct(queue))?.strip_prefix('.')?)
    }

    pub(super) fn dead_of(&self, queue: &str) -> String {
        format!("{}+dead.{}", self.prefix, token(queue))
    }

    /// One place per message of the queue: what is parked twice is there once.
    pub(super) fn dead_at(&self, queue: &str, id: Option<&MessageId>, sequence: u64) -> String {
        // No id is written like this.
        let id = id.map_or_else(|| "=".to_owned(), |id| token(id.as_str()));
        format!("{}.{id}.{sequence}", self.dead_of(queue))
    }

    pub(super) fn dead_by_id(&self, queue: &str, id: &MessageId) -> String {
        format!("{}.{}.*", self.dead_of(queue), token(id.as_str()))
    }

    pub(super) fn tried_of(&self, queue: &str) -> String {
        format!("{}+tried.{}", self.prefix, token(queue))
    }

    pub(super) fn tried_at(&self, queue: &str, sequence: u64) -> String {
        format!("{}.{sequence}", self.tried_of(queue))
    }
}

/// One token of a subject, which is also fit for a part of a stream's name.
fn token(name: &str) -> String {
    name.chars().fold(String::new(), |written, c| if c == '.' { written + "=2E" } else { write(written, c) })
}

/// A subject of one or more tokens: a dot between two others stays one.
fn subject(topic: &str) -> String {
    let mut written = String::new();
    let mut begun = false;
    for (at, c) in topic.char_indices() {
        if c == '.' && begun && at + 1 < topic.len() {
            written.push('.');
            begun = false;
        } else {
            written = if c == '.' { written + "=2E" } else { write(written, c) };
            begun = true;
        }
    }
    written
}

fn write(mut written: String, c: char) -> String {
    if matches!(c, '*' | '>' | '/' | '\\' | '+' | '=' | '%') || !c.is_ascii_graphic() {
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            written.push_str(&format!("={byte:02X}"));
        }
    } else {
        written.push(c);
    }
    written
}

fn read(written: &str) -> Option<String> {
    let mut parts = written.split('=');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        name.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(name).ok()
}

const LONGEST_PREFIX: usize = 32;
const LONGEST_STREAM: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    const TOPICS: [&str; 14] = [
        "orders.confirmed",
        "a",
        ".",
        "..",
        ".a",
        "a.",
        "a..b",
        "a...b",
        "*",
        "a.>.b",
        "a=2Eb",
        "50%",
        "a/b\\c+d",
        "$JS.API",
    ];

    #[test]
    fn a_topic_is_a_valid_subject_and_can_be_read_back() {
        let names = Names::new("onceward").unwrap();
        for topic in TOPICS {
            let bound = names.bound("mailer", topic);
            assert!(bound.split('.').all(|token| !token.is_empty() && token != "*" && token != ">"), "{bound}");
            assert_eq!(names.topic("mailer", &bound).as_deref(), Some(topic), "{bound}");
        }
        assert_eq!(names.bound("mailer", "orders.confirmed"), "onceward.mailer.orders.confirmed");
        let all: std::collections::HashSet<String> = TOPICS.iter().map(|topic| subject(topic)).collect();
        assert_eq!(all.len(), TOPICS.len(), "no two topics meet");
    }

    #[test]
    fn a_name_is_one_token_and_can_be_read_back() {
        for name in TOPICS {
            let written = token(name);
            assert!(!written.contains(['.', '*', '>', '/', '\\', '+', '%']), "{written}");
            assert_eq!(read(&written).as_deref(), Some(name));
        }
    }

    #[test]
    fn names_fit_and_cannot_meet() {
        let (longest, prefix) = ("q".repeat(crate::message::MAX_NAME), "p".repeat(LONGEST_PREFIX));
        assert!(Names::new(&prefix).unwrap().check(&longest).is_ok());
        assert!(Names::new(&prefix).unwrap().check(&".".repeat(crate::message::MAX_NAME)).is_err());
        let names = Names::new("onceward").unwrap();
        assert_ne!(names.dead("a"), names.queue("a+dead"));
        for bad in ["", "a b", "a.b", "a+b", "a*", "$JS"] {
            assert!(Names::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_stream_of_a_queue_takes_topics() {
        let names = Names::new("onceward").unwrap();
        assert_eq!(names.through(&names.queue("a.b"), "t.x"), Some(names.bound("a.b", "t.x")));
        for stream in ["orders", "onceward", &names.dead("a"), "other+a"] {
            assert_eq!(names.through(stream, "t"), None, "{stream}");
        }
    }
}
