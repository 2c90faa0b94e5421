//! The texts that capture a write in one statement.
//!
//! `onceward_before` locks the rows and holds their images, `onceward_changed` changes exactly these and answers the images
//! after, `onceward_undo` writes both into `undo_log`. Rows are joined by their primary key: by `ctid`, a row that a
//! concurrent writer has just moved is silently left out.

use sqlx::SqlStr;

use crate::DtxError;
use crate::at::call::safe;
use crate::at::catalog::Table;
use crate::at::image::{Kind, record};
use crate::at::plan::Write;

/// How many columns of ours stand behind the user's: the relation, the image before, the image after.
pub(super) const PRIVATE: usize = 3;
/// What the names of ours begin with; the gate refuses columns that do.
pub(super) const PREFIX: &str = "onceward_";
/// How many arguments of ours stand behind the user's.
pub(super) const OWN_ARGUMENTS: usize = 4;
/// What the server says if a row was imaged and not changed.
const MISSED: &str = "onceward: rows imaged and changed differ";
const NOW: &str = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";

/// The texts of a captured write.
#[derive(Debug)]
pub struct Prepared {
    /// Writes the undo record too. Behind the user's arguments it takes xid, branch, context and `head`.
    pub(super) with_undo: SqlStr,
    pub(super) alone: SqlStr,
    /// What the undo record begins with.
    pub(super) head: Vec<u8>,
}

pub(super) fn prepare(table: &Table, write: &Write) -> Prepared {
    let changed = match write.kind {
        Kind::Insert => inserted(write),
        Kind::Update => format!("{}, {}", before(table, write), updated(table, write)),
        Kind::Delete => format!("{}, {}", before(table, write), deleted(table, write)),
    };
    let checked = if write.kind == Kind::Insert { String::new() } else { checked() };
    let undo = undo(write.arguments);
    Prepared {
        with_undo: safe(format!("with {changed}, {undo} select * from onceward_changed{checked}")),
        alone: safe(format!("with {changed} select * from onceward_changed{checked}")),
        head: record::head(&table.step(write.kind)),
    }
}

/// A whole row with the types of its columns, in the server's binary form.
pub(super) fn record(row: &str) -> String {
    format!("record_send(row({row}.*))")
}

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn keys<'a>(table: &'a Table) -> impl Iterator<Item = (usize, String)> + 'a {
    table.key.iter().enumerate().map(|(n, &at)| (n, table.columns.get(at).map(|name| quoted(name)).unwrap_or_default()))
}

fn before(table: &Table, write: &Write) -> String {
    let Write { table: name, alias, row, filter, .. } = write;
    let keys: String = keys(table).map(|(n, key)| format!("{row}.{key} as {PREFIX}k{n}, ")).collect();
    let unique = |column: &String| {
        let at = table.position(column);
        table.uniques.iter().any(|unique| unique.columns.iter().any(|(other, _)| Some(*other) == at))
    };
    // The stronger lock only where the change needs it: it would block whoever inserts a row that refers to this one.
    let lock = if write.kind == Kind::Delete || write.set.iter().any(unique) { "update" } else { "no key update" };
    let image = record(row);
    format!(
        "onceward_before as materialized (select {keys}{image} as onceward_old \
         from {name}{alias}{filter} for {lock} of {row})"
    )
}

/// The condition that joins the row with its image.
fn joined(table: &Table, row: &str) -> String {
    let pairs: Vec<_> = keys(table).map(|(n, key)| format!("{row}.{key} = {PREFIX}k{n}")).collect();
    pairs.join(" and ")
}

fn returning(write: &Write, old: &str, new: &str) -> String {
    let users = write.returning.as_ref().map(|list| format!("{list}, ")).unwrap_or_default();
    let row = &write.row;
    format!("returning {users}{row}.tableoid::bigint as onceward_table, {old} as onceward_old, {new} as onceward_new")
}

fn inserted(write: &Write) -> String {
    let returning = returning(write, "null::bytea", &record(&write.row));
    format!("onceward_changed as ({}\n{returning})", write.body)
}

fn updated(table: &Table, write: &Write) -> String {
    let Write { table: name, alias, row, assignments, .. } = write;
    let (joined, returning) = (joined(table, row), returning(write, "onceward_before.onceward_old", &record(row)));
    format!(
        "onceward_changed as (update {name}{alias} set {assignments} from onceward_before where {joined} {returning})"
    )
}

fn deleted(table: &Table, write: &Write) -> String {
    let Write { table: name, alias, row, .. } = write;
    let (joined, returning) = (joined(table, row), returning(write, "onceward_before.onceward_old", "null::bytea"));
    format!("onceward_changed as (delete from {name}{alias} using onceward_before where {joined} {returning})")
}

/// A condition without columns is evaluated once and first. A cast that fails is how plain SQL raises an error.
fn checked() -> String {
    format!(
        " where (select case when b.n = c.n then true else ('{MISSED}: ' || b.n || ', ' || c.n)::boolean end \
         from (select count(*) as n from onceward_before) b, (select count(*) as n from onceward_changed) c)"
    )
}

fn undo(arguments: usize) -> String {
    let [xid, branch, context, head] = [1, 2, 3, 4].map(|n| format!("${}", arguments + n));
    let image = |name: &str| format!("coalesce(int4send(length({name})) || {name}, int4send(-1))");
    let (old, new) = (image("onceward_old"), image("onceward_new"));
    format!(
        "onceward_undo as (insert into undo_log \
         (xid, branch_id, context, rollback_info, log_status, log_created, log_modified) \
         select {xid}, {branch}, {context}, i.image || substr(sha256(i.image), 1, 8), 0, {NOW}, {NOW} \
         from (select {head} || string_agg({old} || {new}, ''::bytea) as image, count(*) as n from onceward_changed) i \
         where i.n > 0)"
    )
}

/// Tells a row that moved under the statement from an error of the statement.
pub(super) fn explained(error: sqlx::Error, table: &Table) -> sqlx::Error {
    let missed = error.as_database_error().is_some_and(|answer| answer.message().contains(MISSED));
    if missed { DtxError::Moved { table: table.name.clone() }.into() } else { error }
}
