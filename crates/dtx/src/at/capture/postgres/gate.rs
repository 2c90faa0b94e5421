//! What PostgreSQL's catalogue must say before changes of a table are captured.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Executor, PgConnection, Postgres, Row as _};

use super::cell::KEYS;
use super::text::PREFIX;
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::catalog::{Collation, Incoming, Server, Table, Unique};

/// Tables of this workspace's own bookkeeping.
const OWN: [&str; 3] = ["undo_log", "dtx_", "onceward_"];
/// Functions of the server itself that change something other than the answer.
const CHANGING: [&str; 5] =
    ["set_config", "setval", "pg_advisory_unlock_all", "pg_cancel_backend", "pg_terminate_backend"];

const RELATION: &str = "select c.oid::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname::text, \
    c.relname::text, c.relkind::text, c.relpersistence::text, row_security_active(c.oid), \
    exists (select from pg_rewrite r where r.ev_class = c.oid), \
    exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent)), \
    (select g.tgname::text from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal limit 1), \
    (select k.conname::text from pg_constraint k where k.conrelid = c.oid and k.contype = 'x' limit 1), \
    exists (select from pg_constraint k where c.oid in (k.conrelid, k.confrelid) and k.condeferrable) \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)";

const COLUMNS: &str = "select a.attnum::bigint, a.attname::text, a.atttypid::bigint, \
    (case when t.typtype = 'd' then t.typbasetype else a.atttypid end)::bigint, a.attgenerated <> '', t.typtype::text, \
    coalesce(e.typtype::text, ''), coalesce(o.collisdeterministic, true) \
    from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type e on e.oid = t.typelem \
    left join pg_collation o on o.oid = a.attcollation \
    where a.attrelid = $1::bigint::oid and a.attnum > 0 and not a.attisdropped order by a.attnum";

const INDEXES: &str = "select c.relname::text, i.indisprimary, i.indimmediate, \
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), \
    (i.indkey::int2[])[0:i.indnkeyatts - 1]::bigint[] \
    from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = $1::bigint::oid and i.indisunique \
    order by c.relname";

const INCOMING: &str = "select c.conrelid::regclass::text, c.confdeltype::text, c.confupdtype::text, c.confkey::bigint[] \
    from pg_constraint c where c.confrelid = $1::bigint::oid and c.contype = 'f' order by c.oid";

/// A column with its place in the catalogue.
struct Column {
    number: i64,
    /// True if equal values of it can be told by their bytes.
    keyed: bool,
}

pub(super) async fn table(conn: &mut PgConnection, asked: &str) -> Result<Table, DtxError> {
    let found = conn.fetch_optional(call(RELATION, |args| args.add(asked))?).await?;
    let Some(row) = found else {
        return Err(DtxError::refused(format!("the unknown table {asked}"), "create it before the branch begins"));
    };
    let (mut table, relation) = relation(&row)?;
    let by_relation = |text: &'static str| call(text, |args| args.add(relation));
    let columns = columns(&mut table, conn.fetch_all(by_relation(COLUMNS)?).await?)?;
    for row in conn.fetch_all(by_relation(INDEXES)?).await? {
        index(&mut table, &columns, &row)?;
    }
    if table.key.is_empty() {
        return Err(DtxError::refused(format!("{}, which has no primary key", table.name), "give it one"));
    }
    for row in conn.fetch_all(by_relation(INCOMING)?).await? {
        let (child, on_delete, on_update): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let numbers: Vec<i64> = row.try_get(3)?;
        let names = numbers.iter().filter_map(|number| table.columns.get(position(&columns, *number)?).cloned());
        let changes = |action: &str| !matches!(action, "a" | "r");
        let (on_delete, on_update) = (changes(&on_delete), changes(&on_update));
        let columns = names.collect();
        table.incoming.push(Incoming { child, columns, on_delete, on_update });
    }
    Ok(table)
}

fn relation(row: &PgRow) -> Result<(Table, i64), DtxError> {
    let (relation, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let (schema, bare): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let (kind, persistence): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    if OWN.iter().any(|own| bare == *own || (own.ends_with('_') && bare.starts_with(own))) {
        return Err(DtxError::refused(format!("the bookkeeping table {name}"), "leave it alone"));
    }
    let refusals: [(bool, &str, &str); 6] = [
        (persistence == "t", "which is temporary", "use a table that all connections see"),
        (kind == "p", "which is partitioned", "change a partition by its name"),
        (kind != "r", "which is no ordinary table", "change the tables behind it"),
        (row.try_get(6)?, "whose policies hide rows from this role", "use a role that bypasses row-level security"),
        (row.try_get(7)?, "which has rules", "do in the branch what the rule does"),
        (row.try_get(8)?, "which inherits, or is inherited from", "use tables without inheritance"),
    ];
    if let Some((_, why, instead)) = refusals.iter().find(|(refused, ..)| *refused) {
        return Err(DtxError::refused(format!("{name}, {why}"), *instead));
    }
    if let Some(trigger) = row.try_get::<Option<String>, _>(9)? {
        let part = format!("{name}, whose trigger {trigger} may change other rows");
        return Err(DtxError::refused(part, "do in the branch what the trigger does"));
    }
    if let Some(constraint) = row.try_get::<Option<String>, _>(10)? {
        let part = format!("{name}, whose constraint {constraint} excludes by more than equality");
        return Err(DtxError::refused(part, "use a unique constraint"));
    }
    let number = u32::try_from(relation).map_err(|_| DtxError::Corrupt("the number of a relation"))?;
    let server = Server { relation: number, deferrable: row.try_get(11)?, ..Server::default() };
    // By the bare name where that is enough: it is what resource managers of other languages lock by.
    let locked_as = if schema == "public" { bare } else { format!("{schema}.{bare}") };
    Ok((Table { name, locked_as, server, ..Table::default() }, relation))
}

fn columns(table: &mut Table, rows: Vec<PgRow>) -> Result<Vec<Column>, DtxError> {
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let (number, column): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let (kind, element): (String, String) = (row.try_get(5)?, row.try_get(6)?);
        if kind == "m" || element == "m" {
            let part = format!("{}, whose column {column} holds multiranges", table.name);
            return Err(DtxError::refused(part, "the driver cannot bind them: store ranges in rows of their own"));
        }
        if column.starts_with(PREFIX) {
            let part = format!("{}, whose column {column} has a name of this crate", table.name);
            return Err(DtxError::refused(part, "name it otherwise"));
        }
        let (declared, base): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let [declared, base] = [declared, base].map(|number| u32::try_from(number).unwrap_or_default());
        let keyed = (kind == "e" || KEYS.contains(&base)) && row.try_get(7)?;
        table.columns.push(column);
        table.server.types.push(declared);
        table.server.bases.push(base);
        table.server.generated.push(row.try_get(4)?);
        columns.push(Column { number, keyed });
    }
    Ok(columns)
}

fn index(table: &mut Table, columns: &[Column], row: &PgRow) -> Result<(), DtxError> {
    let (name, primary, immediate): (String, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let numbers: Vec<i64> = row.try_get(4)?;
    // An expression has the number 0. A partial index is taken for a whole one: that locks more than it has to.
    let places: Option<Vec<_>> = numbers
        .iter()
        .map(|number| position(columns, *number).filter(|at| columns.get(*at).is_some_and(|column| column.keyed)))
        .collect();
    let Some(places) = places else {
        let part = format!("{}, whose unique index {name} compares by more than bytes", table.name);
        let instead = "make it unique on plain columns of integers, texts, uuids, dates or numerics";
        return Err(DtxError::refused(part, instead));
    };
    if primary && !immediate {
        let part = format!("{}, whose primary key is deferrable", table.name);
        return Err(DtxError::refused(part, "declare it NOT DEFERRABLE"));
    }
    if row.try_get(3)? {
        let part = format!("{}, whose unique index {name} takes nulls for equal", table.name);
        return Err(DtxError::refused(part, "declare it NULLS DISTINCT"));
    }
    match primary {
        true => table.key = places,
        false => {
            let columns = places.into_iter().map(|at| (at, Collation::Binary)).collect();
            table.uniques.push(Unique { name, columns });
        }
    }
    Ok(())
}

fn position(columns: &[Column], number: i64) -> Option<usize> {
    columns.iter().position(|column| column.number == number)
}

/// Refuses functions that may change something by themselves, as their volatility says.
pub(super) async fn calls(conn: &mut PgConnection, calls: &[String]) -> Result<(), DtxError> {
    if calls.is_empty() {
        return Ok(());
    }
    let refused = |name: &str| {
        let part = format!("{name}(), which may change something by itself");
        DtxError::refused(part, "call it outside of the branch, or declare it STABLE if it only reads")
    };
    if let Some(name) = calls.iter().find(|name| CHANGING.contains(&name.as_str()) || name.starts_with("lo_")) {
        return Err(refused(name));
    }
    let text = "select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
                where p.proname = any($1::text[]) and p.provolatile = 'v' and n.nspname <> 'pg_catalog' limit 1";
    let found = conn.fetch_optional(call(text, |args| args.add(calls))?).await?;
    found.map_or(Ok(()), |row| Err(refused(row.try_get(0)?)))
}

fn call(
    text: &'static str,
    bind: impl FnOnce(&mut PgArguments) -> Result<(), sqlx::error::BoxDynError>,
) -> Result<Call<Postgres>, DtxError> {
    let mut args = PgArguments::default();
    bind(&mut args).map_err(sqlx::Error::Encode)?;
    Ok(Call::own(safe(text.to_owned()), args))
}
