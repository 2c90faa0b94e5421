//! The same program on servers.

use std::sync::Arc;

use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{Dtx, DtxOptions, Options, SqlStore, Tc, TcOptions};

use crate::tool::{run, words};

fn coordinated(store: impl TcStore) -> Dtx {
    Dtx::new(Arc::new(Tc::new(Arc::new(store), TcOptions::default())), DtxOptions::default())
}

/// An open transaction is listed and shown, and one that nobody knows is not.
async fn listed_and_shown(dtx: &Dtx, url: &str) {
    let open = dtx.begin(Options::new("open")).await.unwrap();
    assert_eq!(words(&run(&["list", "--store", url]).good(), open.xid())[1..3], ["open", "active"]);
    let json = run(&["show", open.xid(), "--store", url, "--json"]).json();
    assert_eq!((&json["transaction"]["name"], &json["transaction"]["state"]), (&"open".into(), &"active".into()));
    assert!(run(&["show", "nobody.knows", "--store", url]).bad(1).contains("no transaction"));
    open.rollback().await.unwrap();
}

/// The server refuses who asks, and the program does not tell the password.
fn wrong_user(url: &str) {
    let (scheme, host) = (url.split("://").next().unwrap(), url.rsplit('@').next().unwrap());
    let told = run(&["list", "--store", &format!("{scheme}://nobody:hunter2@{host}")]).bad(2);
    assert!(told.contains("--store: the database cannot be reached") && told.contains("nobody"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[cfg(feature = "test-mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_on_mariadb_is_listed_and_shown() {
    let database = testkit::mysql::database().await;
    let url = database.url();
    let pool = sqlx::MySqlPool::connect(url).await.unwrap();
    assert!(run(&["list", "--store", url]).bad(2).contains("not a coordinator's database"));
    let tables: i64 =
        sqlx::query_scalar("select count(*) from information_schema.tables where table_schema = database()")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(tables, 0, "nothing was made");
    let dtx = coordinated(SqlStore::new(pool).await.unwrap());
    listed_and_shown(&dtx, url).await;
    let told = run(&["undo", "--store", url, "--resource", &format!("orders={url}")]).bad(2);
    assert!(told.contains("--resource orders: there are no undo records on MariaDB"), "{told}");
    wrong_user(url);
}

#[cfg(feature = "test-postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_and_a_resource_on_postgres_are_shown_and_repaired() {
    use onceward_dtx::{At, AtOptions, DtxError};
    let (tc, wallet) = (testkit::postgres::database().await, testkit::postgres::database().await);
    let (url, resource) = (tc.url(), format!("wallet={}", wallet.url()));
    let pool = sqlx::PgPool::connect(wallet.url()).await.unwrap();
    let store = sqlx::PgPool::connect(url).await.unwrap();
    assert!(run(&["list", "--store", url]).bad(2).contains("not a coordinator's database"));
    let dtx = coordinated(SqlStore::new(store).await.unwrap());
    listed_and_shown(&dtx, url).await;
    assert!(run(&["undo", "--store", url, "--resource", &resource]).bad(2).contains("no database with undo records"));
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_class where relnamespace = 'public'::regnamespace")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(tables, 0, "nothing was made");

    let at = At::new("wallet", pool.clone(), &dtx, AtOptions::default()).await.unwrap();
    sqlx::raw_sql("create table account (id bigint primary key, balance bigint); insert into account values (1, 100)")
        .execute(&pool)
        .await
        .unwrap();
    let answer = dtx.run(Options::new("dirty"), async |_| {
        at.branch(async |mut tx| {
            sqlx::query("update account set balance = 107").execute(&mut *tx).await?;
            Ok::<_, DtxError>(())
        })
        .await?;
        sqlx::query("update account set balance = 5").execute(&pool).await?;
        Err::<(), _>(DtxError::NoTransaction)
    });
    let parked = answer.await.unwrap_err();
    assert!(matches!(parked, DtxError::Parked { .. }), "{parked:?}");

    let on = ["--store", url, "--resource", &resource];
    let found = run(&[&on[..], &["parked"]].concat()).line("wallet");
    let branch = [found[0].as_str(), &found[1], &found[2]];
    let shown = run(&[&on[..], &["inspect"], &branch].concat()).good();
    assert_eq!(words(&shown, "balance"), ["balance", "100", "107", "5", "yes"]);
    let choice = ["--restore", "--fingerprint", &words(&shown, "fingerprint")[1]];
    let done = run(&[&on[..], &["repair"], &branch, &choice, &["--json"]].concat()).json();
    assert_eq!(done["state"], "rolled-back");
    let balance: i64 = sqlx::query_scalar("select balance from account").fetch_one(&pool).await.unwrap();
    assert_eq!(balance, 100);
    wrong_user(url);
    let closed = run(&["list", "--store", "postgres://ann:hunter2@127.0.0.1:1/x"]).bad(2);
    assert!(closed.contains("cannot be reached") && !closed.contains("hunter2"), "{closed}");
}
