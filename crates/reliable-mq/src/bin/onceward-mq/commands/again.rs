//! `replay` and `resend`: messages that could not be sent are tried again.

use onceward_backend::internal::cli::{Answer, Problem, chain, plain, span};
use onceward_reliable_mq::{Error, MessageId, Status, Store};
use serde_json::{Value, json};

use super::list::table;
use crate::args::{Chosen, ReplayArgs};
use crate::choice::{Found, choose};
use crate::pace::Pace;
use crate::view;

/// With more messages than that somebody has to say that it is meant.
const BOUND: usize = 100;

pub(crate) async fn replay(store: &dyn Store, args: &ReplayArgs) -> Result<Answer, Problem> {
    let found = choose(store, &args.chosen, Status::Dead).await?;
    let window = (!args.may_duplicate).then_some(args.inbox_retention);
    let mut old = found.messages.iter().filter(|letter| window.is_some_and(|window| letter.age > window));
    if let Some(first) = old.next() {
        let (id, age, window) = (plain(first.message_id.as_str()), span::short(first.age), args.inbox_retention);
        return Err(Problem::refused(format!(
            "{} of {} messages are older than inboxes remember ({}), {id} was enqueued {age} ago: repeating one may handle it \
             twice; choose without them, give the --inbox-retention of the consumers, or say --may-duplicate; nothing was changed",
            old.count() + 1,
            found.messages.len(),
            span::short(window),
        )));
    }
    each(&args.chosen, found, "replayed", async |id| store.replay(id, window).await).await
}

pub(crate) async fn resend(store: &dyn Store, chosen: &Chosen) -> Result<Answer, Problem> {
    let found = choose(store, chosen, Status::Failed).await?;
    each(chosen, found, "made due", async |id| store.resend(id).await).await
}

/// Does it to one after the other, each a transaction of its own; or says what it would do it to.
async fn each(
    chosen: &Chosen,
    found: Found,
    what: &'static str,
    operation: impl AsyncFn(&MessageId) -> Result<bool, Error>,
) -> Result<Answer, Problem> {
    let all = found.messages.len();
    if all > BOUND && !chosen.yes && !chosen.dry_run {
        return Err(Problem::refused(format!(
            "{all} messages would be {what}, which is more than {BOUND}: look with --dry-run, and add --yes if that is meant"
        )));
    }
    let mut done = 0;
    if !chosen.dry_run {
        let mut pace = Pace::new(what, Some(all), chosen.rate);
        for message in &found.messages {
            pace.next(done).await;
            match operation(&message.message_id).await {
                Ok(was_there) => done += u64::from(was_there),
                Err(error) => {
                    let (id, error) = (plain(message.message_id.as_str()), chain(&error));
                    return Err(Problem::refused(format!(
                        "{done} of {all} messages were {what}, then {id} failed: {error}"
                    )));
                }
            }
        }
    }
    let json = json!({
        "dry_run": chosen.dry_run,
        "done": done,
        "messages": found.messages.iter().map(view::message).collect::<Value>(),
        "cut": found.is_cut,
    });
    let closing = match (all, chosen.dry_run) {
        (0, _) => String::new(),
        (_, true) => format!("tried only: {all} would be {what}"),
        (_, false) if done == all as u64 => format!("{done} {what}"),
        (_, false) => format!("{done} {what}; the other {} were no longer there", all as u64 - done),
    };
    let mut answer = Answer::new(table(&found.messages).or("no such messages") + &closing, json);
    answer.notes.extend(found.note());
    Ok(answer)
}
