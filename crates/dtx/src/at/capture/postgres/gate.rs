//! What PostgreSQL's catalogue must say before changes of a table are captured.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Executor, PgConnection, Postgres, Row as _};

use super::cell::{COUNTED, KEYS};
use super::watch::own;
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::catalog::{Collation, Column, Computed, Incoming, Policy, Server, Table, Unique};
use crate::at::image::Kind;
use crate::at::options::TableOptions;
use crate::at::plan::PREFIX;

mod calls;
mod computed;

pub(super) use calls::check as calls;
pub(super) use computed::text as computed;

/// Tables of this workspace's own bookkeeping.
const OWN: [&str; 3] = ["undo_log", "dtx_", "onceward_"];

const RELATION: &str = concat!(
    "select c.oid::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname::text, \
    c.relname::text, c.relkind::text, c.relpersistence::text, row_security_active(c.oid), \
    exists (select from pg_rewrite r where r.ev_class = any(tree.oids)), \
    not c.relispartition and exists (select from pg_inherits i where i.inhrelid = c.oid \
        or i.inhparent = c.oid and c.relkind <> 'p'), \
    n.nspname <> current_schema() and to_regclass(quote_ident(n.nspname) || '.undo_log') is not null, \
    array(select distinct g.tgname::text || case g.tgtype::integer & 3 when 3 then '' else ', not BEFORE .. FOR EACH ROW,' end \
        from pg_trigger g where g.tgrelid = any(tree.oids) and not g.tgisinternal and not ",
    own!(),
    "), \
    (select k.conname::text from pg_constraint k where k.conrelid = any(tree.oids) and k.contype = 'x' limit 1), \
    (select p.proname::text from pg_depend d join pg_proc p on p.oid = d.refobjid and p.provolatile = 'v' \
        join pg_language l on l.oid = p.prolang and l.lanname not in ('c', 'internal') \
        where d.refclassid = 'pg_proc'::regclass and (d.classid, d.objid) in \
            (select 'pg_attrdef'::regclass, a.oid from pg_attrdef a where a.adrelid = c.oid \
             union all select 'pg_constraint'::regclass, k.oid from pg_constraint k where k.conrelid = any(tree.oids) \
             union all select 'pg_type'::regclass, y.atttypid from pg_attribute y where y.attrelid = c.oid \
             union all select 'pg_constraint'::regclass, k.oid from pg_constraint k \
                 join pg_attribute y on y.atttypid = k.contypid and y.attrelid = c.oid) \
        limit 1), \
    exists (select from pg_constraint k where (k.conrelid = any(tree.oids) or k.confrelid = any(tree.oids)) \
        and k.condeferrable), \
    has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'), \
    c.relispartition, exists (select from pg_class p where p.oid = any(tree.oids) and p.relkind not in ('r', 'p')), \
    (select i.indexrelid::regclass::text from pg_index i where i.indisunique and i.indrelid = any(tree.oids) \
        and i.indrelid <> c.oid and not exists (select from pg_inherits h where h.inhrelid = i.indexrelid) limit 1), \
    array(select oid::bigint from unnest(tree.oids) t (oid) where oid <> c.oid), \
    n.nspname is distinct from current_schema(), \
    exists (select from pg_trigger g where g.tgrelid = any(tree.oids) and ",
    own!(),
    ") \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    cross join lateral (select array(select c.oid union select p.relid::oid from pg_partition_tree(c.oid) p)) tree (oids) \
    where c.oid = to_regclass($1)"
);

const COLUMNS: &str = "select a.attnum::bigint, a.attname::text, a.atttypid::bigint, \
    (case when t.typtype = 'd' then t.typbasetype else a.atttypid end)::bigint, a.attgenerated <> '', \
    a.attidentity = 'a', t.typtype::text, coalesce(o.collisdeterministic, true) \
    from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_collation o on o.oid = a.attcollation \
    where a.attrelid = $1::bigint::oid and a.attnum > 0 and not a.attisdropped order by a.attnum";

/// A type that the driver cannot bind or the server cannot send, anywhere within the columns' types.
const UNBOUND: &str = "with recursive reached (type) as ( \
        select a.atttypid from pg_attribute a where a.attrelid = $1::bigint::oid and a.attnum > 0 and not a.attisdropped \
        union select w.type from reached r join pg_type t on t.oid = r.type cross join lateral ( \
            select t.typbasetype where t.typtype = 'd' union all select t.typelem where t.typelem <> 0 \
            union all select f.atttypid from pg_attribute f \
                where f.attrelid = t.typrelid and t.typtype = 'c' and f.attnum > 0 and not f.attisdropped) w (type)) \
    select t.typname::text from reached r join pg_type t on t.oid = r.type \
    where t.typtype = 'm' or t.typsend = 0 limit 1";

const INDEXES: &str = "select c.relname::text, i.indisprimary, i.indimmediate, \
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), \
    (i.indkey::int2[])[0:i.indnkeyatts - 1]::bigint[], \
    not exists (select from unnest(i.indcollation::oid[]) o (id) join pg_collation l on l.oid = o.id \
        where not l.collisdeterministic) \
    and not exists (select from unnest(i.indclass::oid[]) o (id) join pg_opclass p on p.oid = o.id \
        where not p.opcdefault and p.opcname not like '%pattern_ops'), \
    array(select pg_get_indexdef(i.indexrelid, n, false) from generate_series(1, i.indnkeyatts::integer) n order by n), \
    pg_get_expr(i.indpred, i.indrelid) \
    from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = $1::bigint::oid and i.indisunique \
    order by c.relname";

const INCOMING: &str = "select c.conrelid::regclass::text, c.confdeltype::text, c.confupdtype::text, \
    array(select a.attname::text from pg_attribute a where a.attrelid = c.confrelid and a.attnum = any(c.confkey)) \
    from pg_constraint c where c.contype = 'f' and c.conparentid = 0 \
    and c.confrelid in (select $1::bigint::oid union select p.relid::oid from pg_partition_tree($1::bigint::oid) p) \
    order by c.oid";

/// Where a column stands in the catalogue.
struct Place {
    number: i64,
    /// True if equal values of it can be told by their bytes.
    keyed: bool,
}

pub(super) async fn table(conn: &mut PgConnection, asked: &str, options: &[TableOptions]) -> Result<Table, DtxError> {
    let found = conn.fetch_optional(call(RELATION, |args| args.add(asked))?).await?;
    let Some(row) = found else {
        return Err(DtxError::refused(format!("the unknown table {asked}"), "create it before the branch begins"));
    };
    let (mut table, relation) = relation(&row, options)?;
    let by_relation = |text: &'static str| call(text, |args| args.add(relation));
    let places = columns(&mut table, conn.fetch_all(by_relation(COLUMNS)?).await?)?;
    if let Some(row) = conn.fetch_optional(by_relation(UNBOUND)?).await? {
        let part = format!("{}, in which there is the type {}", table.name, row.try_get::<String, _>(0)?);
        return Err(DtxError::refused(part, "it has no binary form, or the driver cannot bind it: use another"));
    }
    for row in conn.fetch_all(by_relation(INDEXES)?).await? {
        index(&mut table, &places, &row)?;
    }
    if table.key.is_empty() {
        return Err(DtxError::refused(format!("{}, which has no primary key", table.name), "give it one"));
    }
    for row in conn.fetch_all(by_relation(INCOMING)?).await? {
        let (child, on_delete, on_update): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let changes = |action: &str| !matches!(action, "a" | "r");
        let (on_delete, on_update) = (changes(&on_delete), changes(&on_update));
        table.incoming.push(Incoming { child, columns: row.try_get(3)?, on_delete, on_update });
    }
    computed::check(conn, &table).await?;
    table.apply(options)?;
    monotonic(&table)?;
    Ok(table)
}

/// A column that is counted up must be a number that can be.
fn monotonic(table: &Table) -> Result<(), DtxError> {
    let mut counted = table.policies.iter().filter(|(_, policy)| **policy == Policy::Monotonic).map(|(at, _)| *at);
    match counted.find(|&at| !COUNTED.contains(&table.server.column(at).base)) {
        None => Ok(()),
        Some(at) => {
            let column = table.columns.get(at).map_or("", String::as_str);
            let part = format!("{}, of which TableOptions says that {column} is counted up", table.name);
            Err(DtxError::refused(part, "name a column of integers"))
        }
    }
}

fn relation(row: &PgRow, options: &[TableOptions]) -> Result<(Table, i64), DtxError> {
    let (relation, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let (schema, bare): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    let (kind, persistence): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    if OWN.iter().any(|own| bare == *own || (own.ends_with('_') && bare.starts_with(own))) {
        return Err(DtxError::refused(format!("the bookkeeping table {name}"), "leave it alone"));
    }
    let refusals: [(bool, &str, &str); 8] = [
        (persistence == "t", "which is temporary", "use a table that all connections see"),
        (!matches!(&*kind, "r" | "p"), "which is no ordinary table", "change the tables behind it"),
        (row.try_get(17)?, "which is a partition", "change it through the table that it is a part of"),
        (row.try_get(18)?, "of which a partition lies elsewhere", "use partitions of this database"),
        (row.try_get(6)?, "whose policies hide rows from this role", "use a role that bypasses row-level security"),
        (row.try_get(7)?, "which has rules", "do in the branch what the rule does"),
        (row.try_get(8)?, "which inherits, or is inherited from", "use tables without inheritance"),
        (row.try_get(9)?, "whose schema is another resource's", "change it in a branch of that resource"),
    ];
    if let Some((_, why, instead)) = refusals.iter().find(|(refused, ..)| *refused) {
        return Err(DtxError::refused(format!("{name}, {why}"), *instead));
    }
    // By the bare name where that is enough: it is what resource managers of other languages lock by.
    let locked_as = if schema == "public" { bare } else { format!("{schema}.{bare}") };
    if row.try_get(21)? && TableOptions::of(options, &locked_as).next().is_none() {
        // A resource that begins with another schema would lock the same rows under a name of its own.
        let part = format!("{name}, which is not in the first schema of the pool's search_path");
        let instead = format!(
            "let the search_path begin with it; or if all branches that change it are of one resource, say so by \
             TableOptions::new(\"{locked_as}\")"
        );
        return Err(DtxError::refused(part, instead));
    }
    let trusted = |trigger: &String| TableOptions::of(options, &locked_as).any(|table| table.trusted.contains(trigger));
    // One that fires behind its row, or for a statement, is never trusted: what it does, no image of the row shows.
    let triggers: Vec<String> = row.try_get(10)?;
    let triggered = !triggers.is_empty();
    let named: [(Option<String>, &str, &str, &str); 4] = [
        (
            triggers.into_iter().find(|trigger| !trusted(trigger)),
            "trigger",
            "may change other rows",
            "do in the branch what the trigger does, or see TableOptions::with_trusted_trigger",
        ),
        (row.try_get(11)?, "constraint", "excludes by more than equality", "use a unique constraint"),
        (row.try_get(12)?, "function", "in a default or check may change something", "give the value in the statement"),
        (row.try_get(19)?, "index", "is unique within a partition only", "make it one of the whole table"),
    ];
    for (found, what, why, instead) in named {
        if let Some(found) = found {
            return Err(DtxError::refused(format!("{name}, whose {what} {found} {why}"), instead));
        }
    }
    let number = |relation: i64| u32::try_from(relation).map_err(|_| DtxError::Corrupt("the number of a relation"));
    let mut denied = Vec::new();
    for (at, kind) in [(14, Kind::Insert), (15, Kind::Update), (16, Kind::Delete)] {
        if !row.try_get::<bool, _>(at)? {
            denied.push(kind);
        }
    }
    let partitions = row.try_get::<Vec<i64>, _>(20)?.into_iter().map(number).collect::<Result<_, _>>()?;
    let server = Server {
        relation: number(relation)?,
        partitioned: kind == "p",
        partitions,
        deferrable: row.try_get(13)?,
        denied,
        ..Server::default()
    };
    Ok((Table { name, locked_as, triggered, watched: row.try_get(22)?, server, ..Table::default() }, relation))
}

fn columns(table: &mut Table, rows: Vec<PgRow>) -> Result<Vec<Place>, DtxError> {
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let (number, column): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if column.starts_with(PREFIX) {
            let part = format!("{}, whose column {column} has a name of this crate", table.name);
            return Err(DtxError::refused(part, "name it otherwise"));
        }
        let (declared, base): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let [kind, base] = [declared, base].map(|number| u32::try_from(number).unwrap_or_default());
        let (generated, identity) = (row.try_get(4)?, row.try_get(5)?);
        let keyed = (row.try_get::<String, _>(6)? == "e" || KEYS.contains(&base)) && row.try_get(7)?;
        table.columns.push(column);
        table.server.columns.push(Column { kind, base, generated, identity });
        places.push(Place { number, keyed });
    }
    Ok(places)
}

fn index(table: &mut Table, places: &[Place], row: &PgRow) -> Result<(), DtxError> {
    let (name, primary, immediate): (String, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (nulls_equal, numbers, plain): (bool, Vec<i64>, bool) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
    if !plain {
        let part = format!("{}, whose unique index {name} has a collation or operators of its own", table.name);
        return Err(DtxError::refused(part, "let it compare as its types do"));
    }
    if primary && !immediate {
        let part = format!("{}, whose primary key is deferrable", table.name);
        return Err(DtxError::refused(part, "declare it NOT DEFERRABLE"));
    }
    // An expression has the number 0.
    let columns: Vec<_> = numbers.iter().filter_map(|number| position(places, *number)).collect();
    let plain = columns.len() == numbers.len();
    let keyed = plain && columns.iter().all(|&at| places.get(at).is_some_and(|place| place.keyed));
    let when: Option<String> = row.try_get(7)?;
    let computed = !keyed || nulls_equal || when.is_some();
    if computed {
        let parts: Vec<String> = row.try_get(6)?;
        let parts = parts.into_iter().map(|part| (part, Collation::Binary)).collect();
        let columns = columns.clone();
        table.computed.push(Computed { name: name.clone(), parts, when, nulls_equal, columns });
    }
    if primary {
        table.key = columns;
    } else if !computed {
        let columns = columns.into_iter().map(|at| (at, Collation::Binary)).collect();
        table.uniques.push(Unique { name, columns });
    }
    Ok(())
}

fn position(places: &[Place], number: i64) -> Option<usize> {
    places.iter().position(|place| place.number == number)
}

fn call(
    text: &'static str,
    bind: impl FnOnce(&mut PgArguments) -> Result<(), sqlx::error::BoxDynError>,
) -> Result<Call<Postgres>, DtxError> {
    let mut args = PgArguments::default();
    bind(&mut args).map_err(sqlx::Error::Encode)?;
    Ok(Call::own(safe(text.to_owned()), args))
}
