//! The texts that capture a write in one statement.
//!
//! `onceward_before` locks the rows and holds their images, `onceward_changed` changes exactly these and answers the images
//! after, `onceward_undo` writes both into `undo_log`. Rows are joined by their primary key: by `ctid`, a row that a
//! concurrent writer has just moved is silently left out.

use sqlx::SqlStr;

use crate::DtxError;
use crate::at::call::safe;
use crate::at::catalog::{Computed, Table};
use crate::at::image::{Kind, record};
use crate::at::plan::{Lock, Write};

/// How many columns of ours stand behind the user's: the relation, the image before, the image after; behind these, each key
/// that the server computes before and after.
pub(super) fn private(table: &Table) -> usize {
    3 + 2 * table.computed.len()
}

/// How many columns of ours stand behind those of a query that locks: the relation, the key.
pub(super) const PRIVATE_OF_LOCK: usize = 2;
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
    let (with, undo) = (&write.with, undo(write.arguments));
    let changed = match write.kind {
        Kind::Insert => inserted(table, write),
        Kind::Update => format!("{}, {}", before(table, write), updated(table, write)),
        Kind::Delete => format!("{}, {}", before(table, write), deleted(table, write)),
    };
    let checked = if write.kind == Kind::Insert { String::new() } else { checked() };
    Prepared {
        with_undo: safe(format!("{with}{changed}, {undo} select * from onceward_changed{checked}")),
        alone: safe(format!("{with}{changed} select * from onceward_changed{checked}")),
        head: record::head(&table.step(write)),
    }
}

/// A query with the relation and the key of each row behind the user's columns.
pub(super) fn locking(table: &Table, Lock { row, head, tail, bare, .. }: &Lock) -> SqlStr {
    let keys: Vec<_> = keys(table).map(|(_, key)| format!("{row}.{key}")).collect();
    let (comma, keys) = (if *bare { "" } else { ", " }, keys.join(", "));
    safe(format!(
        "{head}{comma}{row}.tableoid::bigint as onceward_table, record_send(row({keys})) as onceward_key {tail}"
    ))
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

/// The keys of a row that the server computes, with names that begin like that.
fn computed(table: &Table, row: &str, name: &str) -> String {
    let one = |(n, key): (usize, &Computed)| {
        format!(", (select {} from (select {row}.*) onceward_row) as onceward_{name}{n}", super::gate::computed(key))
    };
    table.computed.iter().enumerate().map(one).collect()
}

fn before(table: &Table, write: &Write) -> String {
    let Write { table: name, alias, row, from, filter, .. } = write;
    let keys: String = keys(table).map(|(n, key)| format!("{row}.{key} as onceward_k{n}, ")).collect();
    let unique = |column: &String| {
        let at = table.position(column);
        let plain = table.uniques.iter().any(|unique| unique.columns.iter().any(|(other, _)| Some(*other) == at));
        plain || table.computed.iter().any(|key| key.columns.iter().any(|other| Some(*other) == at))
    };
    // The stronger lock only where the change needs it: it would block whoever inserts a row that refers to this one.
    let lock = if write.kind == Kind::Delete || write.set.iter().any(unique) { "update" } else { "no key update" };
    let (image, computed) = (record(row), computed(table, row, "w"));
    let others = if from.is_empty() { String::new() } else { format!(", {from}") };
    let chosen = if filter.is_empty() { String::new() } else { format!(" where {filter}") };
    let rows = format!(
        "select {keys}{image} as onceward_was{computed} from {name}{alias}{others}{chosen} for {lock} of {row}"
    );
    if from.is_empty() {
        return format!("onceward_before as materialized ({rows})");
    }
    // A row that several others match is one row. Each match is locked by itself, since another may hold when one no longer does.
    let keys: Vec<_> = (0..table.key.len()).map(|n| format!("onceward_k{n}")).collect();
    let keys = keys.join(", ");
    format!("onceward_before as materialized (select distinct on ({keys}) * from ({rows}) onceward_matches)")
}

/// The other tables of a change and the condition that joins its row with them and with its image.
fn joined(table: &Table, Write { row, from, filter, .. }: &Write) -> (String, String) {
    let pairs: Vec<_> = keys(table).map(|(n, key)| format!("{row}.{key} = onceward_k{n}")).collect();
    let pairs = pairs.join(" and ");
    match (from.as_str(), filter.as_str()) {
        ("", _) => ("onceward_before".to_owned(), pairs),
        (from, "") => (format!("{from}, onceward_before"), pairs),
        (from, filter) => (format!("{from}, onceward_before"), format!("{pairs} and ({filter})")),
    }
}

/// What a change answers: the user's list, the relation, the images, the keys.
fn returning(table: &Table, write: &Write) -> String {
    let Write { kind, row, returning, .. } = write;
    let users = returning.as_ref().map(|list| format!("{list}, ")).unwrap_or_default();
    let (old, was) = match kind {
        Kind::Insert => ("null::bytea", "null::bigint"),
        Kind::Update | Kind::Delete => ("onceward_before.onceward_was", "onceward_before.onceward_w"),
    };
    let new = if *kind == Kind::Delete { "null::bytea".to_owned() } else { record(row) };
    let was = |n| if *kind == Kind::Insert { was.to_owned() } else { format!("{was}{n}") };
    let before: String = (0..table.computed.len()).map(|n| format!(", {} as onceward_o{n}", was(n))).collect();
    let after = match kind {
        Kind::Delete => (0..table.computed.len()).map(|n| format!(", null::bigint as onceward_n{n}")).collect(),
        Kind::Insert | Kind::Update => computed(table, row, "n"),
    };
    format!(
        "returning {users}{row}.tableoid::bigint as onceward_table, {old} as onceward_old, {new} as onceward_new{before}{after}"
    )
}

fn inserted(table: &Table, write: &Write) -> String {
    format!("onceward_changed as ({}\n{})", write.body, returning(table, write))
}

fn updated(table: &Table, write: &Write) -> String {
    let Write { table: name, alias, assignments, .. } = write;
    let ((from, joined), returning) = (joined(table, write), returning(table, write));
    format!("onceward_changed as (update {name}{alias} set {assignments} from {from} where {joined} {returning})")
}

fn deleted(table: &Table, write: &Write) -> String {
    let Write { table: name, alias, .. } = write;
    let ((using, joined), returning) = (joined(table, write), returning(table, write));
    format!("onceward_changed as (delete from {name}{alias} using {using} where {joined} {returning})")
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

/// Tells a row that moved under the statement, or a table that is watched by now, from an error of the statement.
pub(super) fn explained(error: sqlx::Error, table: &Table) -> sqlx::Error {
    let answer = error.as_database_error();
    let missed = answer.is_some_and(|answer| answer.message().contains(MISSED));
    // It is watched since the catalogue was read: the next time, the transaction says whose it is.
    let unknown = answer.is_some_and(|answer| answer.code().as_deref() == Some(super::watch::REFUSED));
    if missed || unknown { DtxError::Moved { table: table.name.clone() }.into() } else { error }
}
