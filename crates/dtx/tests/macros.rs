//! sqlx's checked macros in a branch. Their offline data lie in `.sqlx`, made by a build of this test with `SQLX_OFFLINE=false`,
//! `SQLX_OFFLINE_DIR` there, and a `DATABASE_URL` of a SQLite file with this table.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests say what they expect by unwrapping")]

use std::sync::Arc;

use onceward_dtx::{At, AtOptions, AtTransaction, Dtx, DtxError, DtxOptions, MemoryStore, Options, Tc, TcOptions};
use sqlx::Sqlite;

const VOUCHER: &str =
    "create table voucher (id integer primary key not null, code text not null, uses integer not null)";

#[derive(Debug, PartialEq)]
struct Voucher {
    id: i64,
    code: String,
    uses: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn checked_statements_are_captured_and_undone() {
    let folder = tempfile::tempdir().unwrap();
    let pool = onceward_backend::sqlite::open(folder.path().join("voucher.db")).await.unwrap();
    sqlx::query(VOUCHER).execute(&pool).await.unwrap();
    let tc = Tc::new(Arc::new(MemoryStore::new()), TcOptions::default());
    let dtx = Dtx::new(Arc::new(tc), DtxOptions::default());
    let at = At::new("voucher", pool, &dtx, AtOptions::<Sqlite>::default()).await.unwrap();

    let work = async |mut tx: AtTransaction<Sqlite>| {
        let made = sqlx::query!("insert into voucher (code, uses) values (?, ?) returning id", "tea", 3_i64)
            .fetch_one(&mut *tx)
            .await?;
        let used = sqlx::query_scalar!("update voucher set uses = uses - 1 where id = ? returning uses", made.id)
            .fetch_one(&mut *tx)
            .await?;
        let read = sqlx::query_as!(Voucher, "select id, code, uses from voucher where code = ?", "tea")
            .fetch_all(&mut *tx)
            .await?;
        assert_eq!((used, read), (2, vec![Voucher { id: made.id, code: "tea".to_owned(), uses: 2 }]));
        Ok::<_, DtxError>(())
    };
    let undone = dtx.run(Options::new("undone"), async |_| {
        at.branch(work).await?;
        Err::<(), _>(DtxError::NoTransaction)
    });
    assert!(matches!(undone.await, Err(DtxError::NoTransaction)));
    assert_eq!(sqlx::query_scalar!("select count(*) from voucher").fetch_one(at.pool()).await.unwrap(), 0);
    dtx.run(Options::new("kept"), async |_| at.branch(work).await).await.unwrap();
    assert_eq!(sqlx::query_scalar!("select count(*) from voucher").fetch_one(at.pool()).await.unwrap(), 1);
}
