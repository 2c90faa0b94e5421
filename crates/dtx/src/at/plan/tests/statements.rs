//! Every form of statement that somebody thought of, and what the planner makes of it on each database. `DESIGN.md` shows the
//! same table.

use super::*;

/// What a statement is planned to be: `insert`, `update` and `delete` are captured, `lock` notes the keys of rows, `read` runs
/// as it is; anything else is a word of the reason for which it is refused.
type Planned = &'static str;

/// A statement, and what it is on SQLite and on PostgreSQL.
pub(super) const STATEMENTS: [(&str, Planned, Planned); 171] = [
    ("insert into t (a) values (1)", "insert", "insert"),
    ("insert into t values (1, 2), (3, 4)", "insert", "insert"),
    ("INSERT INTO t DEFAULT VALUES", "insert", "insert"),
    ("insert into main.t (a) values (1)", "insert", "insert"),
    ("insert into public.t (a) values (1)", "public.t", "insert"),
    ("insert into \"T\" (a) values ($1) returning a, b", "insert", "insert"),
    ("insert into t as x (a) values (1) returning x.a", "not understood", "insert"),
    ("insert into t (id, a) overriding system value values (1, 2)", "not understood", "not understood"),
    ("insert into t (a) select b from u where b > $1", "insert", "insert"),
    ("insert into t (a) select b from u returning *", "insert", "insert"),
    ("insert into t with x as (select 1 as a) select a from x", "insert", "insert"),
    ("with x as (select 1 as a) insert into t select a from x", "insert", "insert"),
    ("insert into t (a) select a from t for update", "insert", "insert"),
    ("insert into t (a) (select b from u order by b limit 3)", "insert", "insert"),
    ("insert into t (a) select b from u union all select c from v", "insert", "insert"),
    ("insert into t (a) values (1) on conflict do nothing", "insert", "insert"),
    ("insert into t (a) values (1) on conflict (a) do nothing returning a", "insert", "insert"),
    ("insert into t (a) values (1) on conflict on constraint k do nothing", "insert", "insert"),
    ("insert into t (a) values (1) on conflict (a) do update set b = 2", "DO UPDATE", "DO UPDATE"),
    (
        "insert into t (a) values (1) on conflict (a) do update set b = excluded.b where t.b < 3",
        "DO UPDATE",
        "DO UPDATE",
    ),
    ("insert into t (a) values (random())", "insert", "insert"),
    ("insert into t (a) values ((select max(b) from u))", "insert", "insert"),
    ("insert into t (a) values (default)", "insert", "insert"),
    ("insert into t (a, b) values ('it''s -- no', e'\\'')", "not SQL", "insert"),
    ("insert into t (a) values (array[1, 2])", "not understood", "insert"),
    ("insert into t (a) values ('{\"a\": 1}'::jsonb)", "named parameter", "insert"),
    ("insert into t (a[1]) values (1)", "not understood", "not understood"),
    ("insert or ignore into t (a) values (1)", "OR IGNORE", "OR IGNORE"),
    ("insert or replace into t (a) values (1)", "OR REPLACE", "OR REPLACE"),
    ("insert or abort into t (a) values (1)", "OR ABORT", "OR ABORT"),
    ("insert or fail into t (a) values (1)", "OR FAIL", "OR FAIL"),
    ("insert or rollback into t (a) values (1)", "OR ROLLBACK", "OR ROLLBACK"),
    ("insert ignore into t (a) values (1)", "not understood", "not understood"),
    ("insert into t set a = 1", "not understood", "not understood"),
    ("insert into t (a) values (1) on duplicate key update a = 2", "DO UPDATE", "DO UPDATE"),
    ("insert into temp.t (a) values (1)", "temp.t", "insert"),
    ("insert into a.b.t (a) values (1)", "a.b.t", "a.b.t"),
    ("replace into t (a) values (1)", "REPLACE", "REPLACE"),
    ("update t set a = 1", "update", "update"),
    ("update t set a = a + $1, b = $2 where id = $3 and a >= $4", "update", "update"),
    ("update t as x set a = x.a + 1 where x.id in (select id from u where u.id = x.id)", "update", "update"),
    ("update t x set a = 1 where x.id = 1", "update", "update"),
    ("update t set (a, b) = (1, 2) where id = 1", "update", "update"),
    ("update t set (a, b) = (select c, d from u where u.id = t.id)", "update", "update"),
    ("update t set a = default where id = 1", "update", "update"),
    ("update t set a = (select max(b) from u where b < 9) where id = 1 returning a", "update", "update"),
    ("update t set a = a || 'x' where id = 1 returning *, a as again", "update", "update"),
    ("update t set a = random() where id = 1", "update", "update"),
    ("update t set a = 1 where random() > 0", "random", "update"),
    ("update t set a = 1 where id in (select id from u where random() > 0)", "random", "update"),
    ("update \"my table\" set \"a b\" = 1 where \"where\" = 2;", "update", "update"),
    ("update t set a = case when b then 1 else 2 end where c is not distinct from d", "update", "update"),
    ("-- why\nupdate t set a = 1 -- because\nwhere id = 2 -- end", "update", "update"),
    ("update t set a.b = 1 where id = 1", "update", "update"),
    ("update t set a[1] = 1 where id = 1", "not understood", "not understood"),
    ("update t set a = 1 where a @> '{1}' and b ? 'k'", "not understood", "update"),
    ("update t set a = 1 where b ->> 'k' = 'v'", "update", "update"),
    ("update t set a = now(), b = current_timestamp where id = any($1)", "update", "update"),
    ("update t set a = extract(year from b) where a ~* 'x'", "update", "update"),
    ("update t set a = u.a from u where u.id = t.id", "update", "update"),
    ("update t set a = u.a from u where u.id = t.id returning t.id, u.id", "update", "update"),
    ("update t set a = u.a from u join v on v.id = u.v left join w on true where u.id = t.id", "update", "update"),
    ("update t set a = s.n from (select id, count(*) as n from u group by id) s where s.id = t.id", "update", "update"),
    ("update t set a = v.a from (values (1, 'x'), (2, 'y')) as v (id, a) where v.id = t.id", "update", "update"),
    ("update t set a = x.a from t as x where x.id = t.id - 1", "update", "update"),
    ("update t set a = u.a from u", "update", "update"),
    ("update t set a = u.a from u where random() > 0", "random", "update"),
    ("update t set a = 1 from unnest($1::int[]) as u (id) where u.id = t.id", "not understood", "update"),
    ("with x as (select 1 as a) update t set a = (select a from x)", "update", "update"),
    (
        "with x as (select id from t where a = 1 order by id limit 1 for update skip locked) update t set a = 2 from x where x.id = t.id returning t.id",
        "update",
        "update",
    ),
    (
        "with recursive x as (select 1 as a union all select a + 1 from x where a < 3) update t set a = 0 where id in (select a from x)",
        "update",
        "update",
    ),
    ("with x as (select random() as a) update t set b = 1 where id in (select a from x)", "random", "update"),
    ("update only t set a = 1", "ONLY", "ONLY"),
    ("update t * set a = 1", "not understood", "not understood"),
    ("update t set a = 1 where current of c", "not understood", "not understood"),
    ("update t set a = 1 order by id limit 1", "LIMIT", "LIMIT"),
    ("update t set a = 1 where id = 1 limit 1", "LIMIT", "LIMIT"),
    ("update t, u set t.a = u.a where t.id = u.id", "not understood", "not understood"),
    ("update t join u on t.id = u.id set t.a = u.a", "one table", "one table"),
    ("update or ignore t set a = 1", "OR IGNORE", "OR IGNORE"),
    ("update or replace t set a = 1", "OR REPLACE", "OR REPLACE"),
    ("update t indexed by i set a = 1", "not understood", "not understood"),
    ("update t set a = :a", "named parameter", "update"),
    ("update t set a = @a", "named parameter", "update"),
    ("update t set a = $a", "named parameter", "named parameter"),
    ("update t set a = ? where id = ?", "update", "not understood"),
    ("update t set a = ? where id = ?3", "numbers together", "not understood"),
    ("delete from t", "delete", "delete"),
    ("/* why */ delete from t where id = 1 /* ; */ ;", "delete", "delete"),
    ("delete from t as x where exists (select 1 from u where u.id = x.id)", "delete", "delete"),
    ("delete from t where a = 'returning where ?' returning id, a", "delete", "delete"),
    ("delete from t where a like '%;%' and b in ($1, $2)", "delete", "delete"),
    ("delete from t where (a, b) in (select a, b from u)", "delete", "delete"),
    ("delete from t using u where u.id = t.id", "USING", "delete"),
    ("delete from t using u, v where u.id = t.id and v.id = u.id returning *", "USING", "delete"),
    ("delete from t using u join v using (id) where u.id = t.id", "USING", "delete"),
    ("with x as (select 1 as id) delete from t where id in (select id from x)", "delete", "delete"),
    ("with x as (select 1 as id) delete from t using x where x.id = t.id", "USING", "delete"),
    ("delete from t where a = randomblob(2)", "randomblob", "delete"),
    ("delete from t order by id limit 1", "LIMIT", "LIMIT"),
    ("delete from only t", "ONLY", "ONLY"),
    ("delete t from t join u on t.id = u.id", "several tables", "several tables"),
    ("delete from t where current of c", "not understood", "not understood"),
    ("select 1", "read", "read"),
    ("select a, count(*) from t join u using (id) where a = $1 group by a order by 2 limit 3", "read", "read"),
    ("with x as (select 1 as a) select * from x", "read", "read"),
    ("with recursive x as (select 1 as a union all select a + 1 from x where a < 9) select * from x", "read", "read"),
    ("values (1), (2)", "read", "read"),
    ("(select 1) union (select 2)", "read", "read"),
    ("select * from t where id in (select id from u) union all select * from v;", "read", "read"),
    ("select a -> 'b', count(*) over (partition by a) from t", "read", "read"),
    ("select * from t for update", "read", "lock"),
    ("select id from t as x where a = $1 order by id limit 1 for update skip locked", "read", "lock"),
    ("select * from t where id = 1 for share", "read", "lock"),
    ("with x as (select 1 as id) select t.* from t where id in (select id from x) for update", "read", "lock"),
    ("select * from t join u using (id) for update", "read", "several tables"),
    ("select * from t, u for update of t", "read", "several tables"),
    ("select * from t for no key update", "not understood", "not understood"),
    ("select * from (select * from t for update) x", "read", "within a query"),
    ("select a into copied from t", "INTO", "INTO"),
    ("table t", "kind of statement", "kind of statement"),
    ("with gone as (delete from t returning id) select * from gone", "WITH", "WITH"),
    ("with gone as (delete from t returning *) insert into u select * from gone", "WITH", "WITH"),
    ("with x as (update t set a = 1 returning id) delete from u where id in (select id from x)", "WITH", "WITH"),
    ("merge into t using u on a = b when matched then delete", "MERGE", "MERGE"),
    ("with x as (select 1) merge into t using x on true when matched then delete", "MERGE", "MERGE"),
    ("truncate t", "without images", "without images"),
    ("copy t from stdin", "without images", "without images"),
    ("create table x (a int)", "schema", "schema"),
    ("create index i on t (a)", "schema", "schema"),
    ("alter table t add column b int", "schema", "schema"),
    ("drop table t", "schema", "schema"),
    ("reindex", "schema", "schema"),
    ("vacuum", "schema", "schema"),
    ("analyze", "schema", "schema"),
    ("grant select on t to public", "schema", "schema"),
    ("comment on table t is 'x'", "schema", "schema"),
    ("refresh materialized view v", "kind of statement", "kind of statement"),
    ("begin", "transaction control", "transaction control"),
    ("begin immediate", "transaction control", "transaction control"),
    ("start transaction", "transaction control", "transaction control"),
    ("commit", "transaction control", "transaction control"),
    ("end", "transaction control", "transaction control"),
    ("rollback", "transaction control", "transaction control"),
    ("abort", "transaction control", "transaction control"),
    ("savepoint a", "transaction control", "transaction control"),
    ("release a", "transaction control", "transaction control"),
    ("prepare transaction 'x'", "transaction control", "transaction control"),
    ("set search_path = x", "setting", "setting"),
    ("set transaction isolation level serializable", "setting", "setting"),
    ("reset all", "setting", "setting"),
    ("show all", "setting", "setting"),
    ("discard all", "setting", "setting"),
    ("pragma foreign_keys = off", "setting", "setting"),
    ("attach 'x' as y", "setting", "setting"),
    ("detach y", "setting", "setting"),
    ("call f()", "not seen", "not seen"),
    ("do 'begin end'", "not seen", "not seen"),
    ("execute p", "not seen", "not seen"),
    ("lock table t", "kind of statement", "kind of statement"),
    ("notify c", "kind of statement", "kind of statement"),
    ("listen c", "kind of statement", "kind of statement"),
    ("explain select 1", "kind of statement", "kind of statement"),
    ("explain analyze delete from t", "kind of statement", "kind of statement"),
    ("declare c cursor for select 1", "kind of statement", "kind of statement"),
    ("select 1; select 2", "several statements", "several statements"),
    ("update t set a = 1; delete from t", "several statements", "several statements"),
    ("select 1 >-- \n 2; delete from t --", "several statements", "operator >--"),
    ("update t set a = 'open", "not SQL", "not SQL"),
    ("update onceward_before set a = 1 from u", "update", "update"),
    ("update t set a = 1 from onceward_before", "update", "onceward_before"),
];

fn outcome(dialect: Dialect, text: &str) -> (String, String) {
    match plan(dialect, text) {
        Ok(Plan { action: Action::Read, .. }) => ("read".to_owned(), "runs as it is".to_owned()),
        Ok(Plan { action: Action::Lock(_), .. }) => ("lock".to_owned(), "covered, rows locked globally".to_owned()),
        Ok(Plan { action: Action::Write(write), .. }) => {
            (format!("{:?}", write.kind).to_lowercase(), "covered".to_owned())
        }
        Err(DtxError::Refused { part, .. }) => (part.clone(), format!("refused: {part}")),
        Err(other) => panic!("{text}: {other}"),
    }
}

#[test]
fn each_is_what_it_was_thought_to_be() {
    let kinds = ["read", "lock", "insert", "update", "delete"];
    let mut wrong = Vec::new();
    for (text, sqlite, postgres) in STATEMENTS {
        for (dialect, expected) in [(Dialect::Sqlite, sqlite), (Dialect::Postgres, postgres)] {
            let (found, _) = outcome(dialect, text);
            let same = if kinds.contains(&expected) { found == expected } else { found.contains(expected) };
            if !same {
                wrong.push(format!("{text}: {found} on {dialect:?}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_refused_without_a_way_out() {
    for (text, ..) in [("", "", ""), ("  ;", "", ""), ("\0", "", "")].iter().chain(&STATEMENTS) {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            if let Err(DtxError::Refused { part, instead }) = plan(dialect, text) {
                assert!(!part.is_empty() && !instead.is_empty(), "{text}");
            }
        }
    }
}

/// `ONCEWARD_WRITE_TABLE=1` writes it anew.
#[test]
fn the_design_page_shows_this_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../DESIGN.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- statements -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of statements -->\n").unwrap();
    let mut table = "| statement | SQLite | PostgreSQL |\n|---|---|---|\n".to_owned();
    let shown = |text: &str| text.replace('|', "\\|").replace('\n', "⏎");
    for (text, ..) in STATEMENTS {
        let [sqlite, postgres] = [Dialect::Sqlite, Dialect::Postgres].map(|dialect| shown(&outcome(dialect, text).1));
        table.push_str(&format!("| `{}` | {sqlite} | {postgres} |\n", shown(text)));
    }
    let expected = format!("{before}<!-- statements -->\n{table}<!-- end of statements -->\n{after}");
    if std::env::var_os("ONCEWARD_WRITE_TABLE").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(page == expected, "DESIGN.md is behind: run this test with ONCEWARD_WRITE_TABLE=1");
    }
}
