//! Messages of a global transaction that is not decided yet.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test program")]

use std::time::Duration;

use onceward_backend::{
    Conn, Hold,
    conformance::block_on,
    sqlite,
    sqlx::{Executor, Sqlite, SqliteConnection, SqlitePool, Transaction},
};
use onceward_reliable_mq::{Message, Outbox};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A branch of a global transaction, as far as an outbox sees it.
struct Branch {
    tx: Transaction<'static, Sqlite>,
    hold_id: &'static str,
}

impl Conn<Sqlite> for Branch {
    fn executor(&mut self) -> impl Executor<'_, Database = Sqlite> {
        // What goes through here would be captured for undo, and an undo would then delete what is released by then.
        panic!("a held message has to be written uncaptured");
        #[expect(unreachable_code, reason = "the type has to be known")]
        &mut *self.tx
    }

    fn uncaptured(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    fn hold(&mut self) -> Option<Hold> {
        Some(Hold { xid: "xid-1".to_owned(), hold_id: self.hold_id.to_owned() })
    }
}

async fn outbox() -> (Outbox<Sqlite>, SqlitePool, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite::open(folder.path().join("service.db")).await.unwrap();
    let outbox = Outbox::<Sqlite>::new(pool.clone());
    outbox.migrate().await.unwrap();
    (outbox, pool, folder)
}

fn message(text: &str) -> Message {
    Message::to("topic").key("k").text(text).unwrap()
}

async fn branch(
    outbox: &Outbox<Sqlite>,
    pool: &SqlitePool,
    hold_id: &'static str,
    texts: &[&str],
) -> Branch {
    let mut branch = Branch { tx: pool.begin_with("begin immediate").await.unwrap(), hold_id };
    for text in texts {
        outbox.enqueue(&mut branch, &message(text)).await.unwrap();
    }
    branch
}

async fn hot(outbox: &Outbox<Sqlite>) -> Vec<String> {
    let store = outbox.store();
    let lease = store.lease(0, "test", Duration::from_secs(60)).await.unwrap().unwrap();
    let queued = store.fetch(&lease, 0, 100).await.unwrap();
    queued
        .iter()
        .map(|queued| String::from_utf8(queued.envelope.payload().to_vec()).unwrap())
        .collect()
}

async fn release(outbox: &Outbox<Sqlite>, pool: &SqlitePool, hold_id: &str) -> u64 {
    let mut tx = pool.begin_with("begin immediate").await.unwrap();
    let released = outbox.release_held(&mut tx, "xid-1", hold_id).await.unwrap();
    tx.commit().await.unwrap();
    released
}

#[test]
fn nothing_is_published_before_the_global_decision() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        branch(&outbox, &pool, "a", &["1"]).await.tx.commit().await.unwrap();
        assert!(hot(&outbox).await.is_empty());
        let counts = outbox.store().counts().await.unwrap();
        assert_eq!((counts.held, counts.is_empty()), (1, false));
    });
}

#[test]
fn a_commit_publishes_once_and_in_order_however_often_it_is_told() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        branch(&outbox, &pool, "a", &["1", "2", "3"]).await.tx.commit().await.unwrap();
        branch(&outbox, &pool, "b", &["other"]).await.tx.commit().await.unwrap();
        assert_eq!(release(&outbox, &pool, "a").await, 3);
        assert_eq!(release(&outbox, &pool, "a").await, 0);
        assert_eq!(hot(&outbox).await, ["1", "2", "3"], "of this branch only");
        assert_eq!(outbox.store().counts().await.unwrap().held, 1);
    });
}

#[test]
fn of_32_releases_at_once_one_publishes() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        branch(&outbox, &pool, "a", &["1", "2"]).await.tx.commit().await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..32 {
            let (outbox, pool) = (outbox.clone(), pool.clone());
            tasks.spawn(async move { release(&outbox, &pool, "a").await });
        }
        let mut released = tasks.join_all().await;
        released.sort_unstable();
        assert_eq!(released.iter().sum::<u64>(), 2);
        assert_eq!(hot(&outbox).await, ["1", "2"]);
    });
}

#[test]
fn a_global_rollback_publishes_nothing() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        branch(&outbox, &pool, "a", &["1"]).await.tx.commit().await.unwrap();
        let mut conn = pool.acquire().await.unwrap();
        assert_eq!(outbox.discard_held(&mut conn, "xid-1", "a").await.unwrap(), 1);
        assert_eq!(outbox.discard_held(&mut conn, "xid-1", "a").await.unwrap(), 0);
        drop(conn);
        assert_eq!(release(&outbox, &pool, "a").await, 0, "a late commit finds nothing");
        assert!(outbox.store().counts().await.unwrap().is_empty());
    });
}

#[test]
fn a_local_rollback_holds_nothing() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        branch(&outbox, &pool, "a", &["1"]).await.tx.rollback().await.unwrap();
        assert!(outbox.store().counts().await.unwrap().is_empty());
    });
}

#[test]
fn a_release_that_rolls_back_publishes_nothing_and_can_be_repeated() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        branch(&outbox, &pool, "a", &["1"]).await.tx.commit().await.unwrap();
        let mut tx = pool.begin_with("begin immediate").await.unwrap();
        assert_eq!(outbox.release_held(&mut tx, "xid-1", "a").await.unwrap(), 1);
        tx.rollback().await.unwrap();
        assert!(hot(&outbox).await.is_empty());
        assert_eq!(release(&outbox, &pool, "a").await, 1);
        assert_eq!(hot(&outbox).await, ["1"]);
    });
}

#[test]
fn a_delay_survives_being_held() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        let mut branch = branch(&outbox, &pool, "a", &["now"]).await;
        let later = Message::to("topic").delay(Duration::from_secs(3600)).text("later").unwrap();
        outbox.enqueue(&mut branch, &later).await.unwrap();
        branch.tx.commit().await.unwrap();
        assert_eq!(release(&outbox, &pool, "a").await, 2);
        let counts = outbox.store().counts().await.unwrap();
        assert_eq!((counts.hot, counts.delayed, counts.held), (1, 1, 0));
    });
}

#[test]
fn what_the_caller_rolls_back_was_never_said() {
    block_on(async {
        let (outbox, pool, _folder) = outbox().await;
        let mut tx = pool.begin().await.unwrap();
        outbox.enqueue(&mut tx, &message("1")).await.unwrap();
        tx.rollback().await.unwrap();
        let failed: Result<(), Box<dyn std::error::Error + Send + Sync>> = outbox
            .transaction(async |mut tx| {
                outbox.enqueue(&mut tx, &message("2")).await?;
                Err("the order failed".into())
            })
            .await;
        assert_eq!(failed.unwrap_err().to_string(), "the order failed");
        assert!(outbox.store().counts().await.unwrap().is_empty());
        outbox
            .transaction(async |mut tx| outbox.enqueue(&mut tx, &message("3")).await)
            .await
            .unwrap();
        assert_eq!(hot(&outbox).await, ["3"]);
    });
}

#[test]
fn a_closure_that_keeps_its_transaction_is_told_so() {
    block_on(async {
        let outbox = Outbox::<Sqlite>::new(sqlite::memory().await.unwrap());
        outbox.migrate().await.unwrap();
        let kept = outbox.transaction(async |tx| Ok::<_, onceward_reliable_mq::Error>(tx)).await;
        assert!(matches!(kept, Err(onceward_reliable_mq::Error::TransactionKept)));
        outbox.health().await.unwrap();
    });
}
