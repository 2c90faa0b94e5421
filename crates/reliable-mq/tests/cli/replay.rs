//! `replay`: dead letters go back into the outbox, and the relay sends each once.

use serde_json::json;

use crate::scene::Scene;
use crate::tool::each;

#[tokio::test]
async fn a_replayed_letter_is_delivered_once_by_the_relay() {
    let scene = Scene::new().await;
    let text = scene.run(&["replay", "dead"]).good();
    assert!(text.ends_with("\n1 replayed\n"), "{text}");
    let counts = scene.counts().await;
    assert_eq!((counts.hot, counts.dead), (3, 1));
    for _ in 0..3 {
        scene.relay.step().await.unwrap();
    }
    assert_eq!(scene.accepted("gone"), ["{\"order\":7}"]);
    assert_eq!(scene.windows(), ["604800000000"], "seven days, and none of what came for the first time");
    let told = scene.run(&["replay", "dead"]).bad(1);
    assert!(told.contains("dead is no dead message: see `onceward-mq show dead`"), "{told}");
    let shown = scene.run(&["show", "dead", "--json"]).json();
    assert_eq!(shown["message"]["state"], "sent");
    assert_eq!(each(&shown["history"], "outcome"), ["dead", "sent"]);
}

#[tokio::test]
async fn letters_are_replayed_by_what_they_are_like() {
    let scene = Scene::new().await;
    let json = scene.run(&["replay", "--error", "for binary", "--json"]).json();
    assert_eq!((&json["dry_run"], &json["done"], &json["cut"]), (&json!(false), &json!(1), &json!(false)));
    assert_eq!(each(&json["messages"], "message_id"), ["binary"]);
    assert_eq!(scene.run(&["replay", "--topic", "nothing"]).good(), "no such messages\n");
    let cut = scene.run(&["replay", "--all", "--limit", "1", "--dry-run"]);
    assert_eq!((cut.code, cut.err.as_str()), (0, ""), "one is left: {}", cut.err);
    let json = scene.run(&["replay", "--all", "--json"]).json();
    assert_eq!(each(&json["messages"], "message_id"), ["dead"]);
    assert_eq!(scene.counts().await.dead, 0);
}

#[tokio::test]
async fn of_several_names_all_have_to_be_dead_letters() {
    let scene = Scene::new().await;
    for (other, said) in [("failed", "failed is no dead message"), ("nobody", "nobody is no dead message")] {
        let told = scene.run(&["replay", "dead", other]).bad(1);
        assert!(told.contains(said) && told.contains("nothing was changed"), "{told}");
    }
    assert_eq!(scene.counts().await.dead, 2);
    let json = scene.run(&["replay", "dead", "binary", "dead", "--json"]).json();
    assert_eq!(json["done"], 2, "one that is named twice is replayed once");
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let scene = Scene::new().await;
    let text = scene.run(&["replay", "--all", "--dry-run"]).good();
    assert!(text.contains("\nbinary ") && text.ends_with("tried only: 2 would be replayed\n"), "{text}");
    let json = scene.run(&["replay", "dead", "--dry-run", "--json"]).json();
    assert_eq!((&json["dry_run"], &json["done"]), (&json!(true), &json!(0)));
    assert_eq!((scene.counts().await.hot, scene.counts().await.dead), (2, 2));
}

#[tokio::test]
async fn a_letter_older_than_the_inboxes_remember_is_refused() {
    let scene = Scene::new().await;
    // Eight days. What counts is the age of the message, however lately it was given up.
    scene.execute("update mq_dead set enqueued_at = enqueued_at - 691200000000 where message_id = 'dead'").await;
    for args in [&["replay", "--all"][..], &["replay", "dead"], &["replay", "dead", "--dry-run"]] {
        let told = scene.run(args).bad(1);
        assert!(told.contains("older than inboxes remember (7d00h), dead was enqueued 8d00h ago"), "{told}");
        assert!(told.contains("--may-duplicate") && told.contains("nothing was changed"), "{told}");
    }
    assert!(scene.run(&["replay", "--all"]).bad(1).contains(" 1 of 2 messages are older"));
    assert_eq!(scene.counts().await.dead, 2);
    scene.run(&["replay", "binary", "--inbox-retention", "0s"]).bad(1);
    scene.run(&["replay", "dead", "--inbox-retention", "9d"]).good();
    assert_eq!(scene.counts().await.dead, 1);
    scene.execute("update mq_dead set enqueued_at = 1").await;
    scene.run(&["replay", "binary", "--may-duplicate"]).good();
    assert_eq!(scene.counts().await.dead, 0);
    assert!(scene.run(&["show", "binary"]).good().contains("onceward-replay-window"));
    scene.relay.step().await.unwrap();
    assert_eq!(scene.windows(), ["777600000000", "may-duplicate"]);
}

#[tokio::test]
async fn many_letters_at_once_want_a_yes() {
    let scene = Scene::new().await;
    scene.bury(100).await;
    let told = scene.run(&["replay", "--all"]).bad(1);
    assert!(told.contains("102 messages would be replayed") && told.contains("--yes"), "{told}");
    assert_eq!(scene.counts().await.dead, 102);
    let tried = scene.run(&["replay", "--all", "--dry-run"]).good();
    assert!(tried.ends_with("tried only: 102 would be replayed\n"), "{tried}");
    // It may take long enough to say how far it is.
    let replayed = scene.run(&["replay", "--topic", "mass"]);
    assert_eq!((replayed.code, scene.counts().await.dead), (0, 2), "a hundred need none: {}", replayed.err);
    scene.bury(1).await;
    let replayed = scene.run(&["replay", "--all", "--yes"]);
    assert_eq!((replayed.code, scene.counts().await.dead), (0, 0), "{}", replayed.err);
    assert!(replayed.out.ends_with("\n103 replayed\n"), "{}", replayed.out);
}

#[tokio::test]
async fn a_slow_replay_says_how_far_it_is() {
    let scene = Scene::new().await;
    scene.bury(4).await;
    let ran = scene.run(&["replay", "--topic", "mass", "--rate", "2/s", "--json"]);
    assert_eq!((ran.code, scene.counts().await.dead), (0, 2), "{}", ran.err);
    assert!(ran.err.starts_with("onceward-mq: ") && ran.err.contains(" of 4 replayed"), "{}", ran.err);
}

#[tokio::test]
async fn a_replay_wants_to_know_which() {
    let scene = Scene::new().await;
    let told = scene.run(&["replay"]).bad(2);
    assert!(told.contains("MESSAGE_ID") && told.contains("--all"), "{told}");
    for args in [
        &["replay", "dead", "--all"][..],
        &["replay", "dead", "--topic", "gone"],
        &["replay", "--all", "--rate", "0/s"],
    ] {
        let ran = scene.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
    }
    assert_eq!(scene.counts().await.dead, 2);
}
