//! What the README says that an operation costs on the wire.

use std::sync::Arc;

use onceward_backend::internal::{begin, commit};
use onceward_backend::{Db, Dialect, KeyRing};
use onceward_idempotency::{
    Consume, Dedup, DedupConfig, Fingerprint, FirstTime, FormTokens, Spend, SqlStore, TokenConfig, TokenMode,
};
use testkit::CountedPool;

/// Counts one operation; the first round prepares the statements.
macro_rules! trips {
    ($counted:ident, $round:ident, $expected:literal, $what:literal, $work:expr) => {{
        let (answer, trips) = $counted.trips(async { $work }).await;
        assert!($round == 0 || trips == $expected, "{}: {trips} round trips, not {}", $what, $expected);
        answer
    }};
}

pub(crate) async fn every_operation<D: Db>(url: &str) {
    let counted = CountedPool::<D>::connect(url).await;
    let store = SqlStore::new(counted.pool().clone());
    store.migrate().await.unwrap();
    let shown = Fingerprint::of("shown");
    let tokens = FormTokens::new(Arc::new(store.clone()), KeyRing::new(1, [7; 32]));
    let latest = tokens.clone().with_config(TokenConfig::default().with_mode(TokenMode::LatestWins)).unwrap();
    let dedup = Dedup::new(Arc::new(store.clone()), "invoices").unwrap();
    let verified = dedup.clone().with_config(DedupConfig::default().with_verified(true)).unwrap();
    for round in 0..2_u8 {
        let token = trips!(counted, round, 1, "issue", tokens.issue("alice", &shown).await.unwrap());
        trips!(counted, round, 2, "issue, latest wins", latest.issue("alice", &shown).await.unwrap());
        let spend = async || tokens.spend("alice", token.as_str(), &shown).await.unwrap();
        let Spend::Accepted(claim) = trips!(counted, round, 2, "spend", spend().await) else { panic!() };
        trips!(counted, round, 1, "spend, in flight", assert!(matches!(spend().await, Spend::InFlight { .. })));
        trips!(counted, round, 1, "renew", claim.renew().await.unwrap());
        trips!(counted, round, 1, "release", claim.release().await.unwrap());
        let Spend::Accepted(claim) = spend().await else { panic!() };
        trips!(counted, round, 1, "complete", claim.complete("done").await.unwrap());
        trips!(counted, round, 1, "spend, spent", assert!(matches!(spend().await, Spend::AlreadySpent { .. })));

        let value = trips!(counted, round, 1, "issue_bare", tokens.issue_bare("alice").await.unwrap());
        let consume = async || tokens.consume("alice", &value).await.unwrap();
        trips!(counted, round, 1, "consume", assert_eq!(consume().await, Consume::Consumed));
        trips!(counted, round, 2, "consume, refused", assert_eq!(consume().await, Consume::Absent));

        let content = [round];
        let first = async || dedup.first_time(&content).await.unwrap();
        let FirstTime::First(work) = trips!(counted, round, 1, "first_time", first().await) else { panic!() };
        trips!(counted, round, 1, "complete of a content", work.complete().await.unwrap());
        trips!(counted, round, 2, "first_time, done", assert!(matches!(first().await, FirstTime::Done)));
        trips!(counted, round, 1, "mark", dedup.mark(&[round, 1]).await.unwrap());
        let FirstTime::First(work) =
            trips!(counted, round, 7, "first_time, verified", verified.first_time(&[round, 2]).await.unwrap())
        else {
            panic!()
        };
        trips!(counted, round, 1, "release of a content", work.release().await.unwrap());

        // In the caller's transaction, whose own begin and commit are two.
        let token = tokens.issue("alice", &shown).await.unwrap();
        let request = tokens.request("alice", token.as_str(), &shown).unwrap();
        let spend_tx = async {
            let mut tx = begin(counted.pool()).await.unwrap();
            store.spend_tx(&mut tx, &request, b"done").await.unwrap();
            commit(tx).await.unwrap();
        };
        trips!(counted, round, 4, "spend_tx", spend_tx.await);
        let first_time_tx = async {
            let mut tx = begin(counted.pool()).await.unwrap();
            assert!(store.first_time_tx(&mut tx, &dedup.request(&[round, 3])).await.unwrap());
            commit(tx).await.unwrap();
        };
        let trips = counted.trips(first_time_tx).await.1;
        // The count of MariaDB's upsert says nothing, so the row is read.
        let expected = if D::DIALECT == Dialect::MySql { 4 } else { 3 };
        assert!(round == 0 || trips == expected, "first_time_tx: {trips} round trips, not {expected}");
    }
}
