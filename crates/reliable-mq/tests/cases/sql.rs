//! What outbox and inbox promise on every database: messages of an undecided global transaction, rollbacks, races.

use std::{collections::BTreeSet, time::Duration};

use onceward_backend::{
    Conn, Db, ErrorClass, Hold,
    internal::begin,
    sqlx::{Executor, Pool, Transaction},
};
use onceward_reliable_mq::{
    Envelope, Error, Forgotten, History, Inbox, Message, MessageId, Outbox,
    store::{Budget, Reach, Verdict},
};
use tokio::task::JoinSet;

const MANY: Budget = Budget { messages: 100, bytes: usize::MAX };

/// Expands to one `#[test]` per case; `make` answers an outbox in an empty database and what keeps that alive.
macro_rules! sql_cases {
    ($make:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                onceward_reliable_mq::conformance::block_on($crate::cases::$case($make));
            }
        )*
    };
    ($make:expr) => {
        sql_cases!($make;
            nothing_is_published_before_the_global_decision
            a_commit_publishes_once_and_in_order_however_often_it_is_told
            of_32_releases_at_once_one_publishes
            a_global_rollback_publishes_nothing
            a_local_rollback_holds_nothing
            a_release_that_rolls_back_publishes_nothing_and_can_be_repeated
            a_delay_survives_being_held
            many_at_once_are_what_they_are_one_by_one
            many_at_once_are_held_and_released_in_order
            what_the_caller_rolls_back_was_never_said
            a_closure_that_keeps_its_transaction_is_told_so
            of_32_deliveries_at_once_one_is_the_first
            an_inbox_tells_what_it_may_have_forgotten
        );
    };
}

/// A branch of a global transaction, as far as an outbox sees it.
pub struct Branch<D: Db> {
    pub tx: Transaction<'static, D>,
    hold_id: &'static str,
}

impl<D: Db> Conn<D> for Branch<D> {
    fn executor(&mut self) -> impl Executor<'_, Database = D> {
        // What goes through here would be captured for undo, and an undo would then delete what is released by then.
        panic!("a held message has to be written uncaptured");
        #[expect(unreachable_code, reason = "the type has to be known")]
        D::executor(&mut self.tx)
    }

    fn uncaptured(&mut self) -> &mut D::Connection {
        &mut self.tx
    }

    fn hold(&mut self) -> Option<Hold> {
        Some(Hold { xid: "xid-1".to_owned(), hold_id: self.hold_id.to_owned() })
    }
}

pub fn message(text: &str) -> Message {
    Message::to("topic").key("k").text(text).unwrap()
}

pub async fn branch<D: Db>(outbox: &Outbox<D>, pool: &Pool<D>, hold_id: &'static str, texts: &[&str]) -> Branch<D> {
    let mut branch = Branch { tx: begin(pool).await.unwrap(), hold_id };
    for text in texts {
        outbox.enqueue(&mut branch, &message(text)).await.unwrap();
    }
    branch
}

async fn hot<D: Db>(outbox: &Outbox<D>) -> Vec<String> {
    let store = outbox.store();
    let mut queued = Vec::new();
    for lane in 0..store.capabilities().lanes {
        let lease = store.lease(lane, "test", Duration::from_secs(60)).await.unwrap().unwrap();
        queued.extend(store.fetch(&[Reach { lease, after: 0 }], MANY).await.unwrap().queued);
    }
    queued.iter().map(|queued| String::from_utf8(queued.envelope.payload().to_vec()).unwrap()).collect()
}

pub async fn release<D: Db>(outbox: &Outbox<D>, pool: &Pool<D>, hold_id: &str) -> u64 {
    let mut tx = begin(pool).await.unwrap();
    let released = outbox.release_held(&mut tx, "xid-1", hold_id).await.unwrap();
    tx.commit().await.unwrap();
    released
}

/// Whatever a message may be.
fn awkward() -> Vec<Message> {
    let text = |text: &str| Message::to("topic").key("k").text(text).unwrap();
    vec![
        text("1"),
        Message::to("topic").payload((0..=255).collect::<Vec<u8>>()).unwrap(),
        text(""),
        Message::to("other.topic").header("quote", "\"'\\ 🦀\n").key("\\\"'").payload(vec![0]).unwrap(),
        Message::to("topic").delay(Duration::from_secs(3_600)).text("later").unwrap(),
        Message::to("topic").text("no key ü 🦀").unwrap(),
        text("2"),
    ]
}

pub async fn many_at_once_are_what_they_are_one_by_one<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let (pool, store) = (outbox.pool().clone(), outbox.store());
    let mut tx = begin(&pool).await.unwrap();
    let ids = outbox.enqueue_all(&mut tx, &awkward()).await.unwrap();
    assert!(outbox.enqueue_all(&mut tx, &[]).await.unwrap().is_empty());
    let alone = outbox.enqueue(&mut tx, &message("3")).await.unwrap();
    tx.commit().await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.hot, counts.delayed), (7, 1));
    let mut found = Vec::new();
    for lane in 0..store.capabilities().lanes {
        let lease = store.lease(lane, "test", Duration::from_secs(60)).await.unwrap().unwrap();
        let read = store.fetch(&[Reach { lease, after: 0 }], MANY).await.unwrap();
        found.extend(read.queued.into_iter().map(|queued| queued.envelope));
    }
    for (id, sent) in ids.iter().zip(awkward()).filter(|(_, sent)| sent.payload().as_ref() != b"later") {
        let came = found.iter().find(|came| came.id == *id).unwrap_or_else(|| panic!("{sent:?}"));
        assert_eq!((came.topic(), came.key(), came.payload()), (sent.topic(), sent.key(), sent.payload()));
        assert_eq!(came.headers(), sent.headers());
    }
    let of_key: Vec<_> = found.iter().filter(|came| came.key() == Some("k")).map(|came| came.id.clone()).collect();
    assert_eq!(of_key, [ids[0].clone(), ids[2].clone(), ids[6].clone(), alone], "in order");
    let lane = |came: &&Envelope| came.origin.unwrap().lane;
    let lanes: BTreeSet<_> = found.iter().filter(|came| came.key() == Some("k")).map(|came| lane(&came)).collect();
    assert_eq!(lanes.len(), 1, "a key has one lane, however it came");
}

pub async fn many_at_once_are_held_and_released_in_order<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    let mut branch = branch(&outbox, &pool, "a", &[]).await;
    outbox.enqueue_all(&mut branch, &["1", "2", "3", "4"].map(message)).await.unwrap();
    outbox.enqueue_all(&mut branch, &[awkward().swap_remove(4), message("5")]).await.unwrap();
    branch.tx.commit().await.unwrap();
    assert!(hot(&outbox).await.is_empty());
    assert_eq!(release(&outbox, &pool, "a").await, 6);
    assert_eq!(hot(&outbox).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(outbox.store().counts().await.unwrap().delayed, 1);
}

pub async fn nothing_is_published_before_the_global_decision<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    branch(&outbox, &pool, "a", &["1"]).await.tx.commit().await.unwrap();
    assert!(hot(&outbox).await.is_empty());
    let counts = outbox.store().counts().await.unwrap();
    assert_eq!((counts.held, counts.is_empty()), (1, false));
}

pub async fn a_commit_publishes_once_and_in_order_however_often_it_is_told<D: Db, G>(
    make: impl AsyncFn() -> (Outbox<D>, G),
) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    branch(&outbox, &pool, "a", &["1", "2", "3"]).await.tx.commit().await.unwrap();
    branch(&outbox, &pool, "b", &["other"]).await.tx.commit().await.unwrap();
    assert_eq!(release(&outbox, &pool, "a").await, 3);
    assert_eq!(release(&outbox, &pool, "a").await, 0);
    assert_eq!(hot(&outbox).await, ["1", "2", "3"], "of this branch only");
    assert_eq!(outbox.store().counts().await.unwrap().held, 1);
}

pub async fn of_32_releases_at_once_one_publishes<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    // Several rounds: the first warms the connections, which is where the others meet.
    let rounds = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (round, hold_id) in rounds.into_iter().enumerate() {
        branch(&outbox, &pool, hold_id, &["1", "2"]).await.tx.commit().await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..32 {
            let (outbox, pool) = (outbox.clone(), pool.clone());
            tasks.spawn(async move { release(&outbox, &pool, hold_id).await });
        }
        assert_eq!(tasks.join_all().await.iter().sum::<u64>(), 2);
        assert_eq!(outbox.store().counts().await.unwrap().hot, 2 * (round as u64 + 1));
    }
}

pub async fn a_global_rollback_publishes_nothing<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    branch(&outbox, &pool, "a", &["1"]).await.tx.commit().await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(outbox.discard_held(&mut conn, "xid-1", "a").await.unwrap(), 1);
    assert_eq!(outbox.discard_held(&mut conn, "xid-1", "a").await.unwrap(), 0);
    drop(conn);
    assert_eq!(release(&outbox, &pool, "a").await, 0, "a late commit finds nothing");
    assert!(outbox.store().counts().await.unwrap().is_empty());
}

pub async fn a_local_rollback_holds_nothing<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    branch(&outbox, &pool, "a", &["1"]).await.tx.rollback().await.unwrap();
    assert!(outbox.store().counts().await.unwrap().is_empty());
}

pub async fn a_release_that_rolls_back_publishes_nothing_and_can_be_repeated<D: Db, G>(
    make: impl AsyncFn() -> (Outbox<D>, G),
) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    branch(&outbox, &pool, "a", &["1"]).await.tx.commit().await.unwrap();
    let mut tx = begin(&pool).await.unwrap();
    assert_eq!(outbox.release_held(&mut tx, "xid-1", "a").await.unwrap(), 1);
    tx.rollback().await.unwrap();
    assert!(hot(&outbox).await.is_empty());
    assert_eq!(release(&outbox, &pool, "a").await, 1);
    assert_eq!(hot(&outbox).await, ["1"]);
}

pub async fn a_delay_survives_being_held<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    let mut branch = branch(&outbox, &pool, "a", &["now"]).await;
    let later = Message::to("topic").delay(Duration::from_secs(3600)).text("later").unwrap();
    outbox.enqueue(&mut branch, &later).await.unwrap();
    branch.tx.commit().await.unwrap();
    assert_eq!(release(&outbox, &pool, "a").await, 2);
    let counts = outbox.store().counts().await.unwrap();
    assert_eq!((counts.hot, counts.delayed, counts.held), (1, 1, 0));
}

pub async fn what_the_caller_rolls_back_was_never_said<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let pool = outbox.pool().clone();
    let mut tx = begin(&pool).await.unwrap();
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
    outbox.transaction(async |mut tx| outbox.enqueue(&mut tx, &message("3")).await).await.unwrap();
    assert_eq!(hot(&outbox).await, ["3"]);
}

pub async fn a_closure_that_keeps_its_transaction_is_told_so<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let kept = outbox.transaction(async |tx| Ok::<_, Error>(tx)).await;
    assert!(matches!(kept, Err(Error::TransactionKept)));
    outbox.health().await.unwrap();
}

pub async fn of_32_deliveries_at_once_one_is_the_first<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (outbox, _guard) = make().await;
    let inbox = Inbox::<D>::new(outbox.pool().clone());
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let inbox = inbox.clone();
        tasks.spawn(async move {
            let (tx, first) = loop {
                let mut tx = begin(inbox.pool()).await.unwrap();
                match inbox.first_tx(&mut tx, "consumer", &MessageId::parse("id").unwrap()).await {
                    Ok(first) => break (tx, first),
                    // On MariaDB two that wait for a winner which fails may be a deadlock: the delivery comes again.
                    Err(Error::Backend(error)) if error.class() == ErrorClass::Transient => {
                        tx.rollback().await.unwrap();
                    }
                    Err(error) => panic!("{error:?}"),
                }
            };
            // Some of the winners fail: then it is another's turn.
            if first && n % 2 == 0 {
                tx.rollback().await.unwrap();
                return false;
            }
            tx.commit().await.unwrap();
            first
        });
    }
    let firsts = tasks.join_all().await.into_iter().filter(|first| *first).count();
    let mut tx = begin(outbox.pool()).await.unwrap();
    let last = inbox.first_tx(&mut tx, "consumer", &MessageId::parse("id").unwrap()).await.unwrap();
    assert_eq!(firsts + usize::from(last), 1, "once, unless every one that was first failed");
}

pub async fn an_inbox_tells_what_it_may_have_forgotten<D: Db, G>(make: impl AsyncFn() -> (Outbox<D>, G)) {
    let (hour, (outbox, _guard)) = (Duration::from_secs(3600), make().await);
    let (store, inbox) = (outbox.store(), Inbox::<D>::new(outbox.pool().clone()).with_retention(hour));
    let id = store.enqueue(&[message("1")]).await.unwrap().remove(0);
    let mut from = Vec::new();
    for lane in 0..store.capabilities().lanes {
        let lease = store.lease(lane, "relay", hour).await.unwrap().unwrap();
        from.push(Reach { lease, after: 0 });
    }
    let leases: Vec<_> = from.iter().map(|reach| reach.lease.clone()).collect();
    let first = store.fetch(&from, MANY).await.unwrap().queued.remove(0);
    let mut tx = begin(outbox.pool()).await.unwrap();
    let mut old = first.envelope.clone();
    old.enqueued_at = 1;
    assert_eq!(inbox.forgotten_tx(&mut tx, &old).await.unwrap(), None, "it was not replayed");
    tx.commit().await.unwrap();
    let replay = async |window| {
        let letter = store.fetch(&from, MANY).await.unwrap().queued.remove(0);
        let dead = Verdict::Dead { error: "on purpose".to_owned() };
        store.settle(&leases, History::Off, &[(&letter, dead)]).await.unwrap();
        assert!(store.replay(&id, window).await.unwrap());
        store.fetch(&from, MANY).await.unwrap().queued.remove(0).envelope
    };
    let mut envelope = replay(Some(hour * 2)).await;
    let mut tx = begin(outbox.pool()).await.unwrap();
    let forgotten = inbox.forgotten_tx(&mut tx, &envelope).await.unwrap();
    assert_eq!(forgotten, Some(Forgotten::Window { window: hour * 2, retention: hour }));
    tx.commit().await.unwrap();
    envelope = replay(Some(hour)).await;
    let mut tx = begin(outbox.pool()).await.unwrap();
    assert_eq!(inbox.forgotten_tx(&mut tx, &envelope).await.unwrap(), None);
    envelope.enqueued_at -= 3_600_000_000;
    let forgotten = inbox.forgotten_tx(&mut tx, &envelope).await.unwrap();
    assert!(matches!(forgotten, Some(Forgotten::Age { age, .. }) if age > hour && age < hour * 2), "{forgotten:?}");
    tx.commit().await.unwrap();
    envelope = replay(None).await;
    envelope.enqueued_at = 1;
    let mut tx = begin(outbox.pool()).await.unwrap();
    assert_eq!(inbox.forgotten_tx(&mut tx, &envelope).await.unwrap(), None, "it was told that it may duplicate");
    tx.rollback().await.unwrap();
}
