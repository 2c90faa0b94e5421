//! `status`: how much waits where, for how long, and who works on it.

use std::fmt::Write;

use onceward_backend::internal::cli::{Answer, Problem, Table};
use onceward_reliable_mq::{Counts, PausedTopic, RelayInfo, Store, TopicInfo};
use serde_json::{Value, json};

use crate::view;

/// `topic`: not asked for, all of them, or one.
pub(crate) async fn run(store: &dyn Store, topic: Option<Option<&str>>) -> Result<Answer, Problem> {
    let (counts, lanes, relays) = (store.counts().await?, store.lanes().await?, store.relays().await?);
    let mut table = Table::new(["LANE", "OWNER", "LEASE", "HOT", "DELAYED", "LAG"]);
    for lane in &lanes {
        let owner = lane.owner.clone().unwrap_or_default();
        let lease = match (&lane.owner, lane.lease) {
            (None, _) => "free".to_owned(),
            (Some(_), None) => "over".to_owned(),
            (Some(_), Some(_)) => view::maybe(lane.lease),
        };
        let (hot, delayed) = (lane.hot.to_string(), lane.delayed.to_string());
        table.row([lane.lane.to_string(), owner, lease, hot, delayed, view::maybe(lane.lag)]);
    }
    let paused = store.paused().await?;
    let mut text = format!("{}\n{table}\n{}", places(&counts), by_relay(&relays).or("no relay lives"));
    for PausedTopic { topic, .. } in &paused {
        let _ = write!(text, "\ntopic {topic} is paused: onceward-mq resume {topic}");
    }
    let mut json = view::counts(&counts);
    json["paused"] = paused.iter().map(|paused| Value::from(paused.topic.as_str())).collect();
    json["lanes"] = lanes.iter().map(view::lane).collect::<Value>();
    json["relays"] = relays.iter().map(view::relay).collect::<Value>();
    if let Some(wanted) = topic {
        let mut topics = store.topics().await?;
        topics.retain(|info| wanted.is_none_or(|wanted| info.topic == wanted));
        let _ = write!(text, "\n{}", by_topic(&topics).or("no messages of such a topic"));
        json["topics"] = topics.iter().map(topic_json).collect::<Value>();
    }
    Ok(Answer::new(text, json))
}

fn places(counts: &Counts) -> String {
    let oldest = counts.oldest.map_or_else(|| "nothing waits".to_owned(), |_| view::maybe(counts.oldest));
    let mut table = Table::new(["OLDEST", "HOT", "DELAYED", "FAILED", "HELD", "DEAD"]);
    let Counts { hot, delayed, failed, held, dead, .. } = counts;
    table.row([oldest, hot.to_string(), delayed.to_string(), failed.to_string(), held.to_string(), dead.to_string()]);
    table.to_string()
}

fn by_relay(relays: &[RelayInfo]) -> Table {
    let mut table = Table::new(["RELAY", "LANES", "ALIVE"]);
    for RelayInfo { owner, lanes, alive } in relays {
        table.row([owner.clone(), lanes.len().to_string(), view::maybe(Some(*alive))]);
    }
    table
}

fn by_topic(topics: &[TopicInfo]) -> Table {
    let mut table = Table::new(["TOPIC", "OLDEST", "HOT", "DELAYED", "FAILED", "HELD", "DEAD"]);
    for TopicInfo { topic, counts, .. } in topics {
        let Counts { hot, delayed, failed, held, dead, oldest, .. } = counts;
        table.row([
            topic.clone(),
            view::maybe(*oldest),
            hot.to_string(),
            delayed.to_string(),
            failed.to_string(),
            held.to_string(),
            dead.to_string(),
        ]);
    }
    table
}

fn topic_json(info: &TopicInfo) -> Value {
    let mut json = json!({ "topic": info.topic });
    if let (Some(json), Value::Object(counts)) = (json.as_object_mut(), view::counts(&info.counts)) {
        json.extend(counts);
    }
    json
}
