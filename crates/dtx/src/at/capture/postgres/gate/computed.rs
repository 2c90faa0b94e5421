//! Unique keys whose equal values the server has to recognise: on expressions, of types whose equal values differ in bytes, or
//! with nulls that are equal.
//!
//! The server's own hash of a record is the same for equal values of every type that has one, so it stands for the value. Two
//! values of one hash share a lock, which is safe.

use sqlx::{Executor, PgConnection};

use crate::DtxError;
use crate::at::call::safe;
use crate::at::catalog::{Computed, Table};

/// The key of an index on these parts, of rows that meet `only`.
pub(super) fn key(name: String, parts: &[String], only: Option<String>, nulls_equal: bool) -> Computed {
    let list = parts.join(", ");
    // Nulls are equal to nothing, so such a row has no value of this key.
    let distinct = (!nulls_equal).then(|| format!("num_nulls({list}) = 0"));
    let when: Vec<_> = only.map(|only| format!("({only})")).into_iter().chain(distinct).collect();
    Computed {
        name,
        hash: format!("hash_record_extended(row({list}), 0)"),
        when: when.join(" and "),
        columns: Vec::new(),
    }
}

/// Refuses a key whose type the server cannot hash, by trying it out where an error does no harm.
pub(super) async fn check(conn: &mut PgConnection, table: &Table) -> Result<(), DtxError> {
    for Computed { name, hash, .. } in &table.server.computed {
        conn.execute("savepoint onceward_gate").await?;
        let table = &table.name;
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
