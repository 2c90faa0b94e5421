//! What the library answers, as JSON with names that stay, and in the words of tables.

use onceward_backend::internal::cli::span::millis;
use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::{
    BranchInfo, BranchStatus, GlobalStatus, LockInfo, ParkedInfo, ParkedRow, RowText, TransactionInfo, UndoInfo,
};
use serde_json::{Map, Value, json};

/// The name of a state, as `--state` takes it.
pub(crate) fn state(status: GlobalStatus) -> String {
    status.as_str().replace(' ', "-")
}

pub(crate) fn transaction(shown: &TransactionInfo) -> Value {
    json!({
        "xid": shown.xid,
        "name": shown.name,
        "state": state(shown.status),
        "reason": shown.reason.map(|reason| reason.as_str()),
        "age_ms": millis(shown.age),
        "tries": shown.tries,
        "branches": shown.branches.iter().map(branch).collect::<Vec<_>>(),
        "locks": shown.locks.iter().map(lock).collect::<Vec<_>>(),
        "wants": shown.wants.iter().map(wanted).collect::<Vec<_>>(),
        "waiters": shown.waiters,
    })
}

fn branch(shown: &BranchInfo) -> Value {
    // As a string: readers of JSON that know only floats would make another branch of it.
    json!({
        "branch_id": shown.branch_id.to_string(),
        "resource_id": shown.resource_id,
        "state": shown.status.as_str(),
    })
}

/// Done branches, of all.
pub(crate) fn done(branches: &[BranchInfo]) -> String {
    let done = branches.iter().filter(|branch| branch.status == BranchStatus::Done).count();
    format!("{done}/{}", branches.len())
}

pub(crate) fn lock(shown: &LockInfo) -> Value {
    json!({
        "resource_id": shown.resource_id,
        "table": shown.table,
        "key": shown.key,
        "xid": shown.xid,
        "age_ms": millis(shown.age),
        "parked": shown.parked,
    })
}

pub(crate) fn wanted((row, holder): &(LockKey, Option<String>)) -> Value {
    json!({ "resource_id": row.resource_id, "table": row.table, "key": row.key, "holder": holder })
}

pub(crate) fn undo(shown: &UndoInfo) -> Value {
    json!({
        "resource_id": shown.resource_id,
        "xid": shown.xid,
        "branch_id": shown.branch_id.to_string(),
        "age_ms": millis(shown.age),
    })
}

pub(crate) fn parked(shown: &ParkedInfo) -> Value {
    json!({
        "resource_id": shown.resource_id,
        "xid": shown.xid,
        "branch_id": shown.branch_id.to_string(),
        "age_ms": millis(shown.age),
        "reason": shown.reason,
    })
}

pub(crate) fn row(shown: &ParkedRow) -> Value {
    json!({
        "table": shown.table,
        "key": shown.key,
        "before": values(shown.before.as_ref()),
        "after": values(shown.after.as_ref()),
        "now": values(shown.current.as_ref()),
        "differs": shown.differs,
        "problem": shown.problem,
    })
}

fn values(row: Option<&RowText>) -> Value {
    let object =
        |row: &RowText| row.iter().map(|(column, value)| (column.clone(), json!(value))).collect::<Map<_, _>>();
    row.map_or(Value::Null, |row| Value::Object(object(row)))
}
