//! What the client library reports, in this crate's words.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use crate::{
    Error,
    broker::{Outcome, window::unknown},
    error::broker,
};

/// The error without the library's name for it.
pub(super) fn failed(what: &str, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => broker(format!("{what}: {code}")),
        None => broker(format!("{what}: {error}")),
    }
}

/// What a message that was not acknowledged has met.
pub(super) fn outcome(error: &KafkaError) -> Outcome {
    let reason = || error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
    match error.rdkafka_error_code() {
        Some(code) if is_absent(code) => Outcome::Unroutable,
        Some(Code::MessageSizeTooLarge | Code::InvalidRecord) => {
            Outcome::Rejected { reason: reason(), permanent: true }
        }
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::PolicyViolation) => {
            Outcome::Rejected { reason: reason(), permanent: false }
        }
        // It is not about the message, or it may have been written.
        _ => unknown(reason()),
    }
}

/// Whether that says that there is no such topic.
pub(super) fn is_absent(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_message_is_a_refusal() {
        let told = |code| outcome(&KafkaError::MessageProduction(code));
        assert_eq!(told(Code::UnknownTopicOrPartition), Outcome::Unroutable);
        assert!(matches!(told(Code::MessageSizeTooLarge), Outcome::Rejected { permanent: true, .. }));
        assert!(matches!(told(Code::TopicAuthorizationFailed), Outcome::Rejected { permanent: false, .. }));
        for code in [Code::MessageTimedOut, Code::NotEnoughReplicas, Code::NotEnoughReplicasAfterAppend, Code::Fatal] {
            assert!(matches!(told(code), Outcome::Unknown { .. }), "{code:?}");
        }
    }
}
