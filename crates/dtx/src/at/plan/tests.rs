use super::*;

mod mutated;
mod statements;

fn written_on(dialect: Dialect, text: &str) -> Write {
    match plan(dialect, text).map(|plan| plan.action) {
        Ok(Action::Write(write)) => *write,
        other => panic!("{text}: {other:?}"),
    }
}

fn written(text: &str) -> Write {
    written_on(Dialect::Sqlite, text)
}

#[test]
fn the_condition_is_cut_out_with_its_placeholders_numbered() {
    let table = [
        ("update t set a = ?, b = ? where id = ? and é = ? returning a", " id = ?3 and é = ?4 \n", 4),
        ("update t set a = ?2 where id = ?1;", " id = ?1\n", 2),
        ("update t set a = $2 where id = $1", " id = ?1\n", 2),
        (
            "delete from t where a = '?' and b in (select ? from u where c = ?)",
            " a = '?' and b in (select ?1 from u where c = ?2)\n",
            2,
        ),
        ("update t set a = (select b from u where c = ?)\nWHERE id = ? -- ?", " id = ?2 -- ?\n", 2),
        ("update t set a = ?", "", 1),
        ("with x as (select ? as b) update t set a = ? where id = ?", " id = ?3\n", 3),
    ];
    for (text, filter, arguments) in table {
        let write = written(text);
        assert_eq!((write.filter.as_str(), write.arguments), (filter, arguments), "{text}");
    }
}

#[test]
fn other_tables_and_with_are_cut_out() {
    let table = [
        ("update t set a = b is distinct from c from u where u.id = t.id", "", " u \n", " u.id = t.id\n"),
        (
            "update t set a = u.a from u join v on u.b is not distinct from v.b",
            "",
            " u join v on u.b is not distinct from v.b\n",
            "",
        ),
        (
            "with x (a) as (select ?), y as (select 1 -- )\n) update t set a = ? from x where t.a = ?",
            "with  x (a) as (select ?1), y as (select 1 -- )\n) \n",
            " x \n",
            " t.a = ?3\n",
        ),
        (
            "with recursive x as (select 1 as a) delete from t where a in (select a from x)",
            "with recursive x as (select 1 as a) \n",
            "",
            " a in (select a from x)\n",
        ),
        ("with x as (select 1 as a) insert into t select a from x", "with  x as (select 1 as a) \n", "", ""),
    ];
    for (text, with, from, filter) in table {
        let write = written(text);
        assert_eq!((&*write.with, &*write.from, &*write.filter), (with, from, filter), "{text}");
        assert_eq!(write.body, text, "with all of it");
    }
    let write = written_on(Dialect::Postgres, "with x as (select $1::int) insert into t select * from x returning id");
    assert_eq!((&*write.with, &*write.body), ("with  x as (select $1::int) \n, ", "insert into t select * from x"));
    let write =
        written_on(Dialect::Postgres, "with recursive x as (select 1) delete from t using x, y where t.a = x.a");
    assert_eq!((&*write.with, &*write.from), ("with recursive x as (select 1) \n, ", " x, y \n"));
    assert_eq!(written_on(Dialect::Postgres, "delete from t").with, "with ");
}

#[test]
fn a_star_means_the_row_that_is_changed_unless_others_are_asked_for() {
    let list = |text| written_on(Dialect::Postgres, text).returning.unwrap();
    assert_eq!(list("update t as x set a = 1 returning *, a * 2"), " x.*, a * 2\n");
    assert_eq!(list("update t as x set a = 1 from u returning *"), " *\n");
}

#[test]
fn a_query_that_locks_is_cut_before_its_from() {
    let plan =
        plan(Dialect::Postgres, "select a is distinct from b from \"T\" as x where id = $1 for update;").unwrap();
    let Action::Lock(lock) = plan.action else { panic!("{plan:?}") };
    assert_eq!((&*lock.table, &*lock.row, lock.bare), ("\"T\"", "x", false));
    assert_eq!(
        (&*lock.head, &*lock.tail),
        ("select a is distinct from b \n", "from \"T\" as x where id = $1 for update\n")
    );
}

#[test]
fn names_and_set_columns_come_without_quotes() {
    let write = written("update \"T x\" as \"y z\" set \"a b\" = 1, [c] = 2, (`d`, e) = (3, 4) where id = 5");
    assert_eq!((write.table.as_str(), write.alias.as_str()), ("T x", " as \"y z\""));
    assert_eq!(write.set, ["a b", "c", "d", "e"]);
}

#[test]
fn quotes_within_quotes_stay_as_they_are() {
    let table = [
        (r#""a""""b""#, r#""x""""y""#),
        (r#"s."a""b""#, r#""x""y""#),
        (r#""S""""s"."a\""b""#, r#""x\""""y""#),
        ("a", "x"),
    ];
    for (name, alias) in table {
        let write = written_on(Dialect::Postgres, &format!("update {name} as {alias} set b = 1"));
        assert_eq!((&*write.table, &*write.alias, &*write.row), (name, &*format!(" as {alias}"), alias));
        let write = written_on(Dialect::Postgres, &format!("insert into {name} as {alias} values (1) returning *"));
        assert_eq!((&*write.table, &*write.row, write.returning), (name, alias, Some(format!(" {alias}.*\n"))));
        let last = name.split_once('.').map_or(name, |(_, last)| last);
        assert_eq!(written_on(Dialect::Postgres, &format!("delete from {name}")).row, last);
        let lock = |of: &str| plan(Dialect::Postgres, &format!("select * from {name} as {alias} for update of {of}"));
        assert!(lock(alias).is_ok() && lock(last).is_err() && lock(&format!("s.{alias}")).is_err(), "{name}");
    }
    for (name, alias) in [(r#""a""""b""#, r#""x""""y""#), ("`a\"\"b`", "`x``y`"), ("[a\"\"b]", "[x\"\"y]")] {
        let write = written(&format!("update {name} as {alias} set b = 1"));
        assert_eq!((&*write.table, &*write.alias), ("a\"\"b", &*format!(" as {alias}")));
    }
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
        "with x as (select 1)",
        "recursive",
        "from",
        "using",
        "for update",
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

#[test]
fn what_would_nest_too_deep_is_refused_and_long_lists_are_not() {
    let chain = |start: &str, link: &str, end: &str| format!("{start}{}{end}", link.repeat(100_000));
    for text in [
        chain("select 1", "+1", ""),
        chain("select a", "[1]", ""),
        chain("select a", "->'b'", ""),
        chain("select 1", "::int", ""),
        chain("update t set a = 1 where a = 1", " or a = 1", ""),
        chain("select ", "not ", "1"),
        chain("select ", "- ", "1"),
        chain("select 1", " union select 1", ""),
        chain("select 1 from a", " join a on true", ""),
        chain("select ", "(", ""),
        chain("select ", "case when 1 then ", ""),
        chain("select ", "f(", ""),
        chain("with x as ", "(", ""),
    ] {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert!(matches!(plan(dialect, &text), Err(DtxError::Refused { .. })), "{}", &text[..40]);
        }
    }
    for text in [
        chain("insert into t values (1, 'x', null, true, default)", ", (1, 'x', null, true, default)", ""),
        chain("delete from t where id in ($1", ", $1", ")"),
    ] {
        assert!(plan(Dialect::Postgres, &text).is_ok(), "{}", &text[..40]);
    }
}
