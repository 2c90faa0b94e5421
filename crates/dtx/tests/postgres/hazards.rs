//! Interleavings that went wrong elsewhere, each scheduled and named after what is prevented.

use std::time::Duration;

use onceward_dtx::rm::Undone;
use onceward_dtx::{At, AtOptions, DtxError, Options};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool, Postgres};

use crate::world::World;

pub(crate) async fn run(world: &World, at: &At<Postgres>, text: &'static str) -> Result<u64, DtxError> {
    let work = async |_| at.branch(async |mut tx| Ok::<_, DtxError>(tx.execute(text).await?.rows_affected())).await;
    world.dtx.run(Options::new(text), work).await
}

/// Returns once some session waits for a lock that another one holds.
async fn somebody_waits(pool: &PgPool) {
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    testkit::eventually(Duration::from_secs(10), async || {
        match sqlx::query_scalar::<_, i64>(waits).fetch_one(pool).await {
            Ok(0) => Err("nobody waits".to_owned()),
            other => other.map_err(|error| error.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_referred_to_meanwhile_does_not_block_its_update() {
    let world = World::new().await;
    let pool = world.at[0].pool();
    pool.execute("create table item (id integer primary key, account bigint references account (id))").await.unwrap();
    let mut other = pool.begin().await.unwrap();
    // Holds the row of the account as a foreign key does.
    other.execute("insert into item values (1, 1)").await.unwrap();
    let update = run(&world, &world.at[0], "update account set balance = balance - 1 where id = 1");
    let done = tokio::time::timeout(Duration::from_secs(5), update).await.expect("a weaker lock is enough");
    assert_eq!(done.unwrap(), 1);
    other.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_writer_is_waited_for_and_its_row_is_neither_lost_nor_overwritten() {
    let world = World::new().await;
    let pool = world.at[0].pool();
    let mut other = pool.begin().await.unwrap();
    other.execute("update account set balance = balance - 1 where id = 1").await.unwrap();
    let branch = async {
        world
            .dtx
            .run(Options::new("takes 10"), async |_| {
                let taken = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
                    let text = "update account set balance = balance - 10 where id = 1 returning balance";
                    Ok::<_, DtxError>(sqlx::query_scalar::<_, i64>(text).fetch_one(&mut *tx).await?)
                };
                assert_eq!(world.at[0].branch(taken).await?, 89);
                Err::<(), _>(DtxError::NoTransaction)
            })
            .await
    };
    let commit = async {
        somebody_waits(pool).await;
        other.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(branch, commit);
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    assert_eq!(world.balance(0, 1).await, Some(99), "undone to what the other writer left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_appears_while_the_statement_waits_is_neither_changed_nor_forgotten() {
    let world = World::new().await;
    let at = &world.at[0];
    let mut writer = at.pool().begin().await.unwrap();
    writer.execute("update account set owner = 'amy' where id = 1").await.unwrap();
    writer.execute("insert into account values (3, 'new', 100)").await.unwrap();
    let answer = world.dtx.run(Options::new("phantom"), async |_| {
        let update = run(&world, at, "update account set balance = 7 where balance = 100");
        let release = async {
            somebody_waits(at.pool()).await;
            writer.commit().await.unwrap();
        };
        let (changed, ()) = tokio::join!(update, release);
        assert_eq!(changed?, 2, "those that were there when it began");
        Err::<(), _>(DtxError::NoTransaction)
    });
    let answer = answer.await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
    let left: Vec<(i64, i64)> =
        sqlx::query_as("select id, balance from account order by id").fetch_all(at.pool()).await.unwrap();
    assert_eq!(left, [(1, 100), (2, 100), (3, 100)]);
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_several_match_is_changed_if_one_still_does_when_it_has_been_waited_for() {
    let world = World::new().await;
    let at = &world.at[0];
    let pool = at.pool();
    pool.execute("create table due (id integer primary key, least bigint); insert into due values (1, 100), (2, 150)")
        .await
        .unwrap();
    for text in [
        "update account set owner = 'met' from due where due.least >= account.balance and account.id = 1",
        "delete from account using due where due.least >= account.balance and account.id = 1",
    ] {
        let mut writer = pool.begin().await.unwrap();
        writer.execute("update account set balance = 120 where id = 1").await.unwrap();
        let answer = world.dtx.run(Options::new("joined"), async |_| {
            let release = async {
                somebody_waits(pool).await;
                writer.commit().await.unwrap();
            };
            let (changed, ()) = tokio::join!(run(&world, at, text), release);
            assert_eq!(changed?, 1, "{text}: the second match still holds");
            Err::<(), _>(DtxError::NoTransaction)
        });
        let answer = answer.await;
        assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
        assert_eq!(world.balance(0, 1).await, Some(120));
        pool.execute("update account set balance = 100 where id = 1").await.unwrap();
    }
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_key_changes_meanwhile_is_not_silently_left_out() {
    let world = World::new().await;
    let pool = world.at[0].pool();
    let mut other = pool.begin().await.unwrap();
    other.execute("update account set id = 5 where id = 1").await.unwrap();
    let branch = run(&world, &world.at[0], "update account set balance = 0 where owner = 'ann'");
    let commit = async {
        somebody_waits(pool).await;
        other.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(branch, commit);
    let error = answer.unwrap_err();
    assert!(matches!(error, DtxError::Moved { .. }) && error.is_retryable(), "{error:?}");
    assert_eq!(world.balance(0, 5).await, Some(100));
    assert_eq!(run(&world, &world.at[0], "update account set balance = 0 where owner = 'ann'").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_in_front_of_the_planned_one_is_noticed() {
    let world = World::new().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&world.disk.url("temp").await).await.unwrap();
    pool.execute("create table t (id integer primary key, n integer); insert into t values (1, 1)").await.unwrap();
    let at = At::new("temp", pool.clone(), &world.dtx, AtOptions::default()).await.unwrap();
    assert_eq!(run(&world, &at, "update t set n = 2").await.unwrap(), 1);
    pool.execute("create temp table t (id integer primary key, n integer); insert into t values (1, 7)").await.unwrap();
    let shadowed = run(&world, &at, "update t set n = 3").await;
    assert!(matches!(shadowed, Err(DtxError::Refused { .. })), "{shadowed:?}");
    let left: (i32, i32) =
        sqlx::query_as("select (select n from pg_temp.t), (select n from public.t)").fetch_one(&pool).await.unwrap();
    assert_eq!(left, (7, 2));
    world.dtx.recover().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_appears_after_planning_is_not_lost() {
    let world = World::new().await;
    let at = &world.at[0];
    assert_eq!(run(&world, at, "delete from account where id = 2").await.unwrap(), 1);
    at.pool().execute("alter table account add column note text default 'kept'").await.unwrap();
    // The plan may be the old one; then the statement says so, and the next try plans anew.
    let delete = || {
        world.dtx.run(Options::new("delete"), async |_| {
            let gone = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
                Ok::<_, DtxError>(tx.execute("delete from account where id = 1").await?.rows_affected())
            };
            assert_eq!(at.branch(gone).await?, 1);
            Err::<(), _>(DtxError::NoTransaction)
        })
    };
    let mut answer = delete().await;
    if matches!(answer, Err(DtxError::Moved { .. })) {
        answer = delete().await;
    }
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    let note: String = sqlx::query_scalar("select note from account where id = 1").fetch_one(at.pool()).await.unwrap();
    assert_eq!(note, "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_that_comes_under_an_open_branch_is_seen() {
    let world = World::new().await;
    let pool = world.at[0].pool();
    const DELETE: &str = "delete from account where id = 9";
    let answer = world
        .dtx
        .run(Options::new("long"), async |_| {
            world.at[0]
                .branch(async |mut tx| {
                    tx.execute("select 1").await?;
                    // Planned by another branch, within the same life of the catalogue.
                    run(&world, &world.at[0], DELETE).await?;
                    let cascade = "create table note (account bigint references account (id) on delete cascade)";
                    pool.execute(cascade).await?;
                    // The catalogue is read anew every 5 s.
                    tokio::time::sleep(Duration::from_millis(5_100)).await;
                    tx.execute(DELETE).await?;
                    Ok::<_, DtxError>(())
                })
                .await
        })
        .await;
    assert!(matches!(&answer, Err(DtxError::Refused { part, .. }) if part.contains("cascades")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_equal_and_not_the_same_have_one_lock() {
    let world = World::new().await;
    let at = &world.at[0];
    at.pool().execute("create table price (id integer primary key, amount numeric unique)").await.unwrap();
    at.pool().execute("insert into price values (1, 1.0)").await.unwrap();
    let answer = world
        .dtx
        .run(Options::new("frees 1.0"), async |_| {
            let free = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
                tx.execute("update price set amount = 2 where id = 1").await?;
                Ok::<_, DtxError>(())
            };
            at.branch(free).await?;
            let (dtx, at) = (world.dtx.clone(), at.clone());
            let taken = tokio::spawn(async move {
                dtx.run(Options::new("takes 1.00"), async |_| {
                    let mut tx = at.begin().await?;
                    tx.execute("insert into price values (2, 1.00)").await?;
                    tx.commit().await
                })
                .await
            });
            assert!(taken.await.unwrap().unwrap_err().is_conflict());
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "undone, not parked: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_meets_a_first_phase_in_flight_waits_for_its_end() {
    let world = World::new().await;
    let orders = world.dtx.resources().get("orders").unwrap();
    for commit in [false, true] {
        let mut late = world.at[0].pool().begin().await.unwrap();
        let insert = "insert into undo_log (xid, branch_id, context, rollback_info, log_status, log_created, log_modified) \
                      values ('x', 7, 'serializer=onceward', $1, 0, 0, 0)";
        // No steps: a version, a count, a checksum.
        let images = [&[1, 0][..], &sha(&[1, 0])].concat();
        sqlx::query(insert).bind(&images).execute(&mut *late).await.unwrap();
        let busy = orders.rollback("x", 7).await.unwrap_err();
        assert!(busy.is_retryable(), "still working is no failure: {busy:?}");
        if commit {
            late.commit().await.unwrap();
        } else {
            late.rollback().await.unwrap();
        }
        assert_eq!(orders.rollback("x", 7).await.unwrap(), Undone::Done);
        let again = sqlx::query(insert).bind(&images).execute(world.at[0].pool()).await;
        let barred = again.is_err_and(|error| error.as_database_error().is_some_and(|e| e.is_unique_violation()));
        assert_eq!(barred, !commit, "a guard where nothing had come, nothing where it was undone");
        sqlx::query("delete from undo_log").execute(world.at[0].pool()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_meets_a_branch_that_another_parks_says_so() {
    let world = World::new().await;
    let orders = world.dtx.resources().get("orders").unwrap();
    let pool = world.at[0].pool();
    let insert = "insert into undo_log (xid, branch_id, context, rollback_info, log_status, log_created, log_modified) \
                  values ('x', 7, 'serializer=onceward', '', 0, 0, 0)";
    let park = "insert into dtx_parked (xid, branch_id, reason, context, rollback_info, parked) \
                select xid, branch_id, 'dirty', context, rollback_info, 0 from undo_log; delete from undo_log";
    // It has looked for the record and for a parked one before either could be seen.
    let mut other = pool.begin().await.unwrap();
    other.execute(insert).await.unwrap();
    let park = async {
        somebody_waits(pool).await;
        other.execute(park).await.unwrap();
        other.commit().await.unwrap();
    };
    let (undone, ()) = tokio::join!(orders.rollback("x", 7), park);
    let undone = match undone {
        // On a busy machine the other took longer than undo waits.
        Err(busy) if busy.is_retryable() => orders.rollback("x", 7).await,
        other => other,
    };
    assert_eq!(undone.unwrap(), Undone::Parked);
    let guards: i64 = sqlx::query_scalar("select count(*) from undo_log").fetch_one(pool).await.unwrap();
    assert_eq!(guards, 0);
}

fn sha(bytes: &[u8]) -> [u8; 8] {
    <sha2::Sha256 as sha2::Digest>::digest(bytes)[..8].try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_delays_the_undo_and_does_not_park_it() {
    let world = World::new().await;
    let mut held = None;
    let answer = world
        .dtx
        .run(Options::new("held"), async |_| {
            crate::world::add(&world.at[0], 7).await?;
            let mut other = world.at[0].pool().begin().await?;
            other.execute("select * from account where id = 1 for update").await?;
            held = Some(other);
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
    held.unwrap().rollback().await.unwrap();
    let _worker = world.worker();
    world.quiet().await;
    assert_eq!(world.balance(0, 1).await, Some(100));
    assert!(world.dtx.parked().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_arguments_as_the_protocol_takes() {
    let world = World::new().await;
    let answer = world
        .dtx
        .run(Options::new("many"), async |_| {
            let many = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
                let mut list = sqlx::QueryBuilder::<Postgres>::new("update account set balance = 7 where id in (");
                let mut parts = list.separated(", ");
                for id in 1..=65_535_i64 {
                    parts.push_bind(id);
                }
                list.push(")");
                assert_eq!(list.build().execute(&mut *tx).await?.rows_affected(), 2);
                Ok::<_, DtxError>(())
            };
            world.at[0].branch(many).await?;
            assert_eq!(world.dtx.undo_rows().await?.len(), 1);
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    assert_eq!(world.balances().await, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_texts_end_elsewhere_is_refused() {
    let world = World::new().await;
    let options: sqlx::postgres::PgConnectOptions = world.disk.url("strings").await.parse().unwrap();
    let pool = PgPool::connect_with(options.options([("standard_conforming_strings", "off")])).await.unwrap();
    let refused = At::new("strings", pool, &world.dtx, AtOptions::default()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("standard_conforming_strings"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_given_up_and_then_fails_spoils_its_part_only() {
    let world = World::new().await;
    let work = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
        let mut part = tx.savepoint().await?;
        part.execute("update account set balance = 1 where id = 2").await?;
        // Given up while the server is at it, which has an error to tell when it is done.
        let late = part.execute("select pg_sleep(0.3), 1 / (balance - balance) from account");
        assert!(tokio::time::timeout(Duration::from_millis(100), late).await.is_err());
        part.rollback().await?;
        tx.execute("update account set balance = 7 where id = 1").await?;
        Ok::<_, DtxError>(())
    };
    world.dtx.run(Options::new("given up"), async |_| world.at[0].branch(work).await).await.unwrap();
    assert_eq!((world.balance(0, 1).await, world.balance(0, 2).await), (Some(7), Some(100)));
    world.dtx.recover().await.unwrap();
    world.quiet().await;
}
