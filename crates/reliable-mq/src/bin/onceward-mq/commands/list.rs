//! `list`: messages by where they stand.

use onceward_backend::internal::cli::{Answer, Problem, Table, span};
use onceward_reliable_mq::{MessageInfo, Store};
use serde_json::json;

use crate::args::ListArgs;
use crate::choice::{Found, find};
use crate::view;

pub(crate) async fn run(store: &dyn Store, args: &ListArgs) -> Result<Answer, Problem> {
    let filter = args.which.filter();
    let filter = match args.states.as_slice() {
        [] => filter,
        states => filter.in_states(states.iter().map(|state| (*state).into())),
    };
    let found = find(store, filter, args.which.limit).await?;
    let Found { messages, is_cut } = &found;
    let shown: Vec<_> = messages.iter().map(view::message).collect();
    let mut answer = Answer::new(table(messages).or("no such messages"), json!({ "messages": shown, "cut": is_cut }));
    answer.notes.extend(found.note());
    Ok(answer)
}

pub(crate) fn table(messages: &[MessageInfo]) -> Table {
    let mut table = Table::new(["MESSAGE", "TOPIC", "KEY", "STATE", "AGE", "ATTEMPTS", "DUE IN", "ERROR"]);
    for shown in messages {
        table.row([
            shown.message_id.to_string(),
            shown.topic.clone(),
            shown.key.clone().unwrap_or_default(),
            shown.status.as_str().to_owned(),
            span::short(shown.age),
            shown.attempts.to_string(),
            view::maybe(shown.due),
            shown.last_error.clone().unwrap_or_default(),
        ]);
    }
    table
}
