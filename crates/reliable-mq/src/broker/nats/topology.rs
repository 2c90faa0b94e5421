//! What a queue is at the server: declared if it is not there, verified if it is, never altered except by a new topic.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    api::{self, CONSUMER_NOT_FOUND, NAME_IN_USE, STREAM_NOT_FOUND, number},
    link::{Live, broker},
    names::Names,
    options::NatsOptions,
};
use crate::{
    Error,
    broker::{Depth, Subscription},
};

/// The one consumer of a queue's stream, which all processes share.
pub(super) const CONSUMER: &str = "onceward";

pub(super) async fn declare(
    live: &Live,
    names: &Names,
    options: &NatsOptions,
    subscription: &Subscription,
) -> Result<(), Error> {
    let queue = subscription.queue();
    let bound = subscription.topics().iter().map(|topic| names.bound(queue, topic));
    let subjects: Vec<String> = std::iter::once(names.direct(queue)).chain(bound).collect();
    // Where messages go before where they come from.
    stream(live, &names.dead(queue), &kept(options, 0), &[format!("{}.>", names.dead_of(queue))]).await?;
    stream(live, &names.tried(queue), &kept(options, nanos(TRIED_FOR)), &[format!("{}.*", names.tried_of(queue))])
        .await?;
    stream(live, &names.queue(queue), &waiting(options), &subjects).await?;
    consumer(live, &names.queue(queue), options).await
}

/// A stream whose messages go when they are acknowledged, and that refuses what it has no room for.
fn waiting(options: &NatsOptions) -> Value {
    let mut config = json!({
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "num_replicas": options.replicas,
        "duplicate_window": nanos(options.duplicate_window),
        "max_age": 0,
        "max_msgs_per_subject": -1,
    });
    if let Some(messages) = options.max_messages {
        config["max_msgs"] = messages.into();
    }
    if let Some(bytes) = options.max_bytes {
        config["max_bytes"] = bytes.into();
    }
    config
}

/// A stream that keeps the last word about each message.
fn kept(options: &NatsOptions, max_age: u64) -> Value {
    json!({
        "retention": "limits",
        "storage": "file",
        "num_replicas": options.replicas,
        "max_age": max_age,
        "max_msgs_per_subject": 1,
        "allow_direct": true,
    })
}

fn shared(options: &NatsOptions) -> Value {
    json!({
        "durable_name": CONSUMER,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanos(options.visibility),
        // Who gives up is the consumer's retry policy; and what waits for its retry must not stop the others.
        "max_deliver": -1,
        "max_ack_pending": -1,
        "filter_subject": null,
        "deliver_subject": null,
    })
}

async fn stream(live: &Live, name: &str, wanted: &Value, subjects: &[String]) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        match api::call(live, &format!("STREAM.INFO.{name}"), &json!({})).await? {
            Ok(mut found) => {
                let mut config = found["config"].take();
                verify(name, wanted, &config)?;
                let Some(bound) = config["subjects"].as_array_mut() else { return Err(differs(name, "no subjects")) };
                let before = bound.len();
                for subject in subjects {
                    if !bound.iter().any(|known| known == subject) {
                        bound.push(subject.as_str().into());
                    }
                }
                if bound.len() == before {
                    return Ok(());
                }
                // Looked at again afterwards: another process may have bound others at the same time.
                api::call(live, &format!("STREAM.UPDATE.{name}"), &config).await??;
            }
            Err(refusal) if refusal.err_code == STREAM_NOT_FOUND => {
                let mut config = wanted.clone();
                config["name"] = name.into();
                config["subjects"] = subjects.into();
                match api::call(live, &format!("STREAM.CREATE.{name}"), &config).await? {
                    // Somebody was faster: look at what it is now.
                    Err(refusal) if refusal.err_code != NAME_IN_USE => return Err(refusal.into()),
                    _ => {}
                }
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(broker(format!("the subjects of stream {name} do not stay as they were declared")))
}

async fn consumer(live: &Live, stream: &str, options: &NatsOptions) -> Result<(), Error> {
    let wanted = shared(options);
    let info = format!("CONSUMER.INFO.{stream}.{CONSUMER}");
    let mut found = api::call(live, &info, &json!({})).await?;
    if found.as_ref().is_err_and(|refusal| refusal.err_code == CONSUMER_NOT_FOUND) {
        // It would alter one that is there, so it is asked for only when there is none.
        let body = json!({ "stream_name": stream, "config": wanted });
        api::call(live, &format!("CONSUMER.DURABLE.CREATE.{stream}.{CONSUMER}"), &body).await??;
        found = api::call(live, &info, &json!({})).await?;
    }
    verify(&format!("{stream}, consumer {CONSUMER}"), &wanted, &found?["config"])
}

/// Whether everything that was wanted is so, and what is not.
fn verify(name: &str, wanted: &Value, found: &Value) -> Result<(), Error> {
    let wanted = wanted.as_object().into_iter().flatten();
    let other = wanted.filter_map(|(key, wanted)| {
        let found = &found[key];
        (found != wanted).then(|| format!("{key} is {found}, not {wanted}"))
    });
    let other: Vec<String> = other.collect();
    if other.is_empty() { Ok(()) } else { Err(differs(name, &other.join("; "))) }
}

fn differs(name: &str, how: &str) -> Error {
    broker(format!("stream {name} is there with other settings: {how}"))
}

/// The streams of the queues that take a topic.
pub(super) async fn bound(live: &Live, names: &Names, topic: &str) -> Result<Vec<String>, Error> {
    let mut streams = Vec::new();
    loop {
        let body = json!({ "subject": names.any(topic), "offset": streams.len() });
        let answer = api::call(live, "STREAM.NAMES", &body).await??;
        let page = answer["streams"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let before = streams.len();
        streams.extend(page.map(str::to_owned));
        if streams.len() == before || streams.len() as u64 >= number(&answer, "/total") {
            return Ok(streams);
        }
    }
}

/// How full the queue is; `None` if there is no such queue.
pub(super) async fn depth(live: &Live, names: &Names, queue: &str, mine: u64) -> Result<Option<Depth>, Error> {
    let (stream, dead) = (names.queue(queue), names.dead(queue));
    let (nothing, consumer) = (json!({}), format!("CONSUMER.INFO.{stream}.{CONSUMER}"));
    let (stream, dead) = (format!("STREAM.INFO.{stream}"), format!("STREAM.INFO.{dead}"));
    let answers = tokio::try_join!(
        api::call(live, &stream, &nothing),
        api::call(live, &consumer, &nothing),
        api::call(live, &dead, &nothing)
    )?;
    let (stream, consumer, dead) = match answers {
        (Ok(stream), Ok(consumer), Ok(dead)) => (stream, consumer, dead),
        (Err(refusal), ..) | (_, Err(refusal), _) | (.., Err(refusal)) if refusal.is_missing() => return Ok(None),
        (Err(refusal), ..) | (_, Err(refusal), _) | (.., Err(refusal)) => return Err(refusal.into()),
    };
    // The server counts what waits for its retry among what is with a consumer.
    let unsettled = number(&consumer, "/num_ack_pending");
    let leased = mine.min(unsettled);
    let ready = number(&stream, "/state/messages").saturating_sub(unsettled);
    Ok(Some(Depth::new(ready, unsettled - leased, leased, number(&dead, "/state/messages"))))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

/// How long the failures of a message are remembered that is neither settled nor fails again.
const TRIED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_what_is_not_wanted_is_left_alone() {
        let wanted = json!({ "retention": "workqueue", "max_age": 0, "filter_subject": null });
        let found = json!({ "retention": "workqueue", "max_age": 0, "max_msgs": 7 });
        assert!(verify("s", &wanted, &found).is_ok());
        let found = json!({ "retention": "limits", "max_age": 5, "filter_subject": "a" });
        let told = verify("s", &wanted, &found).unwrap_err().to_string();
        for part in [
            "stream s ",
            "retention is \"limits\", not \"workqueue\"",
            "max_age is 5, not 0",
            "filter_subject is \"a\", not null",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
