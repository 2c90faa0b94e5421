//! `release`: a key goes on without the message that blocks it.

use onceward_backend::internal::cli::{Answer, Problem, plain};
use onceward_reliable_mq::Store;
use serde_json::json;

pub(crate) async fn run(store: &dyn Store, key: &str) -> Result<Answer, Problem> {
    let released = store.release_key(key).await?;
    let key_shown = plain(key);
    let text = match released {
        0 => format!("no message blocks the key {key_shown}"),
        n => format!("key {key_shown} goes on; messages that blocked it: {n}, which are tried on, out of its order"),
    };
    Ok(Answer::new(text, json!({ "key": key, "released": released })))
}
