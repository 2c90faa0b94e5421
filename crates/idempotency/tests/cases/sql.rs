//! What only a SQL store can do, written once for three databases.

use std::sync::Arc;
use std::time::Duration;

use onceward_backend::internal::{Sql, begin, commit};
use onceward_backend::sqlx::Pool;
use onceward_backend::{Conn, Db, KeyRing};
use onceward_idempotency::{
    Dedup, DedupConfig, DigestKind, Fingerprint, FirstTime, FormTokens, Spend, SqlStore, TokenAnswer, TokenConfig,
};

#[macro_export]
macro_rules! sql_cases {
    ($make:expr) => {
        $crate::sql_cases!($make;
            a_token_spent_in_my_transaction_commits_and_rolls_back_with_it
            of_32_transactions_exactly_one_spends_and_has_its_effect
            a_content_marked_in_my_transaction_commits_and_rolls_back_with_it
            of_32_transactions_exactly_one_is_the_first
            a_transaction_that_has_read_before_still_sees_what_others_spent
            natural_and_keyed_operations_survive_a_repeat
            dead_rows_are_purged_and_live_ones_kept
            one_connection_is_enough
            many_processes_may_migrate_at_once);
    };
    ($make:expr; $($case:ident)*) => {
        mod joined {
            $(#[test]
            fn $case() {
                onceward_backend::conformance::block_on(async {
                    let (_, pool, guard) = ($make)().await;
                    $crate::cases::$case(pool).await;
                    drop(guard);
                });
            })*
        }
    };
}

fn shown() -> Fingerprint {
    Fingerprint::of("shown")
}

fn tokens<D: Db>(store: &SqlStore<D>) -> FormTokens {
    FormTokens::new(Arc::new(store.clone()), KeyRing::new(1, [7; 32]))
}

fn dedup<D: Db>(store: &SqlStore<D>, verified: bool) -> Dedup {
    let config = DedupConfig::default().with_verified(verified);
    Dedup::new(Arc::new(store.clone()), "invoices").unwrap().with_config(config).unwrap()
}

/// The caller's own table.
async fn stock<D: Db>(pool: &Pool<D>, quantity: i64) -> Sql<D> {
    let sql = Sql::new();
    let mut conn = pool.acquire().await.unwrap();
    let create = sql.sql("create table if not exists stock (sku {key} not null primary key, quantity bigint not null)");
    create.execute(&mut conn).await.unwrap();
    sql.sql("insert into stock (sku, quantity) values ('a', ?)").bind(quantity).execute(&mut conn).await.unwrap();
    sql
}

async fn change<D: Db>(sql: &Sql<D>, conn: &mut impl Conn<D>, by: i64) {
    sql.sql("update stock set quantity = quantity + ? where sku = 'a'").bind(by).execute(conn).await.unwrap();
}

async fn quantity<D: Db>(sql: &Sql<D>, pool: &Pool<D>) -> i64 {
    let mut conn = pool.acquire().await.unwrap();
    sql.sql("select quantity from stock where sku = 'a'").fetch_one::<(i64,)>(&mut conn).await.unwrap().0
}

pub(crate) async fn a_token_spent_in_my_transaction_commits_and_rolls_back_with_it<D: Db>(pool: Pool<D>) {
    let (store, sql) = (SqlStore::new(pool.clone()), stock(&pool, 10).await);
    let tokens = tokens(&store);
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let request = |fingerprint| tokens.request("alice", token.as_str(), &fingerprint).unwrap();

    let mut tx = begin(&pool).await.unwrap();
    let edited = store.spend_tx(&mut tx, &request(Fingerprint::NONE), b"").await.unwrap();
    assert_eq!(edited, TokenAnswer::Mismatch);
    let accepted = store.spend_tx(&mut tx, &request(shown()), b"order 1").await.unwrap();
    assert_eq!(accepted, TokenAnswer::Accepted { attempt: 1, takeover: false });
    change(&sql, &mut tx, -1).await;
    let twice = store.spend_tx(&mut tx, &request(shown()), b"order 2").await.unwrap();
    assert_eq!(twice, TokenAnswer::AlreadySpent { result: b"order 1".to_vec() });
    tx.rollback().await.unwrap();
    assert_eq!(quantity(&sql, &pool).await, 10);

    let mut tx = begin(&pool).await.unwrap();
    let accepted = store.spend_tx(&mut tx, &request(shown()), b"order 3").await.unwrap();
    assert_eq!(accepted, TokenAnswer::Accepted { attempt: 1, takeover: false }, "unspent by the rollback");
    change(&sql, &mut tx, -1).await;
    commit(tx).await.unwrap();
    assert_eq!(quantity(&sql, &pool).await, 9);
    let again = tokens.spend("alice", token.as_str(), &shown()).await.unwrap();
    assert!(matches!(again, Spend::AlreadySpent { result } if result == b"order 3"));

    // A claim in two phases and a transaction respect each other.
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let request = tokens.request("alice", token.as_str(), &shown()).unwrap();
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    let mut tx = begin(&pool).await.unwrap();
    assert!(matches!(store.spend_tx(&mut tx, &request, b"").await.unwrap(), TokenAnswer::InFlight { .. }));
    tx.rollback().await.unwrap();
    claim.release().await.unwrap();
}

pub(crate) async fn of_32_transactions_exactly_one_spends_and_has_its_effect<D: Db>(pool: Pool<D>) {
    let (store, sql) = (SqlStore::new(pool.clone()), Arc::new(stock(&pool, 100).await));
    let tokens = tokens(&store);
    for round in 1..=3 {
        let token = tokens.issue("alice", &shown()).await.unwrap();
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let request = tokens.request("alice", token.as_str(), &shown()).unwrap();
                let (store, sql, pool) = (store.clone(), Arc::clone(&sql), pool.clone());
                tokio::spawn(async move {
                    loop {
                        let mut tx = begin(&pool).await.unwrap();
                        match store.spend_tx(&mut tx, &request, b"order").await {
                            Ok(TokenAnswer::Accepted { .. }) => {
                                change(&sql, &mut tx, -1).await;
                                commit(tx).await.unwrap();
                                return true;
                            }
                            Ok(TokenAnswer::AlreadySpent { result }) => {
                                assert_eq!(result, b"order");
                                return false;
                            }
                            Ok(other) => panic!("{other:?}"),
                            Err(error) => assert!(error.is_retryable(), "{error:?}"),
                        }
                    }
                })
            })
            .collect();
        let mut spent = 0;
        for task in tasks {
            spent += i64::from(task.await.unwrap());
        }
        assert_eq!((spent, quantity(&sql, &pool).await), (1, 100 - round));
    }
}

pub(crate) async fn a_content_marked_in_my_transaction_commits_and_rolls_back_with_it<D: Db>(pool: Pool<D>) {
    let (store, sql) = (SqlStore::new(pool.clone()), stock(&pool, 0).await);
    for (content, verified) in [(b"one", false), (b"two", true)] {
        let dedup = dedup(&store, verified);
        let before = quantity(&sql, &pool).await;
        for rolls_back in [true, false] {
            let mut tx = begin(&pool).await.unwrap();
            assert!(store.first_time_tx(&mut tx, &dedup.request(content)).await.unwrap());
            assert!(!store.first_time_tx(&mut tx, &dedup.request(content)).await.unwrap());
            change(&sql, &mut tx, 1).await;
            if rolls_back { tx.rollback().await.unwrap() } else { commit(tx).await.unwrap() }
        }
        assert_eq!(quantity(&sql, &pool).await, before + 1);
        assert!(matches!(dedup.first_time(content).await.unwrap(), FirstTime::Done));
    }
}

pub(crate) async fn of_32_transactions_exactly_one_is_the_first<D: Db>(pool: Pool<D>) {
    let (store, sql) = (SqlStore::new(pool.clone()), Arc::new(stock(&pool, 0).await));
    for (round, verified) in [(1, false), (2, true), (3, false)] {
        let dedup = dedup(&store, verified);
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (store, sql, pool) = (store.clone(), Arc::clone(&sql), pool.clone());
                let request = dedup.request(&[round]);
                tokio::spawn(async move {
                    loop {
                        let mut tx = begin(&pool).await.unwrap();
                        match store.first_time_tx(&mut tx, &request).await {
                            Ok(first) => {
                                if first {
                                    change(&sql, &mut tx, 1).await;
                                }
                                commit(tx).await.unwrap();
                                return;
                            }
                            Err(error) => assert!(error.is_retryable(), "{error:?}"),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(quantity(&sql, &pool).await, i64::from(round));
    }
}

/// On MariaDB a transaction sees a snapshot as of its first read, unless told to read what is there now.
pub(crate) async fn a_transaction_that_has_read_before_still_sees_what_others_spent<D: Db>(pool: Pool<D>) {
    if D::DIALECT == onceward_backend::Dialect::Sqlite {
        // There is one writer at a time: whoever holds a transaction for writing keeps others from spending.
        return;
    }
    let (store, sql) = (SqlStore::new(pool.clone()), stock(&pool, 1).await);
    let (tokens, dedup) = (tokens(&store), dedup(&store, false));
    let token = tokens.issue("alice", &shown()).await.unwrap();
    let mut tx = begin(&pool).await.unwrap();
    sql.sql("select quantity from stock").fetch_one::<(i64,)>(&mut tx).await.unwrap();
    let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else { panic!() };
    claim.complete("theirs").await.unwrap();
    let FirstTime::First(work) = dedup.first_time(b"content").await.unwrap() else { panic!() };
    work.complete().await.unwrap();
    let request = tokens.request("alice", token.as_str(), &shown()).unwrap();
    let answer = store.spend_tx(&mut tx, &request, b"mine").await.unwrap();
    assert_eq!(answer, TokenAnswer::AlreadySpent { result: b"theirs".to_vec() });
    assert!(!store.first_time_tx(&mut tx, &dedup.request(b"content")).await.unwrap());
    commit(tx).await.unwrap();
}

/// Select, insert with a key and set to a value may be repeated as they are; an increase needs a key of its own.
pub(crate) async fn natural_and_keyed_operations_survive_a_repeat<D: Db>(pool: Pool<D>) {
    let (store, sql) = (SqlStore::new(pool.clone()), stock(&pool, 5).await);
    let dedup = dedup(&store, false);
    let natural = [
        ("select", "select quantity from stock where sku = 'a'", 5, 1),
        ("insert with a key", "{insert_ignore} stock (sku, quantity) values ('b', 1) {or_ignore}", 5, 2),
        ("set to a value", "update stock set quantity = 7 where sku = 'a'", 7, 2),
        ("delete by key", "delete from stock where sku = 'b'", 7, 1),
    ];
    for (what, statement, expected, rows) in natural {
        for _ in 0..3 {
            let mut conn = pool.acquire().await.unwrap();
            sql.sql(statement).execute(&mut conn).await.unwrap();
            let (count,) = sql.sql("select count(*) from stock").fetch_one::<(i64,)>(&mut conn).await.unwrap();
            drop(conn);
            assert_eq!((quantity(&sql, &pool).await, count), (expected, rows), "{what}");
        }
    }
    for key in ["raise 1", "raise 2"] {
        for _ in 0..3 {
            let mut tx = begin(&pool).await.unwrap();
            if store.first_time_tx(&mut tx, &dedup.request(key.as_bytes())).await.unwrap() {
                change(&sql, &mut tx, 10).await;
            }
            commit(tx).await.unwrap();
        }
    }
    assert_eq!(quantity(&sql, &pool).await, 27, "an increase happens once per key");
    let mut tx = begin(&pool).await.unwrap();
    for _ in 0..3 {
        change(&sql, &mut tx, 10).await;
    }
    commit(tx).await.unwrap();
    assert_eq!(quantity(&sql, &pool).await, 57, "and without a key, as often as it is sent");
}

pub(crate) async fn dead_rows_are_purged_and_live_ones_kept<D: Db>(pool: Pool<D>) {
    let store = SqlStore::new(pool.clone());
    let moment = Duration::from_millis(1);
    let short = TokenConfig::default().with_ttl(moment).with_tombstone(moment);
    let dying = tokens(&store).with_config(short).unwrap();
    for n in 0..20 {
        dying.issue("alice", &shown()).await.unwrap();
        dying.issue_bare(&format!("user-{n}")).await.unwrap();
        let config = DedupConfig::default().with_retention(moment).with_digest(DigestKind::Blake3);
        dedup(&store, false).with_config(config).unwrap().mark(&[n]).await.unwrap();
    }
    let kept = tokens(&store).issue("alice", &shown()).await.unwrap();
    dedup(&store, false).mark(b"kept").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let some = store.purge(5).await.unwrap();
    assert!((15..60).contains(&some), "{some} rows in one step of about five per table");
    testkit::eventually(Duration::from_secs(10), async || match store.purge(1000).await.unwrap() {
        0 => Ok(()),
        more => Err(more),
    })
    .await;
    let sql = Sql::<D>::new();
    let mut conn = pool.acquire().await.unwrap();
    let rest = "select (select count(*) from idem_token) + (select count(*) from idem_bare) + (select count(*) from idem_record)";
    assert_eq!(sql.sql(rest).fetch_one::<(i64,)>(&mut conn).await.unwrap(), (2,));
    drop(conn);
    let spent = tokens(&store).spend("alice", kept.as_str(), &shown()).await.unwrap();
    assert!(matches!(spent, Spend::Accepted(_)));
}

pub(crate) async fn one_connection_is_enough<D: Db>(pool: Pool<D>) {
    let options = pool.options().clone().max_connections(1).min_connections(0);
    let one =
        options.acquire_timeout(Duration::from_secs(10)).connect_lazy_with(pool.connect_options().as_ref().clone());
    let store = SqlStore::<D>::new(one);
    let tokens = tokens(&store);
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let (tokens, dedup) = (tokens.clone(), dedup(&store, n % 2 == 0));
            tokio::spawn(async move {
                let token = tokens.issue("alice", &shown()).await.unwrap();
                let Spend::Accepted(claim) = tokens.spend("alice", token.as_str(), &shown()).await.unwrap() else {
                    panic!()
                };
                claim.renew().await.unwrap();
                claim.complete("done").await.unwrap();
                let FirstTime::First(work) = dedup.first_time(token.as_str().as_bytes()).await.unwrap() else {
                    panic!()
                };
                work.complete().await.unwrap();
                tokens.running(Duration::ZERO, 10).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    tokens.health().await.unwrap();
}

pub(crate) async fn many_processes_may_migrate_at_once<D: Db>(pool: Pool<D>) {
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let store = SqlStore::new(pool.clone());
            tokio::spawn(async move { store.migrate().await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    tokens(&SqlStore::new(pool)).health().await.unwrap();
}
