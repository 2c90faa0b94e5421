//! `show`: all about one transaction.

use std::fmt::Write;

use onceward_backend::internal::cli::{Answer, Problem, Table, plain, span};
use onceward_dtx::{Dtx, TransactionFilter, TransactionInfo};
use serde_json::json;

use super::rows::{HELD, held};
use crate::view;

pub(crate) async fn run(dtx: &Dtx, xid: &str) -> Result<Answer, Problem> {
    let mut found = dtx.transactions(&TransactionFilter::of(xid)).await?;
    let Some(shown) = found.pop() else { return Err(unknown(xid)) };
    Ok(Answer::new(text(&shown), json!({ "transaction": view::transaction(&shown) })))
}

/// The coordinator has not heard of it, or not any more.
pub(crate) fn unknown(xid: &str) -> Problem {
    let xid = plain(xid);
    Problem::refused(format!(
        "no transaction {xid}: check the xid; what was over is forgotten after the coordinator's retention"
    ))
}

fn text(shown: &TransactionInfo) -> String {
    let mut text = format!("{}  {}\n{}", plain(&shown.xid), plain(&shown.name), view::state(shown.status));
    let because = shown.reason.map_or_else(String::new, |reason| format!(" because {reason}"));
    let _ = writeln!(
        text,
        "{because}, began {} ago, attempts of the second phase: {}",
        span::short(shown.age),
        shown.tries
    );

    let mut branches = Table::new(["BRANCH", "RESOURCE", "STATE"]);
    for branch in &shown.branches {
        let id = branch.branch_id.to_string();
        branches.row([id, branch.resource_id.clone(), branch.status.as_str().to_owned()]);
    }
    let mut locks = Table::new(HELD);
    shown.locks.iter().for_each(|lock| locks.row(held(lock)));
    let mut wants = Table::new(["RESOURCE", "TABLE", "KEY", "HELD BY"]);
    for (row, holder) in &shown.wants {
        let holder = holder.clone().unwrap_or_default();
        wants.row([row.resource_id.clone(), row.table.clone(), row.key.clone(), holder]);
    }
    let mut waiters = Table::new(["XID"]);
    shown.waiters.iter().for_each(|waiter| waiters.row([waiter.clone()]));

    let parts = [
        ("branches", branches.or("none")),
        ("rows that it holds", locks.or("none")),
        ("rows that it waits for", wants.or("none")),
        ("who waits for its rows", waiters.or("nobody")),
    ];
    for (title, table) in parts {
        let _ = write!(text, "\n{title}:\n{table}");
    }
    text
}
