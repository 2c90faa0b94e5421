//! What the README says that a method costs on the wire of a database.

use std::time::Duration;

use onceward_backend::Db;
use onceward_oauth_client::{CodeLedger, Digest, FlowStore, TokenVault, store::SqlStore};
use testkit::CountedPool;

const LONG: Duration = Duration::from_secs(600);

pub async fn every_method<D: Db>(url: &str) {
    let counted = CountedPool::<D>::connect(url).await;
    let store = SqlStore::<D>::new(counted.pool().clone());
    store.migrate().await.unwrap();
    // The first round prepares the statements.
    for round in 0..2_u8 {
        let id = Digest::of("trips", &[&[round]]);
        let one = |trips: u64, what: &str| {
            assert!(round == 0 || trips == 1, "{what}: {trips} round trips");
        };
        one(counted.trips(async { assert!(store.insert(&id, b"one", LONG).await.unwrap()) }).await.1, "insert");
        one(counted.trips(async { assert!(store.load(&id).await.unwrap().is_some()) }).await.1, "load");
        one(counted.trips(async { assert!(store.replace(&id, 1, b"two", LONG).await.unwrap()) }).await.1, "replace");
        one(counted.trips(async { assert!(store.first_use(&id, LONG).await.unwrap()) }).await.1, "first_use");
        let write = async { assert!(store.store_tokens_if(&id, None, b"tokens").await.unwrap()) };
        one(counted.trips(write).await.1, "store_tokens_if");
        one(counted.trips(async { assert!(store.load_tokens(&id).await.unwrap().is_some()) }).await.1, "load_tokens");
        one(counted.trips(async { assert!(store.delete_tokens(&id).await.unwrap()) }).await.1, "delete_tokens");
        one(counted.trips(store.purge_flows(10)).await.1, "purge_flows");
        one(counted.trips(store.purge_codes(10)).await.1, "purge_codes");
    }
}
