//! What is not covered for certain is refused before it runs, with the reason and the way out.

use onceward_dtx::{AtOptions, DtxError, Options};
use sqlx::Executor;

use crate::world::World;

const TABLES: &str = "
    create table bare (a integer);
    create function loud() returns trigger language plpgsql as 'begin return new; end';
    create table triggered (id integer primary key, a integer);
    create trigger loud after insert on triggered for each row execute function loud();
    create table parent (id integer primary key, code text unique);
    create table child (id integer primary key, parent integer references parent (id) on delete cascade);
    create table other (id integer primary key, code text references parent (code) on update set null);
    create table doubled (id integer primary key, a integer, code integer generated always as (a * 2) stored unique);
    create table halves (id integer primary key, code integer references doubled (code) on update set null);
    create schema elsewhere;
    create table elsewhere.stock (id integer primary key);
    create view seen as select * from account;
    create materialized view kept as select * from account;
    create table split (id integer primary key) partition by range (id);
    create table split_low partition of split for values from (0) to (10);
    create table split_own (id integer primary key, a integer) partition by range (id);
    create table split_own_low partition of split_own for values from (0) to (10);
    create unique index own_a on split_own_low (a);
    create table heir (b integer, primary key (id)) inherits (bare_parent);
    create table ruled (id integer primary key);
    create rule quiet as on delete to ruled do instead nothing;
    create table late (id integer primary key deferrable);
    create table excluded (id integer primary key, r int4range, exclude using gist (r with &&));
    create table floating (id double precision primary key);
    create table hashless (id integer primary key, b money unique);
    create table expressive (id integer primary key, a text);
    create unique index lower_a on expressive (lower(a));
    create table one_null (id integer primary key, a text, unique nulls not distinct (a));
    create type pair as (a integer, b text);
    create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table loose (id text collate folded primary key);
    create table many (id integer primary key, m int4multirange);
    create domain spans as int4multirange;
    create type nest as (a integer, b spans);
    create table nested (id integer primary key, n nest[]);
    create table rights (id integer primary key, r aclitem);
    create table counted (id integer primary key, n integer generated always as identity, p pair);
    create table hidden_fold (id integer primary key, a text);
    create unique index hidden_fold_a on hidden_fold (a collate folded);
    create function \"Wipe\"() returns integer language sql volatile as 'select 1';
    create table by_default (id integer primary key, a integer default \"Wipe\"());
    create table by_check (id integer primary key, a integer check (a <> \"Wipe\"()));
    create table ours (id integer primary key, onceward_k0 integer);
    create table \"Mixed\" (id integer primary key, \"A b\" integer);
    create table generated (id integer primary key, a integer, b integer generated always as (a * 2) stored);
    create table money (id numeric primary key, a integer);
    create function spends() returns integer language sql volatile as 'select 1';
    create function bump(account) returns integer language sql volatile as 'select 1';
    create function bump() returns integer language sql volatile as 'select 1';
    create function \"\u{c4}ndere\"() returns integer language sql volatile as 'select 1';
    create function gen_random_trouble() returns integer language sql volatile as 'select 1';
    create function floor(text) returns integer language sql volatile as 'select 1';
    create function convert(bigint, text) returns bigint language sql volatile as 'select 1::bigint';
    create function substr(account) returns integer language sql volatile as 'select 1';
    create domain loudly as integer default spends();
    create table by_domain (id integer primary key, a loudly);
    create domain checked as integer check (value <> spends());
    create table by_check_of_domain (id integer primary key, a checked);
    create function reads() returns integer language sql stable as 'select 1'";

async fn world() -> World {
    let world = World::new().await;
    let pool = world.at[0].pool();
    pool.execute("create table bare_parent (id integer primary key)").await.unwrap();
    pool.execute(TABLES).await.unwrap();
    world
}

async fn run(world: &World, text: &'static str) -> Result<(), DtxError> {
    let work = async |_| {
        let run = async |mut tx: onceward_dtx::AtTransaction<sqlx::Postgres>| {
            tx.execute(text).await?;
            Ok::<_, DtxError>(())
        };
        world.at[0].branch(run).await
    };
    world.dtx.run(Options::new(text), work).await
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_tables_that_cannot_be_undone_for_certain() {
    let world = world().await;
    for (text, part) in [
        ("insert into bare values (1)", "no primary key"),
        ("insert into triggered values (1, 1)", "trigger loud"),
        ("delete from parent", "foreign key from child cascades"),
        ("insert into parent values (1, 'x')", "foreign key from child cascades"),
        ("update parent set code = 'x'", "foreign key from other cascades"),
        ("update doubled set a = 6", "foreign key from halves cascades"),
        ("insert into elsewhere.stock values (1)", "first schema of the pool's search_path"),
        ("update seen set balance = 1", "no ordinary table"),
        ("delete from kept", "no ordinary table"),
        ("insert into split_low values (1)", "is a partition"),
        ("insert into split_own values (1, 1)", "own_a is unique within a partition only"),
        ("update heir set b = 1", "inherits"),
        ("delete from bare_parent", "inherits"),
        ("delete from ruled", "rules"),
        ("insert into late values (1)", "deferrable"),
        ("insert into excluded values (1)", "excludes by more than equality"),
        ("insert into loose values ('x')", "collation or operators of its own"),
        ("insert into hashless values (1, '$1')", "type that has no hash"),
        ("insert into many values (1)", "int4multirange"),
        ("insert into nested values (1)", "int4multirange"),
        ("insert into rights values (1)", "aclitem"),
        ("update counted set n = default", "only the server gives"),
        ("insert into hidden_fold values (1, 'x')", "collation or operators of its own"),
        ("insert into by_default values (1)", "function Wipe"),
        ("insert into by_check values (1, 1)", "function Wipe"),
        ("select \"Wipe\"()", "Wipe()"),
        ("select pg_advisory_lock(1)", "pg_advisory_lock()"),
        ("select pg_notify('a', 'b')", "pg_notify()"),
        ("select lowrite(1, '')", "lowrite()"),
        ("select 1 >-- '\n 2; delete from account where id = 1 --'", "operator >--"),
        ("update account as a (x, y) set balance = 1", "something else than one table"),
        ("insert into ours values (1)", "name of this crate"),
        ("update account set id = 9 where id = 1", "primary key"),
        ("update account set ctid = '(0,1)'", "SET ctid"),
        ("insert into nowhere values (1)", "unknown table"),
        ("insert into Mixed values (1, 1)", "unknown table"),
        ("delete from undo_log", "bookkeeping"),
        ("delete from dtx_parked", "bookkeeping"),
        ("delete from onceward_migrations", "bookkeeping"),
        ("insert into account values (1, 'x', 1) on conflict (id) do update set balance = 2", "DO UPDATE"),
        ("with gone as (delete from account returning id) select * from gone", "WITH"),
        (
            "with x as (update account set balance = 1 returning id) delete from child where id in (select id from x)",
            "WITH",
        ),
        ("update account set balance = 1 from onceward_before", "onceward_before"),
        ("select * from account, child for update", "several tables"),
        ("select * into copied from account", "INTO"),
        ("select spends()", "spends()"),
        ("update account set balance = spends()", "spends()"),
        ("select * from spends()", "spends()"),
        ("select a.bump from account a", "bump()"),
        ("select (a).bump from account a", "bump()"),
        ("update account a set balance = 1 where a.bump = 1", "bump()"),
        ("select \u{c4}ndere()", "ndere()"),
        ("select U&\"\\0062ump\"()", "U&"),
        ("select gen_random_trouble()", "gen_random_trouble()"),
        ("select floor('x'::text)", "floor()"),
        ("select convert(balance, owner) from account", "CONVERT"),
        ("select substr(a) from account a", "substr()"),
        (
            "update account set balance = 1 from money m where m.id = 1 returning *, account.balance",
            "* before other columns",
        ),
        ("update account set balance = $18446744073709551615", "placeholder"),
        ("select query_to_xml('select bump()', true, true, '')", "query_to_xml()"),
        ("insert into by_domain values (1)", "function spends"),
        ("insert into by_check_of_domain values (1, 1)", "function spends"),
        ("select sum(balance) from (select balance from account for update) x", "within a query"),
        ("with x as (select * from account for update) select * from x", "within a query"),
        ("select set_config('search_path', 'x', false)", "set_config()"),
        ("merge into account using parent on false when matched then delete", "MERGE"),
        ("truncate account", "without images"),
        ("copy account from stdin", "without images"),
        ("call f()", "not seen"),
        ("do 'begin end'", "not seen"),
        ("set search_path = x", "setting"),
        ("create table more (id integer primary key)", "schema"),
        ("commit", "transaction control"),
        ("lock table account", "kind of statement"),
        ("update account set balance = 1; commit", "several statements"),
        ("update account set balance = 1 where current of c", ""),
        ("update only account set balance = 1", ""),
    ] {
        match run(&world, text).await {
            Err(DtxError::Refused { part: found, instead }) => {
                assert!(found.contains(part), "{text}: {found}");
                assert!(!instead.is_empty());
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(world.balances().await, [100, 100, 100]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_harmless_neighbours_are_covered() {
    let world = world().await;
    let statements = [
        "insert into child values (1, null), (2, null)",
        "delete from child where id = 1",
        "insert into \"Mixed\" values (1, 1)",
        "update \"Mixed\" as m set \"A b\" = m.\"A b\" + 1 where m.id = 1 returning *",
        "insert into public.generated (id, a) values (1, 2)",
        "update generated set a = 3 returning *, a as again",
        "insert into split values (1), (2)",
        "delete from split where id = 1",
        "insert into floating values (-0.0), ('nan'), (1.5)",
        "insert into expressive values (1, 'X'), (2, null), (3, null)",
        "update expressive set a = 'Y' where id in (1, 2) and a is not null",
        "insert into one_null values (1, null), (2, 'x')",
        "delete from one_null where id = 1",
        "update account set balance = p.id from (values (1, 'x')) as p (id, name) where p.id = account.id returning *",
        "delete from account using money where money.id = account.id + 90",
        "with x as (select 2 as id) update account set balance = 1 from x where x.id = account.id",
        "with x as (select 2 as id) delete from child where id in (select id from x)",
        "with x as (select 'w' as owner) insert into account (owner, balance) select owner, 1 from x returning *",
        "insert into money values (1.0, 1), (2.50, 2)",
        "update money set a = reads() where id = 1.00",
        "insert into account (owner, balance) select owner, balance from account -- returning",
        "insert into account (owner, balance) values ('x', 1) on conflict do nothing",
        "update account set balance = case when id = 1 then 1 else abs(-2) end where id::text <> ':' and owner like 'a%'",
        "delete from account where id in (select a.id from account a order by a.id limit 1)",
        "select * from account where id = 1 for update",
        "update account set (owner, balance) = ('y', 3) where random() >= 0",
        "update account set balance = 4 where id = 1 returning id as returning",
        "update account set balance = 5 where id = 1 returning id as order, owner as limit",
        "insert into counted (id, p) values (1, '(1,x)')",
        "update counted set p.a = 2 where id = 1",
        "insert into account (owner, balance) values (gen_random_uuid()::text, 1)",
    ];
    let answer = world
        .dtx
        .run(Options::new("neighbours"), async |_| {
            let work = async |mut tx: onceward_dtx::AtTransaction<sqlx::Postgres>| {
                for text in statements {
                    tx.execute(text).await.inspect_err(|_| println!("{text}"))?;
                }
                Ok::<_, DtxError>(())
            };
            world.at[0].branch(work).await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
    for (table, rows) in
        [("child", 0), ("\"Mixed\"", 0), ("generated", 0), ("money", 0), ("counted", 0), ("account", 2)]
    {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(world.at[0].pool()).await.unwrap();
        assert_eq!(count, rows, "{table}");
    }
    assert_eq!(world.balances().await, [100, 100, 100]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_a_resource_once() {
    let world = World::new().await;
    let again = onceward_dtx::At::new("again", world.disk.pool("orders").await, &world.dtx, AtOptions::default()).await;
    assert!(matches!(again, Err(DtxError::Resource { ref problem, .. }) if problem.contains("orders")), "{again:?}");
}
