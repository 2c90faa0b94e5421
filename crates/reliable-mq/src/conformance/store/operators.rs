//! What operators ask for, and what they may do.

use std::time::Duration;

use super::{LONG, MANY, Made, Relay, dead, enqueue, retry};
use crate::{
    Draft, Error, Message, MessageFilter, MessageId, Status,
    conformance::{eventually, keyed, message, ok, text},
    store::Verdict,
};

pub async fn a_resent_message_is_due_at_once_with_its_attempts<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    ok(store.enqueue(&[keyed("k", "1"), keyed("k", "2")]).await);
    let later = enqueue(&store, ok(Message::to("topic").delay(LONG).text("later"))).await;
    let relay = Relay::of(&store).await;
    let first = relay.fetch().await.remove(0);
    let id = first.envelope.id.clone();
    assert!(!ok(store.resend(&id).await), "it has not failed");
    relay.settle(&first, retry(LONG)).await;
    assert!(relay.due().await.is_empty());
    assert!(ok(store.resend(&id).await));
    assert!(ok(store.resend(&id).await), "said twice, it is the same");
    let due = eventually("it is due", async || relay.due().await.pop()).await;
    assert_eq!((&due.envelope.id, due.attempts), (&id, 1));
    assert!(relay.fetch().await.is_empty(), "the next of its key still waits");
    assert!(!ok(store.resend(&later).await), "what its sender delayed waits");
    assert!(!ok(store.resend(&ok(MessageId::parse("unknown"))).await));
    assert_eq!(relay.settle(&due, Verdict::Sent).await.done, 1);
    assert_eq!(relay.texts().await, ["2"]);
}

pub async fn a_paused_topic_waits_and_goes_on_in_order<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let relay = Relay::of(&store).await;
    ok(store.enqueue(&[keyed("k", "1"), message("other", "o"), keyed("k", "2"), keyed("j", "3")]).await);
    let failing = relay.fetch().await.into_iter().find(|queued| text(&queued.envelope) == "3");
    relay.settle(&failing.unwrap_or_else(|| panic!("it was enqueued")), retry(Duration::ZERO)).await;
    assert!(ok(store.paused().await).is_empty());
    assert!(ok(store.pause("topic").await));
    assert!(!ok(store.pause("topic").await), "said twice, it is the same");
    assert!(matches!(store.pause("no topic").await, Err(Error::Message(_))));
    assert_eq!(ok(store.paused().await).iter().map(|paused| paused.topic.as_str()).collect::<Vec<_>>(), ["topic"]);
    assert_eq!(relay.texts().await, ["o"], "other topics go on");
    assert!(relay.due().await.is_empty(), "a retry waits as well");
    enqueue(&store, keyed("k", "4")).await;
    assert_eq!(relay.texts().await, ["o"]);
    assert!(!ok(store.resume("other").await));
    assert!(ok(store.resume("topic").await));
    assert!(!ok(store.resume("topic").await));
    let stale = ok(store.fetch(&relay.whole(), MANY).await);
    assert!(stale.queued.is_empty(), "lanes are to be read from their start, so they were taken away");
    let relay = Relay::of(&store).await;
    let of_key = relay.fetch().await.into_iter().filter(|queued| queued.envelope.key() == Some("k"));
    assert_eq!(of_key.map(|queued| text(&queued.envelope)).collect::<Vec<_>>(), ["1", "2", "4"]);
    let due = eventually("it is due", async || relay.due().await.pop()).await;
    assert_eq!(text(&due.envelope), "3");
}

pub async fn messages_are_found_by_what_they_are_like<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let tenant = |draft: Draft| draft.tenant("ac\"me").header("note", "{\"tenant\":\"other\"}");
    let other = ok(tenant(Message::to("other")).text("2"));
    let sent = ok(tenant(Message::to("sent")).text("3"));
    let ids = ok(store.enqueue(&[keyed("k", "0"), keyed("k", "1"), other, sent]).await);
    let later = enqueue(&store, ok(Message::to("topic").header("nul", "\0").delay(LONG).text("later"))).await;
    let relay = Relay::of(&store).await;
    for queued in relay.fetch().await {
        match text(&queued.envelope).as_str() {
            "0" => relay.settle(&queued, retry(LONG)).await,
            "2" => relay.settle(&queued, dead()).await,
            "3" => relay.settle(&queued, Verdict::Sent).await,
            _ => continue,
        };
    }
    let find = async |filter: MessageFilter| {
        let mut found: Vec<MessageId> = ok(store.messages(&filter).await).into_iter().map(|m| m.message_id).collect();
        found.sort();
        found
    };
    let sorted = |mut ids: Vec<MessageId>| {
        ids.sort();
        ids
    };
    let all = MessageFilter::default;
    let unsent = vec![ids[0].clone(), ids[1].clone(), ids[2].clone(), later.clone()];
    assert_eq!(find(all()).await, sorted(unsent), "without what was sent");
    for (status, id) in [
        (Status::Failed, &ids[0]),
        (Status::Pending, &ids[1]),
        (Status::Dead, &ids[2]),
        (Status::Sent, &ids[3]),
        (Status::Delayed, &later),
    ] {
        assert_eq!(find(all().in_states([status])).await, std::slice::from_ref(id), "{status:?}");
        let shown = ok(store.messages(&MessageFilter::of(id)).await).remove(0);
        assert_eq!(shown.status, status, "wherever it stands");
    }
    assert!(find(all().in_states([Status::Held])).await.is_empty());
    assert_eq!(find(all().with_topic("other")).await, [ids[2].clone()]);
    assert_eq!(find(all().with_key("k")).await, sorted(ids[..2].to_vec()));
    assert_eq!(
        find(all().with_tenant("ac\"me").in_states(Status::ALL)).await,
        [ids[2].clone()],
        "not of what was sent"
    );
    assert!(find(all().with_tenant("other")).await.is_empty());
    assert!(find(all().with_tenant("AC\"me")).await.is_empty());
    assert_eq!(find(all().with_error("purpose").with_key("k")).await, [ids[0].clone()]);
    assert!(find(all().with_error("Purpose")).await.is_empty());
    assert!(find(all().with_older_than(LONG)).await.is_empty());
    assert_eq!(ok(store.messages(&all().with_limit(2)).await).len(), 2);

    let failed = ok(store.messages(&MessageFilter::of(&ids[0])).await).remove(0);
    assert_eq!((failed.topic.as_str(), failed.key.as_deref(), failed.attempts), ("topic", Some("k"), 1));
    assert_eq!((failed.last_error.as_deref(), failed.blocks), (Some("on purpose"), true));
    assert!(failed.due.is_some_and(|due| due > LONG / 2 && due <= LONG));
    assert!(failed.since <= failed.age && failed.age < LONG);
    assert!(failed.tenant.is_none());
    let dead = ok(store.messages(&MessageFilter::of(&ids[2])).await).remove(0);
    assert_eq!(dead.tenant.as_deref(), Some("ac\"me"));
    let letter = ok(store.message(&ids[2]).await).unwrap_or_else(|| panic!("it is a dead letter"));
    assert_eq!((&letter.id, text(&letter).as_str()), (&ids[2], "2"));
    assert!(ok(store.message(&later).await).is_some() && ok(store.message(&ids[0]).await).is_some());
    assert!(ok(store.message(&ids[1]).await).is_some());
    assert!(ok(store.message(&ids[3]).await).is_none(), "it was sent");
}

pub async fn lanes_and_topics_tell_who_works_and_what_waits<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let number = store.capabilities().lanes as usize;
    let lanes = ok(store.lanes().await);
    assert_eq!(lanes.len(), number);
    assert!(lanes.iter().all(|lane| lane.owner.is_none() && lane.lease.is_none() && lane.lag.is_none()));
    ok(store.enqueue(&[message("a", "1"), message("a", "2"), message("b", "3")]).await);
    let relay = Relay::named(&store, "relay").await;
    for queued in relay.fetch().await {
        match text(&queued.envelope).as_str() {
            "1" => relay.settle(&queued, retry(LONG)).await,
            "3" => relay.settle(&queued, dead()).await,
            _ => continue,
        };
    }
    let lanes = ok(store.lanes().await);
    assert_eq!(lanes.iter().map(|lane| lane.lane as usize).collect::<Vec<_>>(), (0..number).collect::<Vec<_>>());
    assert!(lanes.iter().all(|lane| lane.owner.as_deref() == Some("relay") && lane.epoch == 1));
    assert!(lanes.iter().all(|lane| lane.lease.is_some_and(|left| left > LONG / 2 && left <= LONG)));
    let sum = |count: fn(&crate::LaneInfo) -> u64| lanes.iter().map(count).sum::<u64>();
    assert_eq!((sum(|lane| lane.hot), sum(|lane| lane.delayed)), (1, 1));
    assert_eq!(
        lanes.iter().filter(|lane| lane.lag.is_some()).count(),
        1,
        "a retry that is not due lags behind nothing"
    );

    let topics = ok(store.topics().await);
    let counts: Vec<_> = topics
        .iter()
        .map(|info| (info.topic.as_str(), info.counts.hot, info.counts.delayed, info.counts.failed, info.counts.dead))
        .collect();
    assert_eq!(counts, [("a", 1, 1, 1, 0), ("b", 0, 0, 0, 1)]);
    assert!(topics[0].counts.oldest.is_some() && topics[1].counts.oldest.is_none());
    relay.settle(&relay.fetch().await.remove(0), Verdict::Sent).await;
    assert!(
        ok(store.lanes().await).iter().all(|lane| lane.lag.is_none()),
        "a retry that is not due lags behind nothing"
    );
    for lease in &relay.leases {
        ok(store.release(lease).await);
    }
    assert!(ok(store.lanes().await).iter().all(|lane| lane.owner.is_none() && lane.lease.is_none()));
}

pub async fn dead_letters_are_purged_in_bounds<G>(make: impl AsyncFn() -> Made<G>) {
    let (store, _guard) = make().await;
    let relay = Relay::of(&store).await;
    ok(store.enqueue(&vec![message("topic", ""); 5]).await);
    for queued in relay.fetch().await {
        relay.settle(&queued, dead()).await;
    }
    assert_eq!(ok(store.purge_dead(LONG, 10).await), 0, "they are younger than that");
    let mut rest = 5;
    while rest > 0 {
        let purge = async || Some(ok(store.purge_dead(Duration::ZERO, 2).await)).filter(|purged| *purged > 0);
        let purged = eventually("they are old", purge).await;
        assert!(purged <= 2, "{purged}");
        rest -= purged;
        assert_eq!(ok(store.counts().await).dead, rest);
    }
    assert!(!ok(store.log(10).await).iter().any(|row| row.status == Status::Dead));
}
