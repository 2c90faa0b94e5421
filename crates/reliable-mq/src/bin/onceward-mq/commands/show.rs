//! `show`: all about one message.

use std::fmt::Write;

use onceward_backend::internal::cli::{Answer, Problem, Table, plain, span};
use onceward_reliable_mq::{Envelope, MessageFilter, MessageId, MessageInfo, Status, Store};
use serde_json::{Value, json};

use crate::view::{self, Payload};

pub(crate) async fn run(store: &dyn Store, id: &MessageId, payload: bool) -> Result<Answer, Problem> {
    let mut found = store.messages(&MessageFilter::of(id)).await?;
    // One that was sent twice under its id, or sent and enqueued again, is shown where it stands last.
    found.sort_by_key(|shown| (shown.status != Status::Sent, std::cmp::Reverse(shown.since)));
    let (message, attempts) = (store.message(id).await?, store.attempts(id).await?);
    let shown = found.pop();
    if shown.is_none() && attempts.is_empty() {
        let id = plain(id.as_str());
        return Err(Problem::refused(format!(
            "no message {id}: check the id; what was sent is forgotten after the history's retention, or at once if none is kept"
        )));
    }
    let payload = message.as_ref().filter(|_| payload).map(Payload::of);
    let mut text = standing(id, shown.as_ref());
    if let Some(message) = &message {
        let _ = write!(text, "\nheaders:\n{}", headers(message).or("none"));
    }
    let _ = write!(text, "\nattempts:\n{}", view::attempts(&attempts).or("none in the history"));
    if let Some(payload) = &payload {
        let _ = write!(text, "\n{}", said(payload));
    }
    let json = json!({
        "message": shown.as_ref().map(view::message),
        "headers": message.as_ref().map(|message| message.headers()),
        "history": attempts.iter().map(view::attempt).collect::<Value>(),
        "payload": payload.map(|payload| payload.json()),
    });
    Ok(Answer::new(text, json))
}

fn standing(id: &MessageId, shown: Option<&MessageInfo>) -> String {
    let id = plain(id.as_str());
    let Some(shown) = shown else {
        return format!("{id}\nnot here any more: it was sent and no row of that is kept, or it was purged\n");
    };
    let mut text = format!("{id}  {}", plain(&shown.topic));
    if let Some(key) = &shown.key {
        let _ = write!(text, "  {}", plain(key));
    }
    let (state, since, age) = (shown.status.as_str(), span::short(shown.since), span::short(shown.age));
    let _ = match shown.status {
        Status::Sent => write!(text, "\nsent {since} ago, attempts: {}", shown.attempts),
        _ => write!(text, "\n{state} for {since}, enqueued {age} ago, attempts: {}", shown.attempts),
    };
    if let Some(due) = shown.due {
        let _ = write!(text, ", due in {}", span::short(due));
    }
    if let Some(xid) = &shown.xid {
        let _ = write!(text, ", held back by the global transaction {}", plain(xid));
    }
    if let Some(error) = &shown.last_error {
        let _ = write!(text, "\n{}", plain(error));
    }
    if shown.blocks {
        text.push_str("\nthose of its key behind it wait for it: see `onceward-mq release`");
    }
    text.push('\n');
    text
}

fn headers(message: &Envelope) -> Table {
    let mut table = Table::new(["HEADER", "VALUE"]);
    message.headers().iter().for_each(|(name, value)| table.row([name.clone(), value.clone()]));
    table
}

fn said(payload: &Payload) -> String {
    let cut = if payload.is_cut { ", cut" } else { "" };
    let (form, shown) = match &payload.shown {
        // Its own lines stay lines; orders to a terminal do not stay orders.
        Ok(text) => ("text", text.lines().map(plain).collect::<Vec<_>>().join("\n")),
        Err(hex) => ("hexadecimal", hex.clone()),
    };
    format!("payload, {} bytes, as {form}{cut}:\n{shown}\n", payload.bytes)
}
