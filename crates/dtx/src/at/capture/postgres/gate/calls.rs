//! Whether the functions that a statement calls only read, as far as their names and volatility tell.

use sqlx::{Arguments as _, Executor, PgConnection, Row as _};

use super::call;
use crate::DtxError;
use crate::at::plan::Calls;

/// Functions of the server itself that change something other than the answer, or outlive the transaction.
const CHANGING: [&str; 17] = [
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
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "set_config",
    "setval",
    "ts_rewrite",
    "ts_stat",
];
/// The server cuts names there.
const LONGEST_NAME: usize = 63;

/// Refuses functions that may change something by themselves.
pub(in super::super) async fn check(conn: &mut PgConnection, calls: &Calls) -> Result<(), DtxError> {
    let refused = |name: &str| {
        let part = format!("{name}(), which may change something by itself");
        DtxError::refused(part, "call it outside of the branch, or declare it STABLE if it only reads")
    };
    let Calls { functions, attributes } = calls;
    if let Some(name) = functions.iter().find(|name| CHANGING.contains(&name.as_str()) || name.starts_with("lo_")) {
        return Err(refused(name));
    }
    if functions.is_empty() && attributes.is_empty() {
        return Ok(());
    }
    // Those of extensions that are volatile for their chance only may be called. An attribute is a function of a row.
    let text = "select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
                where (p.proname = any($1::text[]) or p.proname = any($2::text[]) and p.pronargs = 1 and exists \
                    (select from pg_type t where t.oid = p.proargtypes[0] and t.typtype in ('c', 'p'))) \
                and p.provolatile = 'v' and n.nspname <> 'pg_catalog' \
                and not (p.proname ~ '^(gen_random_|gen_salt$|uuid_generate_)' and exists (select from pg_depend d \
                    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')) limit 1";
    let cut = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| name[..name.floor_char_boundary(LONGEST_NAME)].to_owned()).collect()
    };
    let bound = call(text, |args| args.add(cut(functions)).and_then(|()| args.add(cut(attributes))))?;
    conn.fetch_optional(bound).await?.map_or(Ok(()), |row| Err(refused(row.try_get(0)?)))
}
