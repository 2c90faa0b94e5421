//! Publishing with one outcome per message.

use std::time::Duration;

use onceward_backend::{BackendError, ErrorClass};
use redis::{Pipeline, RedisResult};

use super::{
    Shared,
    link::{reason, told},
    scripts::PUBLISH,
    wire,
};
use crate::{
    broker::{Outcome, window::unknown},
    message::{Envelope, MessageError},
};

impl Shared {
    /// Publishes one window: a script for each message, all sent at once and run in their order.
    pub(super) async fn window(&self, timeout: Duration, batch: &[Envelope]) -> Vec<Outcome> {
        let mut all = Pipeline::new();
        // With the script in front, so that none of the window misses it: one that did would be overtaken.
        all.load_script(&PUBLISH).ignore().ignore_errors();
        let unwritten: Vec<Option<MessageError>> =
            batch.iter().map(|envelope| self.add(&mut all, envelope).err()).collect();
        let mut answers = match self.link.send(timeout, &all).await {
            Ok(answers) => answers.into_iter(),
            Err(error) => return vec![unknown(told(&error)); batch.len()],
        };
        let outcome = |unwritten: Option<MessageError>| match unwritten {
            Some(error) => Outcome::Rejected { reason: error.to_string(), permanent: true },
            None => answers.next().map_or_else(|| unknown("the broker gave no outcome"), outcome),
        };
        unwritten.into_iter().map(outcome).collect()
    }

    fn add(&self, all: &mut Pipeline, envelope: &Envelope) -> Result<(), MessageError> {
        let names = &self.names;
        let mut call = PUBLISH.prepare_invoke();
        call.key(names.route(envelope.topic())).key(names.seen(&envelope.id, envelope.topic()));
        let window = self.options.duplicate_window.as_millis().clamp(1, LONGEST);
        call.arg(window.to_string()).arg(names.streams()).arg(wire::write(envelope)?.as_slice());
        all.invoke_script(&call);
        Ok(())
    }
}

/// What the server says about one message.
fn outcome(answer: RedisResult<i64>) -> Outcome {
    let error = match answer {
        Ok(0) => return Outcome::Unroutable,
        Ok(1..) => return Outcome::Accepted,
        Ok(_) => return unknown("the answer is none of the script's"),
        Err(error) => BackendError::from(error),
    };
    match error.class() {
        ErrorClass::Refused => Outcome::Rejected { reason: reason(&error), permanent: false },
        // It is not about the message: the server has no memory, no disk, no master, no data yet.
        _ => unknown(reason(&error)),
    }
}

/// Within what the server takes for a time to live, in ms: a century.
const LONGEST: u128 = 100 * 365 * 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_count_of_queues_is_acceptance() {
        assert_eq!(outcome(Ok(2)), Outcome::Accepted);
        assert_eq!(outcome(Ok(0)), Outcome::Unroutable);
        assert!(matches!(outcome(Ok(-1)), Outcome::Unknown { .. }));
    }
}
