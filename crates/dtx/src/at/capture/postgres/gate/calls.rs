//! Whether the functions that a statement calls only read, as far as their names and volatility tell.

use sqlx::{Arguments as _, Executor, PgConnection, Row as _};

use super::call;
use crate::DtxError;

/// Functions of the server itself that change something other than the answer, or outlive the transaction.
const CHANGING: [&str; 13] = [
    "lowrite",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_cancel_backend",
    "pg_notify",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "set_config",
    "setval",
];
/// Functions of extensions that are volatile for their chance only.
const CHANCE: [&str; 3] = ["gen_random_", "gen_salt", "uuid_generate_"];
/// The server cuts names there.
const LONGEST_NAME: usize = 63;

/// Refuses functions that may change something by themselves.
pub(in super::super) async fn check(conn: &mut PgConnection, calls: &[String]) -> Result<(), DtxError> {
    let refused = |name: &str| {
        let part = format!("{name}(), which may change something by itself");
        DtxError::refused(part, "call it outside of the branch, or declare it STABLE if it only reads")
    };
    if let Some(name) = calls.iter().find(|name| CHANGING.contains(&name.as_str()) || name.starts_with("lo_")) {
        return Err(refused(name));
    }
    let named = calls.iter().filter(|name| !CHANCE.iter().any(|chance| name.starts_with(chance)));
    let named: Vec<_> = named.map(|name| &name[..name.floor_char_boundary(LONGEST_NAME)]).collect();
    if named.is_empty() {
        return Ok(());
    }
    let text = "select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
                where p.proname = any($1::text[]) and p.provolatile = 'v' and n.nspname <> 'pg_catalog' limit 1";
    let found = conn.fetch_optional(call(text, |args| args.add(named))?).await?;
    found.map_or(Ok(()), |row| Err(refused(row.try_get(0)?)))
}
