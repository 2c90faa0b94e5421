//! What the client library is told.

use std::time::Duration;

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult},
};

use super::{KafkaOptions, verdict::failed};
use crate::{Error, error::broker, message::MAX_HEADER_BYTES};

/// The settings of every client of these servers; refused if the library does not know a property of the user's.
pub(super) fn common(servers: &str, options: &KafkaOptions) -> Result<ClientConfig, Error> {
    if servers.trim().is_empty() {
        return Err(broker("no address of a kafka server: `host:port`, several with commas between them"));
    }
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("client.id", "onceward");
    config.set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", servers);
    config.create_native_config().map_err(|error| match error {
        // Without the value, which may be secret.
        KafkaError::ClientConfig(_, _, name, _) => broker(format!("kafka's client does not take the property {name}")),
        other => failed("kafka's client", &other),
    })?;
    Ok(config)
}

/// One that publishes: acknowledged by all replicas in sync, and each message stored once, in order, however often the library
/// itself sends it.
pub(super) fn publisher(common: &ClientConfig, options: &KafkaOptions) -> ClientConfig {
    let mut config = common.clone();
    let largest = options.max_payload + MAX_HEADER_BYTES + OVERHEAD;
    preset(&mut config, "linger.ms", "1");
    // As the clients of other languages choose partitions, so that a key is in one whoever publishes.
    preset(&mut config, "partitioner", "murmur2_random");
    preset(&mut config, "message.max.bytes", &largest.to_string());
    // A topic that nobody declared is told at once.
    preset(&mut config, "topic.metadata.propagation.max.ms", "500");
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    config.set("allow.auto.create.topics", "false");
    config.set("message.timeout.ms", millis(options.confirm_timeout));
    config
}

/// A member of a group.
pub(super) fn member(common: &ClientConfig, options: &KafkaOptions, group: &str) -> ClientConfig {
    let mut config = common.clone();
    // A new queue gets what its topics still hold. Nothing can be lost between its declaration and its first poll.
    preset(&mut config, "auto.offset.reset", "earliest");
    preset(&mut config, "queued.min.messages", "1000");
    preset(&mut config, "queued.max.messages.kbytes", "16384");
    config.set("group.id", group);
    // Each topic is shared out by itself: else one process may get all of a topic, and another all of the retries.
    if config.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        let session = options.session_timeout;
        preset(&mut config, "partition.assignment.strategy", "range");
        preset(&mut config, "heartbeat.interval.ms", &millis((session / 3).min(Duration::from_secs(3))));
        config.set("session.timeout.ms", millis(session));
    } else {
        // After what silence a process is given up, the cluster says.
        preset(&mut config, "group.remote.assignor", "range");
    }
    config.set("enable.auto.offset.store", "false");
    config.set("enable.auto.commit", "true");
    config.set("auto.commit.interval.ms", millis(options.commit_interval));
    config
}

/// One that reads a topic from end to end, without a part in its group.
pub(super) fn reader(common: &ClientConfig, group: &str) -> ClientConfig {
    let mut config = common.clone();
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("fetch.wait.max.ms", "10");
    config.set("auto.offset.reset", "earliest");
    config
}

/// Unless the user says otherwise.
fn preset(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().clamp(1, 24 * 3600 * 1000).to_string()
}

/// Names, key and our headers, generously.
const OVERHEAD: usize = 16 * 1024;

/// Passes on what the library has to say.
#[derive(Debug)]
pub(super) struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        told(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

/// A broker that is away is in the log of each client again and again; what it means for a call is in its answer.
pub(super) fn told(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "kafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka"),
        _ => tracing::debug!(facility, message, "kafka"),
    }
}

/// Does what the library does only by waiting, away from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.map_err(|error| failed(what, &error)),
        Err(gone) => Err(broker(gone)),
    }
}
