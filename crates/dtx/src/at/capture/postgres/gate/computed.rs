//! Unique keys whose equal values the server has to recognise: on expressions, of types whose equal values differ in bytes, or
//! with nulls that are equal.
//!
//! The server's own hash of a record is the same for equal values of every type that has one, so it stands for the value. Two
//! values of one hash share a lock, which is safe.

use sqlx::{Executor, PgConnection};

use crate::DtxError;
use crate::at::call::safe;
use crate::at::catalog::{Computed, Table};

/// The number that stands for the parts of a key.
fn hash(key: &Computed) -> String {
    format!("hash_record_extended(row({}), 0)", list(key))
}

fn list(key: &Computed) -> String {
    key.parts.iter().map(|(part, _)| part.as_str()).collect::<Vec<_>>().join(", ")
}

/// The same, or null for a row that has no value of the key.
pub(in super::super) fn text(key: &Computed) -> String {
    let there = (!key.nulls_equal).then(|| format!("num_nulls({}) = 0", list(key)));
    let when: Vec<_> = key.when.iter().map(|when| format!("({when})")).chain(there).collect();
    if when.is_empty() { hash(key) } else { format!("case when {} then {} end", when.join(" and "), hash(key)) }
}

/// Refuses a key whose type the server cannot hash, by trying it out where an error does no harm.
pub(super) async fn check(conn: &mut PgConnection, table: &Table) -> Result<(), DtxError> {
    for key in &table.computed {
        conn.execute("savepoint onceward_gate").await?;
        let (hash, table, name) = (hash(key), &table.name, &key.name);
        let tried = conn.execute(safe(format!("select {hash} from (select (null::{table}).*) onceward_row"))).await;
        conn.execute("rollback to savepoint onceward_gate; release savepoint onceward_gate").await?;
        match tried {
            Ok(_) => {}
            Err(sqlx::Error::Database(_)) => {
                let part = format!("{table}, whose unique index {name} is of a type that has no hash");
                return Err(DtxError::refused(part, "make it unique on types that the server can hash"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
