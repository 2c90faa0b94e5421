//! Names of topics and groups. They stand at the cluster as they are here: others publish to and read these topics too.

use crate::message::{MAX_NAME, MessageError};

#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Result<Self, MessageError> {
        if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(is_plain) {
            return Err(MessageError::Name {
                what: "the prefix, of letters, digits, `.`, `_` and `-`,",
                max: LONGEST_PREFIX,
            });
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The topic as the cluster knows it. What it cannot have as a name is refused, and what would be one of ours.
    pub(super) fn topic(&self, topic: &str) -> Result<String, MessageError> {
        self.checked(topic, "a topic at kafka, of letters, digits, `.`, `_` and `-`,")
    }

    /// A group has the name of its queue.
    pub(super) fn group(&self, queue: &str) -> Result<String, MessageError> {
        self.checked(queue, "a queue at kafka, of letters, digits, `.`, `_` and `-`,")
    }

    /// The topic of what waits for the time of its retry.
    pub(super) fn retry(&self, queue: &str) -> String {
        format!("{}{queue}{RETRY}", self.prefix)
    }

    /// The topic of what was given up.
    pub(super) fn dead(&self, queue: &str) -> String {
        format!("{}{queue}{DEAD}", self.prefix)
    }

    /// A topic that nobody has: to ask the cluster about.
    pub(super) fn nobodys(&self) -> String {
        format!("{}{RETRY}", self.prefix)
    }

    /// The topic in the words of this crate.
    pub(super) fn own<'a>(&self, topic: &'a str) -> &'a str {
        topic.strip_prefix(&self.prefix).unwrap_or(topic)
    }

    fn checked(&self, name: &str, what: &'static str) -> Result<String, MessageError> {
        let whole = format!("{}{name}", self.prefix);
        let ours = name.ends_with(RETRY) || name.ends_with(DEAD);
        let plain = !name.is_empty() && name.bytes().all(is_plain) && name.len() <= MAX_NAME;
        if !plain || ours || matches!(whole.as_str(), "." | "..") {
            return Err(MessageError::Name { what, max: MAX_NAME });
        }
        Ok(whole)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

const RETRY: &str = ".onceward-retry";
const DEAD: &str = ".onceward-dead";
/// With it and the longest ending, the longest name has the 249 characters that the cluster allows at most.
const LONGEST_PREFIX: usize = 34;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_as_it_is_or_is_refused() {
        let names = Names::new("shop.").unwrap();
        assert_eq!(names.topic("orders.confirmed").unwrap(), "shop.orders.confirmed");
        assert_eq!(names.own("shop.orders.confirmed"), "orders.confirmed");
        assert_eq!(names.group("mailer").unwrap(), "shop.mailer");
        for bad in ["", "a b", "a/b", "ü", "a\0", &names.retry("q"), &names.dead("q"), &"x".repeat(MAX_NAME + 1)] {
            assert!(matches!(names.topic(bad), Err(MessageError::Name { .. })), "{bad}");
        }
        assert!(Names::new("").unwrap().topic("..").is_err());
        assert!(Names::new("a b").is_err());
    }

    #[test]
    fn the_longest_names_fit() {
        let names = Names::new(&"p".repeat(LONGEST_PREFIX)).unwrap();
        assert_eq!(names.retry(&"q".repeat(MAX_NAME)).len(), 249);
        assert!(names.dead(&"q".repeat(MAX_NAME)).len() <= 249);
        assert!(Names::new(&"p".repeat(LONGEST_PREFIX + 1)).is_err());
    }
}
