//! `dead`: dead letters, with why.

use std::fmt::Write;

use onceward_backend::internal::cli::{Answer, Problem, Table, plain, span};
use onceward_reliable_mq::{Status, Store};
use serde_json::{Value, json};

use crate::args::DeadArgs;
use crate::choice::find;
use crate::view;

pub(crate) async fn run(store: &dyn Store, args: &DeadArgs) -> Result<Answer, Problem> {
    let found = find(store, args.which.filter().in_states([Status::Dead]), args.which.limit).await?;
    let mut table = Table::new(["MESSAGE", "TOPIC", "KEY", "AGE", "DEAD FOR", "ATTEMPTS", "REASON"]);
    let (mut letters, mut more) = (Vec::new(), String::new());
    for letter in &found.messages {
        let reason = letter.last_error.clone().unwrap_or_default();
        table.row([
            letter.message_id.to_string(),
            letter.topic.clone(),
            letter.key.clone().unwrap_or_default(),
            span::short(letter.age),
            span::short(letter.since),
            letter.attempts.to_string(),
            reason,
        ]);
        let mut shown = view::message(letter);
        if args.attempts {
            let attempts = store.attempts(&letter.message_id).await?;
            let table = view::attempts(&attempts).or("none in the history");
            let _ = write!(more, "\n{}:\n{table}", plain(letter.message_id.as_str()));
            shown["history"] = attempts.iter().map(view::attempt).collect::<Value>();
        }
        letters.push(shown);
    }
    let text = table.or("no such dead letters") + &more;
    let mut answer = Answer::new(text, json!({ "dead": letters, "cut": found.is_cut }));
    answer.notes.extend(found.note());
    Ok(answer)
}
