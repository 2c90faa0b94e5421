//! What every store must do, as tests: run it against a store of your own.
//!
//! Each case gets a fresh handle from `make` and uses ids of its own, so the cases may share one database. A case waits
//! in real time for lives of tens of milliseconds.
//!
//! ```
//! mod my_store {
//!     use onceward_oauth_client::store::MemoryStore;
//!
//!     async fn make() -> (MemoryStore, ()) {
//!         (MemoryStore::new(), ())
//!     }
//!     onceward_oauth_client::conformance!(make);
//! }
//! ```

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{CodeLedger, Digest, FlowStore, TokenVault, random};

#[doc(hidden)]
pub use onceward_backend::conformance::block_on;

/// What a case works on.
pub trait Store: FlowStore + CodeLedger + TokenVault {}
impl<S: FlowStore + CodeLedger + TokenVault> Store for S {}

/// Tasks that race for one thing.
const RACERS: usize = 32;
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(40);
/// Long enough for a busy machine to write twice, short enough to wait for.
const MEDIUM: Duration = Duration::from_millis(600);
/// By then whatever was kept for [`SHORT`] is over, also on a clock of coarse ticks.
const PAST_SHORT: Duration = Duration::from_millis(90);

/// Expands to one `#[test]` for each case. `make` is an `async fn() -> (S, G)`, or a closure like it: a store that
/// implements [`FlowStore`], [`CodeLedger`] and [`TokenVault`], and whatever must live as long as the case.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance!(@cases $make;
            flow_is_kept_as_written
            flow_id_is_taken_once
            flow_expires
            flow_age_counts_from_the_last_write
            flow_is_replaced_only_at_its_version
            flow_replacement_sets_its_life
            flow_replacement_has_one_winner
            flow_insert_has_one_winner
            flow_versions_count_every_change
            flow_purge_takes_expired_ones_only
            code_is_new_once
            code_has_one_winner
            code_purge_keeps_live_ones
            token_is_kept_as_written
            token_is_stored_only_at_its_version
            token_version_before_a_deletion_never_fits_again
            token_store_has_one_winner
            bodies_are_bytes
        );
    };
    (@cases $make:expr; $($case:ident)+) => {
        $(#[test]
        fn $case() {
            $crate::conformance::block_on(async {
                let (store, _guard) = ($make)().await;
                $crate::conformance::$case(store).await;
            });
        })+
    };
}

fn id() -> Digest {
    let mut bytes = [0; 32];
    random::fill(&mut bytes).unwrap_or_else(|error| panic!("{error}"));
    Digest::of("conformance", &[&bytes])
}

/// Runs the racers at once and counts those that won.
async fn winners<S, F>(store: S, race: impl Fn(Arc<S>, usize) -> F) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let store = Arc::new(store);
    let start = Arc::new(tokio::sync::Barrier::new(RACERS));
    let mut tasks = JoinSet::new();
    for racer in 0..RACERS {
        let (start, attempt) = (Arc::clone(&start), race(Arc::clone(&store), racer));
        tasks.spawn(async move {
            start.wait().await;
            attempt.await
        });
    }
    tasks.join_all().await.into_iter().filter(|won| *won).count()
}

macro_rules! cases {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident) $body:block)+) => {
        $($(#[$doc])*
        ///
        /// # Panics
        /// When the store does not keep to its contract.
        #[expect(clippy::unwrap_used, reason = "a failing store is what a case reports")]
        pub async fn $name<S: Store>($store: S) $body)+
    };
}

cases! {
    /// A record comes back as it was written, with version 1 and its life.
    async fn flow_is_kept_as_written(store) {
        let id = id();
        assert!(store.load(&id).await.unwrap().is_none());
        assert!(store.insert(&id, b"body", LONG).await.unwrap());
        let entry = store.load(&id).await.unwrap().unwrap();
        assert_eq!((entry.version, entry.body.as_slice()), (1, &b"body"[..]));
        assert!(entry.left <= LONG && entry.left > LONG / 2, "left {:?}", entry.left);
        assert!(entry.age < LONG / 2, "age {:?}", entry.age);
    }

    /// An id that is taken stays as it is.
    async fn flow_id_is_taken_once(store) {
        let id = id();
        assert!(store.insert(&id, b"first", LONG).await.unwrap());
        assert!(!store.insert(&id, b"second", LONG).await.unwrap());
        assert_eq!(store.load(&id).await.unwrap().unwrap().body, b"first");
    }

    /// An expired record is absent, and can neither be replaced nor revived.
    async fn flow_expires(store) {
        let id = id();
        store.insert(&id, b"body", SHORT).await.unwrap();
        sleep(PAST_SHORT).await;
        assert!(store.load(&id).await.unwrap().is_none());
        assert!(!store.replace(&id, 1, b"late", LONG).await.unwrap());
        assert!(store.load(&id).await.unwrap().is_none());
    }

    /// The age grows, and a replacement sets it back.
    async fn flow_age_counts_from_the_last_write(store) {
        let id = id();
        store.insert(&id, b"body", LONG).await.unwrap();
        sleep(MEDIUM).await;
        let old = store.load(&id).await.unwrap().unwrap().age;
        assert!(old >= SHORT, "age {old:?}");
        store.replace(&id, 1, b"body", LONG).await.unwrap();
        let new = store.load(&id).await.unwrap().unwrap().age;
        assert!(new < old, "age {new:?} after {old:?}");
    }

    /// A replacement with an old or future version changes nothing.
    async fn flow_is_replaced_only_at_its_version(store) {
        let id = id();
        assert!(!store.replace(&id, 1, b"nothing there", LONG).await.unwrap());
        store.insert(&id, b"one", LONG).await.unwrap();
        assert!(!store.replace(&id, 2, b"early", LONG).await.unwrap());
        assert!(store.replace(&id, 1, b"two", LONG).await.unwrap());
        assert!(!store.replace(&id, 1, b"late", LONG).await.unwrap());
        let entry = store.load(&id).await.unwrap().unwrap();
        assert_eq!((entry.version, entry.body.as_slice()), (2, &b"two"[..]));
    }

    /// The life of a record is that of its last write, longer or shorter.
    async fn flow_replacement_sets_its_life(store) {
        let (longer, shorter) = (id(), id());
        store.insert(&longer, b"a", MEDIUM).await.unwrap();
        store.insert(&shorter, b"a", LONG).await.unwrap();
        assert!(store.replace(&longer, 1, b"b", LONG).await.unwrap());
        assert!(store.replace(&shorter, 1, b"b", SHORT).await.unwrap());
        sleep(MEDIUM + SHORT).await;
        assert!(store.load(&longer).await.unwrap().is_some());
        assert!(store.load(&shorter).await.unwrap().is_none());
    }

    /// Of many that replace one version, one does.
    async fn flow_replacement_has_one_winner(store) {
        let id = id();
        store.insert(&id, b"body", LONG).await.unwrap();
        let won = winners(store, |store, racer| async move {
            store.replace(&id, 1, format!("{racer}").as_bytes(), LONG).await.unwrap()
        });
        assert_eq!(won.await, 1);
    }

    /// Of many that insert one id, one does, and what it wrote is there.
    async fn flow_insert_has_one_winner(store) {
        let id = id();
        let won = winners(store, |store, racer| async move {
            let body = format!("{racer}");
            let won = store.insert(&id, body.as_bytes(), LONG).await.unwrap();
            if won {
                assert_eq!(store.load(&id).await.unwrap().unwrap().body, body.as_bytes());
            }
            won
        });
        assert_eq!(won.await, 1);
    }

    /// Many that each try until their change is in lose none of them.
    async fn flow_versions_count_every_change(store) {
        let flow = id();
        store.insert(&flow, b"0", LONG).await.unwrap();
        let store = Arc::new(store);
        let won = winners(Arc::clone(&store), |store, _| async move {
            loop {
                let entry = store.load(&flow).await.unwrap().unwrap();
                let count: usize = String::from_utf8(entry.body).unwrap().parse().unwrap();
                let body = format!("{}", count + 1);
                if store.replace(&flow, entry.version, body.as_bytes(), LONG).await.unwrap() {
                    return true;
                }
            }
        });
        assert_eq!(won.await, RACERS);
        let entry = store.load(&flow).await.unwrap().unwrap();
        assert_eq!(entry.body, RACERS.to_string().into_bytes());
        assert_eq!(entry.version, i64::try_from(RACERS).unwrap() + 1);
    }

    /// A purge removes expired records, no more than asked, and no live one.
    async fn flow_purge_takes_expired_ones_only(store) {
        let live = id();
        store.insert(&live, b"live", LONG).await.unwrap();
        for _ in 0..3 {
            store.insert(&id(), b"old", SHORT).await.unwrap();
        }
        sleep(PAST_SHORT).await;
        assert!(store.purge_flows(2).await.unwrap() <= 2);
        // Other cases may purge the same database meanwhile, so only the end is certain.
        while store.purge_flows(100).await.unwrap() > 0 {}
        assert!(store.load(&live).await.unwrap().is_some());
    }

    /// A code is new the first time.
    async fn code_is_new_once(store) {
        let (code, other) = (id(), id());
        assert!(store.first_use(&code, LONG).await.unwrap());
        assert!(!store.first_use(&code, LONG).await.unwrap());
        assert!(store.first_use(&other, LONG).await.unwrap());
    }

    /// Of many that use one code, one is the first.
    async fn code_has_one_winner(store) {
        let code = id();
        let won = winners(store, |store, _| async move { store.first_use(&code, LONG).await.unwrap() });
        assert_eq!(won.await, 1);
    }

    /// A purge forgets no code before its time.
    async fn code_purge_keeps_live_ones(store) {
        let (old, live) = (id(), id());
        store.first_use(&live, LONG).await.unwrap();
        store.first_use(&old, SHORT).await.unwrap();
        sleep(PAST_SHORT).await;
        while store.purge_codes(100).await.unwrap() > 0 {}
        assert!(!store.first_use(&live, LONG).await.unwrap());
        assert!(store.first_use(&old, LONG).await.unwrap());
    }

    /// Tokens come back as they were written, until they are deleted.
    async fn token_is_kept_as_written(store) {
        let account = id();
        assert!(store.load_tokens(&account).await.unwrap().is_none());
        assert!(store.store_tokens_if(&account, None, b"sealed").await.unwrap());
        assert_eq!(store.load_tokens(&account).await.unwrap().unwrap().body, b"sealed");
        assert!(store.delete_tokens(&account).await.unwrap());
        assert!(!store.delete_tokens(&account).await.unwrap());
        assert!(store.load_tokens(&account).await.unwrap().is_none());
    }

    /// A write that expects another version, or none, changes nothing.
    async fn token_is_stored_only_at_its_version(store) {
        let account = id();
        assert!(!store.store_tokens_if(&account, Some(1), b"nothing there").await.unwrap());
        assert!(store.store_tokens_if(&account, None, b"one").await.unwrap());
        assert!(!store.store_tokens_if(&account, None, b"again").await.unwrap());
        let first = store.load_tokens(&account).await.unwrap().unwrap().version;
        assert!(store.store_tokens_if(&account, Some(first), b"two").await.unwrap());
        assert!(!store.store_tokens_if(&account, Some(first), b"late").await.unwrap());
        let stored = store.load_tokens(&account).await.unwrap().unwrap();
        assert_ne!(stored.version, first);
        assert_eq!(stored.body, b"two");
    }

    /// A writer that has slept through a deletion does not overwrite what came after.
    async fn token_version_before_a_deletion_never_fits_again(store) {
        let account = id();
        store.store_tokens_if(&account, None, b"one").await.unwrap();
        let before = store.load_tokens(&account).await.unwrap().unwrap().version;
        store.delete_tokens(&account).await.unwrap();
        sleep(Duration::from_millis(5)).await;
        store.store_tokens_if(&account, None, b"two").await.unwrap();
        assert!(!store.store_tokens_if(&account, Some(before), b"late").await.unwrap());
        assert_eq!(store.load_tokens(&account).await.unwrap().unwrap().body, b"two");
    }

    /// Of many that write at one version, one does; the same for the first write.
    async fn token_store_has_one_winner(store) {
        let account = id();
        let store = Arc::new(store);
        let first = winners(Arc::clone(&store), |store, racer| async move {
            store.store_tokens_if(&account, None, format!("{racer}").as_bytes()).await.unwrap()
        });
        assert_eq!(first.await, 1);
        let version = store.load_tokens(&account).await.unwrap().unwrap().version;
        let next = winners(store, |store, racer| async move {
            store.store_tokens_if(&account, Some(version), format!("{racer}").as_bytes()).await.unwrap()
        });
        assert_eq!(next.await, 1);
    }

    /// Every byte value survives, and so does the largest body.
    async fn bodies_are_bytes(store) {
        let (flow, account) = (id(), id());
        let body: Vec<u8> = (0..=255).cycle().take(crate::store::MAX_BODY).collect();
        store.insert(&flow, &body, LONG).await.unwrap();
        store.store_tokens_if(&account, None, &body).await.unwrap();
        assert_eq!(store.load(&flow).await.unwrap().unwrap().body, body);
        assert_eq!(store.load_tokens(&account).await.unwrap().unwrap().body, body);
    }
}
