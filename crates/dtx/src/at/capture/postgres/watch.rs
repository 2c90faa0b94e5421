//! The watch on PostgreSQL: a trigger per statement, which asks a setting of the transaction whether it is one of ours.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Executor, PgConnection, Row as _};

use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::watch::Watch;

/// The BEGIN of one of ours, in one trip.
pub(super) const BEGIN: &str = "begin isolation level read committed; set local onceward.at = 'on'";
/// The same in a transaction that has begun otherwise.
pub(super) const MARK: &str = "set local onceward.at = 'on'";
/// What is found on a table, as a condition on `pg_trigger g`; the table gate lets it be.
macro_rules! own {
    () => {
        "(g.tgname in ('dtx_watch_report', 'dtx_watch_refuse') \
         and exists (select from pg_proc w where w.oid = g.tgfoid and w.proname = 'dtx_watch'))"
    };
}
pub(super) use own;

/// The SQLSTATE with which a write is refused.
pub(super) const REFUSED: &str = "OW001";

const RELATIONS: &str = concat!(
    "select quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
     array(select g.tgname::text from pg_trigger g where g.tgrelid = c.oid and ",
    own!(),
    ") from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1) \
     or c.oid in (select p.relid from pg_partition_tree(to_regclass($1)) p) order by c.oid"
);

const WATCHED: &str = concat!(
    "select quote_ident(n.nspname) || '.' || quote_ident(c.relname), g.tgname = 'dtx_watch_refuse' from pg_trigger g \
     join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace \
     join pg_proc f on f.oid = g.tgfoid and f.pronamespace = to_regnamespace(quote_ident(current_schema())) \
     where not c.relispartition and ",
    own!(),
    " order by 1"
);

/// Writes the note as the owner of the table of notes: whoever may write to the watched table need not have a right to it.
/// A note that fails must not fail the write.
fn function(schema: &str) -> String {
    format!(
        "create or replace function {schema}.dtx_watch() returns trigger language plpgsql security definer \
         set search_path = pg_catalog, pg_temp as $dtx$ begin \
         if tg_argv[0] = 'refuse' then \
           raise exception '% of % past the row locks of global transactions', tg_op, \
               format('%I.%I', tg_table_schema, tg_table_name) \
             using errcode = '{REFUSED}', hint = 'write it in At::branch or At::local, or end the watch by At::unwatch'; \
         end if; \
         begin \
           insert into {schema}.dtx_bypass (table_name, operation, who, application, client, query, seen) \
           values (format('%I.%I', tg_table_schema, tg_table_name), tg_op, session_user, \
             current_setting('application_name'), host(inet_client_addr()), left(current_query(), 1000), \
             (extract(epoch from clock_timestamp()) * 1000000)::bigint); \
         exception when others then \
           raise warning 'a write past the row locks of global transactions was not noted: %', sqlerrm; \
         end; \
         return null; end $dtx$"
    )
}

/// Sets the watch of a table and of its partitions, or removes it.
pub(super) async fn watch(conn: &mut PgConnection, table: &str, mode: Option<Watch>) -> Result<(), DtxError> {
    // One installs at a time; the number is arbitrary. Whoever wants the table meanwhile must not wait long behind us.
    conn.execute("select pg_advisory_xact_lock(7223990016351); set local lock_timeout = '5s'").await?;
    let mut args = PgArguments::default();
    args.add(table).map_err(sqlx::Error::Encode)?;
    let relations = conn.fetch_all(Call::own(safe(RELATIONS.to_owned()), args)).await?;
    if relations.is_empty() {
        return Err(DtxError::refused(format!("the unknown table {table}"), "name a table of the database"));
    }
    let schema: String = conn.fetch_one("select quote_ident(current_schema())").await?.try_get(0)?;
    if mode.is_some() {
        conn.execute(safe(function(&schema))).await?;
    }
    let wanted = mode.map(|mode| format!("dtx_watch_{}", mode.as_str()));
    for relation in relations {
        let (relation, found): (String, Vec<String>) = (relation.try_get(0)?, relation.try_get(1)?);
        for other in found.iter().filter(|found| Some(*found) != wanted.as_ref()) {
            conn.execute(safe(format!("drop trigger {other} on {relation}"))).await?;
        }
        let Some((name, mode)) = wanted.as_ref().zip(mode).filter(|(name, _)| !found.contains(name)) else { continue };
        let moment = if mode == Watch::Refuse { "before" } else { "after" };
        conn.execute(safe(format!(
            "create trigger {name} {moment} insert or update or delete or truncate on {relation} for each statement \
             when (coalesce(current_setting('onceward.at', true), '') <> 'on') \
             execute function {schema}.dtx_watch('{}')",
            mode.as_str()
        )))
        .await?;
    }
    Ok(())
}

pub(super) async fn watches(conn: &mut PgConnection) -> Result<Vec<(String, Watch)>, DtxError> {
    let mut all = Vec::new();
    for row in conn.fetch_all(WATCHED).await? {
        all.push((row.try_get(0)?, if row.try_get(1)? { Watch::Refuse } else { Watch::Report }));
    }
    Ok(all)
}
