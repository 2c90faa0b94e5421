//! Names in quotes that hold quotes: what a statement names is what is captured, and nothing that is nearly called so.

use onceward_dtx::{DtxError, Options};
use sqlx::{AssertSqlSafe, Executor};

use crate::disk::LOCKS_ROWS;
use crate::world::World;

/// Tables of which each is another's name read or written wrongly.
const TABLES: [&str; 4] = [r#""a""""b""#, r#""a""b""#, r#""a\""b""#, r#""a\""""b""#];

/// Statements that change rows of a table, and at last one that locks them.
fn statements(table: &str) -> [String; 8] {
    [
        format!(r#"update {table} set "n""""m" = 7 where "n""m" = 1"#),
        format!(r#"update {table} set "n""""m" = 7 where {table}."n""m" = 1"#),
        format!(r#"update {table} as "x""""y" set "n""m" = "x""""y"."n""""m" + 7 where "x""""y".id = 1"#),
        format!(r#"update {table} as "x\""y" set "n""m" = 7 where "x\""y"."n""""m" = 2 returning *, "n""""m""#),
        format!(r#"update {table} as x set "n""""m" = o."n""m" + 7 from {table} as o where o.id = x.id"#),
        format!(r#"insert into {table} (id, "n""""m", "n""m") values (2, 3, 4) returning "n""""m""#),
        format!(r#"delete from {table} where {table}."n""""m" = 2"#),
        format!(r#"select * from {table} as "x""""y" where "x""""y"."n""""m" = 2 for update"#),
    ]
}

async fn rows(world: &World) -> Vec<Vec<(i64, i64, i64)>> {
    let mut all = Vec::new();
    for table in TABLES {
        let text = format!(r#"select id, "n""""m", "n""m" from {table} order by id"#);
        all.push(sqlx::query_as(AssertSqlSafe(text)).fetch_all(world.at[0].pool()).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_hold_quotes_are_not_taken_for_others() {
    let world = World::new().await;
    let at = &world.at[0];
    for table in TABLES {
        let make = format!(
            r#"create table {table} (id bigint primary key, "n""""m" bigint, "n""m" bigint); insert into {table} values (1, 2, 1)"#
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(at.pool()).await.unwrap();
    }
    let before = rows(&world).await;
    for (own, table) in TABLES.iter().enumerate() {
        for text in statements(table) {
            let locks = text.ends_with("for update");
            if locks && !LOCKS_ROWS {
                continue;
            }
            let work = async |_| {
                at.branch(async |mut tx| {
                    let rows = tx.fetch_all(AssertSqlSafe(text.clone())).await?;
                    assert_eq!(rows.is_empty(), !text.contains("returning") && !locks, "{text}");
                    Ok::<_, DtxError>(())
                })
                .await?;
                for (other, (was, now)) in before.iter().zip(rows(&world).await).enumerate() {
                    assert_eq!(*was != now, other == own && !locks, "{text}: {now:?} in {}", TABLES[other]);
                }
                Err::<(), _>(DtxError::NoTransaction)
            };
            let answer = world.dtx.run(Options::new("quoted"), work).await;
            assert!(matches!(answer, Err(DtxError::NoTransaction)), "{text}: {answer:?}");
            assert_eq!(rows(&world).await, before, "{text}");
        }
    }
    world.quiet().await;
}
