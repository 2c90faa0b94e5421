//! `pause` and `resume`: the messages of a topic wait, and go on.

use onceward_backend::internal::cli::{Answer, Problem, plain};
use onceward_reliable_mq::Store;
use serde_json::json;

pub(crate) async fn pause(store: &dyn Store, topic: &str) -> Result<Answer, Problem> {
    let changed = store.pause(topic).await?;
    let text = match changed {
        true => "is paused: its messages wait; what a relay has read by now still goes out",
        false => "was paused already",
    };
    Ok(Answer::new(
        format!("topic {} {text}", plain(topic)),
        json!({ "topic": topic, "paused": true, "changed": changed }),
    ))
}

pub(crate) async fn resume(store: &dyn Store, topic: &str) -> Result<Answer, Problem> {
    let changed = store.resume(topic).await?;
    let text = match changed {
        true => "goes on, in the order of its messages",
        false => "was not paused",
    };
    Ok(Answer::new(
        format!("topic {} {text}", plain(topic)),
        json!({ "topic": topic, "paused": false, "changed": changed }),
    ))
}
