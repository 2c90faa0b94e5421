use super::*;

fn written(text: &str) -> Write {
    match plan(Dialect::Sqlite, text).map(|plan| plan.action) {
        Ok(Action::Write(write)) => *write,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn covered_writes() {
    let table = [
        ("insert into t (a) values (1)", Kind::Insert),
        ("insert into t values (1, 2), (3, 4)", Kind::Insert),
        ("INSERT INTO t DEFAULT VALUES", Kind::Insert),
        ("insert into main.t (a) values (?)", Kind::Insert),
        ("insert into \"T\" (a) values ($1) returning a, b", Kind::Insert),
        ("insert into t (a) select b from u where b > ?", Kind::Insert),
        ("insert into t (a) select b from u returning *", Kind::Insert),
        ("insert into t (a) values (1) on conflict do nothing", Kind::Insert),
        ("insert into t (a) values (1) on conflict (a) do nothing returning a", Kind::Insert),
        ("insert into t (a) values (random())", Kind::Insert),
        ("insert into t (a) values ((select max(b) from u))", Kind::Insert),
        ("update t set a = 1", Kind::Update),
        ("update t set a = a + ?, b = ? where id = ? and a >= ?", Kind::Update),
        ("update t as x set a = x.a + 1 where x.id in (select id from u where u.id = x.id)", Kind::Update),
        ("update t set (a, b) = (1, 2) where id = 1", Kind::Update),
        ("update t set a = (select max(b) from u where b < 9) where id = 1 returning a", Kind::Update),
        ("update t set a = random() where id = ?1", Kind::Update),
        ("update \"my table\" set \"a b\" = 1 where \"where\" = 2;", Kind::Update),
        ("update t set a = case when b then 1 else 2 end where c is not distinct from d", Kind::Update),
        ("-- why\nupdate t set a = 1 -- because\nwhere id = 2 -- end", Kind::Update),
        ("/* why */ delete from t where id = 1 /* ; */ ;  ", Kind::Delete),
        ("delete from t", Kind::Delete),
        ("delete from t as x where exists (select 1 from u where u.id = x.id)", Kind::Delete),
        ("delete from t where a = 'returning where ?' returning id, a", Kind::Delete),
        ("delete from t where a like '%;%' and b in (?, ?)", Kind::Delete),
    ];
    for (text, kind) in table {
        assert_eq!(written(text).kind, kind, "{text}");
    }
}

#[test]
fn reads_pass() {
    for text in [
        "select 1",
        "select a, count(*) from t join u using (id) where a = ? group by a order by 2 limit 3",
        "with x as (select 1 as a) select * from x",
        "values (1), (2)",
        "select * from t where id in (select id from u) union all select * from v;",
        "select json_extract(a, '$.b') from t",
    ] {
        assert_eq!(plan(Dialect::Sqlite, text).unwrap().action, Action::Read, "{text}");
    }
}

#[test]
fn refused_with_the_part_and_the_way_out() {
    let table = [
        ("", "empty"),
        ("  ;", "empty"),
        ("begin", "transaction control"),
        ("begin immediate", "transaction control"),
        ("commit", "transaction control"),
        ("end", "transaction control"),
        ("rollback", "transaction control"),
        ("savepoint a", "transaction control"),
        ("release a", "transaction control"),
        ("create table x (a)", "schema"),
        ("alter table t add column b", "schema"),
        ("drop table t", "schema"),
        ("reindex", "schema"),
        ("vacuum", "schema"),
        ("analyze", "schema"),
        ("pragma foreign_keys = off", "setting"),
        ("attach 'x' as y", "setting"),
        ("detach y", "setting"),
        ("explain select 1", "kind of statement"),
        ("truncate t", "without images"),
        ("merge into t using u on a = b when matched then delete", "MERGE"),
        ("set a = 1", "setting"),
        ("call f()", "not seen"),
        ("replace into t (a) values (1)", "REPLACE"),
        ("insert or replace into t (a) values (1)", "OR REPLACE"),
        ("insert or ignore into t (a) values (1)", "OR IGNORE"),
        ("insert or abort into t (a) values (1)", "OR ABORT"),
        ("insert or fail into t (a) values (1)", "OR FAIL"),
        ("insert or rollback into t (a) values (1)", "OR ROLLBACK"),
        ("insert into t (a) values (1) on conflict (a) do update set b = 2", "DO UPDATE"),
        ("insert into temp.t (a) values (1)", "temp.t"),
        ("insert into other.t (a) values (1)", "other.t"),
        ("update or ignore t set a = 1", "OR IGNORE"),
        ("update or replace t set a = 1", "OR REPLACE"),
        ("update t set a = u.a from u where u.id = t.id", "FROM"),
        ("update t set a = 1 where id = 1 limit 1", "LIMIT"),
        ("update t set a = 1 order by id limit 1", "LIMIT"),
        ("update t set a = 1 where random() > 0", "random"),
        ("update t set a = 1 where id in (select id from u where random() > 0)", "random"),
        ("update t set a = 1 where \"random\"() > 0", "random"),
        ("delete from t order by id limit 1", "LIMIT"),
        ("delete from t where a = randomblob(2)", "randomblob"),
        ("with x as (select 1) update t set a = 1", "WITH"),
        ("with x as (select 1) delete from t", "WITH"),
        ("with x as (select 1 as a) insert into t select a from x", "WITH"),
        ("update t set a = :a", "named parameter"),
        ("update t set a = @a", "named parameter"),
        ("update t set a = $a", "named parameter"),
        ("update t set a = ? where id = ?3", "numbers together"),
        ("select 1; select 2", "several statements"),
        ("update t set a = 1; delete from t", "several statements"),
        ("update t indexed by i set a = 1", "not understood"),
        ("update t set a = 'open", "not SQL"),
    ];
    for (text, part) in table {
        match plan(Dialect::Sqlite, text) {
            Err(DtxError::Refused { part: found, instead }) => {
                assert!(found.contains(part), "{text}: {found}");
                assert!(!instead.is_empty());
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn the_condition_is_cut_out_with_its_placeholders_numbered() {
    let table = [
        ("update t set a = ?, b = ? where id = ? and é = ? returning a", " where id = ?3 and é = ?4 \n", 4),
        ("update t set a = ?2 where id = ?1;", " where id = ?1\n", 2),
        ("update t set a = $2 where id = $1", " where id = ?1\n", 2),
        (
            "delete from t where a = '?' and b in (select ? from u where c = ?)",
            " where a = '?' and b in (select ?1 from u where c = ?2)\n",
            2,
        ),
        ("update t set a = (select b from u where c = ?)\nWHERE id = ? -- ?", " WHERE id = ?2 -- ?\n", 2),
        ("update t set a = ?", "", 1),
    ];
    for (text, filter, arguments) in table {
        let write = written(text);
        assert_eq!((write.filter.as_str(), write.arguments), (filter, arguments), "{text}");
    }
}

#[test]
fn names_and_set_columns_come_without_quotes() {
    let write = written("update \"T x\" as \"y z\" set \"a b\" = 1, [c] = 2, (`d`, e) = (3, 4) where id = 5");
    assert_eq!((write.table.as_str(), write.alias.as_str()), ("T x", " as \"y z\""));
    assert_eq!(write.set, ["a b", "c", "d", "e"]);
}

#[test]
fn what_follows_the_end_is_not_part_of_the_body() {
    let write = written("delete from t where a = ';' ; -- done; really");
    assert_eq!(write.body, "delete from t where a = ';'");
}

#[test]
fn no_text_makes_it_panic() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    let words = [
        "update",
        "t",
        "set",
        "a",
        "=",
        "?",
        "where",
        "returning",
        "(",
        ")",
        ";",
        "--",
        "\n",
        "é🦀",
        "'",
        "\"",
        "?9",
        "$1",
        ":b",
        "delete from",
        "insert into",
        "values",
    ];
    let text = prop::collection::vec(prop::sample::select(words.to_vec()), 0..24).prop_map(|parts| parts.join(" "));
    TestRunner::default()
        .run(&text, |text| {
            let _ = plan(Dialect::Sqlite, &text);
            let _ = plan(Dialect::Postgres, &text);
            Ok(())
        })
        .unwrap();
}
