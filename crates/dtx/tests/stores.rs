//! The coordinator's stores run one suite.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests say what they expect by unwrapping")]

mod memory {
    use onceward_dtx::MemoryStore;

    onceward_dtx::conformance!(async || (MemoryStore::new(), ()));
}

mod sqlite {
    use std::time::Duration;

    use onceward_dtx::tc::lock::LockKey;
    use onceward_dtx::tc::state::Decision;
    use onceward_dtx::tc::store::{NewWaiter, Registration, TcStore};
    use onceward_dtx::tc::turn::Answer;
    use onceward_dtx::{NewBranch, SqlStore};
    use sqlx::Sqlite;
    use tempfile::TempDir;

    async fn make() -> (SqlStore<Sqlite>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (SqlStore::open(folder.path().join("tc.db")).await.unwrap(), folder)
    }

    onceward_dtx::conformance!(make);

    fn lock(key: &str) -> LockKey {
        LockKey { resource_id: "r".to_owned(), table: "t".to_owned(), key: key.to_owned() }
    }

    /// One that a transaction was granted at the very moment of its commit, which no longer saw it.
    #[tokio::test]
    async fn a_lock_of_one_that_is_committed_goes_with_the_first_who_asks() {
        let (store, folder) = make().await;
        let minute = Duration::from_secs(60);
        for xid in ["gone", "tries", "waits"] {
            store.begin(xid, "a name", minute).await.unwrap();
        }
        store.decide("gone", Decision::Commit, Duration::ZERO).await.unwrap();
        let file = onceward_backend::sqlite::open(folder.path().join("tc.db")).await.unwrap();
        for key in ["a", "b"] {
            sqlx::query("insert into dtx_lock values ($1, 'gone', 'r', 't', $2, 0)")
                .bind(lock(key).id())
                .bind(key)
                .execute(&file)
                .await
                .unwrap();
        }
        let branch = |xid: &str, key| {
            let (xid, resource_id) = (xid.to_owned(), "r".to_owned());
            NewBranch { xid, branch_id: 1, resource_id, locks: vec![lock(key)] }
        };
        assert_eq!(store.register(&branch("tries", "a")).await.unwrap(), Registration::Registered);
        let [waiter, xid, owner] = ["w", "waits", "o"].map(str::to_owned);
        let waiter = NewWaiter { waiter, xid, owner, locks: vec![lock("b")], patience: minute };
        let mut told = store.enqueue(&waiter).await.unwrap();
        // The first look finds it and takes it away.
        told.extend(store.serve("o").await.unwrap());
        assert_eq!(told, [("w".to_owned(), Answer::Granted)]);
    }
}
