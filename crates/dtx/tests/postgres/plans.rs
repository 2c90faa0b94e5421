//! What is read of tables of which the planner knows nothing, as the server counts it.

use std::sync::Arc;
use std::time::Duration;

use onceward_dtx::tc::lock::LockKey;
use onceward_dtx::{
    At, AtOptions, Coordinator, Dtx, DtxOptions, MemoryStore, NewBranch, Options, SqlStore, Tc, TcOptions,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

use crate::disk::{ACCOUNT, Disk};

/// Rows of the coordinator's tables that were read, by whatever plan.
async fn rows_read(pool: &PgPool) -> i64 {
    for flush in ["select pg_stat_force_next_flush()", "select pg_stat_clear_snapshot()"] {
        sqlx::query(flush).execute(pool).await.unwrap();
    }
    let read = "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables";
    sqlx::query_scalar(read).fetch_one(pool).await.unwrap()
}

/// The server takes a table for as large as it was when it last looked, which may have been when no transaction was open.
#[tokio::test]
async fn a_transaction_reads_few_rows_however_many_are_open_and_whatever_the_planner_knows() {
    const OPEN: usize = 1000;
    const MEASURED: usize = 50;
    let analyses = ["select 1", "analyze", "vacuum analyze"].into_iter();
    let cases = analyses.flat_map(|analyze| ["auto", "force_generic_plan"].map(|plans| (analyze, plans)));
    for (analyze, plans) in cases {
        let database = testkit::postgres::database().await;
        let options = database.url().parse::<PgConnectOptions>().unwrap().options([("plan_cache_mode", plans)]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let store = SqlStore::new(pool.clone()).await.unwrap();
        let coordinator = Tc::new(Arc::new(store), TcOptions::default());
        sqlx::query(analyze).execute(&pool).await.unwrap();
        let begin = async |n: usize| {
            let xid = coordinator.begin("open", Duration::from_secs(600)).await.unwrap();
            let (resource_id, table, key) = ("r".to_owned(), "t".to_owned(), n.to_string());
            let locks = vec![LockKey { resource_id: resource_id.clone(), table, key }];
            coordinator.register(&NewBranch { xid: xid.clone(), branch_id: 1, resource_id, locks }).await.unwrap();
            xid
        };
        // The server settles for a plan after a few runs of a statement, when next to nothing is open.
        for n in 0..12 {
            coordinator.commit(&begin(n).await).await.unwrap();
        }
        let mut open = Vec::new();
        for n in 0..OPEN {
            open.push(begin(OPEN + n).await);
        }
        let before = rows_read(&pool).await;
        for (n, xid) in open.iter().take(MEASURED).enumerate() {
            begin(3 * OPEN + n).await;
            coordinator.commit(xid).await.unwrap();
        }
        let read = usize::try_from(rows_read(&pool).await - before).unwrap() / MEASURED;
        assert!(read <= 20, "{read} rows read for a transaction, {OPEN} open; plans: {plans}, at first: {analyze}");
    }
}

/// The server takes the table for as large as it was when it last looked, which may have been when no branch was open.
#[tokio::test(flavor = "multi_thread")]
async fn the_undo_of_a_branch_is_found_without_reading_the_others() {
    const OPEN: i64 = 1000;
    const MEASURED: i64 = 50;
    const ROUNDS: i64 = 10;
    let disk = Disk::new().await;
    let url = disk.url("undo").await;
    let pool = PgPool::connect(&url).await.unwrap();
    sqlx::query(ACCOUNT).execute(&pool).await.unwrap();
    sqlx::query("insert into account values (1, 'ann', 100)").execute(&pool).await.unwrap();
    let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
    let dtx = Dtx::new(Arc::new(tc), DtxOptions::default());
    let at = At::new("wire", pool.clone(), &dtx, AtOptions::default()).await.unwrap();
    sqlx::query("vacuum analyze undo_log").execute(&pool).await.unwrap();
    let run = async |times: i64| {
        for n in 0..times {
            let work = async |_| crate::world::add(&at, n).await;
            dtx.run(Options::new("undo"), work).await.unwrap();
        }
        dtx.recover().await.unwrap();
    };
    // The server settles for a plan after a few runs of a statement.
    run(12).await;
    let others = "insert into undo_log (branch_id, xid, context, rollback_info, log_status, log_created, log_modified) \
                  select n, 'other-' || n, 'other', '', 0, 9000000000000000, 0 from generate_series(1, $1) n";
    sqlx::query(others).bind(OPEN).execute(&pool).await.unwrap();
    // Of what a connection has read the server knows for sure when it has ended.
    let counts = async || {
        let mut observer = sqlx::PgConnection::connect(&url).await.unwrap();
        let counts = "select n_tup_del, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint \
                      from pg_stat_user_tables where relname = 'undo_log'";
        sqlx::query_as::<_, (i64, i64)>(counts).fetch_one(&mut observer).await.unwrap()
    };
    for _ in 0..ROUNDS {
        run(MEASURED / ROUNDS).await;
    }
    pool.close().await;
    let read = testkit::eventually(Duration::from_secs(30), async || match counts().await {
        (deleted, read) if deleted >= 512 + 12 + MEASURED => Ok(read),
        counts => Err(format!("{counts:?}")),
    })
    .await;
    // The room that the table had at first, a list of all undo for each recovery, and a few for each branch.
    assert!(read < 512 + ROUNDS * OPEN + 10 * (12 + MEASURED), "{read} rows read");
}
