//! `locks` and `waiters`: rows by who holds them, and who wants them.

use onceward_backend::internal::cli::{Answer, Problem, Table, span};
use onceward_dtx::{Dtx, LockInfo};
use serde_json::json;

use crate::args::LockArgs;
use crate::view;

pub(crate) const HELD: [&str; 6] = ["RESOURCE", "TABLE", "KEY", "XID", "AGE", "HELD FOR"];

/// A lock under that head.
pub(crate) fn held(lock: &LockInfo) -> [String; 6] {
    let what_for = if lock.parked { "its parked branch" } else { "its transaction" };
    let LockInfo { resource_id, table, key, xid, age, .. } = lock;
    [resource_id.clone(), table.clone(), key.clone(), xid.clone(), span::short(*age), what_for.to_owned()]
}

pub(crate) async fn locks(dtx: &Dtx, args: &LockArgs) -> Result<Answer, Problem> {
    let is_wanted = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
    let mut locks = dtx.locks().await?;
    locks.retain(|lock| {
        is_wanted(&args.resource_id, &lock.resource_id)
            && is_wanted(&args.table, &lock.table)
            && is_wanted(&args.xid, &lock.xid)
    });
    let place = |lock: &LockInfo| (lock.resource_id.clone(), lock.table.clone(), lock.key.clone());
    locks.sort_by_cached_key(place);
    let mut table = Table::new(HELD);
    locks.iter().for_each(|lock| table.row(held(lock)));
    let json = json!({ "locks": locks.iter().map(view::lock).collect::<Vec<_>>() });
    Ok(Answer::new(table.or("no such locks"), json))
}

pub(crate) async fn waiters(dtx: &Dtx) -> Result<Answer, Problem> {
    let waiters = dtx.waiters().await?;
    let mut table = Table::new(["XID", "WANTS", "TABLE", "KEY", "HELD BY"]);
    for waiter in &waiters {
        for (row, holder) in &waiter.wants {
            let holder = holder.clone().unwrap_or_default();
            table.row([waiter.xid.clone(), row.resource_id.clone(), row.table.clone(), row.key.clone(), holder]);
        }
    }
    let shown = waiters
        .iter()
        .map(|waiter| json!({ "xid": waiter.xid, "wants": waiter.wants.iter().map(view::wanted).collect::<Vec<_>>() }));
    let json = json!({ "waiters": shown.collect::<Vec<_>>() });
    Ok(Answer::new(table.or("nobody waits for a row"), json))
}
