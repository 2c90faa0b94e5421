//! `list`: transactions by state, age and attempts.

use std::time::Duration;

use onceward_backend::internal::cli::{Answer, Problem, Table, span};
use onceward_dtx::{Dtx, TransactionFilter};
use serde_json::json;

use crate::args::ListArgs;
use crate::view;

/// What is younger is on its way.
const STUCK: Duration = Duration::from_secs(30);

pub(crate) async fn run(dtx: &Dtx, args: &ListArgs) -> Result<Answer, Problem> {
    // One more than is shown, to know whether that is all.
    let filter = filter(args).with_tries(args.tries).with_limit(args.limit.saturating_add(1));
    let mut found = dtx.transactions(&filter).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let is_cut = found.len() > limit;
    found.truncate(limit);

    let mut table = Table::new(["XID", "NAME", "STATE", "REASON", "AGE", "TRIES", "BRANCHES", "LOCKS", "WAITERS"]);
    for shown in &found {
        table.row([
            shown.xid.clone(),
            shown.name.clone(),
            view::state(shown.status),
            shown.reason.map_or("", |reason| reason.as_str()).to_owned(),
            span::short(shown.age),
            shown.tries.to_string(),
            view::done(&shown.branches),
            shown.locks.len().to_string(),
            shown.waiters.len().to_string(),
        ]);
    }
    let transactions: Vec<_> = found.iter().map(view::transaction).collect();
    let json = json!({ "transactions": transactions, "cut": is_cut });
    let mut answer = Answer::new(table.or("no such transactions"), json);
    if is_cut {
        answer.notes.push(format!("there are more; these are the oldest {limit}: raise --limit to see the rest"));
    }
    Ok(answer)
}

fn filter(args: &ListArgs) -> TransactionFilter {
    if args.stuck {
        return TransactionFilter::stuck(args.older_than.unwrap_or(STUCK));
    }
    let filter = TransactionFilter::default().with_older_than(args.older_than.unwrap_or_default());
    if args.states.is_empty() { filter } else { filter.in_states(args.states.iter().map(|state| (*state).into())) }
}
