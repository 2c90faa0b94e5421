//! The coordinator's stores run one suite.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests say what they expect by unwrapping")]

mod memory {
    use onceward_dtx::MemoryStore;

    onceward_dtx::conformance!(async || (MemoryStore::new(), ()));
}

mod sqlite {
    use onceward_dtx::SqlStore;
    use sqlx::Sqlite;
    use tempfile::TempDir;

    async fn make() -> (SqlStore<Sqlite>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (SqlStore::open(folder.path().join("tc.db")).await.unwrap(), folder)
    }

    onceward_dtx::conformance!(make);
}
